"""How far apart points are: ``(n, d), (m, d) -> (n, m)``, all pairs at once.

Each is computed by the differences themselves where that matters. |x|^2 + |y|^2 - 2 xy
would be one matrix product, but it loses small distances between large vectors to
rounding, and may come out negative.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.numerics import over_root, root

Distance = Callable[[Float[Array, "n d"], Float[Array, "m d"]], Float[Array, "n m"]]


def squared_euclidean(
    x: Float[Array, "n d"], y: Float[Array, "m d"]
) -> Float[Array, "n m"]:
    """``||x_i - y_j||^2``.

    >>> import jax.numpy as jnp
    >>> squared_euclidean(jnp.zeros((1, 2)), jnp.array([[3.0, 4.0]])).tolist()
    [[25.0]]
    """
    return jnp.square(x[:, None] - y[None]).sum(axis=-1)


def euclidean(x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """``||x_i - y_j||``, with gradient 0, not NaN, between equal points.

    A metric of negative type: energy distances made of it are 0 between equal
    distributions and positive between all others.
    """
    return root(squared_euclidean(x, y))


def cosine(x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """``1 - cos(x_i, y_j)``, in [0, 2]; 1 from the zero vector to any other.

    It is half the squared distance of the unit vectors, and no metric: two steps of
    60 degrees cost 1, one step of 120 degrees costs 1.5.
    """
    # Full float32: a TPU would otherwise multiply in bfloat16.
    return 1 - jnp.matmul(_unit(x), _unit(y).T, precision="highest")


def _unit(x: Float[Array, "n d"]) -> Float[Array, "n d"]:
    return over_root(x, jnp.square(x).sum(axis=1, keepdims=True))
