"""Filled triangles: images that six numbers make, each of which is known.

A triangle's image is a function of its three corners. So an image's distance to all
triangles can be measured, which `triangle_manifold` does. The drawing is our own:
figures of other rasterisers are not comparable.

Reference: Lucic et al., "Are GANs Created Equal? A Large-Scale Study", 2018,
arXiv:1711.10337.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

SMALLEST = 1 / 16  # of the image: the least area of a drawn triangle

Corners = Float[np.ndarray, "n 3 2"]
Images = UInt8[np.ndarray, "n size size 1"]


def triangle_corners(n: int, seed: int) -> Corners:
    """Corners of random triangles: uniform in the unit square, without slivers.

    A triangle of less than a sixteenth of the square's area is drawn again: it would be
    a few pixels, which noise is near to.

    Args:
      n: how many.
      seed: of the draw.

    Returns:
      float32 (x, y), x to the right and y down, counter-clockwise in these coordinates.
    """
    random = np.random.default_rng(seed)
    found = np.zeros((0, 3, 2), np.float32)
    while len(found) < n:
        corners = random.random((2 * n + 8, 3, 2), np.float32)
        found = np.concatenate([found, corners[np.abs(areas(corners)) >= SMALLEST]])
    found = found[:n]
    clockwise = areas(found) < 0
    found[clockwise] = found[clockwise][:, ::-1]
    return found


def areas(corners: Corners) -> Float[np.ndarray, " n"]:
    """Half the cross product of two sides: positive if y turns towards x's left.

    >>> import numpy as np
    >>> areas(np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])).tolist()
    [0.5]
    """
    (ax, ay), (bx, by) = (
        np.moveaxis(corners[:, i] - corners[:, 0], 1, 0) for i in (1, 2)
    )
    return (ax * by - ay * bx) / 2


def triangles(n: int, size: int = 28, seed: int = 0) -> tuple[Images, Corners]:
    """White filled triangles on black, with soft edges of one pixel, and their corners.

    Args:
      n: how many.
      size: side of the images, in pixels.
      seed: of the corners.

    Raises:
      ValueError: for no triangles, or fewer than 8 pixels.
    """
    if n < 1 or size < 8:
        raise ValueError(f"n is {n} and size {size}; give n >= 1 and size >= 8.")
    corners = triangle_corners(n, seed)
    return rasterised(corners, size), corners


def rasterised(corners: Corners, size: int) -> Images:
    """Images of triangles, quantised."""
    parts = [
        cover(corners[i : i + 1024], size, np) for i in range(0, len(corners), 1024)
    ]
    light = np.round(255 * np.concatenate(parts)).astype(np.uint8)
    return light.reshape(-1, size, size, 1)


def cover(corners: Any, size: int, xp: Any) -> Any:
    """The least of the three sides' clipped distances + 1/2, in pixels: (n, size^2).

    Exact for a pixel that one side crosses squarely, and differentiable in the corners
    at the edges. ``xp`` is numpy, whose bits are the data set's, or jax.numpy.
    """
    centres = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    y, x = (c.reshape(1, 1, -1) for c in np.meshgrid(centres, centres, indexing="ij"))
    along = xp.roll(corners, -1, axis=1) - corners
    length = xp.sqrt(along[..., 0] ** 2 + along[..., 1] ** 2 + np.float32(1e-12))
    dx, dy = (along[..., i, None] / length[..., None] for i in (0, 1))
    across = dx * (y - corners[..., 1, None]) - dy * (x - corners[..., 0, None])
    return xp.clip(across.min(axis=1) * np.float32(size) + np.float32(0.5), 0, 1)
