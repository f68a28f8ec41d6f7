"""The two-player game, in its three ways of writing the gradient."""

import jax

from gan_jax import losses, penalties
from gan_jax.objectives import adversarial
from gan_jax.parts import split_keys
from tests.games import LATENT, players, points
from tests.protocol import Case

LOSS = losses.relativistic_pairing()
PENALTY = penalties.total(penalties.r1(), penalties.wgan_gp())
NETS = players()


def apart(params, stats, batch, keys, step):
    z_keys, penalty_keys = split_keys(keys, 2)
    z, real = jax.vmap(LATENT)(z_keys), batch["real"]

    def fakes(phi):
        return NETS["gen"].apply(phi, {}, z, train=True)[0]

    def judged(theta, x):
        return NETS["disc"].apply(theta, {}, x, train=True)[0]

    held = fakes(params["gen"])

    def disc(theta):
        cost = PENALTY(lambda x: judged(theta, x), real, held, penalty_keys, step)
        return LOSS.disc(judged(theta, real), judged(theta, held)) + cost

    def gen(phi):
        theta = params["disc"]
        return LOSS.gen(judged(theta, real), judged(theta, fakes(phi)))

    return {"disc": disc, "gen": gen}


CASES = [
    Case(
        gradient,
        lambda axis_name, gradient=gradient: adversarial(
            NETS["gen"],
            NETS["disc"],
            loss=LOSS,
            latent=LATENT,
            penalty=PENALTY,
            gradient=gradient,
        ),
        apart,
        lambda: points(8),
    )
    for gradient in ("merged", "article", "one_backward")
]
