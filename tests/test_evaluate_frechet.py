"""Moments and the Frechet distance against closed forms and float64."""

import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from scipy.linalg import sqrtm

from gan_jax import devices
from gan_jax.evaluate.frechet import frechet_distance, frechet_infinity
from gan_jax.evaluate.moments import (
    Moments,
    gathered,
    merge,
    moments,
    moments_of,
    moments_of_covariance,
    no_moments,
)

RNG = np.random.default_rng(0)
MIX = RNG.standard_normal((6, 6))
X = RNG.standard_normal((203, 6)) @ MIX + RNG.standard_normal(6)
Y = RNG.standard_normal((150, 6)) * np.linspace(0.2, 3, 6)


def by_roots(x, y):
    """The textbook's formula in float64, with SciPy's matrix root."""
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = sqrtm(a)
    cross = np.trace(sqrtm(root @ b @ root)).real
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * cross


def single(x):
    return jnp.asarray(x, jnp.float32)


on_device = jax.jit(moments)


# ----------------------------------------------------------------- closed forms


def test_diagonal_gaussians():
    mean, sd = RNG.standard_normal((2, 5)), RNG.uniform(0.1, 3, (2, 5))
    a, b = (
        moments_of_covariance(9, m, np.diag(s**2))
        for m, s in zip(mean, sd, strict=True)
    )
    wanted = ((mean[0] - mean[1]) ** 2).sum() + ((sd[0] - sd[1]) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-12)
    three = np.array([1.0, 0, 0])
    a = moments_of_covariance(50, 0 * three, np.eye(3))
    assert frechet_distance(
        a, moments_of_covariance(7, three, 4 * np.eye(3))
    ) == pytest.approx(4, rel=1e-12)


def test_two_points_a_side():
    """compare_gan's own example, 89.091 there.

    The means are (1.5, 1) and (5.5, 9), the variances along the first axis 1/4 and
    49/4, times 100/99: 16 + 64 + (3.5 - 0.5)^2 100/99.
    """
    real, fake = np.ones((100, 2)), np.full((100, 2), 9.0)
    real[:50, 0] = fake[50:, 0] = 2
    wanted = 80 + 900 / 99
    assert wanted == pytest.approx(89.091, abs=1e-4)
    for take in (moments, lambda x: on_device(single(x))):
        found = frechet_distance(take(real), take(fake))
        assert found == pytest.approx(wanted, rel=1e-6)


def test_covariances_that_do_not_commute():
    wanted = by_roots(X, Y)
    assert frechet_distance(moments(X), moments(Y)) == pytest.approx(wanted, rel=1e-10)
    kept = [
        moments_of_covariance(len(x), x.mean(0), np.cov(x, rowvar=False))
        for x in (X, Y)
    ]
    assert frechet_distance(*kept) == pytest.approx(wanted, rel=1e-10)


def test_symmetry():
    a, b = on_device(single(X)), on_device(single(X[::2] * 1.1))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6)


def test_equal_sets_have_no_distance_and_near_ones_the_right_one():
    """In float32: a difference of traces would leave 1e-6 of them, of either sign."""
    x = 100 * X
    a, b = on_device(single(x)), on_device(single(RNG.permutation(x)))
    assert 0 <= frechet_distance(a, b) < 1e-4 < 1e-7 * np.square(x).sum() / len(x)
    near = on_device(single(x * (1 + 1e-4)))
    exact = frechet_distance(moments(x), moments(x * (1 + 1e-4)))
    assert exact < 1e-5 * np.square(x - x.mean(0)).sum() / len(x)
    assert frechet_distance(a, near) == pytest.approx(exact, rel=0.02)


# ----------------------------------------------------------------- moments


def gap(a, b):
    """The largest difference of mean and covariance, against the deviations."""
    (n, mean, cov), (m, mean_b, cov_b) = (
        (int(s.n), np.asarray(s.mean, "f8"), np.asarray(s.factor, "f8")) for s in (a, b)
    )
    cov, cov_b = cov.T @ cov / (n - 1), cov_b.T @ cov_b / (m - 1)
    scale = np.trace(cov_b) / len(cov_b)
    assert n == m
    # Not max, which passes over NaN.
    return np.max(
        [abs(mean - mean_b).max() / scale**0.5, abs(cov - cov_b).max() / scale]
    )


def test_moments_are_numpy_s():
    found = moments(X)
    assert int(found.n) == len(X)
    np.testing.assert_allclose(found.mean, X.mean(0), rtol=1e-12)
    cov = found.factor.T @ found.factor / (len(X) - 1)
    np.testing.assert_allclose(cov, np.cov(X, rowvar=False), rtol=1e-10)
    np.testing.assert_array_equal(found.factor, np.triu(found.factor))
    assert gap(on_device(single(X)), found) < 2e-6
    few = moments(X[:3])
    assert few.factor.shape == (6, 6)
    assert gap(few, moments_of([X[:3]])) == 0


def test_a_mean_far_from_zero_costs_no_digits():
    far = np.float32(X + 3e4).astype("f8")  # what float32 makes of it, exactly
    found = on_device(single(far))
    # The mean is rounded, to the nearest number that float32 has there, and only once.
    error = abs(np.asarray(found.mean, "f8") - far.mean(0)).max()
    assert error < 0.6 * np.spacing(np.float32(3e4))
    of, wanted = np.asarray(found.factor, "f8"), np.cov(far, rowvar=False)
    cov = of.T @ of / (len(X) - 1)
    np.testing.assert_allclose(cov, wanted, atol=2e-6 * abs(wanted).max())


def test_rows_without_weight_may_hold_anything():
    rows = np.concatenate([X[:30], np.full((5, 6), np.nan), X[30:40]])
    weights = ~np.isnan(rows[:, 0])
    assert gap(moments(rows, weights), moments(X[:40])) < 1e-14
    assert gap(moments(rows, weights.astype("f4")), moments(X[:40])) < 1e-14
    none = moments(rows, 0 * weights)
    assert (int(none.n), np.abs(none.factor).max(), *none.mean) == (0, 0, *np.zeros(6))


def test_merging_is_taking_together():
    a, b, c = moments(X[:50]), moments(X[50:57]), moments(X[57:])
    for merged in (merge(merge(a, b), c), merge(c, merge(b, a))):
        assert gap(merged, moments(X)) < 1e-13
    own = on_device(single(X))
    for merged in (merge(no_moments(6), own), merge(own, no_moments(6))):
        jax.tree.map(np.testing.assert_array_equal, merged, own)


@pytest.mark.parametrize("size", [1, 4, 7, 50, 203])
def test_a_stream_on_the_host_is_one_batch(size):
    streamed = moments_of(single(X[i : i + size]) for i in range(0, len(X), size))
    assert gap(streamed, moments(np.asarray(single(X)))) < 1e-13
    assert streamed.factor.dtype == np.float64


def test_memory_does_not_grow_with_the_stream():
    """In bytes: some tens of d x d numbers, for 2,000 samples and for 20,000."""
    d = 64

    def peak(count):
        rng = np.random.default_rng(0)
        tracemalloc.start()
        moments_of(rng.standard_normal((100, d)) for _ in range(count))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = peak(20), peak(200)
    assert many < 1.05 * few
    assert few < 50 * 8 * d**2


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_streams_on_devices_are_one_batch(count):
    """Seven batch sizes, the last batch filled up with NaN; devices may be empty."""
    room = 208

    def step(total, rows, weights):
        return merge(total, gathered(moments(rows, weights), "data"))

    whole, split = PartitionSpec(), PartitionSpec("data")
    mapped = jax.jit(
        jax.shard_map(
            step,
            mesh=devices.data_mesh(jax.devices()[:count]),
            in_specs=(whole, split, split),
            out_specs=whole,
        )
    )

    def streamed(size):
        total = no_moments(6)
        for start in range(0, len(X), size):
            rows = np.full((room, 6), np.nan, "f4")
            own = X[start : start + size]
            rows[: len(own)] = own
            total = mapped(total, rows, np.arange(room) < len(own))
        return jax.device_get(total)

    other = moments(Y)
    wanted = frechet_distance(moments(X), other)
    for size in (13, 29, 64, 100, 150, 202, 203):
        found = streamed(size)
        assert int(found.n) == len(X)
        assert gap(found, moments(X)) < 1e-5
        assert frechet_distance(found, other) == pytest.approx(wanted, rel=1e-6)
    again = streamed(13), streamed(13)
    jax.tree.map(np.testing.assert_array_equal, *again)


def test_gathered_under_pmap():
    mapped = jax.pmap(
        lambda x: gathered(moments(x), "data"),
        axis_name="data",
        out_axes=None,
        devices=jax.devices()[:2],
    )
    assert gap(mapped(single(X[:202]).reshape(2, 101, 6)), moments(X[:202])) < 2e-6


# ----------------------------------------------------------------- statistics


def test_fewer_samples_than_dimensions():
    """Against the nuclear norm of the centred samples' product, in float64."""
    rng = np.random.default_rng(1)
    decay = 1 / np.sqrt(np.arange(1, 257))
    x, y = (rng.standard_normal((128, 256)) * decay + shift for shift in (0, 0.05))
    a, b = x - x.mean(0), y - y.mean(0)
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    spread = ((a**2).sum() + (b**2).sum() - 2 * cross) / 127
    wanted = ((x.mean(0) - y.mean(0)) ** 2).sum() + spread
    found = frechet_distance(on_device(single(x)), on_device(single(y)))
    assert found == pytest.approx(wanted, rel=1e-5)


def test_the_bias_of_a_finite_sample():
    """N FD = d (d + 1) / 2 + 2 d for two samples of N(0, I)."""
    rng = np.random.default_rng(2)
    d = 64
    for n in (300, 1000, 3000):
        values = [
            frechet_distance(*(moments(rng.standard_normal((n, d))) for _ in "ab"))
            for _ in range(20)
        ]
        assert n * np.mean(values) == pytest.approx(d * (d + 1) / 2 + 2 * d, rel=0.03)


def test_frechet_infinity_takes_the_bias_off():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 4000, 32))
    y[:, 0] += 1
    found = frechet_infinity(x, y)
    assert found.distances[-1] == pytest.approx(
        frechet_distance(moments(x), moments(y))
    )
    assert found.distances[-1] > 1.1
    # Two samples' means are 1 apart but for sqrt(2 / 4000), squared: 0.045 at one sd.
    assert abs(found.value - 1) < 3 * 0.045
    assert 0 < found.error < 0.05
    assert (len(found.sizes), found.sizes[0], found.sizes[-1]) == (15, 400, 4000)
    other = frechet_infinity(x, y, sizes=range(200, 3000, 200), seed=1)
    assert other.sizes == tuple(range(200, 3000, 200))
    assert abs(other.value - found.value) < 4 * (found.error + other.error)


def test_the_line_and_its_error():
    """Sizes whose distances lie on a line but for known errors."""
    from gan_jax.evaluate.frechet import _at_zero

    x = np.array([0.0, 1.0, 2.0, 3.0])
    value, error = _at_zero(x, 2 - 3 * x)
    assert (value, error) == pytest.approx((2, 0), abs=1e-12)
    _, error = _at_zero(x, 2 - 3 * x + np.array([1.0, -1, -1, 1]))
    # The errors are orthogonal to the line: s^2 = 4 / 2, times 1/4 + 1.5^2 / 5.
    assert error == pytest.approx(np.sqrt(2 * (1 / 4 + 2.25 / 5)))


# ----------------------------------------------------------------- errors


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_distance(moments(X), moments(Y[:, :5])), "6 and 5 dimensions"),
        (lambda: frechet_distance(moments(X[:1]), moments(Y)), "at least 2"),
        (lambda: frechet_distance(moments(X), moments(Y * np.nan)), "not finite"),
        (
            lambda: frechet_distance(
                moments(X), Moments(np.asarray(9), np.zeros(6), np.full((6, 6), np.nan))
            ),
            "not finite",
        ),
        (lambda: moments_of([]), "no batch"),
        (lambda: moments_of([X[:3], Y[:3, :5]]), "5 dimensions after batches of 6"),
        (lambda: moments_of([X, Y[:, :5]]), "5 dimensions after batches of 6"),
        (lambda: moments_of([X, Y * np.inf]), "not finite"),
        (lambda: frechet_infinity(X, Y, sizes=range(10, 100, 10)), "at least ten"),
        (lambda: frechet_infinity(X, Y, sizes=range(70, 170, 10)), "set's 150"),
        (lambda: frechet_infinity(X, Y[:, :5]), "6 dimensions and the fake ones 5"),
    ],
)
def test_what_has_no_distance_is_refused(call, message):
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=message):
        call()
