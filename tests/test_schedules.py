"""Schedules keep their time in images, and every weight of a game may be one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import Network, Objective, kernel, latents
from gan_jax.losses import nonsaturating
from gan_jax.objectives import ac_gan, bigan_qp, energy_model, infogan
from gan_jax.schedules import cosine, ema_decay, in_images


@pytest.mark.parametrize("batch_size", [10, 50])
def test_half_of_an_average_is_forgotten_in_its_half_life(batch_size):
    decay = ema_decay(300.0, batch_size)
    steps = 300 // batch_size
    left = np.prod([float(decay(step)) for step in range(steps)])
    assert left == pytest.approx(1 / 2, rel=1e-5)


def test_a_ramp_keeps_the_half_life_below_its_share_of_what_was_seen():
    decay = ema_decay(300.0, 10, ramp=0.5)
    assert float(decay(0)) == 0.0  # the first parameters do not stay
    for step in (1, 20, 59, 61, 500):
        wanted = 0.5 ** (10 / min(300, 0.5 * 10 * step))
        assert float(decay(step)) == pytest.approx(wanted, rel=1e-6)


def test_a_half_life_may_be_a_schedule():
    decay = ema_decay(in_images(cosine(0.0, 400.0, 200), 10), 10)
    assert float(decay(0)) == 0.0
    assert float(decay(10)) == pytest.approx(0.5 ** (10 / 200), rel=1e-6)
    assert float(decay(99)) == pytest.approx(0.5 ** (10 / 400), rel=1e-6)


def test_the_kernel_averages_by_it():
    """One player who walks by 1 a step: the averages are summed by hand."""
    objective = Objective(
        lambda key, batch: ({"walker": jnp.zeros(())}, {"walker": {}}),
        lambda params, stats, batch, keys, step: (-params["walker"], (stats, {})),
    )
    play = kernel(
        objective,
        {"walker": optax.sgd(1.0)},
        ema={"walker": ema_decay(40.0, 4, ramp=0.5)},
    )
    batch = {"real": jnp.zeros((4, 1))}
    _, averages = jax.jit(
        lambda state: jax.lax.scan(
            lambda state, _: 2 * (play.step(state, batch)[0],), state, length=30
        )
    )(play.init(jax.random.key(0), batch))
    wanted, average = [], 0.0
    for step in range(30):
        half_life = max(min(40, 0.5 * 4 * step), 1e-8)
        decay = 0.5 ** (4 / half_life)
        average = decay * average + (1 - decay) * (step + 1)
        wanted.append(average)
    np.testing.assert_allclose(averages.ema["walker"], wanted, rtol=1e-5)


def test_moves_of_one_step_share_its_images():
    rate = in_images(cosine(2.0, 1.0, 80), batch_size=10, moves=2)
    # Moves 0 and 1 are of step 0, and the eighth step is the last but none.
    assert float(rate(8)) == pytest.approx(1.5, rel=1e-6)
    assert float(rate(1)) == pytest.approx(float(cosine(2.0, 1.0, 80)(5)), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: in_images(cosine(1.0, 0.0, 9), 0), "batch_size is 0"),
        (lambda: in_images(cosine(1.0, 0.0, 9), 4, 0), "moves is 0"),
        (lambda: ema_decay(100.0, 0), "batch_size is 0"),
        (lambda: ema_decay(-1.0, 4), "half_life is -1"),
        (lambda: ema_decay(1.0, 4, ramp=-0.5), r"ramp is -0\.5"),
    ],
)
def test_schedules_without_a_clock_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def linear(*shape, seed=0):
    """Networks of one matrix, which is fixed: only weights matter here."""
    matrix = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)

    def apply(params, stats, *inputs, train):
        x = jnp.concatenate([i.reshape(len(i), -1) for i in inputs], axis=1)
        answer = x @ (params * matrix)
        return (answer[:, 0] if shape[1] == 1 else answer), stats

    return Network(lambda key, *inputs: (jnp.ones(()), {}), apply)


def two_headed():
    body = linear(2, 4, seed=1)

    def apply(params, stats, x, train):
        answer, stats = body.apply(params, stats, x, train=train)
        return (answer[:, 0], answer[:, 1:]), stats

    return Network(body.init, apply)


LATENT = latents.normal(2)
GAMES = {
    "bigan_qp": (
        lambda **w: bigan_qp(
            linear(2, 2), linear(2, 2, seed=2), linear(4, 1), latent=LATENT, **w
        ),
        ["scale", "rec_z", "rec_x"],
    ),
    "infogan": (
        lambda **w: infogan(
            linear(6, 2),
            linear(2, 1),
            linear(2, 5, seed=3),
            loss=nonsaturating(),
            latent=LATENT,
            categories=(3,),
            continuous=1,
            **w,
        ),
        ["weight", "continuous_weight"],
    ),
    "ac_gan": (
        lambda **w: ac_gan(
            linear(3, 2), two_headed(), loss=nonsaturating(), latent=LATENT, **w
        ),
        ["disc_weight", "gen_weight"],
    ),
    "energy_model": (
        lambda **w: energy_model(
            linear(2, 1),
            chain=lambda keys, start, energy: start,
            fresh=LATENT,
            slots=2,
            **w,
        ),
        ["weight"],
    ),
}


@pytest.mark.parametrize("game", GAMES)
def test_every_weight_of_a_game_may_be_a_schedule(game):
    """At step 3 the loss is that of the number, at step 0 another one."""
    build, names = GAMES[game]
    real = np.random.default_rng(5).standard_normal((4, 2)).astype(np.float32)
    batch = {"real": jnp.asarray(real), "label": jnp.array([0, 1, 2, 0])}
    keys = jax.random.split(jax.random.key(1), 4)

    def value(name, weight, step):
        objective = build(**{name: weight})
        params, stats = objective.init(jax.random.key(0), batch)
        return objective.loss(params, stats, batch, keys, step)[0]

    @jax.jit
    def values(step):
        return {
            name: (value(name, lambda step: 0.5 + step, step), value(name, 3.5, step))
            for name in names
        }

    for scheduled, fixed in values(jnp.array(3)).values():
        assert float(scheduled) == pytest.approx(float(fixed), rel=1e-6)
    for scheduled, fixed in values(jnp.array(0)).values():
        assert float(scheduled) != pytest.approx(float(fixed), rel=1e-3)
