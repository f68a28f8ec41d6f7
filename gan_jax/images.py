"""Pictures of samples: grids, points in the plane, and a whole run at a glance.

Everything here is numpy on the host; Pillow writes PNG files and draws lines and text.
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from numpy.typing import ArrayLike

Pixels = UInt8[np.ndarray, "h w 3"]

WHITE, INK, FAINT = (255, 255, 255), (40, 40, 40), (222, 222, 222)
# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0))


def to_uint8(images: ArrayLike) -> np.ndarray:
    """Pixels 0 .. 255 from floats in [-1, 1], which are clipped; uint8 stays.

    Raises:
      ValueError: for another dtype, and for values that are not finite.
    """
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f" and images.dtype.name != "bfloat16":
        raise ValueError(f"images are uint8 or floats in [-1, 1], not {images.dtype}")
    images = images.astype(np.float32)
    if not np.isfinite(images).all():
        raise ValueError("images hold values that are not finite; nothing to show")
    return np.round((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)


def grid(
    images: Shaped[np.ndarray, "n h w c"] | Any,
    columns: int | None = None,
    padding: int = 2,
) -> Pixels:
    """``n`` images in rows on white, the first one at the upper left.

    Args:
      images: (n, h, w, c) uint8 or floats in [-1, 1], grey (c = 1) or RGB (c = 3).
      columns: images in a row; by default what makes the picture about square.
      padding: pixels between images and around them.

    Returns:
      (height, width, 3) uint8.

    Raises:
      ValueError: for arrays of another shape.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(
            f"images have shape {images.shape}; a grid takes (n, h, w, 1) or "
            "(n, h, w, 3) with n >= 1"
        )
    images = to_uint8(images)
    n, h, w, _ = images.shape
    columns = min(n, columns or math.ceil(math.sqrt(n * h / w)))
    rows = math.ceil(n / columns)
    shape = (padding + rows * (h + padding), padding + columns * (w + padding), 3)
    picture = np.full(shape, 255, np.uint8)
    for i, image in enumerate(images):
        top = padding + i // columns * (h + padding)
        left = padding + i % columns * (w + padding)
        picture[top : top + h, left : left + w] = image
    return picture


def scatter(
    points: Float[np.ndarray, "n 2"] | Any,
    real: Float[np.ndarray, "m 2"] | Any = None,
    limits: tuple[float, float, float, float] | None = None,
    size: int = 256,
) -> Pixels:
    """Points in the plane: generated ones blue, real ones grey beneath them.

    Args:
      points: (n, 2); the second coordinate points upwards.
      real: (m, 2), shown beneath if given.
      limits: (left, right, bottom, top) of what is shown; by default what holds all
        finite points, those of ``real`` alone if it is given.
      size: pixels along each side.

    Raises:
      ValueError: for arrays of another shape.
    """
    clouds = [(np.asarray(points, np.float64), COLOURS[0], 0.5)]
    if real is not None:
        clouds.insert(0, (np.asarray(real, np.float64), (120, 120, 120), 0.35))
    for cloud, _, _ in clouds:
        if cloud.ndim != 2 or cloud.shape[1] != 2:
            raise ValueError(f"points have shape {cloud.shape}; wanted (n, 2)")
    left, right, bottom, top = limits or _around(clouds[0][0])
    picture = np.full((size, size, 3), 255.0)
    for cloud, colour, strength in clouds:
        x = (cloud[:, 0] - left) / (right - left) * (size - 1)
        y = (top - cloud[:, 1]) / (top - bottom) * (size - 1)
        ink = np.zeros((size, size))
        for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):  # a small plus
            inside = (x + dx > -0.5) & (x + dx < size - 0.5)
            inside &= (y + dy > -0.5) & (y + dy < size - 0.5)
            at = np.round([y[inside] + dy, x[inside] + dx]).astype(int)
            np.add.at(ink, tuple(at), 1)
        cover = (1 - (1 - strength) ** ink)[..., None]
        picture = picture * (1 - cover) + np.array(colour) * cover
    edge = np.ones((size, size), bool)
    edge[1:-1, 1:-1] = False
    picture[edge] = FAINT
    return np.round(picture).astype(np.uint8)


def save_png(path: str | os.PathLike[str], array: UInt8[np.ndarray, "..."]) -> None:
    """Write ``array``, (h, w) or (h, w, 3) uint8, whole or not at all."""
    from PIL import Image

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".part")
    Image.fromarray(array).save(half, format="PNG")
    half.replace(path)


def load_png(path: str | os.PathLike[str]) -> Pixels:
    """Read a picture that `save_png` wrote."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def run_picture(
    samples: Sequence[tuple[int, np.ndarray]], rows: Sequence[Mapping[str, Any]]
) -> Pixels:
    """A run at a glance: samples over time, and beneath them the curves of its log.

    Args:
      samples: (step, picture) pairs in order; about six of them are shown.
      rows: the lines of the log; names that end in ``loss`` share one plot, those that
        end in ``accuracy`` another, and each name under ``eval/`` has its own.

    Returns:
      (height, 1200, 3) uint8.
    """
    width = 1200
    bands = [_samples_over_time(samples, width)] if samples else []
    plots = _plots(rows)
    for i in range(0, len(plots), 2):
        pair = plots[i : i + 2]
        size = (width // len(pair), 300)
        bands.append(np.hstack([plot(*curves, size=size) for curves in pair]))
    if not bands:
        bands = [np.full((40, width, 3), 255, np.uint8)]
    return np.vstack(bands)


def _around(points: np.ndarray) -> tuple[float, float, float, float]:
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return (-1.0, 1.0, -1.0, 1.0)
    low, high = points.min(axis=0), points.max(axis=0)
    reach = max(*(high - low), 1e-6) * 0.6  # half a side, with a margin
    (x, y) = (low + high) / 2
    return (x - reach, x + reach, y - reach, y + reach)


def _samples_over_time(
    samples: Sequence[tuple[int, np.ndarray]], width: int, most: int = 6
) -> np.ndarray:
    from PIL import Image, ImageDraw

    places = np.unique(np.round(np.linspace(0, len(samples) - 1, most)).astype(int))
    side = width // most - 12
    band = Image.new("RGB", (width, side + 34), WHITE)
    draw = ImageDraw.Draw(band)
    for column, place in enumerate(places):
        step, pixels = samples[place]
        image = Image.fromarray(pixels)
        scale = side / max(image.size)
        size = tuple(max(1, round(s * scale)) for s in image.size)
        how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
        left = 6 + column * (width // most)
        band.paste(image.resize((size[0], size[1]), how), (left, 28))
        draw.text((left, 8), f"step {step:,}", INK, _font())
    return np.asarray(band)


Series = dict[str, tuple[list[float], list[float]]]


def _plots(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, Series]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    groups: dict[str, list[str]] = {}
    for name in names:
        for ending in ("loss", "accuracy"):
            if name.endswith(ending):
                groups.setdefault(ending, []).append(name)
        if name.startswith("eval/"):
            # A measure and its floor share a plot.
            title = name.removeprefix("eval/").removesuffix("_floor")
            groups.setdefault(title, []).append(name)
    plots = []
    for title, members in groups.items():
        series: Series = {}
        for name in members:
            seen = [row for row in rows if row.get(name) is not None]
            if seen:
                steps = [float(row["step"]) for row in seen]
                series[name] = (steps, [float(row[name]) for row in seen])
        if series:
            plots.append((title, series))
    return plots


def plot(
    title: str,
    series: Series,
    *,
    size: tuple[int, int] = (560, 300),
    axis: str = "step",
) -> np.ndarray:
    """Curves with labelled axes.

    Args:
      title: above them, at the left.
      series: ``{name: (xs, ys)}``; the names stand above, in the curves' colours.
      size: width and height in pixels.
      axis: what runs to the right.

    Returns:
      uint8 (height, width, 3).
    """
    from PIL import Image, ImageDraw

    sheet = Image.new("RGB", size, WHITE)
    draw = ImageDraw.Draw(sheet)
    left, top, right, bottom = 66, 34, size[0] - 22, size[1] - 42
    xs = _ticks([x for x_, _ in series.values() for x in x_])
    ys = _ticks([y for _, y_ in series.values() for y in y_])

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - xs[0]) / (xs[-1] - xs[0])
        up = (y - ys[0]) / (ys[-1] - ys[0])
        return left + across * (right - left), bottom - up * (bottom - top)

    for x in xs:
        place = at(x, ys[0])[0]
        draw.line((place, top, place, bottom), FAINT)
        draw.text((place, bottom + 6), f"{x:,.10g}", INK, _font(), anchor="ma")
    for y in ys:
        place = at(xs[0], y)[1]
        draw.line((left, place, right, place), FAINT)
        draw.text((left - 8, place), f"{y:.6g}", INK, _font(), anchor="rm")
    draw.rectangle((left, top, right, bottom), outline=INK)
    draw.text(((left + right) / 2, size[1] - 6), axis, INK, _font(), anchor="ms")
    draw.text((left, 8), title, INK, _font(15))
    place = float(right)
    for i, (name, (x_, y_)) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        points = [at(x, y) for x, y in zip(x_, y_, strict=True)]
        if len(points) > 1:
            draw.line(points, colour, 2)
        else:
            draw.circle(points[0], 3, colour)
        if name != f"eval/{title}":
            draw.text((place, 10), name, colour, _font(), anchor="ra")
            place -= draw.textlength(name, _font()) + 16
    return np.asarray(sheet)


def _ticks(values: Sequence[float], about: int = 5) -> list[float]:
    """Round numbers that enclose ``values``: 1, 2 or 5 times a power of ten apart.

    >>> _ticks([0.0, 97.0])
    [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    """
    low, high = min(values), max(values)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    apart = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / apart), math.ceil(high / apart)
    return [round(i * apart, 12) for i in range(first, last + 1)]


def _font(size: int = 13) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
