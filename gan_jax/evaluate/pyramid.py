"""Patches of a Laplacian pyramid: a distance that sees detail at every scale.

A few features of the whole image do not see noise or blur. Here each band of spatial
frequencies counts alike, so what is wrong with the finest one is not outweighed.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from gan_jax.evaluate.similarity import checked_bytes
from gan_jax.evaluate.sliced import sliced_wasserstein

PATCH = 7  # pixels along each side of a patch
BINOMIAL = (1, 4, 6, 4, 1)  # / 16: the low-pass filter of Burt and Adelson
AT_ONCE = 128  # directions in one sort, which bounds the memory
CUSTOM = 1e3  # published figures are multiplied by it


class BandDistances(NamedTuple):
    """The distance in each band of frequencies, times 1000.

    Attributes:
      sizes: the side of each level, in pixels, the finest first.
      distances: one for each.
    """

    sizes: tuple[int, ...]
    distances: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the levels: the one figure that papers quote."""
        return float(np.mean(self.distances))


def band_distances(
    a: UInt8[np.ndarray, "n h w c"],
    b: UInt8[np.ndarray, "n h w c"],
    key: Key[Array, ""],
    *,
    patches: int = 128,
    directions: int = 512,
    smallest: int = 14,
    scale: str = "own",
) -> BandDistances:
    """The sliced Wasserstein distance SW_1 of patches, in each level of a pyramid.

    A level of a Laplacian pyramid is what an image loses when it is halved and doubled
    again; the last level is the smallest image itself. From each level of each image
    patches of 7 x 7 pixels are cut out at random, and brought to mean 0 and standard
    deviation 1 per channel.

    Two samples of one distribution have some distance, too: put that of real images to
    other real ones, of the same number, beside the figure. Published figures are for
    16,384 images.

    Args:
      a: real images.
      b: generated ones, as many.
      key: draws patches and directions.
      patches: per image and level.
      directions: on which patches are projected, rounded up to a multiple of 128.
      smallest: no level is smaller, in pixels. 14 is the custom's 16 for powers of two,
        and gives images of 28 pixels a second level.
      scale: "own", as published, brings each set to mean 0 and deviation 1 by its own
        moments, and so cannot see a band that is too weak as a whole; "real" takes the
        moments of ``a`` for both, and can.

    Returns:
      The distances.

    Raises:
      ValueError: for sets of different sizes, images other than uint8, too small or not
        square, or another scale.

    Reference: Karras et al., "Progressive Growing of GANs for Improved Quality,
    Stability, and Variation", 2018, arXiv:1710.10196.
    """
    if a.shape != b.shape:
        raise ValueError(
            f"the images have shapes {a.shape} and {b.shape}, but sorted patches are "
            "compared one by one. Take the first n of each, n being the smaller number "
            "(of images in random order), at one size."
        )
    checked_bytes(a, b)
    if scale not in ("own", "real"):
        raise ValueError(f'scale is "{scale}"; it is "own" or "real".')
    sizes = level_sizes(a.shape[1:3], smallest)
    key_a, key_b, key_u = jax.random.split(key, 3)
    real = _patches(jnp.asarray(a), key_a, len(sizes), patches)
    fake = _patches(jnp.asarray(b), key_b, len(sizes), patches)
    keys = jax.random.split(key_u, -(-directions // AT_ONCE))
    distances = []
    for x, y in zip(real, fake, strict=True):
        means = [
            float(_distance(x, y, k, scale == "own")) for k in keys
        ]  # of as many directions each
        distances.append(CUSTOM * float(np.mean(means)))
    return BandDistances(sizes, tuple(distances))


def level_sizes(shape: Sequence[int], smallest: int = 14) -> tuple[int, ...]:
    """The sides of a pyramid's levels: halves of halves, down to ``smallest``.

    Args:
      shape: height and width.
      smallest: no level is smaller.

    Raises:
      ValueError: for images that are not square, or smaller than that.

    >>> level_sizes((64, 64)), level_sizes((28, 28))
    ((64, 32, 16), (28, 14))
    """
    height, width = shape
    if height != width or height < smallest or smallest < PATCH:
        raise ValueError(
            f"the images have {height} x {width} pixels and the smallest level "
            f"{smallest}; give square images no smaller than that, and levels of at "
            f"least {PATCH}, the side of a patch."
        )
    sizes = [height]
    while sizes[-1] % 2 == 0 and sizes[-1] // 2 >= smallest:
        sizes.append(sizes[-1] // 2)
    return tuple(sizes)


def laplacian_pyramid(
    images: Float[Array, "n h w c"], levels: int
) -> list[Float[Array, "n ..."]]:
    """Bands of frequencies, the finest first, and the smallest image at the end.

    ``L_i = G_i - up(G_{i+1})`` with ``G_{i+1} = down(G_i)``, by the binomial filter.
    What they sum up to when each is doubled in turn is the image.

    Args:
      images: of a size that can be halved ``levels - 1`` times.
      levels: at least 1.

    Reference: Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", 1983.
    """
    bands = []
    for _ in range(levels - 1):
        smaller = halved(images)
        bands.append(images - doubled(smaller))
        images = smaller
    return [*bands, images]


def halved(images: Float[Array, "n h w c"]) -> Float[Array, "n h//2 w//2 c"]:
    """Every other pixel of the filtered images."""
    return _filtered(images)[:, ::2, ::2]


def doubled(images: Float[Array, "n h w c"]) -> Float[Array, "n 2*h 2*w c"]:
    """Zeros between the pixels, filtered, times 4, which keeps the mean."""
    n, h, w, c = images.shape
    spread = jnp.zeros((n, h, 2, w, 2, c), images.dtype).at[:, :, 0, :, 0].set(images)
    return 4 * _filtered(spread.reshape(n, 2 * h, 2 * w, c))


def _filtered(images: Array) -> Array:
    """Along both axes of space; the image goes on as its mirror image."""
    for axis in (1, 2):
        widths = [(2, 2) if i == axis else (0, 0) for i in range(4)]
        padded = jnp.pad(images, widths, mode="reflect")
        size = images.shape[axis]
        taps = [
            weight / 16 * jax.lax.slice_in_dim(padded, i, i + size, axis=axis)
            for i, weight in enumerate(BINOMIAL)
        ]
        images = sum(taps[1:], taps[0])
    return images


@functools.partial(jax.jit, static_argnums=(2, 3))
def _patches(
    images: UInt8[Array, "n h w c"], key: Key[Array, ""], levels: int, count: int
) -> list[Float[Array, "_ 7 7 c"]]:
    """``count`` patches an image of each level, at places drawn independently."""
    bands = laplacian_pyramid(images.astype(jnp.float32), levels)
    reach = jnp.arange(PATCH).reshape(1, 1, -1)
    found = []
    for band, k in zip(bands, jax.random.split(key, levels), strict=True):
        n, size = band.shape[:2]
        corners = jax.random.randint(k, (2, n * count, 1), 0, size - PATCH + 1)
        rows, columns = corners + reach
        which = jnp.repeat(jnp.arange(n), count)[:, None, None]
        found.append(band[which, rows[:, :, None], columns[:, None, :]])
    return found


@functools.partial(jax.jit, static_argnums=3)
def _distance(
    x: Float[Array, "m 7 7 c"], y: Float[Array, "m 7 7 c"], key: Array, own: bool
) -> Float[Array, ""]:
    """SW_1 of normalised patches; a channel without any contrast is left at 0."""
    mean, sd = _moments(x)
    mean_y, sd_y = _moments(y) if own else (mean, sd)
    x, y = (x - mean) / sd, (y - mean_y) / sd_y
    flat_x, flat_y = (patches.reshape(len(patches), -1) for patches in (x, y))
    return sliced_wasserstein(flat_x, flat_y, key, AT_ONCE, power=1)


def _moments(patches: Array) -> tuple[Array, Array]:
    mean, sd = (f(patches, axis=(0, 1, 2), keepdims=True) for f in (jnp.mean, jnp.std))
    return mean, jnp.where(sd == 0, 1.0, sd)
