"""Kernel distances against loops, another implementation, and what chance gives."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.data.mixtures import mixture_points, ring
from gan_jax.evaluate.kernels import kernel_distance, mean_discrepancy
from gan_jax.moments import gaussian, mmd2

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((9, 4)), RNG.standard_normal((7, 4)) + 0.5


def by_loops(k, x, y):
    within = [
        np.mean([k(a, b) for a, b in itertools.permutations(z, 2)]) for z in (x, y)
    ]
    return sum(within) - 2 * np.mean([k(a, b) for a in x for b in y])


def test_the_kernel_distance_by_loops():
    """One subset of the whole of both sets, and the mean over pairs of them."""

    def cubic(a, b):
        return (a @ b / 4 + 1) ** 3

    whole = kernel_distance(X[:7], Y)
    assert whole.value == pytest.approx(by_loops(cubic, X[:7], Y), rel=1e-12)
    assert (whole.subsets, whole.size) == (1, 7)
    assert np.isnan(whole.deviation)
    pairs = kernel_distance(X, Y, subsets=400, size=2)
    every = [
        by_loops(cubic, X[list(i)], Y[list(j)])
        for i in itertools.combinations(range(9), 2)
        for j in itertools.combinations(range(7), 2)
    ]
    assert abs(pairs.value - np.mean(every)) < 4 * np.std(every) / 20
    assert pairs.deviation == pytest.approx(np.std(every), rel=0.2)
    assert (pairs.subsets, pairs.size) == (400, 2)
    assert pairs == kernel_distance(X, Y, subsets=400, size=2)
    assert pairs != kernel_distance(X, Y, subsets=400, size=2, seed=1)


def test_the_kernel_distance_of_one_distribution_is_0_on_average():
    rng = np.random.default_rng(1)
    values = np.array(
        [kernel_distance(*rng.standard_normal((2, 100, 16))).value for _ in range(100)]
    )
    assert abs(values.mean()) < 4 * values.std() / 10
    assert 30 < (values < 0).sum() < 75
    x, y = rng.standard_normal((2, 100, 16))
    assert kernel_distance(x, y + 0.5).value > 10 * values.std()


def test_the_mean_discrepancy_is_the_one_that_trains():
    found = mean_discrepancy(X, Y, scales=(0.5, 2.0))
    both = np.concatenate([X, Y])
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(both, 2)]
    width = np.median(apart)
    assert found.widths == pytest.approx((0.5 * width, 2 * width))
    with jax.enable_x64():
        compiled = jax.jit(partial(mmd2, gaussian(found.widths)))
        wanted = float(compiled(jnp.asarray(X), jnp.asarray(Y)))
    assert found.value == pytest.approx(wanted, rel=1e-10)
    assert np.isnan(found.p_value)
    assert len(mean_discrepancy(X, Y).widths) == 3


def test_the_p_value_counts_relabellings():
    """All C(6, 2) of them, against 2,000 drawn at random."""
    x, y = X[:2], np.concatenate([X[2:4], Y[:2]])
    found = mean_discrepancy(x, y, permutations=2000)
    both = np.concatenate([x, y])

    def k(a, b):
        return sum(np.exp(-((a - b) @ (a - b)) / (2 * w**2)) for w in found.widths)

    values = []
    for chosen in itertools.combinations(range(6), 2):
        mask = np.isin(np.arange(6), chosen)
        values.append(by_loops(k, both[mask], both[~mask]))
    assert found.value == pytest.approx(values[0], rel=1e-10)
    share = np.mean(np.array(values) >= values[0] - 1e-9)
    assert 0 < share < 1
    assert abs(found.p_value - share) < 4 * np.sqrt(share * (1 - share) / 2000)


def test_p_values_of_one_distribution_are_even():
    rng = np.random.default_rng(2)
    p = [
        mean_discrepancy(*rng.standard_normal((2, 20, 2)), permutations=99).p_value
        for _ in range(100)
    ]
    assert abs(np.mean(p) - 0.5) < 4 * np.sqrt(1 / 12 / 100)
    assert min(p) >= 0.01


def test_a_missing_mode_is_seen_and_a_doubled_spread_hardly():
    x, y, wide = (
        mixture_points(ring(sd=sd), 400, seed).arrays["real"]
        for seed, sd in ((0, 0.02), (1, 0.02), (2, 0.04))
    )
    missing = mixture_points(ring(), 800, 3)
    seven = missing.arrays["real"][missing.arrays["label"] > 0][:400]
    same, fewer, wider = (mean_discrepancy(x, z).value for z in (y, seven, wide))
    assert abs(same) < 5e-3
    assert abs(wider) < 5e-3
    assert fewer > 8e-3


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernel_distance(X[:1], Y), "needs 2 of each"),
        (lambda: kernel_distance(X, Y, subsets=0), "at least one subset"),
        (lambda: kernel_distance(X, Y, size=1), "at least two samples"),
        (lambda: kernel_distance(X[0], Y), r"\(n, d\) is wanted"),
        (lambda: mean_discrepancy(X, Y, scales=()), "all positive"),
        (lambda: mean_discrepancy(X, Y, scales=(1.0, 0.0)), "all positive"),
        (lambda: mean_discrepancy(0 * X, 0 * Y), "no median distance"),
        (lambda: mean_discrepancy(np.zeros((4000, 1)), np.ones((1001, 1))), "at most"),
        (lambda: mean_discrepancy(X * np.nan, Y), "9 of 9 real samples"),
    ],
)
def test_what_is_not_compared_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
