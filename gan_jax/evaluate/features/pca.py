"""The leading principal components of real pixels: the large and the smooth."""

import numpy as np
from jaxtyping import Float, UInt8
from scipy import linalg

from gan_jax.digest import digest as digest_of
from gan_jax.evaluate.features.pixels import pixels
from gan_jax.evaluate.features.record import Features, named


def pca(
    real: UInt8[np.ndarray, "n h w c"],
    dimension: int = 64,
    *,
    whiten: bool = False,
    size: int | None = None,
) -> Features:
    """Coordinates along the directions in which real images vary most: ``V (x - m)``.

    They hold next to nothing of fine detail: noise of a tenth of the range passes
    unseen. Put a measure of detail beside them, as `evaluate.pyramid`.

    The components are found in float64, and the largest entry of each is positive, so
    that they are the same whenever they are found on one machine.

    Args:
      real: images to fit, more than ``dimension`` of them; training images, say.
      dimension: how many components.
      whiten: divide each coordinate by its standard deviation over ``real``.
      size: of images to shrink to first; see `pixels`. It is worth its while above
        some 4,000 pixels and channels, where the time is that of a matrix of that side.

    Returns:
      The features; their digest is that of the mean and the components.

    Raises:
      ValueError: for too few images or pixels, or components without any variance.

    Reference: Pearson, "On Lines and Planes of Closest Fit to Systems of Points in
    Space", 1901.
    """
    flat = pixels(real.shape[1:], size)
    x = flat(real).astype(np.float64)
    if not 1 <= dimension <= min(len(x) - 1, x.shape[1]):
        raise ValueError(
            f"dimension is {dimension}, but {len(x)} images of {x.shape[1]} numbers "
            f"have {min(len(x) - 1, x.shape[1])} principal components; give a number "
            "from 1 to that."
        )
    mean = x.mean(axis=0)
    variances, components = _principal(x - mean, dimension)
    if whiten:
        components = components / np.sqrt(variances)[:, None]
    mean, components = mean.astype(np.float32), components.astype(np.float32)
    digest = digest_of({"mean": mean, "components": components})

    def function(images: np.ndarray) -> np.ndarray:
        return (flat(images) - mean) @ components.T

    kind = "whitened-pca" if whiten else "pca"
    words = f"{flat.preprocessing}, fitted on {len(x)} real images"
    name = named(f"{kind}{dimension}", digest)
    return Features(name, digest, words, dimension, function)


def _principal(
    centred: Float[np.ndarray, "n d"], dimension: int
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k d"]]:
    """Variances and unit vectors, the largest first, from the smaller Gram matrix."""
    n, d = centred.shape
    wide = n < d
    gram = centred @ centred.T if wide else centred.T @ centred
    side = len(gram)
    values, vectors = linalg.eigh(gram, subset_by_index=(side - dimension, side - 1))
    values, vectors = values[::-1], vectors[:, ::-1].T
    # What rounding leaves of a variance that is 0 has no direction.
    if values[-1] <= 1e-12 * values[0]:
        raise ValueError(
            f"the real images vary in fewer than {dimension} directions; give more, "
            "different images, or a smaller dimension."
        )
    if wide:
        vectors = vectors @ centred / np.sqrt(values)[:, None]
    largest = np.abs(vectors).argmax(axis=1)
    signs = np.sign(vectors[np.arange(dimension), largest])
    return values / (n - 1), vectors * signs[:, None]
