"""Pixels themselves as features: no weights, no taste, and no idea of content."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from gan_jax.evaluate.features.record import Features, text_digest


def pixels(shape: Sequence[int], size: int | None = None) -> Features:
    """The pixels in [-1, 1], flattened: ``x / 127.5 - 1``.

    Args:
      shape: (h, w, c) of the images.
      size: side of the square images that are flattened, each pixel of them the mean of
        a box of the given ones; by default they stay as they are.

    Returns:
      Features of h w c dimensions, or size^2 c.

    Raises:
      ValueError: for a size that does not divide the images, and at the first call for
        images of another shape.

    >>> import numpy as np
    >>> pixels((4, 4, 1), size=2)(np.full((1, 4, 4, 1), 255, np.uint8)).tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    """
    height, width, channels = shape
    if size is not None and (size < 1 or height % size or width % size):
        raise ValueError(
            f"size is {size}, but boxes of one size must fill images of {height} x "
            f"{width} pixels; give a common divisor of the two, or None."
        )
    rows, columns = (height, width) if size is None else (size, size)
    words = "pixels / 127.5 - 1"
    if size is not None:
        words = f"{height // rows} x {width // columns} box means, {words}"

    def function(
        images: UInt8[np.ndarray, "n h w c"],
    ) -> Float32[np.ndarray, "n d"]:
        if images.shape[1:] != (height, width, channels):
            raise ValueError(
                f"the images have shape {images.shape[1:]}, but these features are of "
                f"{(height, width, channels)}; resize both sets in the same way first."
            )
        boxes = images.reshape(
            len(images), rows, height // rows, columns, width // columns, channels
        )
        means = boxes.mean(axis=(2, 4), dtype=np.float32)
        return (means / np.float32(127.5) - 1).reshape(len(images), -1)

    name = f"pixels{rows}x{columns}x{channels}"
    digest = text_digest(f"{name} {height}x{width}x{channels} {words}")
    return Features(name, digest, words, rows * columns * channels, function)
