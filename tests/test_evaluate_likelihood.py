"""Annealed importance sampling where the likelihood is known: a linear generator."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.evaluate.likelihood import annealed_importance, sigmoid_schedule

VARIANCE = 0.05
MATRIX = np.array([[1.0, 0.3, -0.6, 0.2, 0.5], [0.0, 1.2, 0.4, -0.8, 0.1]])
BIAS = np.array([0.5, 0.0, -1.0, 0.0, 2.0])


def generate(z, spread=1.0):
    return spread * z @ jnp.asarray(MATRIX, z.dtype) + jnp.asarray(BIAS, z.dtype)[None]


def exact(x, spread=1.0):
    """log N(x; bias, G'G + variance I)."""
    cov = spread**2 * MATRIX.T @ MATRIX + VARIANCE * np.eye(5)
    off = np.asarray(x, float) - BIAS
    log_det = np.linalg.slogdet(2 * np.pi * cov)[1]
    return -(log_det + np.einsum("ni,ni->n", off, np.linalg.solve(cov, off.T).T)) / 2


@functools.cache
def annealing(spread=1.0, temperatures=1000, chains=16):
    return annealed_importance(
        functools.partial(generate, spread=spread),
        2,
        variance=VARIANCE,
        temperatures=temperatures,
        chains=chains,
    )


def drawn(n, seed):
    random = np.random.default_rng(seed)
    noise = np.sqrt(VARIANCE) * random.standard_normal((n, 5))
    return random.standard_normal((n, 2)) @ MATRIX + BIAS + noise


def test_the_exact_likelihood_lies_between_the_bounds():
    found = jax.device_get(annealing().bounds(jax.random.key(0), 24))
    truth = exact(found.samples)
    low, high = truth - found.lower, found.upper - truth
    assert np.abs(low).max() < 0.25
    assert np.abs(high).max() < 0.25
    assert abs(low.mean()) < 0.05
    assert abs(high.mean()) < 0.05
    assert (np.abs(found.acceptance - 0.65) < 0.2).all()
    covariance = MATRIX.T @ MATRIX + VARIANCE * np.eye(5)
    spread = np.trace(covariance)
    assert np.square(found.samples - BIAS).sum(axis=1).mean() == pytest.approx(
        spread, rel=5 * np.sqrt(2 / 24)
    )


def test_few_temperatures_leave_the_bounds_apart_each_on_its_side():
    found = jax.device_get(annealing(temperatures=6).bounds(jax.random.key(1), 24))
    truth = exact(found.samples)
    assert (truth - found.lower).mean() > 0.3
    assert (found.upper - truth).mean() > 0.3


def test_the_mean_of_many_weights_is_the_likelihood():
    """However short the way: E w = p, and E 1/w = 1/p of chains that lead back.

    The latter start from one z for each x, which is a part of their chance.
    """
    ran = annealing(temperatures=200, chains=1000)
    found = jax.device_get(ran.bounds(jax.random.key(3), 4))
    truth = exact(found.samples)
    np.testing.assert_allclose(found.lower, truth, atol=0.15)
    np.testing.assert_allclose(found.upper, truth, atol=0.5)


@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_given_samples_and_faults_of_the_generator(spread):
    """Data that it makes, and a mode that it does not have: the likelihood says so."""
    x = drawn(24, seed=2)
    x[16:] += 3 * np.array([0.0, 0.0, 1.0, 0.0, 1.0])
    ran = annealing(spread).estimate(jax.random.key(2), jnp.asarray(x, jnp.float32))
    truth = exact(x, spread)
    np.testing.assert_allclose(ran.lower, truth, atol=0.6)
    assert np.sqrt(np.square(ran.lower - truth).mean()) < 0.2
    assert float(jnp.min(ran.acceptance)) > 0.3
    assert np.mean(ran.lower[:16]) - np.mean(ran.lower[16:]) > 20
    if spread > 1:
        right = exact(x, 1.0)[:16].mean()
        assert np.mean(ran.lower[:16]) < right - 0.5


def test_the_schedule_is_slow_at_both_ends():
    beta = sigmoid_schedule(101)
    steps = np.diff(beta)
    assert (beta[0], beta[-1]) == (0, 1)
    np.testing.assert_allclose(steps, steps[::-1], rtol=1e-9)
    # Slopes of a sigmoid at 0 and at 4: 1/4 and e^4 / (1 + e^4)^2.
    assert steps[50] / steps[0] == pytest.approx(0.25 / 0.01833, rel=0.05)


def test_what_has_no_likelihood_is_refused():
    with pytest.raises(ValueError, match=r"variance is 0\.0"):
        annealed_importance(generate, 2, variance=0.0)
    with pytest.raises(ValueError, match="pilots is 0"):
        annealed_importance(generate, 2, variance=1.0, pilots=0)
    with pytest.raises(ValueError, match="temperatures is 1"):
        annealed_importance(generate, 2, variance=1.0, temperatures=1)
    with pytest.raises(ValueError, match=r"the generator makes \(5,\)"):
        annealing().estimate(jax.random.key(0), jnp.zeros((2, 4)))
