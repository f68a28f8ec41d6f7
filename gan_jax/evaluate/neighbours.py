"""Measures by nearest neighbours: quality and variety apart, and a two-sample test.

Around each point of a set lies a ball that reaches to its k-th neighbour in that set;
together the balls are where the set's distribution is taken to live. Distances are
Euclidean, balls closed, and a point is no neighbour of its own. Two distances that are
equal but for the rounding of a matrix product are a tie, so that a copy of a ball's
k-th neighbour lies in it.

All of these depend on the number of samples and on k. Compare at equal ones only.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gan_jax.evaluate.points import (
    AnyArray,
    Points,
    distance_blocks,
    distance_blocks_to_others,
    two_sets,
)

# Of squared distances: a hundredth of what the features' float32 leaves open.
_TIE = 1 + 1e-9


class PrecisionRecall(NamedTuple):
    """Shares of samples that lie where the other set lives.

    Attributes:
      precision: of generated samples in some real sample's ball: quality.
      recall: of real samples in some generated sample's ball: variety.
    """

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """How thickly and how widely generated samples fill the real samples' balls.

    Attributes:
      density: real balls around a generated sample, on average, over k; its mean is 1
        for equal distributions, and it may be larger.
      coverage: the share of real balls that hold a generated sample.
    """

    density: float
    coverage: float


class NearestNeighbourTest(NamedTuple):
    """Whether a sample's nearest neighbour is of its own set.

    Attributes:
      accuracy: the share of all samples for which it is; about 1/2 for equal
        distributions. Below, the sets are closer to each other than to themselves, as
        copies of the training set are.
      real, fake: the same share among the real and among the generated samples. A high
        fake one with a low real one is a generator that has collapsed.
      p_value: how often labels drawn at random give an accuracy as far from its mean,
        by its exact mean and variance and the normal distribution.
    """

    accuracy: float
    real: float
    fake: float
    p_value: float


def precision_recall(
    real: Float[AnyArray, "n d"], fake: Float[AnyArray, "m d"], k: int = 3
) -> PrecisionRecall:
    """Improved precision and recall: the shares of each set in the other's balls.

    Args:
      real, fake: features, more than k of each.
      k: to which neighbour a ball reaches.

    Raises:
      ValueError: for fewer samples.

    Reference: Kynkaanniemi et al., "Improved Precision and Recall Metric for Assessing
    Generative Models", 2019, arXiv:1904.06991.

    >>> import numpy as np
    >>> line = np.arange(8.0)[:, None]
    >>> precision_recall(line, line[:4] - 0.1, k=1)
    PrecisionRecall(precision=1.0, recall=0.5)
    """
    x, y = _sets(real, fake, k)
    real_reach, fake_reach = squared_radii(x, k), squared_radii(y, k)
    precise, recalled = np.zeros(len(y), bool), np.zeros(len(x), bool)
    for rows, squared in distance_blocks(x, y):
        precise |= (squared <= real_reach[rows, None]).any(axis=0)
        recalled[rows] = (squared <= fake_reach[None]).any(axis=1)
    return PrecisionRecall(float(precise.mean()), float(recalled.mean()))


def density_coverage(
    real: Float[AnyArray, "n d"], fake: Float[AnyArray, "m d"], k: int = 5
) -> DensityCoverage:
    """D = 1/(k m) sum_j #{i: y_j in ball i}, C = 1/n #{i: some y_j in ball i}.

    Only real samples have balls, so an outlier among the generated ones does no harm.

    Args:
      real, fake: features, more than k of each.
      k: to which neighbour a ball reaches.

    Raises:
      ValueError: for fewer samples.

    Reference: Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative
    Models", 2020, arXiv:2002.09797.
    """
    x, y = _sets(real, fake, k)
    reach = squared_radii(x, k)
    held = covered = 0
    for rows, squared in distance_blocks(x, y):
        inside = squared <= reach[rows, None]
        held += int(inside.sum())
        covered += int(inside.any(axis=1).sum())
    return DensityCoverage(held / (k * len(y)), covered / len(x))


def expected_coverage(real: int, fake: int, k: int = 5) -> float:
    """E C = 1 - prod_{i<k} (n - 1 - i) / (n + m - 1 - i) for equal distributions.

    A ball is empty if the k nearest of all other points are real ones, and each choice
    of k among the n + m - 1 is as likely as any other.

    Args:
      real, fake: n and m, the numbers of samples.
      k: to which neighbour a ball reaches.

    >>> round(expected_coverage(2000, 2000), 4)
    0.9689
    """
    return 1 - math.prod((real - 1 - i) / (real + fake - 1 - i) for i in range(k))


def nearest_neighbour_test(
    real: Float[AnyArray, "n d"], fake: Float[AnyArray, "n d"], seed: int = 0
) -> NearestNeighbourTest:
    """Leave-one-out accuracy of the nearest neighbour's label.

    Args:
      real, fake: features of two equally large sets.
      seed: which of several neighbours at one distance is taken.

    Raises:
      ValueError: for unequally many, or fewer than two of each.

    References: Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", 2017,
    arXiv:1610.06545; Xu et al., "An empirical study on evaluation metrics of generative
    adversarial networks", 2018, arXiv:1806.07755; Schilling, "Multivariate Two-Sample
    Tests Based on Nearest Neighbors", 1986, for the variance.
    """
    x, y = two_sets(real, fake, at_least=2, equal=True)
    both = np.concatenate([x, y])
    # The first of several equally near is taken; in a random order that is any of them.
    order = np.random.default_rng(seed).permutation(len(both))
    nearest = np.empty(len(both), int)
    for rows, squared in distance_blocks_to_others(both[order]):
        nearest[rows] = squared.argmin(axis=1)
    is_real = order < len(x)
    right = is_real == is_real[nearest]
    mean, variance = _of_random_labels(nearest)
    away = (right.sum() - mean) / math.sqrt(variance) if variance > 0 else 0.0
    return NearestNeighbourTest(
        accuracy=float(right.mean()),
        real=float(right[is_real].mean()),
        fake=float(right[~is_real].mean()),
        p_value=math.erfc(abs(away) / math.sqrt(2)),
    )


def squared_radii(x: Points, k: int) -> np.ndarray:
    """The squared distance of each point to its k-th neighbour, and to what ties."""
    reach = np.empty(len(x))
    for rows, squared in distance_blocks_to_others(x):
        reach[rows] = np.partition(squared, k - 1, axis=1)[:, k - 1]
    return _TIE * reach


def _sets(real: AnyArray, fake: AnyArray, k: int) -> tuple[Points, Points]:
    if k < 1:
        raise ValueError(
            f"k is {k}, but a ball reaches to the first neighbour at least."
        )
    return two_sets(real, fake, at_least=k + 1)


def _of_random_labels(nearest: np.ndarray) -> tuple[float, float]:
    """Mean and variance of how many i have the label of nearest[i].

    Half of the 2 n points are labelled real, all choices equally likely. For each two
    arrows i -> nearest[i] the chance that both join equal labels depends on how many
    points they have in common: two (i and j are each other's nearest), one or none.
    """
    total = len(nearest)
    n = total // 2
    own = np.arange(total)
    mutual = int((nearest[nearest] == own).sum())  # ordered pairs of arrows
    arrows_to = np.bincount(nearest, minlength=total)
    # Two arrows to one point, or an arrow to where another one starts.
    touching = int((arrows_to * (arrows_to - 1)).sum()) + 2 * (total - mutual)
    apart = total * (total - 1) - mutual - touching
    same = (n - 1) / (total - 1)
    three = (n - 2) / (2 * (total - 1))
    four = 0.0
    if total > 3:
        whole = total * (total - 1) * (total - 2) * (total - 3)
        one_label = 2 * n * (n - 1) * (n - 2) * (n - 3)
        four = (one_label + 2 * (n * (n - 1)) ** 2) / whole
    mean = total * same
    square = (total + mutual) * same + touching * three + apart * four
    return mean, square - mean**2
