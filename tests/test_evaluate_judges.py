"""Fresh judges against what the best one could know, on mixtures with faults."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import norm

from gan_jax import Network, losses, penalties
from gan_jax.data.mixtures import Mixture, grid, mixture_points, ring
from gan_jax.evaluate.critic import wasserstein_critic
from gan_jax.evaluate.judge import fitted, judge
from gan_jax.evaluate.two_sample import classifier_test
from gan_jax.networks import mlp

DATA = ring(modes=4, sd=0.2)
MISSING = Mixture(DATA.modes[1:], DATA.sd)
DOUBLED = Mixture(DATA.modes, 2 * DATA.sd)
NETWORK = mlp.discriminator(width=32)

C2ST = classifier_test(NETWORK, steps=600, batch_size=64, rate=1e-2)
FOUR_JUDGES = jax.jit(jax.vmap(C2ST, (0, None, None)))
CRITIC = wasserstein_critic(NETWORK, steps=1000, batch_size=64, rate=1e-2)
KEYS = jax.random.split(jax.random.key(0), 4)
N = 2000


def points(mixture, n, seed):
    return jnp.asarray(mixture_points(mixture, n, seed).arrays["real"])


REAL = points(DATA, N, 0)


def judged(fake):
    return jax.device_get(FOUR_JUDGES(KEYS, REAL, fake))


def test_samples_of_one_distribution_are_not_told_apart():
    found = judged(points(DATA, N, 1))
    # 1000 of each kind are tested: 1 / (4 * 2000).
    deviation = np.sqrt(1 / (4 * N))
    assert np.abs(found.accuracy - 0.5).max() < 4 * deviation
    np.testing.assert_allclose(
        found.p_value, norm.sf(found.accuracy, 0.5, deviation), rtol=1e-4
    )
    np.testing.assert_allclose(
        found.accuracy, (found.real_accuracy + found.fake_accuracy) / 2, rtol=1e-6
    )


def test_a_missing_mode_is_found_and_from_which_side():
    """The best judge calls that mode real and all else generated: (1/4 + 1) / 2."""
    found = judged(points(MISSING, N, 2))
    assert found.accuracy.mean() == pytest.approx(0.625, abs=0.03)
    assert found.real_accuracy.mean() == pytest.approx(0.25, abs=0.1)
    assert found.fake_accuracy.mean() == pytest.approx(1.0, abs=0.1)
    assert found.p_value.max() < 1e-4


def test_a_doubled_spread_is_found():
    """The best judge draws a circle where the two densities cross."""
    square = 2 * np.log(4) * 4 / 3
    best = (1 + np.exp(-square / 8) - np.exp(-square / 2)) / 2
    found = judged(points(DOUBLED, N, 3))
    assert best - 0.1 < found.accuracy.mean() < best + 0.02
    assert found.p_value.max() < 1e-6


def test_the_key_decides_and_units_do_not():
    fake = points(MISSING, N, 2)
    found, again = judged(fake), judged(fake)
    np.testing.assert_array_equal(found.accuracy, again.accuracy)
    assert len(set(found.accuracy.tolist())) > 1
    # A power of 2 changes no digit.
    scaled = jax.device_get(FOUR_JUDGES(KEYS, 256 * REAL, 256 * fake))
    np.testing.assert_array_equal(found.accuracy, scaled.accuracy)


def test_a_sample_that_is_not_finite_is_no_answer():
    found = judged(points(MISSING, N, 2).at[7].set(jnp.nan))
    assert np.isnan(found.accuracy).all()
    assert np.isnan(found.p_value).all()


def critic(train, held_out, generated):
    found = CRITIC(jax.random.key(1), train, held_out, generated)
    return {name: float(value) for name, value in found._asdict().items()}


TRAIN, HELD_OUT = points(DATA, 128, 4), points(DATA, 128, 5)
FRESH = points(DATA, 1000, 6)


def test_a_critic_measures_how_far_a_generator_is_off():
    """By 3 to the right, W = 3, and as much more as the penalty lets slopes be."""
    bent = 1 + 3 / (2 * 10)
    found = critic(TRAIN, HELD_OUT, FRESH + jnp.array([[3.0, 0.0]]))
    for name in ("train", "held_out", "unseen"):
        assert found[name] == pytest.approx(3 * bent, rel=0.15), name
    assert abs(found["gap"]) < 0.5


def test_a_critic_sees_a_missing_mode_and_a_doubled_spread():
    """A twelfth of the mass comes from each other mode, two of them near: W = 0.8."""
    none = critic(TRAIN, HELD_OUT, FRESH)
    missing = critic(TRAIN, HELD_OUT, points(MISSING, 1000, 6))
    doubled = critic(TRAIN, HELD_OUT, points(DOUBLED, 1000, 6))
    wanted = (2 * np.sqrt(8) + 4) / 12
    assert missing["unseen"] == pytest.approx(wanted, rel=0.25)
    assert abs(none["unseen"]) < 0.12
    assert doubled["unseen"] > none["unseen"] + 0.06


def test_a_memorised_set_lies_nearer_than_the_held_out_one():
    """Few points of many modes: two samples of them are some way apart."""
    train, held_out = (points(grid(), 128, seed) for seed in (7, 8))
    fresh = critic(train, held_out, points(grid(), 1000, 9))
    copied = critic(train, held_out, jnp.tile(train, (8, 1))[:1000])
    assert abs(copied["train"]) < copied["held_out"] / 4
    assert copied["gap"] > copied["held_out"] / 2
    assert abs(fresh["gap"]) < fresh["held_out"] / 2
    assert copied["gap"] == pytest.approx(
        copied["held_out"] - copied["train"], abs=1e-6
    )


SLOPE = Network(
    lambda key, x: (jnp.array([0.5, -1.0]), {}),
    lambda psi, stats, x, train: (x @ psi, stats),
)


def test_whole_sets_are_asked_in_parts():
    """After one step by r - f, every sample has its own answer, whatever the size."""
    r, f = np.array([1.0, 2.0]), np.array([0.0, 4.0])
    scores = fitted(
        jax.random.key(0),
        jnp.asarray(np.tile(r, (5, 1)), "f4"),
        jnp.asarray(np.tile(f, (6, 1)), "f4"),
        SLOPE,
        loss=losses.wasserstein(),
        optimizer=optax.sgd(1.0),
        batch_size=3,
        steps=1,
    )
    x = np.random.default_rng(0).standard_normal((7, 2))
    for n in (2, 6, 7):
        wanted = x[:n] @ (np.array([0.5, -1.0]) + r - f)
        found = scores(jnp.asarray(x[:n], "f4"))
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_judge_plays_a_discriminator_s_part():
    """L_D and its penalty by hand, and the gradient of both."""
    game = judge(SLOPE, losses.wasserstein(), penalties.r1(0.6))
    real, fake = np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[0.0, 1.0]] * 2)
    batch = {"real": jnp.asarray(real, "f4"), "fake": jnp.asarray(fake, "f4")}
    params, stats = game.init(jax.random.key(0), batch)
    keys = jax.random.split(jax.random.key(1), 2)

    @jax.jit
    def loss(params):
        return jax.value_and_grad(game.loss, has_aux=True)(
            params, stats, batch, keys, jnp.array(0)
        )

    (value, (_, info)), grads = loss(params)
    psi = np.array([0.5, -1.0])
    own = (fake @ psi).mean() - (real @ psi).mean()
    assert float(info["judge/loss"]) == pytest.approx(own)
    assert float(value) == pytest.approx(own + 0.3 * (psi @ psi))
    wanted = fake.mean(axis=0) - real.mean(axis=0) + 0.6 * psi
    np.testing.assert_allclose(grads["judge"], wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: C2ST(KEYS[0], REAL[:1], REAL), "2 of each"),
        (
            lambda: C2ST(KEYS[0], REAL[:4], REAL[:4, :1]),
            "compares samples of one shape",
        ),
        (lambda: classifier_test(NETWORK, steps=0)(KEYS[0], REAL, REAL), "steps is 0"),
        (lambda: CRITIC(KEYS[0], REAL[:4], REAL[:3], REAL), "4 training, 3 held-out"),
        (lambda: CRITIC(KEYS[0], REAL[:4], REAL[:4], REAL[:1]), "1 generated"),
    ],
)
def test_sets_that_cannot_be_judged_are_refused(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()
