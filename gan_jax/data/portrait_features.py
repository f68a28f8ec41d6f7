"""What makes a face: eyes, brows, nose, mouth, beard, and glasses before them."""

import numpy as np

from gan_jax.data.shapes import Canvas, Grid, box, circle, ellipse, soft, stroke

Look = dict[str, np.ndarray]  # codes (b,) and nuisances (b, 1, 1)

_EYE_Y = -0.02
_DARK = (0.13, 0.09, 0.10)


def _is(look: Look, name: str, *codes: int) -> np.ndarray:
    """1 where an attribute has one of these values, else 0, as (b, 1, 1)."""
    return np.isin(look[name], codes).astype(np.float32)[:, None, None]


def _pick(look: Look, name: str, values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32)[look[name]][:, None, None]


def _tone(*rgb: float) -> np.ndarray:
    return np.array(rgb, np.float32)[None, :, None, None]


def _places(part: Canvas, look: Look) -> list[tuple[Grid, Grid]]:
    """Coordinates about each eye; a turned head brings its far eye nearer the nose."""
    gap, turn = 0.205 + 0.02 * look["eye_gap"], look["turn"]
    shifts = (
        0.095 * turn - gap * (1 - 0.06 * turn),
        0.095 * turn + gap * (1 + 0.06 * turn),
    )
    return [(part.x - shift, part.y - _EYE_Y) for shift in shifts]


def _halves(head: Canvas, top: float, bottom: float) -> tuple[Canvas, Canvas]:
    return head.window(0.1, top, 0.62, bottom), head.window(0.38, top, 0.9, bottom)


def eyes(head: Canvas, skin: np.ndarray, iris: np.ndarray, look: Look) -> None:
    """White, iris, pupil and lid; closed eyes are one stroke."""
    size = 1 + 0.12 * look["eye_size"]
    rx, ry = 0.108 * size, 0.082 * size * _pick(look, "eyes", (1.0, 0.62, 0.1))
    shut = _is(look, "eyes", 2)
    look_x, look_y = (
        0.032 * look["gaze_x"] + 0.02 * look["turn"],
        0.014 * look["gaze_y"],
    )
    for i, part in enumerate(_halves(head, 0.32, 0.64)):
        x, y = _places(part, look)[i]
        part.blend(
            (1 - shut) * 0.30 * soft(ellipse(x, y, 0.17, 0.14), 0.09), skin * 0.6
        )
        white = ellipse(x, y, rx, ry)
        part.paint(white, _tone(0.98, 0.97, 0.96), 1 - shut)
        ball_x, ball_y = x - look_x, y - look_y
        open_eye = 1 - shut
        ball = np.maximum(circle(ball_x, ball_y, 0.066 * size), white)
        part.paint(ball, iris, open_eye)
        part.paint(
            np.maximum(circle(ball_x, ball_y, 0.034 * size), white),
            _tone(*_DARK),
            open_eye,
        )
        part.paint(
            circle(ball_x + 0.022, ball_y + 0.022, 0.017),
            _tone(1.0, 1.0, 1.0),
            open_eye,
        )
        lid = stroke(x, y + ry, 0.62 * ry / (rx * rx), rx * 1.08, 0.021)
        part.paint(lid, _tone(*_DARK), open_eye)
        closed = stroke(x, y - 0.045, -5.0, 0.105, 0.022)
        part.paint(closed, _tone(*_DARK), shut)


def brows(head: Canvas, hair: np.ndarray, look: Look) -> None:
    """A stroke above each eye, somewhat darker than the hair."""
    lift = _pick(look, "brows", (0.0, 0.05, -0.005))
    slope = _pick(look, "brows", (0.0, -0.12, 0.38))
    for i, part in enumerate(_halves(head, 0.24, 0.56)):
        x, y = _places(part, look)[i]
        inward = x if i == 0 else -x
        bent = y + 0.165 + lift - slope * inward
        part.paint(stroke(x, bent, 2.2, 0.125, 0.026), hair * 0.72, 0.92)


def nose(head: Canvas, skin: np.ndarray, look: Look) -> None:
    """A shadow beside the ridge, a light on the tip, and the curve of its wings."""
    part = head.window(0.25, 0.4, 0.75, 0.76)
    x, y = part.x - 0.125 * look["turn"], part.y
    wide = 0.062 + 0.012 * look["nose"]
    side = np.where(look["turn"] + 0.3 * look["light"] > 0, 1, -1).astype(np.float32)
    ridge = soft(ellipse(x + side * 0.045, y - 0.07, 0.05, 0.15), 0.06)
    part.blend(0.30 * ridge, skin * 0.66)
    part.blend(
        0.45 * soft(circle(x, y - 0.12, 0.055), 0.055), np.minimum(skin * 1.25, 1)
    )
    part.paint(stroke(x, y - 0.195, -8.0, wide, 0.018), skin * 0.58)


def mouth(head: Canvas, skin: np.ndarray, look: Look) -> None:
    """Lips as a stroke, or an open mouth with teeth and tongue."""
    part = head.window(0.22, 0.5, 0.78, 0.9)
    x, y = part.x - 0.105 * look["turn"], part.y - 0.345 - 0.015 * look["mouth_y"]
    half = (0.155 + 0.02 * look["mouth_width"]) * _pick(
        look, "mouth", (0.85, 1.1, 1.15, 0.55, 0.9)
    )
    lips = 0.62 * skin * _tone(1.0, 0.62, 0.62) + _tone(0.22, 0.05, 0.06)
    bend = _pick(look, "mouth", (-0.4, -2.6, 0.0, 0.0, 2.6))
    drop = _pick(look, "mouth", (0.0, 0.035, 0.0, 0.0, -0.03))
    closed = _is(look, "mouth", 0, 1, 4)
    part.blend(
        closed * 0.25 * soft(ellipse(x, y - 0.085, 0.11, 0.04), 0.04), skin * 0.6
    )
    part.paint(stroke(x, y - drop, bend, half, 0.027), lips, closed)

    grin = _is(look, "mouth", 2)
    jaw = np.maximum(ellipse(x, y + 0.05, half, 0.165), -(y + 0.05))
    part.paint(jaw - 0.016, lips, grin)
    part.paint(jaw, _tone(0.36, 0.08, 0.10), grin)
    part.paint(
        np.maximum(jaw, ellipse(x, y - 0.13, 0.10, 0.07)), _tone(0.86, 0.42, 0.42), grin
    )
    part.paint(np.maximum(jaw, y + 0.002), _tone(0.98, 0.97, 0.95), grin)

    gasp = _is(look, "mouth", 3)
    ring = ellipse(x, y - 0.01, half, 0.085)
    part.paint(ring - 0.018, lips, gasp)
    part.paint(ring, _tone(0.34, 0.08, 0.10), gasp)


def beard(head: Canvas, outline: Grid, hair: np.ndarray, look: Look) -> None:
    """A full beard along the jaw, or a moustache alone."""
    x = head.x - 0.105 * look["turn"]
    y = head.y - 0.015 * look["mouth_y"]
    shade = (0.96 + 0.25 * head.x * look["light"])[:, None]
    line = 0.25 - 0.45 * x * x
    around = -ellipse(x, y - 0.36, 0.20, 0.095)
    full = np.maximum(np.maximum(outline - 0.035, line - y), around)
    head.paint(full, hair * 0.92 * shade, _is(look, "beard", 2))
    part = head.window(0.22, 0.5, 0.78, 0.8)
    x, y = part.x - 0.105 * look["turn"], part.y - 0.015 * look["mouth_y"]
    brush = stroke(x, y - 0.245, 1.6, 0.19, 0.047)
    part.paint(brush, hair * 0.88, _is(look, "beard", 1, 2))


def glasses(head: Canvas, look: Look) -> None:
    """Frames of one colour; sunglasses have dark lenses with a light across them."""
    worn, sun = _is(look, "glasses", 1, 2, 3), _is(look, "glasses", 3)
    frame = np.where(
        _is(look, "glasses", 1)[:, None] > 0,
        _tone(0.55, 0.30, 0.16),
        _tone(0.12, 0.12, 0.16),
    )
    corner = _pick(look, "glasses", (0.1, 0.15, 0.05, 0.09))
    rx, ry = 0.162, _pick(look, "glasses", (0.1, 0.152, 0.12, 0.13))
    for i, part in enumerate(_halves(head, 0.3, 0.68)):
        x, y = _places(part, look)[i]
        lens = box(x, y - 0.01, rx, ry, corner)
        part.paint(lens, _tone(0.93, 0.97, 1.0), worn * (1 - sun) * 0.16)
        part.paint(lens, _tone(0.10, 0.11, 0.15), sun * 0.93)
        glare = np.maximum(lens + 0.03, np.abs(x * 0.8 + y * 0.6 + 0.03) - 0.03)
        part.paint(glare, _tone(1.0, 1.0, 1.0), worn * (0.22 + 0.1 * sun))
        part.paint(np.abs(lens) - 0.017, frame, worn)
        arm = box(x - (0.27 if i else -0.27), y + 0.02, 0.11, 0.014, 0.01)
        part.paint(np.maximum(arm, np.abs(part.x) - 0.49), frame, worn)
    part = head.window(0.3, 0.35, 0.7, 0.6)
    bridge = stroke(
        part.x - 0.095 * look["turn"], part.y - _EYE_Y + 0.03, 3.0, 0.055, 0.02
    )
    part.paint(bridge, frame, worn)
