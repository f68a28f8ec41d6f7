"""Hair in eight styles, and two hats to wear on it."""

from typing import NamedTuple

import numpy as np

from gan_jax.data.shapes import Canvas, box, circle, ellipse, stroke, wave

Look = dict[str, np.ndarray]  # codes (b,) and nuisances (b, 1, 1)

_OFF = 9.0  # farther away than anything on the sheet


class _Style(NamedTuple):
    """Numbers of one hair style, in units of the head's coordinates."""

    line: float = -0.30  # height of the hairline at the middle of the forehead
    slant: float = 0.0  # of the hairline, towards the side of the parting
    curve: float = 1.15  # how fast it falls towards the temples
    peak: float = 0.0  # how much it rises at a middle parting
    teeth: float = 0.0  # zigzag of hairline and crown
    puff: float = 0.0  # volume above the skull
    lock: float = _OFF  # inner edge of the locks beside the face
    fall: float = 0.0  # how far down the locks reach
    back: float = 0.0  # half width of the hair behind the head
    bun: float = 0.0  # radius of a bun on top
    curls: float = 0.0  # radius of curls around the head


_STYLES = (
    _Style(line=-_OFF),  # bald
    _Style(puff=0.02),  # short
    _Style(line=-0.27, slant=0.42, curve=0.95, puff=0.07),  # swept
    _Style(line=-0.30, curve=0.8, puff=0.06, curls=0.20),  # curly
    _Style(line=-0.17, curve=0.25, puff=0.05, lock=0.385, fall=0.40, back=0.60),  # bob
    _Style(line=-0.46, curve=0.2, peak=1.15, puff=0.04, lock=0.40, fall=1.0, back=0.60),
    _Style(line=-0.36, curve=0.85, puff=0.03, bun=0.21),  # bun
    _Style(line=-0.27, curve=0.9, teeth=0.13, puff=0.05),  # spiky
)
_NUMBERS = np.array(_STYLES, np.float32)


def _style(look: Look) -> _Style:
    return _Style(*(column[:, None, None] for column in _NUMBERS[look["hair"]].T))


def hair_behind(head: Canvas, hair: np.ndarray, look: Look) -> None:
    """What is seen beyond the head's outline: long hair, a bun, curls."""
    style, bare = _style(look), (look["hat"] == 0).astype(np.float32)[:, None, None]
    x, y = head.x + 0.03 * look["turn"], head.y
    dark = hair * 0.74
    long = box(x, y - (style.fall - 0.66) / 2, style.back, (style.fall + 0.66) / 2, 0.5)
    head.paint(long, dark, np.minimum(style.back * 9, 1))
    top = head.window(0.2, 0.0, 0.8, 0.35)
    knot = circle(
        top.x + 0.05 * look["turn"], top.y + 0.76, np.maximum(style.bun, 0.01)
    )
    top.paint(knot, hair * 0.88, bare * (style.bun > 0))
    top.paint(np.abs(knot + 0.09) - 0.012, hair * 0.66, bare * (style.bun > 0))
    _curls(head, hair, look)


def _curls(head: Canvas, hair: np.ndarray, look: Look) -> None:
    """A wreath of curls around the skull, for those who have them."""
    chosen = np.flatnonzero(_NUMBERS[look["hair"], -1] > 0)
    if not chosen.size:
        return
    part = head.rows(chosen)
    tone = hair[chosen]
    for i in range(11):
        t = (
            i - 5
        ) / 5.0  # rational points of the circle: no sine, same bits everywhere
        k = 1 + 0.75 * t * t
        across, up = 0.52 * (2 * t * 0.87) / k, 0.56 * (1 - 0.75 * t * t) / k
        ball = circle(part.x - across, part.y + up - 0.02, 0.215 - 0.025 * (i % 2))
        part.paint(ball, tone * (0.80 + 0.12 * (i % 2)))
    head.restore(chosen, part)


def hair_in_front(head: Canvas, hair: np.ndarray, look: Look) -> None:
    """The cap of hair down to the hairline, and locks beside the face."""
    style, turn = _style(look), look["turn"]
    x, y = head.x - 0.05 * turn, head.y
    side = np.where(look["part"] > 0, 1, -1).astype(np.float32)
    zigzag = style.teeth * wave(x * 4.5 + 0.5 * look["part"])
    hairline = (
        style.line
        + side * style.slant * x
        + style.curve * x * x
        + style.peak * np.abs(x - 0.08 * side)
        + 0.6 * zigzag
        - 0.3 * style.teeth
    )
    rx, ry = 0.505 + 0.03 * look["width"] + 0.4 * style.puff, 0.625 + style.puff
    skull = ellipse(head.x, y + 0.01, rx, ry) - zigzag * np.clip(-3 * y - 0.3, 0, 1)
    crown = np.maximum(skull, (y - hairline) * 0.75)
    locks = np.maximum(
        style.lock - np.abs(x),
        box(head.x, y - style.fall / 2 + 0.2, 0.6, style.fall / 2 + 0.2, 0.1),
    )
    inside = np.minimum(crown, locks)
    strands = 0.07 * wave(x * 6 + 2.5 * x * np.abs(x) + look["part"]) - 0.035
    shine = 0.30 * np.maximum(1 - np.abs(y + 0.46 + 0.5 * x * x) * 9, 0)
    shade = 1.0 + strands + shine + 0.3 * head.x * look["light"]
    head.paint(inside, hair * shade[:, None])


def hat(head: Canvas, felt: np.ndarray, look: Look) -> None:
    """A knitted beanie with a bobble, or a hat with a brim and a band."""
    part = head.window(0.0, 0.0, 1.0, 0.5)
    x, y = part.x - 0.02 * look["turn"], part.y
    shade = (1 + 0.35 * x * look["light"] - 0.25 * x * x)[:, None]
    knit = (look["hat"] == 1).astype(np.float32)[:, None, None]
    wool = shade * (0.94 + 0.12 * wave(x * 9))[:, None]
    part.paint(circle(x, y + 0.80, 0.11), np.minimum(felt * 1.3, 1) * shade, knit)
    cap = np.maximum(ellipse(x, y + 0.14, 0.575, 0.62), y + 0.33)
    part.paint(cap, felt * wool, knit)
    fold = box(x, y + 0.33 - 0.16 * x * x, 0.575, 0.085, 0.06)
    part.paint(fold, np.minimum(felt * 1.22, 1) * wool, knit)

    brim = (look["hat"] == 2).astype(np.float32)[:, None, None]
    crown = box(x, y + 0.62, 0.43 + 0.1 * (y + 0.5), 0.29, 0.16)
    part.paint(crown, felt * shade, brim)
    band = np.maximum(crown, np.abs(y + 0.42) - 0.06)
    part.paint(band, felt * 0.5, brim)
    part.paint(
        ellipse(x, y + 0.34 - 0.10 * x * x, 0.80, 0.085), felt * 0.9 * shade, brim
    )
    part.paint(stroke(x, y + 0.30, 0.05, 0.74, 0.014), felt * 0.6, brim)
