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


def signs(size: int) -> Latent:
    """z of ``size`` independent elements, each -1 or 1 with equal chance.

    A generator is continuous, so from a connected prior it has to draw bridges between
    modes that lie apart. Signs are corners without anything between them: ``size`` of
    them are 2^size places from which modes can be reached, and `joined` with a normal
    latent each of these has an inside.

    >>> import jax
    >>> sorted(set(signs(64)(jax.random.key(0)).tolist()))
    [-1.0, 1.0]
    """
    return lambda key: jax.random.rademacher(key, (size,), jnp.float32)


def joined(*parts: Latent) -> Latent:
    """Several independent latents, end to end in one vector.

    Raises:
      ValueError: for no latent at all.

    >>> import jax
    >>> joined(normal(2), signs(3))(jax.random.key(0)).shape
    (5,)
    """
    if not parts:
        raise ValueError("joined() was given no latent; give at least one.")

    def draw(key: Key[Array, ""]) -> Float[Array, " latent"]:
        keys = jax.random.split(key, len(parts))
        return jnp.concatenate(
            [part(key) for part, key in zip(parts, keys, strict=True)]
        )

    return draw


def slerp(
    a: Float[Array, " latent"], b: Float[Array, " latent"], t: Float[Array, ""] | float
) -> Float[Array, " latent"]:
    """The point at ``t`` of the arc from ``a`` (t = 0) to ``b`` (t = 1).

    slerp(a, b, t) = (sin((1-t)w) a + sin(tw) b) / sin(w), where w is the angle between
    them. A straight line between two Gaussian latents leads through the middle, where
    the prior puts next to no mass; the arc keeps the length that latents have. Where no
    arc is singled out, between parallel or opposite vectors, the line is taken.

    Args:
      a, b: two vectors.
      t: how far along.

    Returns:
      One vector.

    Reference: Shoemake, "Animating rotation with quaternion curves", 1985; White,
      "Sampling generative networks", 2016, arXiv:1609.04468.

    >>> import jax.numpy as jnp
    >>> middle = slerp(jnp.array([3.0, 0.0]), jnp.array([0.0, 3.0]), 0.5)
    >>> [round(x, 3) for x in middle.tolist()]
    [2.121, 2.121]
    """
    across = jnp.linalg.norm(a) * b, jnp.linalg.norm(b) * a
    # Exact for small angles too, where the arc cosine is not (Kahan).
    angle = 2 * jnp.arctan2(
        jnp.linalg.norm(across[0] - across[1]), jnp.linalg.norm(across[0] + across[1])
    )
    sine = jnp.sin(angle)
    curved = sine > 1e-4
    safe = jnp.where(curved, sine, 1.0)
    of_a = jnp.where(curved, jnp.sin((1 - t) * angle) / safe, 1 - t)
    of_b = jnp.where(curved, jnp.sin(t * angle) / safe, t)
    return of_a * a + of_b * b
