"""How far reconstructions are from their samples: ``(n, ...), (n, ...) -> (n,)``."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Samples = Float[Array, "n *shape"]
Error = Callable[[Samples, Samples], Float[Array, " n"]]


def squared_error(x: Samples, y: Samples) -> Float[Array, " n"]:
    """|x - y|^2, summed over a sample's elements.

    >>> import jax.numpy as jnp
    >>> squared_error(jnp.zeros((1, 2)), jnp.array([[3.0, 4.0]])).tolist()
    [25.0]
    """
    return jnp.square(x - y).sum(axis=tuple(range(1, x.ndim)))


def laplacian(levels: int = 3) -> Error:
    """sum_j 4^j |L_j(x - y)|_1, with L_j the levels of a Laplacian pyramid.

    L_j is what a 5 x 5 binomial blur takes away from an image halved j times, the last
    level what is left. 4^j makes up for the smaller number of pixels, so that a level
    of edges counts as much as a level of areas, and an L1 norm blurs less than an L2.

    Args:
      levels: how often the image is halved.

    Returns:
      An error of images (n, h, w, channels).

    Raises:
      ValueError: for less than one level, and for images that cannot be halved so
        often.

    Reference: Ling and Okada, "Diffusion Distance for Histogram Comparison", 2006; for
    generators Bojanowski et al., 2017, arXiv:1707.05776.
    """
    if levels < 1:
        raise ValueError(f"levels is {levels}, but a pyramid has at least 1 of them.")

    def error(
        x: Float[Array, "n h w c"], y: Float[Array, "n h w c"]
    ) -> Float[Array, " n"]:
        smallest = min(x.shape[1:3])
        if smallest < 2**levels:
            raise ValueError(
                f"images of shape {x.shape[1:]} cannot be halved {levels} times; take "
                f"levels={smallest.bit_length() - 1} at most."
            )
        image, total = x - y, jnp.zeros(x.shape[0], x.dtype)
        for level in range(levels):
            low = _blurred(image)
            total += 4**level * jnp.abs(image - low).sum((1, 2, 3))
            image = low[:, ::2, ::2]
        return total + 4**levels * jnp.abs(image).sum((1, 2, 3))

    return error


def _blurred(images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """By (1, 4, 6, 4, 1) / 16 along both axes, the edges repeated."""
    for axis in (1, 2):
        pads = [(2, 2) if a == axis else (0, 0) for a in range(4)]
        padded = jnp.pad(images, pads, mode="edge")
        size = images.shape[axis]
        images = sum(
            (
                share / 16 * jax.lax.slice_in_dim(padded, i, i + size, axis=axis)
                for i, share in enumerate((1, 4, 6, 4, 1))
            ),
            start=jnp.zeros_like(images),
        )
    return images
