"""What is looked at while a run trains: a few distances in one cheap feature space.

The features are the leading principal components of the real images, so that nothing
is trained or compiled for them; the rest is algebra on the host. FD sees classes that
are missing, recall and coverage see samples that repeat themselves; the distance of
pixels beside them sees neither. docs/evaluation.md has the table.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from experiments.run import say
from gan_jax.evaluate.features import Features, pca
from gan_jax.evaluate.frechet import frechet_distance
from gan_jax.evaluate.moments import moments
from gan_jax.evaluate.neighbours import density_coverage, precision_recall

COMPONENTS = 64
MOST_NUMBERS = 4096  # of an image from which components are found in about a second
FEWEST = 8  # images on each side that neighbours can be counted among


class Watched(NamedTuple):
    """Distances to a fixed set of real images.

    Attributes:
      floors: what other real images have.
      scores: uint8 images, as many as the real ones -> the same numbers.
    """

    floors: Mapping[str, float]
    scores: Callable[[np.ndarray], Mapping[str, float]]

    @property
    def names(self) -> list[str]:
        """Of the numbers."""
        return [name.removesuffix("_floor") for name in self.floors]


def watched(real: np.ndarray, others: np.ndarray) -> Watched:
    """FD, recall and coverage in `COMPONENTS` dimensions.

    Args:
      real: uint8 images (n, h, w, c).
      others: as many other real images, for the floors.

    Returns:
      Numbers named ``fd_pca64``, ``recall`` and ``coverage``, and the floors
      ``fd_pca64_floor`` and so on. None at all of images too few or too much alike.
    """
    features = components(real)
    if features is None or len(real) < FEWEST:
        say("too few different images for principal components: no FD, no recall")
        return Watched({}, lambda fake: {})
    fd = "fd_" + features.name.split("@")[0]
    x = features(real)
    of_real = moments(x)

    def scores(fake: np.ndarray) -> dict[str, float]:
        y = features(fake)
        return {
            fd: frechet_distance(of_real, moments(y)),
            "recall": precision_recall(x, y, k=3).recall,
            "coverage": density_coverage(x, y, k=5).coverage,
        }

    floors = {f"{name}_floor": value for name, value in scores(others).items()}
    return Watched(floors, scores)


def components(real: np.ndarray) -> Features | None:
    """As many principal components as the images have, up to `COMPONENTS`."""
    dimension = min(COMPONENTS, len(real) - 1)
    while dimension >= 1:
        try:
            return pca(real, dimension, size=shrunk(real.shape[1:]))
        except ValueError:  # they vary in fewer directions
            dimension //= 2
    return None


def shrunk(shape: tuple[int, ...]) -> int | None:
    """The largest side with at most `MOST_NUMBERS` an image; None for its own."""
    height, width, channels = shape
    if height * width * channels <= MOST_NUMBERS:
        return None
    divisors = [s for s in range(1, height) if height % s == width % s == 0]
    return max((s for s in divisors if s * s * channels <= MOST_NUMBERS), default=None)
