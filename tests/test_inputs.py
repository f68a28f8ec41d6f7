"""Bad input to the games: an error, or a step that is skipped, and never silence."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import losses
from gan_jax.kernel import Network
from gan_jax.latents import normal
from gan_jax.objectives import (
    ac_gan,
    adversarial,
    bigan_qp,
    bilinear,
    dirac,
    glo,
    meg,
    ogan,
    unrolled,
)
from gan_jax.penalties import quadratic_potential
from tests.games import LATENT, dense

# Fakes of one number, which would broadcast against data of two; all others take any.
NARROW = Network(
    lambda key, z, *label: (jnp.ones(1), {}),
    lambda w, stats, z, *label, train: (z[:, :1] * w[None], stats),
)
POOLED = Network(
    lambda key, x, *more: (jnp.ones(1), {}),
    lambda w, stats, x, *more, train: (x.mean(axis=1) * w[0], stats),
)
CODED = Network(
    lambda key, x: (jnp.ones((1, 3)), {}),
    lambda w, stats, x, train: (x.mean(axis=1)[:, None] @ w, stats),
)
CLASSED = Network(
    lambda key, x: (jnp.ones((1, 4)), {}),
    lambda w, stats, x, train: (
        (x.mean(axis=1), x.mean(axis=1)[:, None] @ w),
        stats,
    ),
)
PLAIN = dense((4, 2))
LABELLED = Network(
    lambda key, z, label: PLAIN.init(key, z),
    lambda p, s, z, label, train: PLAIN.apply(p, s, z, train=train),
)
LOSS = losses.nonsaturating()
GAMES = {
    "adversarial": lambda: adversarial(NARROW, POOLED, loss=LOSS, latent=LATENT),
    "unrolled": lambda: unrolled(
        NARROW, POOLED, loss=LOSS, latent=LATENT, steps=0, inner=optax.sgd(1.0)
    ),
    "meg": lambda: meg(NARROW, POOLED, CODED, latent=LATENT, estimator="encoder"),
    "ogan": lambda: ogan(NARROW, CODED, latent=LATENT),
    "ac_gan": lambda: ac_gan(NARROW, CLASSED, loss=LOSS, latent=LATENT),
}


def batch(label=None):
    label = jnp.zeros(4, jnp.int32) if label is None else label
    return {"real": jnp.ones((4, 2)), "label": label}


def value(game, data):
    params, stats = game.init(jax.random.key(0), data)
    keys = jax.random.split(jax.random.key(1), 4)
    return game.loss(params, stats, data, keys, jnp.asarray(0))[0]


@pytest.mark.parametrize("name", GAMES)
def test_fakes_of_another_shape_are_refused(name, unchecked):
    with pytest.raises(ValueError, match=r"samples of shape \(1,\).*shape \(2,\)"):
        value(GAMES[name](), batch())


def test_a_class_that_does_not_exist_is_no_other_class():
    game = ac_gan(LABELLED, CLASSED, loss=LOSS, latent=LATENT)
    assert np.isfinite(value(game, batch()))
    for wrong in (-1, 4):
        label = jnp.array([0, 1, wrong, 2], jnp.int32)
        assert np.isnan(value(game, batch(label)))


def test_labels_of_another_kind_are_refused(unchecked):
    game = ac_gan(LABELLED, CLASSED, loss=LOSS, latent=LATENT)
    for label in (jnp.zeros((4, 1), jnp.int32), jnp.zeros(4)):
        with pytest.raises(ValueError, match="a class number per sample"):
            game.init(jax.random.key(0), batch(label))


def test_a_row_that_does_not_exist_is_no_other_row():
    game = glo(dense((4, 2)), count=4, latent=normal(3))
    for index, fine in (([0, 1, 2, 3], True), ([0, 1, 2, 4], False), ([-1], False)):
        rows = jnp.resize(jnp.array(index, jnp.int32), 4)
        data = {"real": jnp.ones((4, 2)), "index": rows}
        assert np.isfinite(value(game, data)) == fine


def test_small_games_take_whole_numbers_and_data_of_their_size(unchecked):
    for game in (dirac([1, 0], [0, 1]), bilinear([1, 0], [0, 1])):
        params, _ = game.init(jax.random.key(0), {"real": jnp.zeros((4, 2))})
        assert all(jnp.issubdtype(x.dtype, jnp.floating) for x in params.values())
    with pytest.raises(ValueError, match="Give data of its size"):
        bilinear([1, 0], [0, 1]).init(jax.random.key(0), {"real": jnp.zeros((4, 1))})


def test_no_bound_is_refused():
    for scale in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"scale is {scale}"):
            quadratic_potential(scale)
        with pytest.raises(ValueError, match=f"scale is {scale}"):
            bigan_qp(NARROW, CODED, POOLED, latent=LATENT, scale=scale)


def test_an_unknown_norm_is_refused(unchecked):
    with pytest.raises(ValueError, match="norm is 'L1'"):
        quadratic_potential(norm="L1")
    with pytest.raises(ValueError, match="norm is 'L1'"):
        bigan_qp(NARROW, CODED, POOLED, latent=LATENT, norm="L1")
