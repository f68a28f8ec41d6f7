"""Games in which a sample is given its latent: O-GAN, alpha-GAN, GLO and IMLE."""

import jax
import jax.numpy as jnp

from gan_jax import losses, penalties
from gan_jax.objectives.alpha_gan import alpha_gan
from gan_jax.objectives.glann import glo, imle
from gan_jax.objectives.ogan import ogan, secant
from gan_jax.parts import split_keys
from tests.apart import answers
from tests.games import LATENT, dense, players, points
from tests.protocol import Case

NETS = {**players(), "enc": dense((8, 3)), "code": dense((8, 1), logits=True)}
LOSS = losses.relativistic_pairing()
PENALTY = penalties.total(secant(), penalties.r1())
COUNT = 20  # rows of GLO's table


def call(player, params, x):
    return answers(NETS[player])(params, x)


def pearson(a, b):
    a, b = (v - v.mean(axis=1, keepdims=True) for v in (a, b))
    return (a * b).sum(1) / jnp.sqrt((a**2).sum(1) * (b**2).sum(1))


def ogan_apart(params, stats, batch, keys, step):
    z_keys, penalty_keys = split_keys(keys, 2)
    z, real = jax.vmap(LATENT)(z_keys), batch["real"]
    fake = call("gen", params["gen"], z)

    def enc(theta):
        logit = lambda x: call("enc", theta, x).mean(axis=1)
        cost = PENALTY(logit, real, fake, penalty_keys, step)
        rho = pearson(z, call("enc", theta, fake)).mean()
        return LOSS.disc(logit(real), logit(fake)) + cost - 0.5 * rho

    def gen(phi):
        codes = call("enc", params["enc"], call("gen", phi, z))
        logits = call("enc", params["enc"], real).mean(axis=1)
        return LOSS.gen(logits, codes.mean(axis=1)) - 0.5 * pearson(z, codes).mean()

    return {"enc": enc, "gen": gen}


def alpha_apart(params, stats, batch, keys, step):
    z_keys, penalty_keys, code_keys = split_keys(keys, 3)
    z, real = jax.vmap(LATENT)(z_keys), batch["real"]
    codes = call("enc", params["enc"], real)
    fake, remade = (call("gen", params["gen"], x) for x in (z, codes))
    softplus = jax.nn.softplus
    judged = "code" in params

    def enc(theta):
        own = call("enc", theta, real)
        loss = 10 * jnp.abs(real - call("gen", params["gen"], own)).mean()
        return loss - (call("code", params["code"], own).mean() if judged else 0)

    def gen(phi):
        own = call("gen", phi, codes)
        loss = 10 * jnp.abs(real - own).mean()
        for made in (own, call("gen", phi, z)):
            loss -= call("disc", params["disc"], made).mean()
        return loss

    def disc(theta):
        logit = lambda x: call("disc", theta, x)
        loss = penalties.r1()(logit, real, fake, penalty_keys, step)
        for sign, x in ((-1, real), (1, fake), (1, remade)):
            loss += softplus(sign * logit(x)).mean()
        return loss

    def code(theta):
        logit = lambda x: call("code", theta, x)
        loss = penalties.r2()(logit, z, codes, code_keys, step)
        return loss + softplus(-logit(z)).mean() + softplus(logit(codes)).mean()

    four = {"enc": enc, "gen": gen, "disc": disc, "code": code}
    return {player: four[player] for player in params}


def rows():
    return {**points(8), "index": jnp.array([3, 19, 0, 7, 8, 12, 5, 4])}


def glo_apart(params, stats, batch, keys, step):
    def error(phi, table):
        rows = table[batch["index"]]
        z = rows / jnp.sqrt((rows**2).sum(axis=1, keepdims=True))
        return ((batch["real"] - call("gen", phi, z)) ** 2).sum(axis=1).mean()

    return {
        "gen": lambda phi: error(phi, params["codes"]),
        "codes": lambda table: error(params["gen"], table),
    }


def imle_apart(params, stats, batch, keys, step):
    real = batch["real"]
    many = jax.vmap(lambda key: jax.random.split(key, 3))(keys).reshape(-1)
    z = jax.vmap(LATENT)(many)

    def gen(phi):
        apart = real[:, None] - call("gen", phi, z)[None]
        return (apart**2).sum(axis=2).min(axis=1).mean()

    return {"gen": gen}


def alpha(code):
    return alpha_gan(
        NETS["gen"],
        NETS["enc"],
        NETS["disc"],
        code,
        latent=LATENT,
        penalty=penalties.r1(),
        code_penalty=penalties.r2() if code else None,
    )


CASES = [
    Case(
        "ogan",
        lambda axis_name: ogan(
            NETS["gen"], NETS["enc"], latent=LATENT, loss=LOSS, penalty=PENALTY
        ),
        ogan_apart,
        lambda: points(8),
    ),
    Case(
        "alpha_gan",
        lambda axis_name: alpha(NETS["code"]),
        alpha_apart,
        lambda: points(8),
    ),
    Case("ae_gan", lambda axis_name: alpha(None), alpha_apart, lambda: points(8)),
    Case(
        "glo",
        lambda axis_name: glo(NETS["gen"], count=COUNT, latent=LATENT),
        glo_apart,
        rows,
    ),
    Case(
        "imle",
        lambda axis_name: imle(
            NETS["gen"], latent=LATENT, candidates=3, axis_name=axis_name
        ),
        imle_apart,
        lambda: points(8),
    ),
]
