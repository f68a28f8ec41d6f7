"""Features as points: what the measures here take, checked, on the host, in float64.

Features leave the device as float32. What is done with them once a report, distances
between all pairs and matrices of d x d, is done on the host. In float64 a sum of a
million terms and a small distance between long vectors keep their digits, and a TPU has
no float64. Distances come in blocks of rows, so that memory grows with n, not with n^2.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Array, Float

AnyArray = Array | np.ndarray  # on a device or on the host
Points = Float[np.ndarray, "_ d"]  # any number of samples

_BLOCK = 2**22  # distances held at once: 32 MiB


def points(features: AnyArray, name: str) -> Points:
    """``features`` on the host in float64.

    Args:
      features: (n, d), one row a sample.
      name: of the set, for the message.

    Raises:
      ValueError: for another shape, an empty set, or values that are not finite.
    """
    found = np.asarray(features)
    if found.ndim != 2 or not found.size:
        raise ValueError(
            f"the {name} features have the shape {found.shape}, but (n, d) is wanted, "
            "one row a sample. Flatten each sample's features to one row."
        )
    found = found.astype(np.float64)
    bad = int((~np.isfinite(found)).any(axis=1).sum())
    if bad:
        raise ValueError(
            f"{bad} of {len(found)} {name} samples have features that are not finite. "
            "A distance of the others would hide that; find out where they come from."
        )
    return found


def two_sets(
    real: AnyArray, fake: AnyArray, at_least: int = 1, equal: bool = False
) -> tuple[Points, Points]:
    """Both sets as `points` of one space.

    Args:
      real, fake: (n, d) and (m, d).
      at_least: how many samples of each the measure needs.
      equal: whether it wants n = m.

    Raises:
      ValueError: for features of two dimensions, too few samples, or unequally many.
    """
    x, y = points(real, "real"), points(fake, "fake")
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"the real features have {x.shape[1]} dimensions and the fake ones "
            f"{y.shape[1]}, but both must come from one feature function."
        )
    if min(len(x), len(y)) < at_least:
        raise ValueError(
            f"there are {len(x)} real and {len(y)} fake samples, but this measure "
            f"needs {at_least} of each. Give more samples, or ask for fewer neighbours."
        )
    if equal and len(x) != len(y):
        raise ValueError(
            f"there are {len(x)} real and {len(y)} fake samples, but this measure has "
            "its meaning for equally many only. Cut the larger set at random."
        )
    return x, y


def squared_distances(x: Points, y: Points) -> np.ndarray:
    """``||x_i - y_j||^2`` as (n, m), 0 for equal points.

    By one matrix product, of centred points: a mean that all points share would
    otherwise be squared and cancelled. What is left of equal points after rounding is
    taken for 0.

    >>> import numpy as np
    >>> x = np.array([[1e6, 0.0], [1e6, 3.0]])
    >>> squared_distances(x, x).tolist()
    [[0.0, 9.0], [9.0, 0.0]]
    """
    centre = y.mean(axis=0, keepdims=True)
    x, y = x - centre, y - centre
    lengths = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)[None]
    squared = lengths - 2 * (x @ y.T)
    rounding = (x.shape[1] + 2) * np.finfo(np.float64).eps
    squared[squared <= rounding * lengths] = 0.0
    return squared


def distance_blocks(x: Points, y: Points) -> Iterator[tuple[slice, np.ndarray]]:
    """Some rows of x at a time, with their `squared_distances` to all of y."""
    rows = max(1, _BLOCK // len(y))
    for start in range(0, len(x), rows):
        block = slice(start, min(start + rows, len(x)))
        yield block, squared_distances(x[block], y)


def distance_blocks_to_others(x: Points) -> Iterator[tuple[slice, np.ndarray]]:
    """`distance_blocks` of x to itself, where a point is infinitely far from itself."""
    for rows, squared in distance_blocks(x, x):
        own = np.arange(rows.start, rows.stop)
        squared[own - rows.start, own] = np.inf
        yield rows, squared
