"""Neighbours, balls and curves against brute force, closed forms and known faults."""

import itertools

import numpy as np
import pytest

from gan_jax.data.mixtures import mixture_points, ring
from gan_jax.evaluate import points
from gan_jax.evaluate.neighbours import (
    _of_random_labels,
    density_coverage,
    expected_coverage,
    nearest_neighbour_test,
    precision_recall,
    squared_radii,
)
from gan_jax.evaluate.prd import _curve, precision_recall_curve

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((60, 3)), 1.3 * RNG.standard_normal((45, 3))


def apart(x, y):
    return np.array([[np.linalg.norm(a - b) for b in y] for a in x])


def radii(x, k):
    return [sorted(np.linalg.norm(a - b) for b in x)[k] for a in x]  # [0] is its own


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(points, "_BLOCK", 130)


# ----------------------------------------------------------------- distances


def test_distances_between_all_pairs():
    for far in (0.0, 1e6):
        found = points.squared_distances(X + far, Y + far)
        np.testing.assert_allclose(found, apart(X, Y) ** 2, rtol=1e-12 + far * 1e-14)
    both = np.concatenate([X, X[::-1]]) * 1e3 + 7.0
    squared = points.squared_distances(both, both)
    assert (np.diag(squared) == 0).all()
    assert (squared == 0).sum() == 2 * len(both)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_are_the_whole():
    blocks = list(points.distance_blocks(X, Y))
    assert len(blocks) == 30
    rows = np.concatenate([np.arange(60)[rows] for rows, _ in blocks])
    np.testing.assert_array_equal(rows, np.arange(60))
    whole = np.concatenate([squared for _, squared in blocks])
    np.testing.assert_allclose(whole, apart(X, Y) ** 2, rtol=1e-12)
    others = np.concatenate([s for _, s in points.distance_blocks_to_others(X)])
    assert (np.diag(others) == np.inf).all()
    assert np.isfinite(others).sum() == 60 * 59


# ----------------------------------------------------------------- balls


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("blocks", ["one", "small"])
def test_balls_by_brute_force(k, blocks, request):
    if blocks == "small":
        request.getfixturevalue("small_blocks")
    reach = np.array(radii(X, k))
    np.testing.assert_allclose(np.sqrt(squared_radii(X, k)), reach, rtol=1e-9)
    inside = apart(X, Y) <= reach[:, None]
    assert precision_recall(X, Y, k) == (
        pytest.approx(inside.any(axis=0).mean()),
        pytest.approx((apart(X, Y) <= np.array(radii(Y, k))).any(axis=1).mean()),
    )
    assert density_coverage(X, Y, k) == (
        pytest.approx(inside.sum() / k / len(Y)),
        pytest.approx(inside.any(axis=1).mean()),
    )


def test_density_and_coverage_of_one_distribution():
    """Their means are 1 and the closed form, for n = m and for others."""
    rng = np.random.default_rng(1)
    for n, m, k in ((50, 50, 5), (40, 80, 3)):
        found = np.array(
            [
                density_coverage(
                    rng.standard_normal((n, 2)), rng.standard_normal((m, 2)), k
                )
                for _ in range(200)
            ]
        )
        error = found.std(axis=0) / np.sqrt(200)
        wanted = 1, expected_coverage(n, m, k)
        assert (abs(found.mean(axis=0) - wanted) < 4 * error).all()
        assert error[1] < 0.01
    assert expected_coverage(1000, 1000, 3) == pytest.approx(0.8754, abs=1e-4)
    # By hand: three points at k = 1, and the nearer one of two others is a real one.
    assert expected_coverage(2, 1, 1) == pytest.approx(1 / 2)


def test_half_of_the_modes():
    all_modes = mixture_points(ring(), 400, 0)
    x, other = all_modes.arrays["real"], mixture_points(ring(), 800, 1)
    half = other.arrays["real"][other.arrays["label"] < 4][:400]
    found = precision_recall(x, half)
    floor = precision_recall(x, other.arrays["real"][:400])
    share = (all_modes.arrays["label"] < 4).mean()
    assert min(floor) > 0.88
    assert abs(found.precision - floor.precision) < 0.04
    assert abs(found.recall - share * floor.recall) < 0.04
    assert abs(density_coverage(x, half).coverage - share) < 0.05


def test_copies_and_outliers():
    copies = np.repeat(X[:4], 15, axis=0)
    found = precision_recall(X, copies)
    # Copies have balls of no size, which hold the points that they are copies of.
    assert found == (1.0, pytest.approx(4 / 60))
    far = np.concatenate([X, X[:5] + 100])
    assert density_coverage(X, far).coverage == 1
    assert density_coverage(X, X + 100) == (0, 0)
    # A far real sample has a huge ball: precision believes in it, density hardly does.
    outlier = np.concatenate([X, [[1e3, 0, 0]]])
    spread = np.random.default_rng(2).standard_normal((60, 3)) * 20 + 200
    assert precision_recall(outlier, spread).precision == 1
    assert density_coverage(outlier, spread).density < 0.3


@pytest.mark.parametrize("k", [3, 5])
def test_a_copy_of_the_kth_neighbour_is_in_the_ball(k):
    """k + 1 balls hold each copy, however the matrix products rounded."""
    rng = np.random.default_rng(3)
    real = np.maximum(rng.standard_normal((1500, 64)) + 3, 0).astype(np.float32)
    copies = rng.permutation(real)
    assert density_coverage(real, copies, k) == ((k + 1) / k, 1)
    # By hand: the ball around 2 ends at 3, and at 1, which no other ball holds.
    line = np.array([[0.0], [1.0], [3.0], [7.0]])
    assert precision_recall(line, line + 2, 1) == (1, 0.75)


# ----------------------------------------------------------------- 1-NN test


def test_the_nearest_neighbour_test_by_brute_force():
    x, y = X[:40], Y[:40]
    both, label = np.concatenate([x, y]), np.arange(80) < 40
    distance = apart(both, both) + np.diag(np.full(80, np.inf))
    right = label == label[distance.argmin(axis=1)]
    found = nearest_neighbour_test(x, y)
    wanted = right.mean(), right[:40].mean(), right[40:].mean()
    assert found[:3] == pytest.approx(wanted)
    rng = np.random.default_rng(1)
    nearest = distance.argmin(axis=1)
    counts = []
    for _ in range(2000):
        drawn = rng.permutation(label)
        counts.append((drawn == drawn[nearest]).sum())
    away = abs(np.array(counts) - np.mean(counts)) >= abs(right.sum() - np.mean(counts))
    assert abs(found.p_value - away.mean()) < 0.06


def test_the_chance_of_random_labels_by_all_of_them():
    """Arrows of every kind: mutual, to one point, in a chain, apart."""
    for nearest in ([1, 0, 1, 2, 5, 4], [1, 2, 3, 4, 5, 0], [1, 0, 0, 0, 0, 0]):
        nearest = np.array(nearest)
        counts = []
        for chosen in itertools.combinations(range(6), 3):
            label = np.isin(np.arange(6), chosen)
            counts.append((label == label[nearest]).sum())
        assert _of_random_labels(nearest) == pytest.approx(
            (np.mean(counts), np.var(counts))
        )


def test_p_values_of_the_nearest_neighbour_test_are_even():
    rng = np.random.default_rng(2)
    p = [
        nearest_neighbour_test(*rng.standard_normal((2, 60, 2))).p_value
        for _ in range(150)
    ]
    assert abs(np.mean(p) - 0.5) < 4 * np.sqrt(1 / 12 / 150)
    assert np.mean(np.array(p) < 0.1) < 0.2


def test_faults_that_the_nearest_neighbour_sees():
    x = mixture_points(ring(), 400, 0).arrays["real"]
    same, wide = (
        mixture_points(ring(sd=sd), 400, 1).arrays["real"] for sd in (0.02, 0.04)
    )
    assert nearest_neighbour_test(x, same).p_value > 0.01
    found = nearest_neighbour_test(x, wide)
    assert found.accuracy > 0.6
    assert found.p_value < 1e-6
    one = nearest_neighbour_test(x, np.repeat(same[:1], 400, axis=0))
    assert (one.real > 0.9, one.fake) == (True, 1)
    # Copies of the real samples: their nearest neighbours are of the other set.
    copied = nearest_neighbour_test(x, x + 1e-9)
    assert copied.accuracy < 0.1
    assert copied.p_value < 1e-6


def test_ties_fall_to_either_side():
    """On a grid most samples have neighbours of both sets at one distance, 0."""
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 2, (2, 200, 2)).astype(float)
    found = nearest_neighbour_test(x, y)
    assert abs(found.real - 0.5) < 0.2
    assert abs(found.fake - 0.5) < 0.2
    assert found != nearest_neighbour_test(x, y, seed=1)


# ----------------------------------------------------------------- PRD


def test_the_curve_of_two_histograms():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.5, 0.5])
    precision, recall = _curve(p, q, 5)
    for i, angle in enumerate(np.linspace(0, np.pi / 2, 5)[1:4], start=1):
        slope = np.tan(angle)
        shared = sum(min(slope * a, b) for a, b in zip(p, q, strict=True))
        found = precision[i], recall[i]
        assert found == pytest.approx((shared, shared / slope), rel=1e-6)
    # The ends: all of what q shares with p, and all of what p shares with q.
    assert (recall[0], precision[-1]) == pytest.approx((0.5, 0.5))
    assert (precision[0], recall[-1]) == pytest.approx((0, 0), abs=1e-6)


def test_prd_of_equal_and_of_disjoint_sets():
    equal = precision_recall_curve(X, X[::-1], runs=2)
    assert equal[2:] == pytest.approx((1, 1))
    disjoint = precision_recall_curve(X, X + 100, clusters=4, runs=2)
    assert disjoint[2:] == pytest.approx((0, 0), abs=1e-9)
    assert len(disjoint.precision) == len(disjoint.recall) == 1001


def test_prd_tells_missing_modes_from_junk():
    x, other = (mixture_points(ring(), n, n) for n in (400, 800))
    x = x.arrays["real"]
    half = other.arrays["real"][other.arrays["label"] < 4][:400]
    junk = other.arrays["real"][:400].copy()
    junk[::2] += 10
    missing, added = (
        precision_recall_curve(x, z, clusters=16, runs=3) for z in (half, junk)
    )
    for curve in (missing, added):
        p, r = curve.precision, curve.recall
        with np.errstate(invalid="ignore"):  # 0 / 0 at the ends
            f8, f_eighth = (65 * p * r / (64 * a + b) for a, b in ((p, r), (r, p)))
        assert curve.f_recall == pytest.approx(np.nanmax(f8), rel=1e-12)
        assert curve.f_precision == pytest.approx(np.nanmax(f_eighth), rel=1e-12)
    assert missing.f_precision > 0.9
    assert missing.f_recall == pytest.approx(0.5, abs=0.1)
    assert added.f_recall > 0.85
    assert added.f_precision == pytest.approx(0.5, abs=0.1)
    again = precision_recall_curve(x, half, clusters=16, runs=3)
    assert again[2:] == missing[2:]


# ----------------------------------------------------------------- errors


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: precision_recall(X[:3], Y), "needs 4 of each"),
        (lambda: density_coverage(X, Y, 0), "k is 0"),
        (lambda: density_coverage(X, Y[:, :2]), "3 dimensions and the fake ones 2"),
        (lambda: nearest_neighbour_test(X, Y), "60 real and 45 fake"),
        (lambda: precision_recall_curve(X, Y), "equally many"),
        (lambda: precision_recall_curve(X, X, clusters=121), "2 to 120 clusters"),
        (lambda: precision_recall_curve(X, X, runs=0), "at least 1 run"),
        (lambda: points.points(np.zeros((0, 3)), "real"), r"\(0, 3\)"),
        (lambda: precision_recall(X, np.full((9, 3), np.inf)), "9 of 9 fake samples"),
    ],
)
def test_sets_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
