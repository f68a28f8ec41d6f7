"""A vector field in the plane as a picture: arrows, and the courses of some players."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from gan_jax.images import COLOURS, FAINT, INK, WHITE, Pixels

GREY = (150, 150, 150)
Points = Float[np.ndarray, "n 2"]
Limits = tuple[float, float, float, float]


def field_picture(
    field: Callable[[Points], Points],
    limits: Limits,
    paths: Mapping[str, Any] | None = None,
    *,
    arrows: int = 17,
    size: int = 384,
) -> Pixels:
    """Arrows along a field of two numbers, and on them paths with their names.

    An arrow's length grows with the root of the speed, so that slow places can still be
    read. A path begins at a ring and ends at a disc; where it leaves the picture it is
    cut.

    Args:
      field: points (n, 2) -> velocities (n, 2); the direction of motion, so -v of
        `gan_jax.dynamics.field`.
      limits: (left, right, bottom, top) of what is shown.
      paths: ``{name: points (t, 2)}``, each in its own colour.
      arrows: how many along each side.
      size: pixels along each side.

    Returns:
      (size, size, 3) uint8.

    Raises:
      ValueError: for limits that enclose nothing, and arrays of another shape.
    """
    from PIL import Image, ImageDraw, ImageFont

    left, right, bottom, top = limits
    if right <= left or top <= bottom:
        raise ValueError(
            f"limits are {limits}; wanted (left, right, bottom, top) with left < right "
            "and bottom < top."
        )
    fine = 3 * size  # drawn larger, then reduced: lines without steps
    canvas = Image.new("RGB", (fine, fine), WHITE)
    draw = ImageDraw.Draw(canvas)
    scale = np.array([fine / (right - left), -fine / (top - bottom)])

    def pixels(points: np.ndarray) -> np.ndarray:
        return (points - np.array([[left, top]])) * scale[None]

    for start, end in (((left, 0), (right, 0)), ((0, bottom), (0, top))):
        axis = pixels(np.array([start, end], float))
        draw.line([tuple(p) for p in axis], FAINT, 4)
    at = _lattice(limits, arrows)
    speed = _two_columns(field(at), "the field") * scale[None]
    _draw_arrows(draw, pixels(at), speed, longest=0.9 * fine / arrows)
    named = dict(paths or {})
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(named))]
    for path, colour in zip(named.values(), colours, strict=True):
        _draw_path(draw, pixels(_two_columns(path, "a path")), colour)
    small = canvas.resize((size, size), Image.Resampling.BOX)
    draw, font = ImageDraw.Draw(small), ImageFont.load_default(13)
    for line, (name, colour) in enumerate(zip(named, colours, strict=True)):
        box = draw.textbbox((8, 6 + 17 * line), name, font)
        draw.rectangle((box[0] - 3, box[1] - 2, box[2] + 3, box[3] + 2), WHITE)
        draw.text((8, 6 + 17 * line), name, colour, font)
    draw.rectangle((0, 0, size - 1, size - 1), outline=FAINT)
    return np.asarray(small)


def _lattice(limits: Limits, n: int) -> np.ndarray:
    """The middles of n x n equal cells."""
    left, right, bottom, top = limits
    middle = (np.arange(n) + 0.5) / n
    x, y = np.meshgrid(left + middle * (right - left), bottom + middle * (top - bottom))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _two_columns(points: Any, what: str) -> np.ndarray:
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"{what} has shape {array.shape}; wanted (n, 2)")
    return array


def _draw_arrows(
    draw: Any, middle: np.ndarray, velocity: np.ndarray, longest: float
) -> None:
    speed = np.linalg.norm(velocity, axis=1)
    fastest = speed.max(initial=0.0, where=np.isfinite(speed))
    for at, v, s in zip(middle, velocity, speed, strict=True):
        if not (np.isfinite(s) and s > 0):
            continue
        along = v / s
        half = along * longest * np.sqrt(s / fastest) / 2
        across = np.array([-along[1], along[0]])
        tip, wing = at + half, min(12.0, float(np.linalg.norm(half)))
        draw.line([tuple(at - half), tuple(tip - wing * along)], GREY, 4)
        corners = [tip, *(tip - wing * (along + side * across / 2) for side in (1, -1))]
        draw.polygon([tuple(p) for p in corners], GREY)


def _draw_path(draw: Any, path: np.ndarray, colour: tuple[int, int, int]) -> None:
    limit = 1e5  # beyond any picture, and within what Pillow takes
    path = np.clip(path[np.isfinite(path).all(axis=1)], -limit, limit)
    if not len(path):
        return
    draw.line([tuple(p) for p in path], colour, 6, joint="curve")
    draw.circle(tuple(path[0]), 13, fill=WHITE, outline=colour, width=5)
    draw.circle(tuple(path[-1]), 13, fill=colour, outline=INK, width=2)
