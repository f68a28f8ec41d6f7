"""Drawn faces: an endless, labelled data set of small portraits that needs no file.

A portrait is a pure function of (seed, index). Its discrete attributes are the ground
truth that a generator, an encoder or a metric can be measured against.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from gan_jax.data.portrait import portraits
from gan_jax.data.source import Sample, checked
from gan_jax.data.splitmix import bits, seed_word, uniform

VERSION = 1  # of the drawing; a change of pixels is a change of version
_FACES = 2  # purpose of the seed

# Attribute -> {value: relative frequency}; the first attribute is the label.
_FREQUENCIES: dict[str, dict[str, int]] = {
    "hair": {
        "bald": 1, "short": 1, "swept": 1, "curly": 1,
        "bob": 1, "long": 1, "bun": 1, "spiky": 1,
    },
    "hair_colour": {
        "black": 5, "brown": 5, "chestnut": 4, "blond": 4,
        "red": 3, "grey": 2, "teal": 1,
    },
    "skin": {"porcelain": 3, "light": 4, "tan": 4, "olive": 4, "brown": 4, "deep": 3},
    "eye_colour": {"brown": 4, "blue": 3, "green": 2, "grey": 1},
    "eyes": {"open": 14, "half": 3, "closed": 3},
    "brows": {"flat": 2, "raised": 1, "angled": 1},
    "mouth": {"neutral": 3, "smile": 6, "grin": 4, "surprise": 1, "frown": 2},
    "beard": {"none": 12, "moustache": 2, "full": 3},
    "glasses": {"none": 12, "round": 3, "square": 3, "sun": 2},
    "hat": {"none": 14, "beanie": 3, "brim": 3},
    "pose": {"left": 1, "front": 2, "right": 1},
    "clothes": {"red": 1, "blue": 1, "green": 1, "yellow": 1, "black": 1, "white": 1},
    "background": {
        "sky": 1, "mint": 1, "peach": 1, "lilac": 1, "sand": 1, "slate": 1,
    },
}  # fmt: skip
ATTRIBUTES = {name: tuple(values) for name, values in _FREQUENCIES.items()}
# Attribute -> the probability of each of its values.
PROBABILITIES = {
    name: tuple(weight / sum(values.values()) for weight in values.values())
    for name, values in _FREQUENCIES.items()
}
_SHAPES = (
    "tilt", "x", "y", "scale", "width", "jaw", "light", "gaze_x", "gaze_y", "eye_gap",
    "eye_size", "nose", "mouth_width", "mouth_y", "part", "tint_0", "tint_1", "tint_2",
    "hair_tint", "turn",
)  # fmt: skip


class FaceAttributes(NamedTuple):
    """What a batch of portraits shows.

    Attributes:
      codes: for each attribute of `ATTRIBUTES` the number of its value.
      shape: continuous nuisances (tilt, place, proportions, light), in [−1, 1).
    """

    codes: Int32[np.ndarray, "n attributes"]
    shape: Float32[np.ndarray, "n shapes"]


def draw_attributes(seed: int, index: np.ndarray) -> FaceAttributes:
    """Draws the attributes of portraits, all independent of each other.

    Args:
      seed: any int.
      index: (n,) which portraits, any non-negative ints.

    Returns:
      Their attributes: a pure function of (seed, index), one index at a time.
    """
    stream = bits(seed_word(seed, _FACES), np.asarray(index).astype(np.uint64))
    places = np.arange(len(_FREQUENCIES) + len(_SHAPES), dtype=np.uint64)
    u = uniform(bits(stream[:, None], places[None, :]))
    codes = np.stack(
        [
            np.searchsorted(_steps(name), u[:, i], side="right")
            for i, name in enumerate(_FREQUENCIES)
        ],
        axis=1,
    )
    return FaceAttributes(codes.astype(np.int32), 2 * u[:, len(_FREQUENCIES) :] - 1)


def render(attributes: FaceAttributes, size: int) -> UInt8[np.ndarray, "n size size 3"]:
    """Draws portraits.

    Args:
      attributes: what to show; n of them.
      size: side of the images, in pixels; 28 to 256 look well.

    Returns:
      RGB images, the bits of each independent of the others in the batch.
    """
    if not 8 <= size <= 1024:
        raise ValueError(f"size is {size}; faces are drawn at 8 to 1024 pixels.")
    look = dict(zip(ATTRIBUTES, attributes.codes.T, strict=True))
    look |= dict(zip(_SHAPES, attributes.shape.T, strict=True))
    return portraits(look, size)


class Faces:
    """Portraits 0 … n − 1 of a seed, drawn when asked for; build it with `faces`."""

    def __init__(self, n: int, size: int, seed: int) -> None:
        self.n, self.size, self.seed = n, size, seed
        self.classes = ATTRIBUTES["hair"]
        self.attribute_names = tuple(ATTRIBUTES)
        self.fingerprint = f"drawn faces v{VERSION} n={n} size={size} seed={seed}"

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Sample:
        rows = self.gather(np.array([checked(index, self.n)]))
        return {name: row[0] for name, row in rows.items()}

    def gather(self, indices: np.ndarray) -> Sample:
        """Draws many portraits at once: name -> array with one row an index."""
        attributes = draw_attributes(self.seed, indices)
        return {
            "real": render(attributes, self.size),
            "label": attributes.codes[:, 0].copy(),
            "attributes": attributes.codes,
        }


def faces(n: int, size: int = 64, seed: int = 0) -> Faces:
    """A data set of n drawn portraits with labels and attributes.

    Args:
      n: number of portraits.
      size: side of the images, in pixels.
      seed: which portraits; use another one for a test set.

    Returns:
      A source: "real" uint8 (size, size, 3), "label" the hair style (8 classes),
      "attributes" (13,) the numbers of the values in `ATTRIBUTES`.

    Raises:
      ValueError: if n is below one or the size outside of 8 … 1024.
    """
    if n < 1 or not 8 <= size <= 1024:
        raise ValueError(
            f"n is {n} and size {size}; give n >= 1 and 8 <= size <= 1024."
        )
    return Faces(n, size, seed)


@functools.cache
def _steps(name: str) -> np.ndarray:
    """Cumulative probabilities of an attribute's values, without the last 1."""
    weights = np.array(list(_FREQUENCIES[name].values()), np.float64)
    return (np.cumsum(weights) / weights.sum())[:-1].astype(np.float32)
