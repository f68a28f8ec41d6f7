"""An optimizer for tables of which a batch touches a few rows."""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gan_jax.parts import per_sample


def rowwise(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """``optimizer`` for every row of a table by itself; a row without a gradient rests.

    A resting row keeps its state too: its moments do not fade, and its step count, on
    which bias correction and schedules go by, is the number of times that it moved.

    Args:
      optimizer: for one row. Not one that injects hyperparameters: there would be one
        learning rate a row, where a step reports one a player.

    Returns:
      An optimizer of one array (N, ...).

    Raises:
      ValueError: if the optimizer injects hyperparameters.

    >>> import jax.numpy as jnp, optax
    >>> adam = rowwise(optax.adam(0.1))
    >>> table = jnp.zeros((2, 1))
    >>> state = adam.init(table)
    >>> _, state = adam.update(jnp.array([[1.0], [0.0]]), state, table)
    >>> updates, _ = adam.update(jnp.array([[0.0], [1.0]]), state, table)
    >>> [round(float(x), 3) for x in updates[:, 0]]
    [0.0, -0.1]
    """

    def init(table: Array) -> optax.OptState:
        state = jax.vmap(optimizer.init)(table)
        if optax.tree.get_all_with_path(state, "learning_rate"):
            raise ValueError(
                "rowwise was given an optimizer that injects its learning rate, of "
                "which a table would have one a row. Give it a plain one, such as "
                "optax.adam."
            )
        return state

    def update(
        grads: Array, state: optax.OptState, table: Array | None = None
    ) -> tuple[Array, optax.OptState]:
        moves = jnp.any(grads != 0, axis=tuple(range(1, grads.ndim)))

        def chosen(new: Array, old: Array) -> Array:
            return jnp.where(per_sample(moves, new), new, old)

        updates, new = jax.vmap(optimizer.update)(grads, state, table)
        rest = jnp.zeros_like(updates)
        return chosen(updates, rest), jax.tree.map(chosen, new, state)

    return optax.GradientTransformation(init, update)
