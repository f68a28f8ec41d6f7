"""How alike two images are in structure, at one scale and at several."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

WINDOW, SD = 11, 1.5  # of the Gaussian, in pixels
K1, K2, RANGE = 0.01, 0.03, 255.0
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first
AT_ONCE = 64  # pairs in one call, which bounds the memory


class SelfSimilarity(NamedTuple):
    """How alike the images of one set are.

    Attributes:
      mean: of MS-SSIM over pairs: the higher, the less diverse; 1 when all are equal.
      standard_error: of that mean, as if the pairs were independent.
      pairs: how many.
      levels: of MS-SSIM; means of different levels are not comparable.
    """

    mean: float
    standard_error: float
    pairs: int
    levels: int


def ssim(
    a: UInt8[np.ndarray, "n h w c"], b: UInt8[np.ndarray, "n h w c"]
) -> Float[np.ndarray, " n"]:
    """Structural similarity of each pair: luminance times contrast and structure.

        SSIM = mean of (2 m_a m_b + C1)(2 s_ab + C2)
                       / ((m_a^2 + m_b^2 + C1)(s_a^2 + s_b^2 + C2))

    over all windows that lie in the image, and over the channels, with a Gaussian
    window's means m, variances s^2 and covariances s_ab, C1 = (0.01 x 255)^2 and
    C2 = (0.03 x 255)^2.

    Args:
      a, b: images of at least 11 pixels a side, in pairs.

    Returns:
      One number a pair, at most 1.

    Raises:
      ValueError: for images of different shapes, other than uint8, or too small.

    Reference: Wang et al., "Image Quality Assessment: From Error Visibility to
    Structural Similarity", 2004.
    """
    return ms_ssim(a, b, levels=1)


def ms_ssim(
    a: UInt8[np.ndarray, "n h w c"],
    b: UInt8[np.ndarray, "n h w c"],
    levels: int = 5,
) -> Float[np.ndarray, " n"]:
    """Structural similarity of each pair at several scales, each half the one before.

        MS-SSIM = prod_j cs_j^{w_j} x SSIM_M^{w_M},  w as in `WEIGHTS`,

    with cs_j the mean contrast and structure at scale j, and negative means taken for
    0. The channels' products are averaged, as in TensorFlow. For small images there is
    room for fewer scales: those have the first ``levels`` weights, divided by their
    sum. One level is plain SSIM.

    Args:
      a, b: images in pairs.
      levels: scales; 5 need images of 161 pixels, 3 of 41, 2 of 21.

    Returns:
      One number a pair, in [0, 1] for more than one level; 1 for equal images.

    Raises:
      ValueError: for images of different shapes, other than uint8, or too small for the
        levels.

    Reference: Wang, Simoncelli and Bovik, "Multiscale Structural Similarity for Image
    Quality Assessment", 2003.

    >>> import numpy as np
    >>> image = np.arange(144, dtype=np.uint8).reshape(1, 12, 12, 1)
    >>> ms_ssim(image, image, levels=1).tolist()
    [1.0]
    """
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(
            f"the images have shapes {a.shape} and {b.shape}; give pairs of one shape "
            "(n, h, w, c)."
        )
    checked_bytes(a, b)
    checked_levels(a.shape[1:3], levels)
    found = []
    for start in range(0, len(a), AT_ONCE):
        x, y = a[start : start + AT_ONCE], b[start : start + AT_ONCE]
        count = len(x)
        if start:  # filled up, so that one program serves all
            x, y = (np.resize(i, (AT_ONCE, *i.shape[1:])) for i in (x, y))
        found.append(np.asarray(_ms_ssim(x, y, levels))[:count])
    return np.concatenate(found)


def self_similarity(
    images: UInt8[np.ndarray, "n h w c"],
    key: Key[Array, ""],
    *,
    pairs: int = 1000,
    levels: int = 5,
) -> SelfSimilarity:
    """The mean MS-SSIM of random pairs of a set's images: does it collapse?

    It measures diversity, not quality: put the figure of real images beside it. Above
    that a generator repeats itself; below, it may make noise.

    Args:
      images: generated, of one class where there are classes.
      key: draws the pairs, each of two different images of the set.
      pairs: how many.
      levels: see `ms_ssim`.

    Returns:
      The mean and how sure it is.

    Raises:
      ValueError: for a set without a pair, images other than uint8, or too small for
        the levels.

    Reference: Odena, Olah and Shlens, "Conditional Image Synthesis with Auxiliary
    Classifier GANs", 2017, arXiv:1610.09585.
    """
    n = len(images)
    if n < 2 or pairs < 2:
        raise ValueError(
            f"there are {n} images and {pairs} pairs asked for; a mean with its error "
            "needs two of each at least."
        )
    first, others = jax.random.split(key)
    i = np.asarray(jax.random.randint(first, (pairs,), 0, n))
    j = (i + 1 + np.asarray(jax.random.randint(others, (pairs,), 0, n - 1))) % n
    found = ms_ssim(images[i], images[j], levels).astype(np.float64)
    error = found.std(ddof=1) / np.sqrt(pairs)
    return SelfSimilarity(float(found.mean()), float(error), pairs, levels)


def most_levels(shape: Sequence[int]) -> int:
    """How many scales of MS-SSIM images of this height and width have room for.

    >>> most_levels((64, 64)), most_levels((28, 28)), most_levels((8, 8))
    (3, 2, 0)
    """
    side, levels = min(shape), 0
    while side >= WINDOW and levels < len(WEIGHTS):
        side, levels = -(-side // 2), levels + 1
    return levels


def checked_bytes(*sets: np.ndarray | Array) -> None:
    """Raises ValueError unless all images are uint8, whose range is known to be 255."""
    for images in sets:
        if images.dtype != np.uint8:
            raise ValueError(
                f"the images are {images.dtype}, but uint8 is wanted: "
                "gan_jax.images.to_uint8 quantises images in [-1, 1]."
            )


def checked_levels(shape: Sequence[int], levels: int) -> None:
    """Raises ValueError unless the window fits into the smallest scale."""
    most = most_levels(shape)
    if not 1 <= levels <= most:
        fits = (
            f"levels=1 to levels={most} fit; quote the number with the figure"
            if most
            else f"a window has {WINDOW} pixels, so none fits: enlarge the images"
        )
        raise ValueError(
            f"levels is {levels} for images of {shape[0]} x {shape[1]} pixels. Here "
            f"{fits}."
        )


@functools.partial(jax.jit, static_argnums=2)
def _ms_ssim(a: Array, b: Array, levels: int) -> Array:
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    weights = np.array(WEIGHTS[:levels]) / sum(WEIGHTS[:levels])
    product = jnp.ones((a.shape[0], a.shape[-1]), jnp.float32)
    for level, weight in enumerate(weights.tolist()):
        whole, contrast = _similarities(a, b)
        last = level == levels - 1
        mean = (whole if last else contrast).mean(axis=(1, 2))
        # A power of a negative number is no number.
        product *= mean if levels == 1 else jnp.maximum(mean, 0.0) ** weight
        if not last:
            a, b = _halved(a), _halved(b)
    return product.mean(axis=1)


def _similarities(a: Array, b: Array) -> tuple[Array, Array]:
    """SSIM, and its factor of contrast and structure, at each window."""
    c1, c2 = (K1 * RANGE) ** 2, (K2 * RANGE) ** 2
    stacked = jnp.stack([a, b, a * a, b * b, a * b])
    mean_a, mean_b, square_a, square_b, both = _windowed(stacked)
    product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
    contrast = (2 * (both - product) + c2) / (square_a + square_b - squares + c2)
    return contrast * (2 * product + c1) / (squares + c1), contrast


def _windowed(x: Array) -> Array:
    """Gaussian means over all windows within the image: (k, n, h, w, c), smaller."""
    places = np.arange(WINDOW) - WINDOW // 2
    gauss = np.exp(-(places**2) / (2 * SD**2))
    weights = (gauss / gauss.sum()).tolist()
    for axis in (2, 3):
        size = x.shape[axis] - WINDOW + 1
        x = sum(
            weight * jax.lax.slice_in_dim(x, i, i + size, axis=axis)
            for i, weight in enumerate(weights)
        )
    return x


def _halved(x: Array) -> Array:
    """Means of 2 x 2 pixels; an odd image's last row or column counts twice."""
    n, h, w, c = x.shape
    x = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    return x.reshape(n, (h + 1) // 2, 2, (w + 1) // 2, 2, c).mean(axis=(2, 4))
