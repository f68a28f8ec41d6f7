"""Penalties that look at D beyond its slope at one point, and BiGAN-QP."""

import jax
import jax.numpy as jnp

from gan_jax import losses, penalties, robust
from gan_jax.objectives import adversarial
from gan_jax.objectives.bigan_qp import bigan_qp
from gan_jax.parts import split_keys
from tests.apart import answers
from tests.games import LATENT, dense, players, points
from tests.protocol import Case

LOSS = losses.nonsaturating()
PENALTIES = (
    penalties.wgan_div(3.0, power=4.0),
    penalties.quadratic_potential(lambda step: 1.0 + step),
    robust.adversarial_training(LOSS, 0.3, steps=2),
)
NETS = players()
made, judged = (answers(NETS[name]) for name in ("gen", "disc"))


def worst(sign, theta, x):
    """Two steps of gradient ascent in a ball of 0.3, each sample by its own loss."""
    moved = jnp.zeros_like(x)
    for _ in range(2):
        slope = jax.vmap(
            jax.grad(lambda x: jnp.logaddexp(0.0, sign * judged(theta, x[None])[0]))
        )(x + moved)
        moved += 0.375 * slope / jnp.linalg.norm(slope, axis=1, keepdims=True)
        length = jnp.linalg.norm(moved, axis=1, keepdims=True)
        moved = jnp.where(length > 0.3, 0.3 * moved / length, moved)
    return x + moved


def apart(params, stats, batch, keys, step):
    z_keys, penalty_keys = split_keys(keys, 2)
    z, real = jax.vmap(LATENT)(z_keys), batch["real"]

    fake = made(params["gen"], z)
    worse = worst(-1, params["disc"], real), worst(1, params["disc"], fake)

    def disc(theta):
        rest = [
            penalty(lambda x: judged(theta, x), real, fake, penalty_keys, step)
            for penalty in PENALTIES[:2]
        ]
        return LOSS.disc(*(judged(theta, x) for x in worse)) + sum(rest)

    def gen(phi):
        return jnp.logaddexp(0.0, -judged(params["disc"], made(phi, z))).mean()

    return {"disc": disc, "gen": gen}


def joint(network):
    """A network of pairs, from one of the vectors that lie side by side."""

    def beside(x, z):
        return jnp.concatenate([x, z], axis=1)

    return network._replace(
        init=lambda key, x, z: network.init(key, beside(x, z)),
        apply=lambda params, stats, x, z, train: network.apply(
            params, stats, beside(x, z), train=train
        ),
    )


TRIO = {
    "gen": dense((8, 2)),
    "enc": dense((8, 3)),
    "disc": joint(dense((8, 1), logits=True)),
}


def bigan_apart(params, stats, batch, keys, step):
    z, real = jax.vmap(LATENT)(keys), batch["real"]

    made, coded, pair = (answers(TRIO[name]) for name in ("gen", "enc", "disc"))
    fake, code = made(params["gen"], z), coded(params["enc"], real)

    def disc(theta):
        delta = pair(theta, real, code) - pair(theta, fake, z)
        bound = 5 * (abs(real - fake).mean(axis=1) + abs(code - z).mean(axis=1))
        return (delta**2 / (2 * bound) - delta).mean()

    def gen(phi):
        again = made(phi, code)
        return 3 * ((real - again) ** 2).mean() - (
            pair(params["disc"], made(phi, z), z).mean()
        )

    def enc(eta):
        again = coded(eta, fake)
        return 2 * ((z - again) ** 2).mean() + (
            pair(params["disc"], real, coded(eta, real)).mean()
        )

    return {"disc": disc, "gen": gen, "enc": enc}


CASES = [
    Case(
        "slopes",
        lambda axis_name: adversarial(
            NETS["gen"],
            NETS["disc"],
            loss=LOSS,
            latent=LATENT,
            penalty=penalties.total(*PENALTIES),
        ),
        apart,
        lambda: points(8),
    ),
    Case(
        "bigan_qp",
        lambda axis_name: bigan_qp(
            **TRIO, latent=LATENT, scale=5.0, rec_z=2.0, rec_x=3.0
        ),
        bigan_apart,
        lambda: points(8),
    ),
]
