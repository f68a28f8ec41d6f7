"""Penalties against their closed forms for a linear and for a quadratic D."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import penalties

W = jnp.array([[3.0, -4.0]])  # norm 5
REAL = jnp.array([[1.0, 2.0], [0.0, -1.0], [2.0, 2.0]])
FAKE = jnp.array([[-1.0, 0.5], [3.0, 3.0], [0.0, 0.0]])
KEYS = jax.random.split(jax.random.key(0), 3)
STEP = jnp.asarray(0)


def linear(x):
    return (x * W).sum(-1)


def quadratic(x):
    return jnp.square(x).sum(-1) / 2  # its slope at x is x


def cost(penalty, disc=linear, step=STEP):
    return float(penalty(disc, REAL, FAKE, KEYS, step))


@pytest.mark.parametrize(
    ("penalty", "wanted"),
    [
        (penalties.r1(2.0), 25.0),
        (penalties.r2(2.0), 25.0),
        (penalties.zero_centred(2.0), 50.0),
        (penalties.wgan_gp(2.0), 2 * 16.0),
        (penalties.wgan_gp(2.0, one_sided=True), 2 * 16.0),
        (penalties.wgan_gp(2.0, target=6.0), 2 * 1.0),
        (penalties.wgan_gp(2.0, target=6.0, one_sided=True), 0.0),
        (penalties.dragan(2.0), 2 * 16.0),
        (penalties.total(penalties.r1(2.0), penalties.r2(4.0)), 75.0),
    ],
)
def test_a_linear_discriminator_has_one_slope(penalty, wanted):
    assert cost(penalty) == pytest.approx(wanted, rel=1e-5)


def test_where_the_slope_is_taken():
    norms = lambda x: float(jnp.square(x).sum(-1).mean())
    assert cost(penalties.r1(2.0), quadratic) == pytest.approx(norms(REAL))
    assert cost(penalties.r2(2.0), quadratic) == pytest.approx(norms(FAKE))


def test_interpolates_lie_between_and_have_one_share_per_sample():
    between = penalties._between(REAL, FAKE, KEYS)
    shares = (between - FAKE) / jnp.where(REAL == FAKE, 1.0, REAL - FAKE)
    assert bool(((shares >= 0) & (shares <= 1)).all())
    np.testing.assert_allclose(shares[:, 0], shares[:, 1], rtol=1e-5)
    assert len(set(np.round(np.asarray(shares[:, 0]), 6).tolist())) == 3


def test_dragan_stays_near_the_data():
    held = {}

    def disc(x):
        held["x"] = x
        return jnp.square(x - REAL).sum(-1) / 2  # its slope is the displacement

    penalty = penalties.dragan(1.0, target=0.0, spread=0.5)
    size = cost(penalty, disc)
    bound = (0.5 * float(REAL.std())) ** 2 * REAL.shape[1]
    assert 0 < size < bound


@pytest.mark.parametrize("name", ["r1", "r2", "zero_centred", "wgan_gp", "dragan"])
def test_weights_may_follow_a_schedule(name):
    constant = getattr(penalties, name)(6.0)
    scheduled = getattr(penalties, name)(lambda step: 2.0 * step)
    assert cost(scheduled, step=jnp.asarray(3)) == pytest.approx(cost(constant))


def test_lazy_penalties_are_seldom_and_as_strong_in_all():
    always = penalties.r1(2.0)
    assert penalties.lazy(always, every=1) is always
    lazy = penalties.lazy(always, every=4)
    costs = [cost(lazy, step=jnp.asarray(step)) for step in range(8)]
    assert costs == pytest.approx([100.0, 0, 0, 0, 100.0, 0, 0, 0])
    assert sum(costs) / 8 == pytest.approx(cost(penalties.r1(2.0)))
    with pytest.raises(ValueError, match="every is 0"):
        penalties.lazy(penalties.r1(), every=0)


@pytest.mark.parametrize("name", ["wgan_gp", "dragan"])
def test_a_flat_discriminator_has_a_gradient_without_nan(name):
    """The norm of a zero slope: sqrt would have an infinite derivative there."""

    def spread(w):
        disc = lambda x: (x * w).sum(-1)
        return getattr(penalties, name)()(disc, REAL, FAKE, KEYS, STEP)

    gradient = jax.grad(spread)(jnp.zeros((1, 2)))
    assert bool(jnp.isfinite(gradient).all())


def test_wgan_gp_on_two_diracs():
    """The best slope between points d apart is 1 + d / (2 lambda), of value
    d + d^2 / (4 lambda): 1.1 and 2.1 for d = 2, lambda = 10."""
    real, fake = jnp.array([[2.0]]), jnp.array([[0.0]])
    penalty = penalties.wgan_gp(10.0)

    def objective(slope):
        disc = lambda x: slope * x[:, 0]
        gap = (disc(real) - disc(fake)).sum()
        return -gap + penalty(disc, real, fake, KEYS[:1], STEP)

    slope = jnp.asarray(0.5)
    for _ in range(200):
        slope -= 0.04 * jax.grad(objective)(slope)
    assert float(slope) == pytest.approx(1.1, rel=1e-5)
    assert -float(objective(slope)) == pytest.approx(2.1, rel=1e-5)
