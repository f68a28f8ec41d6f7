"""The sliced Wasserstein distance: sorted projections, compared."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def sliced_wasserstein(
    a: Float[Array, "n d"],
    b: Float[Array, "n d"],
    key: Key[Array, ""],
    directions: int = 512,
    power: int = 2,
) -> Float[Array, ""]:
    """SW_p = (E_u mean_i |sorted(a u)_i - sorted(b u)_i|^p)^(1/p), u on a sphere.

    It is 0 for equal sets only. Between two samples of one distribution it is not 0
    but falls as 1 / sqrt(n), so a value says little without that floor beside it.

    Args:
      a, b: two sets of equally many points (or features, or flattened images).
      key: from which the directions are drawn, uniformly.
      directions: how many.
      power: p, 1 or 2. By Jensen the first is never above the second.

    Returns:
      The distance, in the points' own units.

    Raises:
      ValueError: for sets of different shapes, or another power.

    Reference: Bonneel et al., "Sliced and Radon Wasserstein Barycenters of Measures",
    2015; Rabin et al., "Wasserstein Barycenter and Its Application to Texture Mixing",
    2011.

    >>> import jax, jax.numpy as jnp
    >>> a = jnp.zeros((8, 1))
    >>> float(sliced_wasserstein(a, a + 3, jax.random.key(0)))
    3.0
    """
    if a.shape != b.shape:
        raise ValueError(
            f"the sets have shapes {a.shape} and {b.shape}, but sorted points are "
            "compared one by one. Take the first n of each, n being the smaller number."
        )
    if power not in (1, 2):
        raise ValueError(f"power is {power}; the distances here are SW_1 and SW_2.")
    u = jax.random.normal(key, (a.shape[1], directions), a.dtype)
    u = u / jnp.linalg.norm(u, axis=0, keepdims=True)
    # Full float32: a TPU would otherwise multiply in bfloat16.
    project = jax.vmap(lambda x: jnp.sort(jnp.dot(x, u, precision="highest"), axis=0))
    gaps = project(a[None]) - project(b[None])
    return jnp.abs(gaps).mean() if power == 1 else jnp.sqrt(jnp.square(gaps).mean())
