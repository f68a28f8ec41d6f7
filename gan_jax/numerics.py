"""Float32 at least, roots and quotients whose gradients are numbers at 0, and rows.

`jnp.where` chooses between two values, but its gradient passes through both: a NaN of
the one that was not chosen stays a NaN. So what is not chosen is computed of a 1 here.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

Numbers = Float[Array, "..."]


def full(x: Numbers) -> Numbers:
    """``x`` in float32 at least: what logits, features and images are counted in.

    >>> import jax.numpy as jnp
    >>> full(jnp.zeros(2, jnp.bfloat16)).dtype
    dtype('float32')
    """
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def nonzero(x: Numbers) -> Numbers:
    """``x`` with 1 for 0, to be divided by.

    >>> import jax.numpy as jnp
    >>> nonzero(jnp.array([0.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    return jnp.where(x == 0, 1.0, x)


def root(x: Numbers) -> Numbers:
    """The square root of ``x``, with gradient 0, not infinity, where ``x`` is 0.

    >>> import jax, jax.numpy as jnp
    >>> jax.vmap(jax.grad(root))(jnp.array([0.0, 4.0])).tolist()
    [0.0, 0.25]
    """
    return jnp.where(x == 0, 0.0, jnp.sqrt(nonzero(x)))


def quotient(a: Numbers | float, b: Numbers) -> Numbers:
    """a / b, and 0 with gradient 0 where b is 0.

    >>> import jax.numpy as jnp
    >>> quotient(1.0, jnp.array([0.0, 2.0])).tolist()
    [0.0, 0.5]
    """
    return jnp.where(b == 0, 0.0, a / nonzero(b))


def over_root(a: Numbers, b: Numbers) -> Numbers:
    """a / sqrt(b), and 0 with gradient 0 where b is 0: vectors over their lengths.

    >>> import jax.numpy as jnp
    >>> over_root(jnp.array([3.0, 1.0]), jnp.array([4.0, 0.0])).tolist()
    [1.5, 0.0]
    """
    # Not `quotient` of `root`: a quotient by a root is one operation of its own.
    return jnp.where(b == 0, 0.0, a / jnp.sqrt(nonzero(b)))


def rows(
    table: Float[Array | np.ndarray, "k d"], label: Integer[Array | np.ndarray, " n"]
) -> Float[Array, "n d"]:
    """The row of each label, NaN for one that there is none of.

    Indexing would take the last row for it, and train on.

    >>> import jax.numpy as jnp
    >>> rows(jnp.eye(2), jnp.array([1, 2, -1]))[:, 1].tolist()
    [1.0, nan, nan]
    """
    label = jnp.where(label < 0, len(table), label.astype(jnp.int32))
    return jnp.asarray(table).at[label].get(mode="fill", fill_value=jnp.nan)
