"""The Frechet distance: two sets of features, compared by mean and covariance.

    FD = |m_a - m_b|^2 + tr S_a + tr S_b - 2 tr (S_a^1/2 S_b S_a^1/2)^1/2,

the squared Wasserstein-2 distance of the Gaussians with these moments. With factors
S = R^T R the trace of the root is the sum of the singular values of R_a R_b^T = U s V,
and the three traces together are

    min_Q ||R_a - Q R_b||^2 over orthogonal Q,  which is at Q = U V.

So FD is a sum of squares here: never negative, never complex, and 0 for equal sets up
to the square of the rounding, where a difference of traces is left with the rounding
itself. No matrix root is taken, and covariances of lower rank need no care.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gan_jax.evaluate.moments import Moments, moments
from gan_jax.evaluate.points import AnyArray, two_sets


class FrechetInfinity(NamedTuple):
    """The Frechet distance that an endless sample would have.

    Attributes:
      value: the line's height at 1 / N = 0. It may be negative near 0.
      error: its standard error, of the fit alone: it knows nothing of how other
        samples of the same generator would differ.
      sizes: the N.
      distances: the Frechet distance at each.
    """

    value: float
    error: float
    sizes: tuple[int, ...]
    distances: tuple[float, ...]


def frechet_distance(a: Moments, b: Moments) -> float:
    """FD, the squared distance, as FID is.

    Its d x d algebra is NumPy's, in float64 on the host, whatever the moments were
    gathered on; it is done once a report. For two samples of one distribution FD is not
    0: of N(0, I) it is about (d (d + 1) / 2 + 2 d) / N, so N belongs to every figure.

    Args:
      a, b: from `gan_jax.evaluate.moments`.

    Returns:
      The distance, in squared units of the features.

    Raises:
      ValueError: for moments of several dimensions, of fewer than 2 samples, or with
        values that are not finite.

    References: Dowson and Landau, "The Frechet distance between multivariate normal
    distributions", 1982; Heusel et al., "GANs Trained by a Two Time-Scale Update Rule
    Converge to a Local Nash Equilibrium", 2017, arXiv:1706.08500; Bhatia, Jain and Lim,
    "On the Bures-Wasserstein distance between positive definite matrices", 2019,
    arXiv:1712.01504, for the minimum over Q.

    >>> import numpy as np
    >>> a, b = moments(np.array([[0.0], [2.0]])), moments(np.array([[5.0], [5.0]]))
    >>> round(frechet_distance(a, b), 6)
    18.0
    """
    (mean_a, root_a), (mean_b, root_b) = _mean_and_root(a), _mean_and_root(b)
    if mean_a.shape != mean_b.shape:
        raise ValueError(
            f"the moments have {len(mean_a)} and {len(mean_b)} dimensions, but both "
            "must be of one feature function."
        )
    u, _, v = np.linalg.svd(root_a @ root_b.T)
    gap = root_a - u @ v @ root_b
    return float(np.square(mean_a - mean_b).sum() + np.square(gap).sum())


def frechet_infinity(
    real: Float[AnyArray, "n d"],
    fake: Float[AnyArray, "m d"],
    *,
    sizes: Sequence[int] | None = None,
    seed: int = 0,
) -> FrechetInfinity:
    """FD without the bias of a finite sample: a line in 1 / N, read at 1 / N = 0.

    FD_N = FD_infinity + c / N + ..., where c is another one for every generator, so
    that generators may change places between two N. N samples are drawn of either side
    for every N.

    Args:
      real, fake: features, at least ten times as many as the smallest N is good.
      sizes: the N, at least ten; by default 15 of them, evenly from a tenth of the
        smaller set to the whole of it.
      seed: of the draws.

    Raises:
      ValueError: for fewer than ten sizes, or sizes that cannot be drawn.

    Reference: Chong and Forsyth, "Effectively Unbiased FID and Inception Score and
    where to find them", 2020, arXiv:1911.07023. There the real side is not cut.
    """
    x, y = two_sets(real, fake)
    most = min(len(x), len(y))
    if sizes is None:
        sizes = [round(size) for size in np.linspace(most / 10, most, 15)]
    if len(set(sizes)) < 10 or min(sizes) < 2 or max(sizes) > most:
        raise ValueError(
            f"sizes are {list(sizes)}, but a line wants at least ten sizes, all "
            f"between 2 and the smaller set's {most}. Give others, or more samples."
        )
    random = np.random.default_rng(seed)

    def drawn(rows: np.ndarray, size: int) -> Moments:
        return moments(rows[random.choice(len(rows), size, replace=False)])

    distances = [
        frechet_distance(drawn(x, size), drawn(y, size)) for size in map(int, sizes)
    ]
    value, error = _at_zero(1 / np.asarray(sizes, np.float64), np.asarray(distances))
    return FrechetInfinity(value, error, tuple(map(int, sizes)), tuple(distances))


def _mean_and_root(of: Moments) -> tuple[np.ndarray, np.ndarray]:
    """The mean, and R / sqrt(n - 1), whose square is the covariance; in float64."""
    count = int(of.n)
    mean, factor = (np.asarray(x, np.float64) for x in (of.mean, of.factor))
    if count < 2:
        raise ValueError(
            f"the moments are of {count} samples, but a covariance wants at least 2."
        )
    if not (np.isfinite(mean).all() and np.isfinite(factor).all()):
        raise ValueError(
            "the moments are not finite, so some sample's features are not. A distance "
            "of the others would hide that; find out where they come from."
        )
    return mean, factor / np.sqrt(count - 1)


def _at_zero(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The least-squares line's height at x = 0, and its standard error."""
    rows = np.stack([np.ones_like(x), x], axis=1)
    coefficients, *_ = np.linalg.lstsq(rows, y)
    rest = np.square(y - rows @ coefficients).sum() / (len(x) - 2)
    spread = rest * np.linalg.inv(rows.T @ rows)
    return float(coefficients[0]), float(np.sqrt(spread[0, 0]))
