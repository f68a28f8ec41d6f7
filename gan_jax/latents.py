"""Priors of the generator's input: ``key -> z``, one sample's latent vector.

A latent draws a single sample, since randomness belongs to samples; the objective maps
it over one key per sample.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

Latent = Callable[[Key[Array, ""]], Float[Array, " latent"]]


def normal(size: int) -> Latent:
    """z ~ N(0, I) of ``size`` elements.

    >>> import jax
    >>> normal(3)(jax.random.key(0)).shape
    (3,)
    """
    return lambda key: jax.random.normal(key, (size,))


def uniform(size: int) -> Latent:
    """z ~ U[-1, 1]^size."""
    return lambda key: jax.random.uniform(key, (size,), minval=-1.0)


def sphere(size: int) -> Latent:
    """z uniform on the unit sphere in ``size`` dimensions."""

    def draw(key: Key[Array, ""]) -> Float[Array, " latent"]:
        z = jax.random.normal(key, (size,))
        return z / jnp.linalg.norm(z)

    return draw
