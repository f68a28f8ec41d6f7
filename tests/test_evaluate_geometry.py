"""The geometry score: living times by brute force; circles and disks where GUDHI is."""

import importlib.util
import sys

import numpy as np
import pytest

from gan_jax.evaluate.geometry import (
    geometry_score,
    mean_living_times,
    relative_living_times,
)

needs_gudhi = pytest.mark.skipif(
    importlib.util.find_spec("gudhi") is None,
    reason="holes are counted by GUDHI: pip install gan_jax[geometry]",
)


def test_living_times_are_the_shares_of_a_fine_grid():
    random = np.random.default_rng(0)
    births = random.uniform(0, 1, 30)
    deaths = births + random.exponential(0.4, 30)
    deaths[:4] = np.inf
    deaths[4] = births[4]  # lives for no time
    times = relative_living_times(np.stack([births, deaths], axis=1), 0.8, holes=9)
    alpha = (np.arange(200_000) + 0.5) / 200_000 * 0.8
    counts = sum(
        (b <= alpha) & (alpha < d) for b, d in zip(births, deaths, strict=True)
    )
    wanted = [(counts == i).mean() for i in range(9)]
    assert counts.max() > 8  # some are left out
    np.testing.assert_allclose(times, wanted, atol=5e-4)


def test_no_holes_are_none_all_the_time():
    times = relative_living_times(np.zeros((0, 2)), 2.0, holes=3)
    assert times.tolist() == [1, 0, 0]
    assert geometry_score(times, np.array([0.5, 0.5, 0])) == 0.5


def test_what_cannot_be_counted_is_refused():
    points = np.random.default_rng(0).standard_normal((40, 2))
    with pytest.raises(ValueError, match="Are all points equal"):
        relative_living_times(np.zeros((1, 2)), 0.0)
    with pytest.raises(ValueError, match="landmarks is 64 of 40 points"):
        mean_living_times(points, seed=0)
    with pytest.raises(ValueError, match="not finite"):
        mean_living_times(points * np.nan, seed=0, landmarks=8)


def test_shares_of_unlike_numbers_are_refused(unchecked):
    with pytest.raises(ValueError, match="shares of 2 and of 3"):
        geometry_score(np.zeros(2), np.zeros(3))


def test_without_gudhi_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gudhi", None)
    points = np.random.default_rng(0).standard_normal((40, 2))
    with pytest.raises(ModuleNotFoundError, match=r"gan_jax\[geometry\]"):
        mean_living_times(points, seed=0, landmarks=8, repeats=1)


def circle(n, seed, share=1.0):
    angle = 2 * np.pi * share * np.random.default_rng(seed).uniform(size=n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def living_times(points, seed=0):
    return mean_living_times(
        points, seed=seed, repeats=15, landmarks=24, gamma=0.1, holes=20
    )


@needs_gudhi
def test_a_hole_tells_a_circle_from_a_disk_and_from_an_arc():
    disk = circle(300, 2) * np.sqrt(np.random.default_rng(3).uniform(size=(300, 1)))
    times = living_times(circle(300, 0))
    assert times[1] > 0.8
    same = geometry_score(times, living_times(circle(300, 1), seed=1))
    filled = geometry_score(times, living_times(disk))
    # A generator that leaves out a quarter of the circle has lost its hole.
    cut = geometry_score(times, living_times(circle(300, 4, share=0.75)))
    assert min(filled, cut) > 20 * same
    # The shape alone: neither place, nor size, nor how often each point comes.
    moved = living_times(3 * circle(300, 0) + 5)
    np.testing.assert_allclose(moved, times, atol=1e-9)


@needs_gudhi
def test_living_times_are_those_of_all_simplices_by_hand():
    """The complex of five landmarks, built from its definition, in lengths."""
    import gudhi

    points = circle(25, 6)
    seed, gamma = 11, 0.6
    chosen = points[np.random.default_rng(seed).choice(25, 5, replace=False)]
    distance = np.linalg.norm(points[:, None] - chosen[None], axis=-1)
    alpha_max = gamma * distance.max()

    def enters(face):
        others = [b for b in range(5) if b not in face]
        far = distance[:, others].min(axis=1) if others else np.inf
        own = (distance[:, face].max(axis=1) - far).clip(0).min()
        smaller = [[a for a in face if a != b] for b in face] if len(face) > 1 else []
        return max([own, *(enters(f) for f in smaller)])

    tree = gudhi.SimplexTree()
    for code in range(1, 32):
        face = [a for a in range(5) if code >> a & 1]
        if len(face) <= 3 and enters(face) <= alpha_max:
            tree.insert(face, enters(face))
    tree.compute_persistence(homology_coeff_field=2)
    intervals = tree.persistence_intervals_in_dimension(1).reshape(-1, 2)
    assert len(intervals)
    times = mean_living_times(
        points, seed=seed, repeats=1, landmarks=5, gamma=gamma, holes=5
    )
    wanted = relative_living_times(intervals, alpha_max, holes=5)
    assert wanted[1] > 0.05
    np.testing.assert_allclose(times, wanted, atol=1e-9)
