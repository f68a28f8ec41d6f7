"""Known faults, done to real images: what a measure says of them is what it sees.

A fault takes real images that the reference does not hold, and gives back as many.
"""

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

CLASS = 0  # the one that is missing
COPIES = 100  # distinct images at most of a generator that has memorised
NOISE = 0.1  # standard deviation, of a range of 2
QUALITY = 30  # of JPEG
SHRINK = 0.8  # what is left of each image's distance from the mean image


class Pool(NamedTuple):
    """Real images to draw from, and those of the reference.

    Attributes:
      held_out: (n, h, w, c) uint8, as many as are compared.
      others: more of them, which stand in for what a fault takes away.
      held_out_labels, others_labels: their classes; None without any.
      reference: what they are compared with.
    """

    held_out: np.ndarray
    others: np.ndarray
    held_out_labels: np.ndarray | None
    others_labels: np.ndarray | None
    reference: np.ndarray


Fault = Callable[[Pool, np.random.Generator], np.ndarray]


def missing_class(pool: Pool, random: np.random.Generator) -> np.ndarray:
    """No image of class 0: a mode was dropped.

    Raises:
      ValueError: for images without labels, or none of that class.
    """
    if pool.held_out_labels is None or pool.others_labels is None:
        raise ValueError("the images have no labels, so no class can be left out")
    if CLASS not in pool.held_out_labels:
        raise ValueError(f"no image is of class {CLASS}, so it cannot be left out")
    return refilled(pool, pool.held_out_labels != CLASS, pool.others_labels != CLASS)


def half_the_support(pool: Pool, random: np.random.Generator) -> np.ndarray:
    """Only images that are brighter than the median."""
    means, more = (x.mean(axis=(1, 2, 3)) for x in (pool.held_out, pool.others))
    median = np.median(np.concatenate([means, more]))
    return refilled(pool, means > median, more > median)


def refilled(pool: Pool, kept: np.ndarray, also: np.ndarray) -> np.ndarray:
    """The kept images, with others in the place of those that are not."""
    found = np.concatenate([pool.held_out[kept], pool.others[also]])
    n = len(pool.held_out)
    if len(found) < n:
        raise ValueError(f"only {len(found)} of {n} images are left of this fault")
    return found[:n]


def few_distinct(pool: Pool, random: np.random.Generator) -> np.ndarray:
    """A hundred of them, or a quarter if that is less: none of the reference."""
    few = min(COPIES, len(pool.held_out) // 4)
    return pool.held_out[random.integers(0, few, len(pool.held_out))]


def copies_of_the_reference(pool: Pool, random: np.random.Generator) -> np.ndarray:
    """The very images that it is compared with: a memory of the training set."""
    return random.permutation(pool.reference)


def twice(pool: Pool, random: np.random.Generator) -> np.ndarray:
    """Each image twice."""
    return np.resize(pool.held_out[: -(-len(pool.held_out) // 2)], pool.held_out.shape)


def less_contrast(pool: Pool, random: np.random.Generator) -> np.ndarray:
    """Each image drawn towards the mean image by a fifth: less variety, all places."""
    mean = pool.held_out.mean(axis=0, keepdims=True)
    return quantised(mean + SHRINK * (pool.held_out - mean))


def blur(pool: Pool, random: np.random.Generator) -> np.ndarray:
    """The mean of each 3 x 3 pixels, the edges repeated."""
    edges = ((0, 0), (1, 1), (1, 1), (0, 0))
    padded = np.pad(pool.held_out.astype(np.float32), edges, mode="edge")
    _, h, w, _ = pool.held_out.shape
    total = sum(padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3))
    return quantised(np.asarray(total) / 9)


def noise(pool: Pool, random: np.random.Generator) -> np.ndarray:
    """Each pixel a tenth of 2 up or down at random, or as far as it can go.

    The mean stays: noise that is cut off at black would brighten the images, and that
    would be another fault.
    """
    x = pool.held_out.astype(np.float32)
    room = np.minimum(np.minimum(x, 255 - x), NOISE * 127.5)
    return quantised(x + random.choice([-1.0, 1.0], x.shape) * room)


def clipped_noise(pool: Pool, random: np.random.Generator) -> np.ndarray:
    """Gaussian noise of deviation 0.1, cut off at black and white."""
    x = pool.held_out.astype(np.float32)
    return quantised(x + NOISE * 127.5 * random.standard_normal(x.shape))


def jpeg(pool: Pool, random: np.random.Generator) -> np.ndarray:
    """Through a JPEG file of quality 30."""
    from PIL import Image

    found = np.empty_like(pool.held_out)
    for row, image in enumerate(pool.held_out):
        file = io.BytesIO()
        grey = image.shape[2] == 1
        Image.fromarray(image[..., 0] if grey else image).save(
            file, "JPEG", quality=QUALITY
        )
        found[row] = np.asarray(Image.open(file)).reshape(image.shape)
    return found


def quantised(x: np.ndarray) -> np.ndarray:
    """As a file holds them."""
    return np.round(np.clip(x, 0, 255)).astype(np.uint8)


FAULTS: dict[str, Fault] = {
    "class 0 missing": missing_class,
    "brighter half only": half_the_support,
    "few distinct images": few_distinct,
    "copies of the reference": copies_of_the_reference,
    "each image twice": twice,
    "a fifth towards the mean": less_contrast,
    "3x3 blur": blur,
    "noise, mean kept": noise,
    "noise, clipped": clipped_noise,
    "JPEG quality 30": jpeg,
}
