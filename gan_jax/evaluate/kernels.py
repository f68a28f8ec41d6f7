"""Kernel distances: unbiased estimates of MMD^2, so that their floor is 0.

    MMD^2(p, q) = E k(x, x') + E k(y, y') - 2 E k(x, y)

over independent pairs. `gan_jax.moments` has the same for training, in float32 with
gradients; here it is a figure, in float64.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gan_jax.evaluate.points import AnyArray, squared_distances, two_sets

_MOST = 5_000  # points whose Gram matrix is held at once: 200 MB


class KernelDistance(NamedTuple):
    """The kernel distance over subsets.

    Attributes:
      value: the mean of the subsets' unbiased estimates; of either sign near 0.
      deviation: their standard deviation; NaN for a single one.
      subsets: how many.
      size: how many samples of each side a subset has.
    """

    value: float
    deviation: float
    subsets: int
    size: int


class Discrepancy(NamedTuple):
    """The maximum mean discrepancy, and how often chance alone gives as much.

    Attributes:
      value: the unbiased estimate of MMD^2.
      p_value: the share of random relabellings whose value is as large; NaN without
        permutations.
      widths: the kernel's widths, in the features' units.
    """

    value: float
    p_value: float
    widths: tuple[float, ...]


def kernel_distance(
    real: Float[AnyArray, "n d"],
    fake: Float[AnyArray, "m d"],
    *,
    subsets: int = 100,
    size: int = 1000,
    seed: int = 0,
) -> KernelDistance:
    """MMD^2 of k(x, y) = (x.y / d + 1)^3 over subsets: KID, on Inception's features.

    Args:
      real, fake: features, at least two of each.
      subsets: how many subsets; only 1 where a subset is the whole of both sets.
      size: how many samples of each side, or as many as there are.
      seed: of the subsets.

    Returns:
      The mean over subsets, with their deviation.

    Raises:
      ValueError: for fewer samples, no subsets, or a size below 2.

    Reference: Binkowski et al., "Demystifying MMD GANs", 2018, arXiv:1801.01401.

    >>> import numpy as np
    >>> kernel_distance(np.zeros((9, 1)), np.ones((9, 1))).value
    7.0
    """
    x, y = two_sets(real, fake, at_least=2)
    if subsets < 1 or size < 2:
        raise ValueError(
            f"subsets is {subsets} and size {size}, but at least one subset of at "
            "least two samples is wanted."
        )
    size = min(size, len(x), len(y))
    if size == len(x) == len(y):
        subsets = 1
    random = np.random.default_rng(seed)

    def estimate() -> float:
        a, b = (z[random.choice(len(z), size, replace=False)] for z in (x, y))
        return _mmd2(_cubic(a, a), _cubic(b, b), _cubic(a, b))

    values = np.array([estimate() for _ in range(subsets)])
    deviation = float(values.std(ddof=1)) if subsets > 1 else float("nan")
    return KernelDistance(float(values.mean()), deviation, subsets, size)


def mean_discrepancy(
    real: Float[AnyArray, "n d"],
    fake: Float[AnyArray, "m d"],
    *,
    scales: Sequence[float] = (0.5, 1.0, 2.0),
    permutations: int = 0,
    seed: int = 0,
) -> Discrepancy:
    """MMD^2 of k(x, y) = sum_s exp(-|x - y|^2 / 2 (s w)^2), w the median distance.

    It sees where mass is missing. It hardly sees modes that are too wide or too narrow,
    which are small against w; `nearest_neighbour_test` does.

    Args:
      real, fake: features, at least two of each, at most 5,000 in all.
      scales: the s.
      permutations: how many random relabellings the p-value is counted over.
      seed: of the relabellings.

    Raises:
      ValueError: for other numbers of samples, no positive scales, or points that are
        all one.

    Reference: Gretton et al., "A Kernel Two-Sample Test", 2012, lemma 6 and section 2.
    """
    x, y = two_sets(real, fake, at_least=2)
    if len(x) + len(y) > _MOST:
        raise ValueError(
            f"there are {len(x) + len(y)} samples, but at most {_MOST} are compared "
            "with one another at once. Draw some of them at random."
        )
    if not scales or min(scales) <= 0:
        raise ValueError(
            f"scales is {tuple(scales)}, but at least one is wanted, all positive."
        )
    both = np.concatenate([x, y])
    squared = squared_distances(both, both)
    width = float(np.sqrt(np.median(squared[np.triu_indices(len(both), 1)])))
    if not width:
        raise ValueError(
            "half of all pairs of points or more lie on one another, so there is no "
            "median distance to set the kernel's width by."
        )
    gram = sum(np.exp(-squared / (2 * (s * width) ** 2)) for s in scales)
    found, others = _relabelled(np.asarray(gram), len(x), permutations, seed)
    p_value = (1 + (others >= found).sum()) / (1 + permutations)
    return Discrepancy(
        found,
        float(p_value) if permutations else float("nan"),
        tuple(s * width for s in scales),
    )


def _relabelled(
    gram: np.ndarray, n: int, permutations: int, seed: int
) -> tuple[float, np.ndarray]:
    """The estimate with the first n for real, and those with n drawn at random."""
    total = len(gram)
    np.fill_diagonal(gram, 0.0)  # a point is not compared with itself
    is_real = np.zeros((1 + permutations, total))
    is_real[:, :n] = 1.0
    random = np.random.default_rng(seed)
    is_real[1:] = random.permuted(is_real[1:], axis=1)
    within = np.einsum("pi,pi->p", is_real @ gram, is_real)
    of_real = is_real @ gram.sum(axis=1)
    within_fake = gram.sum() - 2 * of_real + within
    m = total - n
    values = (
        within / (n * (n - 1))
        + within_fake / (m * (m - 1))
        - 2 * (of_real - within) / (n * m)
    )
    # What rounding alone sets apart is as large.
    return float(values[0]), values[1:] + 1e-12


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    k = x @ y.T / x.shape[1] + 1
    return k * k * k  # a general power is many times slower


def _mmd2(xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> float:
    """Means over all pairs of two, from Gram matrices."""
    within = sum((k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (xx, yy))
    return float(within - 2 * xy.mean())
