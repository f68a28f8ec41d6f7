"""Chains against the variances and moments that theory gives them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.langevin import hmc, langevin, mala


def half_square(x):
    return jnp.square(x).sum(axis=1) / 2


def keys_of(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


def hmc_chain(keys, start, energy, step_size, steps):
    """Moves of three leapfrog steps, one after another."""

    def move(x, number):
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
        return hmc(own, x, energy, step_size, leapfrog=3)

    x, taken = jax.lax.scan(move, start, jnp.arange(steps))
    return x, taken.mean(axis=0)


@pytest.mark.parametrize("step_size", [0.25, 1.0, 2.0])
def test_the_unadjusted_chain_has_the_variance_of_its_step(step_size):
    """x' = (1 - e/2) x + sqrt(e) n: the variance is e / (1 - (1 - e/2)^2)."""
    n, steps = 20_000, 80
    run = jax.jit(partial(langevin, energy=half_square, step_size=step_size, steps=80))
    x = np.asarray(run(keys_of(n), jnp.ones((n, 2))))
    # From 1, the mean shrinks by 1 - e/2 a step: 2e-5 is left for the smallest e.
    assert (1 - step_size / 2) ** steps < 1e-4
    variance = 1 / (1 - step_size / 4)
    deviation = variance * np.sqrt(2 / x.size)
    assert abs(x.var() - variance) < 5 * deviation
    assert abs(x.mean()) < 5 * np.sqrt(variance / x.size)
    assert abs(np.mean(x[:, 0] * x[:, 1])) < 5 * variance / np.sqrt(n)


def test_the_corrected_chain_has_the_target_s_own_variance():
    """At e = 1, where an uncorrected chain has 4/3; and it takes what it should take.

    On N(0, I) the whole ratio is exp(e/8 (||x||^2 - ||x'||^2)), summed over a grid.
    """
    n = 120_000
    with jax.enable_x64():
        start = jnp.asarray(np.random.default_rng(0).standard_normal((n, 1)))
        run = jax.jit(partial(mala, energy=half_square, step_size=1.0, steps=30))
        x, acceptance = jax.device_get(run(keys_of(n), start))
    assert abs(x.var() - 1) < 0.02
    assert abs((x**4).mean() - 3) < 5 * np.sqrt(96 / n)
    grid = np.linspace(-7, 7, 701)
    density = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi) * (grid[1] - grid[0])
    moved = grid[:, None] / 2 + grid[None]
    taken = np.minimum(1, np.exp((grid[:, None] ** 2 - moved**2) / 8))
    wanted = density @ taken @ density
    assert 0.8 < wanted < 0.97
    assert acceptance.mean() == pytest.approx(wanted, abs=5 * 0.5 / np.sqrt(n))


@pytest.mark.parametrize(("chain", "step_size"), [(mala, 0.5), (hmc_chain, 0.6)])
def test_the_corrected_chain_on_a_density_that_is_no_gaussian(chain, step_size):
    """Double well in two dimensions, far from small steps: moments by quadrature."""

    def well(x):
        return (jnp.square(x[:, 0]) - 1) ** 2 + jnp.square(x[:, 1] - x[:, 0])

    n = 20_000
    run = jax.jit(partial(chain, energy=well, step_size=step_size, steps=60))
    start = jax.random.normal(jax.random.key(1), (n, 2)) / 2
    x, acceptance = jax.device_get(run(keys_of(n), start))
    # What is always taken would need no correction, and show no fault of it.
    assert 0.3 < acceptance.mean() < 0.9
    a, b = np.meshgrid(np.linspace(-4, 4, 400), np.linspace(-6, 6, 400))
    p = np.exp(-((a**2 - 1) ** 2) - (b - a) ** 2)
    p /= p.sum()
    for moment in (lambda a, b: a * a, lambda a, b: a * b, lambda a, b: b * b):
        mean = (p * moment(a, b)).sum()
        deviation = np.sqrt((p * (moment(a, b) - mean) ** 2).sum() / n)
        assert abs(moment(x[:, 0], x[:, 1]).mean() - mean) < 5 * deviation


def test_options_of_a_chain_and_its_independence():
    """Slopes are cut, then samples; noise has its own size; chains do not meet."""
    start = np.array([[-3.0], [0.1], [0.8], [3.0]], np.float32)
    x = start.copy()
    for _ in range(3):
        x = np.clip(x - 0.5 * np.clip(x, -0.5, 0.5), -0.2, 2.0)
    options = {"step_size": 1.0, "steps": 3, "slope_limit": 0.5, "bounds": (-0.2, 2.0)}
    run = jax.jit(partial(langevin, energy=half_square, noise=0.0, **options))
    np.testing.assert_allclose(run(keys_of(4), jnp.asarray(start)), x, atol=1e-6)
    flat = lambda x: 0 * x[:, 0]
    wide = jax.jit(partial(langevin, energy=flat, step_size=1.0, steps=1, noise=3.0))
    moved = wide(keys_of(4000), jnp.zeros((4000, 1)))
    assert float(jnp.std(moved)) == pytest.approx(3, abs=5 * 3 / np.sqrt(8000))
    some = [
        run(keys_of(4)[:n], jnp.asarray(start[:n]))
        for run in (
            jax.jit(partial(langevin, energy=half_square, step_size=0.5, steps=3)),
            jax.jit(partial(mala, energy=half_square, step_size=0.5, steps=3)),
            jax.jit(partial(hmc_chain, energy=half_square, step_size=0.5, steps=3)),
        )
        for n in (2, 4)
    ]
    np.testing.assert_array_equal(some[0], some[1][:2])
    for few, all_ in zip([*some[2], *some[4]], [*some[3], *some[5]], strict=True):
        np.testing.assert_array_equal(few, all_[:2])


@pytest.mark.parametrize("sampler", [hmc, langevin, mala])
@pytest.mark.parametrize(("size", "steps"), [(0.0, 3), (1.0, 0)])
def test_a_chain_that_cannot_move_is_refused(sampler, size, steps):
    with pytest.raises(ValueError, match=r"but a (step|chain) has"):
        sampler(keys_of(2), jnp.zeros((2, 1)), half_square, size, steps)
