"""How a portrait is painted: layer over layer, from the wall behind to the hat."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from gan_jax.data.portrait_features import beard, brows, eyes, glasses, mouth, nose
from gan_jax.data.portrait_hair import hair_behind, hair_in_front, hat
from gan_jax.data.shapes import Canvas, Grid, box, ellipse, soft

_CHUNK_PIXELS = 2**15  # pictures painted at once: their layers stay in the CPU's cache

_SKIN = ((255, 223, 200), (244, 200, 164), (226, 172, 126), (200, 142, 96),
         (150, 96, 64), (104, 66, 46))  # fmt: skip
_HAIR = ((38, 33, 38), (78, 50, 34), (126, 76, 42), (228, 188, 108), (186, 80, 40),
         (176, 174, 178), (60, 140, 156))  # fmt: skip
_IRIS = ((92, 56, 32), (64, 122, 188), (78, 140, 84), (112, 120, 130))
_CLOTHES = ((200, 66, 62), (58, 98, 168), (72, 146, 108), (238, 196, 82), (68, 64, 80),
            (238, 236, 230))  # fmt: skip
_WALL = ((150, 198, 230), (164, 216, 186), (250, 206, 172), (202, 184, 228),
         (234, 216, 172), (98, 116, 144))  # fmt: skip


def portraits(
    look: Mapping[str, np.ndarray], size: int
) -> UInt8[np.ndarray, "n size size 3"]:
    """Paints portraits.

    Args:
      look: attribute -> (n,) codes and nuisance -> (n,) float32 in [−1, 1), with the
        names of `gan_jax.data.faces`.
      size: side of the pictures, in pixels.

    Returns:
      RGB pictures.
    """
    n = len(look["skin"])
    out = np.empty((n, size, size, 3), np.uint8)
    chunk = max(1, _CHUNK_PIXELS // size**2)
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        ink = _paint({name: column[rows] for name, column in look.items()}, size)
        out[rows] = (ink.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(0, 2, 3, 1)
    return out


def _paint(look: dict[str, np.ndarray], size: int) -> np.ndarray:
    sheet = _sheet(len(look["skin"]), size)
    look = {
        k: v[:, None, None] if v.dtype == np.float32 else v for k, v in look.items()
    }
    turn = (look["pose"] - 1)[:, None, None] + np.float32(0.25) * look["turn"]
    look |= {"turn": turn.astype(np.float32)}
    tints = [look[f"tint_{i}"][:, None] for i in range(3)]
    skin = _colour(_SKIN, look["skin"]) * (1 + 0.05 * tints[0])
    hair = _colour(_HAIR, look["hair_colour"]) * (1 + 0.15 * look["hair_tint"][:, None])
    cloth = _colour(_CLOTHES, look["clothes"]) * (1 + 0.08 * tints[1])
    wall = _colour(_WALL, look["background"]) * (1 + 0.06 * tints[2])

    head = _head_canvas(sheet, look)
    _backdrop(sheet, wall, look)
    hair_behind(head, hair, look)
    _body(sheet, skin, cloth, look)
    outline = _head(head, skin, look)
    beard(head, outline, hair, look)
    _blush(head, skin, look)
    eyes(head, skin, _colour(_IRIS, look["eye_colour"]), look)
    nose(head, skin, look)
    mouth(head, skin, look)
    brows(head, hair, look)
    hair_in_front(head, hair, look)
    glasses(head, look)
    hat(head, 0.25 + 0.6 * cloth[:, ::-1], look)  # of another colour than the clothes
    return sheet.ink


def _colour(palette: tuple[tuple[int, int, int], ...], code: np.ndarray) -> np.ndarray:
    return (np.array(palette, np.float32) / 255)[code][:, :, None, None]


def _sheet(n: int, size: int) -> Canvas:
    line = (np.arange(size, dtype=np.float32) * 2 + 1) / np.float32(size) - 1
    ink = np.empty((n, 3, size, size), np.float32)
    x, y = np.broadcast_arrays(line[None, None, :], line[None, :, None])
    return Canvas(
        ink,
        np.repeat(x, n, 0),
        np.repeat(y, n, 0),
        np.full((n, 1, 1), size / 2, np.float32),
    )


def _head_canvas(sheet: Canvas, look: dict[str, np.ndarray]) -> Canvas:
    """The same sheet in the head's coordinates: moved, scaled and tilted."""
    scale = 0.89 + 0.05 * look["scale"]
    sine = 0.13 * look["tilt"]
    cosine = np.sqrt(1 - sine * sine)
    x = (sheet.x - 0.05 * look["x"]) / scale
    y = (sheet.y + 0.04 - 0.04 * look["y"]) / scale
    return Canvas(
        sheet.ink, cosine * x + sine * y, cosine * y - sine * x, sheet.sharp * scale
    )


def _backdrop(sheet: Canvas, wall: np.ndarray, look: dict[str, np.ndarray]) -> None:
    x, y = sheet.x - 0.5 * look["light"], sheet.y + 0.3
    glow = 1.07 - 0.11 * (x * x + y * y)
    sheet.ink[...] = wall * glow[:, None]


def _body(
    sheet: Canvas, skin: np.ndarray, cloth: np.ndarray, look: dict[str, np.ndarray]
) -> None:
    part = sheet.window(0.0, 0.6, 1.0, 1.0)
    x, y = part.x - 0.04 * look["x"], part.y - 0.04 * look["y"]
    shade = (1.04 + 0.12 * look["light"] * x - 0.18 * x * x)[:, None]
    part.paint(ellipse(x, y - 1.19, 0.86, 0.56), cloth * shade)
    part.paint(ellipse(x, y - 0.65, 0.28, 0.19), cloth * 0.78)
    part.paint(ellipse(x, y - 0.63, 0.24, 0.17), skin * 0.95)
    neck = box(x, y - 0.48, 0.175, 0.26, 0.1)
    part.paint(neck, skin * 0.93)
    part.blend(0.55 * soft(np.maximum(neck, y - 0.62), 0.16), skin * 0.58)


def _head(head: Canvas, skin: np.ndarray, look: dict[str, np.ndarray]) -> Grid:
    """Ears and face; returns the distance to the face's outline."""
    x, y, turn = head.x, head.y, look["turn"]
    width = 0.475 + 0.03 * look["width"]
    for side in (-1, 1):
        shift = side * (width + 0.01) - 0.05 * turn
        part = (
            head.window(0.0, 0.25, 0.55, 0.75)
            if side < 0
            else head.window(0.45, 0.25, 1.0, 0.75)
        )
        ear_x, ear_y = part.x - shift, part.y - 0.03
        part.paint(ellipse(ear_x, ear_y, 0.085, 0.125), skin * 0.93)
        part.paint(ellipse(ear_x, ear_y, 0.045, 0.075), skin * 0.78)
    low = np.maximum(y, 0)
    narrow = 1 - (0.55 + 0.2 * look["jaw"]) * low * low
    outline = ellipse(x / np.maximum(narrow, 0.4), y, width, 0.60)
    side = x * look["light"]
    volume = 1.05 + 0.22 * side - 0.10 * y - 0.20 * (1 - soft(outline, 0.22))
    head.paint(outline, skin * volume[:, None])
    return outline


def _blush(head: Canvas, skin: np.ndarray, look: dict[str, np.ndarray]) -> None:
    part = head.window(0.1, 0.4, 0.9, 0.8)
    rosy = skin * np.array([1.0, 0.62, 0.58], np.float32)[:, None, None]
    x, y = part.x - 0.09 * look["turn"], part.y - 0.17
    for side in (-1, 1):
        spot = soft(ellipse(x - side * 0.27, y, 0.13, 0.10), 0.13)
        part.blend(0.38 * spot, rosy)
