"""The geometry score: do generated samples have as many holes as the data?

Samples are taken for points of a surface. Landmarks among them are joined into a
complex, the more of them the larger alpha is, and the holes of the complex are counted
as alpha grows: by how long i holes are open, relative to all, a surface is known. The
score needs no network and no features, and sees the shape alone: neither the density on
it nor its place.

References: Khrulkov and Oseledets, "Geometry Score: A Method For Comparing Generative
Adversarial Networks", 2018, arXiv:1802.02664; de Silva and Carlsson, "Topological
estimation using witness complexes", 2004.
"""

import importlib
from typing import Any

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "n d"]
Times = Float[np.ndarray, " holes"]


def relative_living_times(
    intervals: Float[np.ndarray, "k 2"], alpha_max: float, holes: int = 100
) -> Times:
    """RLT_i: for which share of alpha in [0, alpha_max] exactly i holes are open.

    Args:
      intervals: birth and death of each hole, on the scale of alpha. A hole that never
        closes has the death infinity.
      alpha_max: where counting ends.
      holes: i runs from 0 to holes - 1. What has more holes at once is left out, and
        the shares then sum to less than 1.

    Returns:
      The shares.

    Raises:
      ValueError: for an alpha_max or a number of holes that is not positive.

    >>> import numpy as np
    >>> relative_living_times(np.array([[1.0, 3.0], [2.0, np.inf]]), 4.0, 3).tolist()
    [0.25, 0.5, 0.25]
    """
    if not alpha_max > 0 or holes < 1:
        raise ValueError(
            f"alpha_max is {alpha_max} and holes is {holes}, but both must be "
            "positive: shares are taken of [0, alpha_max]. Are all points equal?"
        )
    births, deaths = np.clip(
        np.asarray(intervals, float).reshape(-1, 2).T, 0, alpha_max
    )
    # The number of open holes changes at these places only, by so much.
    places = np.concatenate([[0.0], births, deaths, [alpha_max]])
    changes = np.repeat([0, 1, -1, 0], [1, len(births), len(deaths), 1])
    order = np.argsort(places, kind="stable")
    length = np.diff(places[order])
    lived = length > 0
    open_now = np.cumsum(changes[order])[:-1][lived]
    times = np.bincount(open_now, length[lived], minlength=holes)[:holes]
    return times / alpha_max


def mean_living_times(
    points: Points,
    *,
    seed: int,
    repeats: int = 1000,
    landmarks: int = 64,
    gamma: float | None = None,
    holes: int = 100,
) -> Times:
    """MRLT: the mean of `relative_living_times` over random landmarks.

    A simplex of landmarks belongs to the complex at alpha if for each of its faces
    there is a point w, its witness, with

        ||w - a|| <= ||w - b|| + alpha  for all landmarks a of the face, b not of it.

    Lengths are compared, not their squares, as in the authors' code. (GUDHI calls the
    bound ``max_alpha_square``, since its own tables hold squares. It is on the scale of
    the table, and ours holds lengths.) Unlike there, landmarks are drawn without
    replacement: two equal ones are one landmark less.

    Args:
      points: samples, or their features, flattened.
      seed: of the landmarks.
      repeats: how many times they are drawn; 1000 in the paper.
      landmarks: how many points are joined; 64 in the paper.
      gamma: alpha_max by the largest distance of a point from a landmark; by default
        (1/128) n / 5000 as in the paper, where n is mostly 5000. Only scores of one
        gamma can be compared: give it where sets differ in size.
      holes: see `relative_living_times`.

    Returns:
      The mean shares.

    Raises:
      ValueError: for fewer points than landmarks, fewer than 2 landmarks or 1 repeat,
        points that are not finite or all equal.
      ModuleNotFoundError: without GUDHI.
    """
    n = len(points)
    if not 2 <= landmarks <= n or repeats < 1:
        raise ValueError(
            f"landmarks is {landmarks} of {n} points and repeats is {repeats}, but "
            "landmarks are distinct points: give at least 2 of them, at least as many "
            "points, and at least 1 repeat."
        )
    points = np.asarray(points, np.float64)
    if not np.isfinite(points).all():
        raise ValueError(
            "some points are not finite, and have no place. Leave them out."
        )
    gamma = n / 5000 / 128 if gamma is None else gamma
    random = np.random.default_rng(seed)
    total = np.zeros(holes)
    for _ in range(repeats):
        chosen = points[random.choice(n, landmarks, replace=False)]
        total += relative_living_times(*_open_holes(points, chosen, gamma), holes)
    return total / repeats


def geometry_score(a: Times, b: Times) -> float:
    """GS = sum_i (MRLT_i(a) - MRLT_i(b))^2, 0 for equal shapes.

    Args:
      a, b: from `mean_living_times`, at one gamma and one number of landmarks.

    Raises:
      ValueError: for another number of shares.
    """
    if a.shape != b.shape:
        raise ValueError(
            f"there are shares of {len(a)} and of {len(b)} numbers of holes. Give both "
            "the same `holes`."
        )
    return float(np.square(a - b).sum())


def _open_holes(
    points: Points, chosen: Float[np.ndarray, "landmarks d"], gamma: float
) -> tuple[Float[np.ndarray, "k 2"], float]:
    """Births and deaths of one-dimensional holes, and alpha_max."""
    from scipy.spatial.distance import cdist

    distance = cdist(points, chosen)
    order = np.argsort(distance, axis=1)
    near = np.take_along_axis(distance, order, axis=1)
    alpha_max = gamma * float(distance.max())
    table = [
        list(zip(who, far, strict=True))
        for who, far in zip(order.tolist(), near.tolist(), strict=True)
    ]
    complex_ = _gudhi().WitnessComplex(table)
    tree = complex_.create_simplex_tree(max_alpha_square=alpha_max, limit_dimension=2)
    tree.compute_persistence(homology_coeff_field=2)
    found = np.asarray(tree.persistence_intervals_in_dimension(1), float)
    return found.reshape(-1, 2), alpha_max


def _gudhi() -> Any:
    try:
        return importlib.import_module("gudhi")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the geometry score counts holes with GUDHI, which is not installed: "
            "`pip install gan_jax[geometry]`."
        ) from error
