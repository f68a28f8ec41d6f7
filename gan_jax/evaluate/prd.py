"""Precision and recall of distributions: a curve that trades one for the other.

Real and generated features are put into the same bins, by k-means on their union. For
histograms p (real) and q (generated) the curve is, over slopes lambda > 0,

    precision(lambda) = sum_i min(lambda p_i, q_i),  recall = precision / lambda.
"""

import warnings
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gan_jax.evaluate.points import AnyArray, Points, two_sets

_ROUNDS = 20  # of k-means; bins need not be the best ones


class PrecisionRecallCurve(NamedTuple):
    """The curve, and two numbers that sum it up.

    Attributes:
      precision, recall: along the curve, from small slopes to large ones.
      f_recall: the largest F_8 on it, which weighs recall eight times.
      f_precision: the largest F_1/8.
    """

    precision: Float[np.ndarray, " angles"]
    recall: Float[np.ndarray, " angles"]
    f_recall: float
    f_precision: float


def precision_recall_curve(
    real: Float[AnyArray, "n d"],
    fake: Float[AnyArray, "n d"],
    *,
    clusters: int = 20,
    angles: int = 1001,
    runs: int = 10,
    seed: int = 0,
) -> PrecisionRecallCurve:
    """PRD: what share of each distribution the other one has.

    Args:
      real, fake: features of two equally large sets.
      clusters: bins.
      angles: points of the curve; their slopes are the tangents of even angles.
      runs: of k-means, over which the curve is averaged.
      seed: of k-means.

    Raises:
      ValueError: for unequally many samples, fewer than bins, or no angles or runs.

    Reference: Sajjadi et al., "Assessing Generative Models via Precision and Recall",
    2018, arXiv:1806.00035.
    """
    x, y = two_sets(real, fake, equal=True)
    if not (2 <= clusters <= 2 * len(x) and angles >= 3 and runs >= 1):
        raise ValueError(
            f"clusters is {clusters}, angles {angles} and runs {runs}, but 2 to "
            f"{2 * len(x)} clusters of the {2 * len(x)} samples, at least 3 angles and "
            "at least 1 run are wanted."
        )
    random = np.random.default_rng(seed)
    curves = [_curve(*_histograms(x, y, clusters, random), angles) for _ in range(runs)]
    precision, recall = np.mean(curves, axis=0)
    return PrecisionRecallCurve(
        precision,
        recall,
        _best(precision, recall, 8.0),
        _best(precision, recall, 1 / 8),
    )


def _histograms(
    x: Points, y: Points, clusters: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    from scipy.cluster.vq import kmeans2

    with warnings.catch_warnings():
        # A cluster that has lost all its points is a bin without mass.
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        _, labels = kmeans2(
            np.concatenate([x, y]), clusters, iter=_ROUNDS, minit="++", seed=random
        )
    p, q = (
        np.bincount(own, minlength=clusters) / len(x)
        for own in (labels[: len(x)], labels[len(x) :])
    )
    return p, q


def _curve(p: np.ndarray, q: np.ndarray, angles: int) -> tuple[np.ndarray, np.ndarray]:
    slopes = np.tan(np.linspace(1e-10, np.pi / 2 - 1e-10, angles))
    precision = np.minimum(slopes[:, None] * p[None], q[None]).sum(axis=1)
    # Above 1 is rounding.
    return np.minimum(precision, 1), np.minimum(precision / slopes, 1)


def _best(precision: np.ndarray, recall: np.ndarray, beta: float) -> float:
    """max (1 + beta^2) P R / (beta^2 P + R), 0 where both are."""
    below = beta**2 * precision + recall
    above = (1 + beta**2) * precision * recall
    return float(np.divide(above, below, out=0 * above, where=below > 0).max())
