"""A stop for gradients that holds for the move, and only for the move."""

from typing import TypeVar

import jax

Tree = TypeVar("Tree")


def stop(tree: Tree) -> Tree:
    """``tree`` as it is, held fixed by the player who takes a gradient through it.

    Reverse-mode differentiation stops here, as it does at `jax.lax.stop_gradient`, so a
    merged loss gives every player its own gradient. But where that *gradient* is
    differentiated again, by another `jax.grad` or by `jax.jvp` around the first, what
    was held fixed counts as the variable that it is. `jax.lax.stop_gradient` would make
    it a constant for good, and with it every derivative of the players' vector field:
    the Jacobian that decides whether a game converges, consensus optimization,
    unrolled play.

    Example: in the bilinear game L = a stop(b) - stop(a) b the players' gradients are
    (b, -a), and the field's Jacobian has the rows (0, 1) and (-1, 0).

    >>> import jax
    >>> game = lambda w: w["a"] * stop(w["b"]) - stop(w["a"]) * w["b"]
    >>> w = {"a": 2.0, "b": 3.0}
    >>> {k: float(v) for k, v in jax.grad(game)(w).items()}
    {'a': 3.0, 'b': -2.0}
    >>> jacobian = jax.jacfwd(jax.grad(game))(w)
    >>> float(jacobian["a"]["b"]), float(jacobian["b"]["a"])
    (1.0, -1.0)

    Args:
      tree: arrays.

    Returns:
      The same arrays.
    """
    return jax.tree.map(_held, tree)


@jax.custom_vjp
def _held(x: jax.Array) -> jax.Array:
    return x


# The innermost differentiation applies the rule below, whose forward part is the plain
# identity: differentiations around it see that identity.
_held.defvjp(lambda x: (x, None), lambda _, cotangent: (None,))
