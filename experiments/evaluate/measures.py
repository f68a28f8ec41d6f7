"""Every measure by its name on the command line: two sets in, named figures out.

All measures of one kind take the same two arrays, so that a floor is the same call on
two sets of real samples, and a fault the same call on a damaged one.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import numpy as np

from gan_jax.evaluate.frechet import frechet_distance, frechet_infinity
from gan_jax.evaluate.inception_score import inception_score_of_logits
from gan_jax.evaluate.kernels import kernel_distance
from gan_jax.evaluate.moments import moments
from gan_jax.evaluate.neighbours import (
    density_coverage,
    nearest_neighbour_test,
    precision_recall,
)
from gan_jax.evaluate.prd import precision_recall_curve
from gan_jax.evaluate.pyramid import PATCH, band_distances
from gan_jax.evaluate.similarity import most_levels, self_similarity
from gan_jax.evaluate.sliced import sliced_wasserstein

Kind = Literal["features", "images", "logits"]
PATCHES = 2**14  # of all images in each level, at most: a second on one core
DIRECTIONS = 128  # on which patches are projected
MOST_PAIRS = 1000  # of images whose structure is compared
# Above this dimension of the features a measure takes minutes.
SLOW_ABOVE = {"fd": 4096, "fd-infinity": 512}
SPLIT = 500  # samples at least in a split, of which the inception score has ten


class Figure(NamedTuple):
    """A number and how to read it.

    Attributes:
      name: with the numbers that are part of the measure.
      value: the number.
      deviation: over subsets, where the measure has any.
      worse: where values of worse samples lie: above the floor, below, or on either
        side of it.
    """

    name: str
    value: float
    deviation: float | None = None
    worse: Literal["above", "below", "aside"] = "above"


Figures = Callable[[np.ndarray, np.ndarray, int], list[Figure]]


class Measure(NamedTuple):
    """What is called by one name on the command line.

    Attributes:
      of: what its two arrays hold: features (n, d), uint8 images or logits.
      figures: (real, fake, seed) -> figures.
    """

    of: Kind
    figures: Figures


def frechet(real: np.ndarray, fake: np.ndarray, seed: int) -> list[Figure]:
    """FD."""
    return [Figure("FD", frechet_distance(moments(real), moments(fake)))]


def frechet_at_infinity(real: np.ndarray, fake: np.ndarray, seed: int) -> list[Figure]:
    """FD at 1 / N = 0, with the line's standard error."""
    found = frechet_infinity(real, fake, seed=seed)
    return [Figure("FD-infinity", found.value, found.error)]


def kernel(real: np.ndarray, fake: np.ndarray, seed: int) -> list[Figure]:
    """KD over a hundred subsets of a thousand, as is the custom."""
    found = kernel_distance(real, fake, seed=seed)
    spread = None if found.subsets == 1 else found.deviation
    return [Figure(f"KD {found.subsets}x{found.size}", found.value, spread)]


def neighbours(real: np.ndarray, fake: np.ndarray, seed: int) -> list[Figure]:
    """Precision and recall."""
    found = precision_recall(real, fake, k=3)
    return [
        Figure("precision k=3", found.precision, worse="below"),
        Figure("recall k=3", found.recall, worse="below"),
    ]


def coverage(real: np.ndarray, fake: np.ndarray, seed: int) -> list[Figure]:
    """Density and coverage."""
    found = density_coverage(real, fake, k=5)
    return [
        Figure("density k=5", found.density, worse="below"),
        Figure("coverage k=5", found.coverage, worse="below"),
    ]


def curve(real: np.ndarray, fake: np.ndarray, seed: int) -> list[Figure]:
    """F_8 and F_1/8 of PRD."""
    found = precision_recall_curve(real, fake, seed=seed)
    return [
        Figure("PRD F8", found.f_recall, worse="below"),
        Figure("PRD F1/8", found.f_precision, worse="below"),
    ]


def two_samples(real: np.ndarray, fake: np.ndarray, seed: int) -> list[Figure]:
    """The nearest neighbour's accuracy, on both sides and on each."""
    found = nearest_neighbour_test(real, fake, seed)
    return [
        Figure("1-NN", found.accuracy, worse="aside"),
        Figure("1-NN real", found.real, worse="aside"),
        Figure("1-NN fake", found.fake, worse="aside"),
    ]


def sliced(real: np.ndarray, fake: np.ndarray, seed: int) -> list[Figure]:
    """SW2 of the pixels in [-1, 1]."""
    x, y = (
        images.reshape(len(images), -1) / np.float32(127.5) - 1
        for images in (real, fake)
    )
    return [Figure("SW2", float(_sliced(x, y, jax.random.key(seed))))]


def bands(real: np.ndarray, fake: np.ndarray, seed: int) -> list[Figure]:
    """SWD of a Laplacian pyramid's finest level, and the mean over all levels."""
    side = min(real.shape[1:3])
    patches = int(np.clip(PATCHES // len(real), 1, 128))
    found = band_distances(
        real,
        fake,
        jax.random.key(seed),
        patches=patches,
        directions=DIRECTIONS,
        # Two levels at least where there is room: the last one is no band of detail.
        smallest=max(PATCH, min(14, side // 2)),
    )
    figures = [Figure(f"SWD {found.sizes[0]} {patches} patches", found.distances[0])]
    if len(found.sizes) > 1:
        sizes = "+".join(map(str, found.sizes))
        figures.append(Figure(f"SWD {sizes} {patches} patches", found.mean))
    return figures


def diversity(real: np.ndarray, fake: np.ndarray, seed: int) -> list[Figure]:
    """MS-SSIM of pairs of fakes. Higher is a collapse; lower may be noise."""
    levels = max(1, min(3, most_levels(fake.shape[1:3])))
    found = self_similarity(fake, jax.random.key(seed), pairs=MOST_PAIRS, levels=levels)
    name = f"MS-SSIM {levels} levels"
    return [Figure(name, found.mean, found.standard_error, worse="aside")]


def classes(real: np.ndarray, fake: np.ndarray, seed: int) -> list[Figure]:
    """The score of the fakes' classes."""
    splits = int(np.clip(len(fake) // SPLIT, 1, 10))
    found = inception_score_of_logits(fake, splits)
    spread = found.deviation if splits > 1 else None
    return [Figure(f"CS {splits} splits", found.value, spread, worse="below")]


MEASURES = {
    "fd": Measure("features", frechet),
    "fd-infinity": Measure("features", frechet_at_infinity),
    "kd": Measure("features", kernel),
    "precision-recall": Measure("features", neighbours),
    "density-coverage": Measure("features", coverage),
    "prd": Measure("features", curve),
    "1-nn": Measure("features", two_samples),
    "sw2": Measure("images", sliced),
    "swd": Measure("images", bands),
    "ms-ssim": Measure("images", diversity),
    "cs": Measure("logits", classes),
}


def known(names: Sequence[str]) -> dict[str, Measure]:
    """The measures of these names.

    Raises:
      ValueError: for another name.
    """
    if unknown := sorted(set(names) - set(MEASURES)):
        raise ValueError(
            f"--measures: {', '.join(unknown)} is not known here; there are "
            f"{', '.join(MEASURES)}."
        )
    return {name: MEASURES[name] for name in MEASURES if name in names}


@jax.jit
def _sliced(x: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
    return sliced_wasserstein(x, y, key)
