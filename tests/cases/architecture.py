"""The game of a discriminator with several logits."""

import jax
import jax.numpy as jnp

from gan_jax import losses, penalties
from gan_jax.kernel import Network
from gan_jax.objectives.cascade import cascade
from gan_jax.parts import split_keys
from tests.apart import answers
from tests.games import LATENT, dense, players, points
from tests.protocol import Case

LOSS = losses.relativistic_pairing()
PENALTY = penalties.total(penalties.r1(), penalties.wgan_gp())
WEIGHTS = (1.0, 0.5, 2.5)
BODY = dense((8, 5))
GEN = players()["gen"]


def rejected(v, w):
    """The scores, one sample and one weight at a time."""
    scores = []
    for i in range(w.shape[1]):
        score = v @ w[:, i]
        scores.append(score)
        v = v - score * w[:, i] / (w[:, i] @ w[:, i])
    return jnp.stack(scores)


def disc_init(key, x):
    body_key, key = jax.random.split(key)
    body, _ = BODY.init(body_key, x)
    return {"body": body, "w": jax.random.normal(key, (5, 3))}, {}


def disc_apply(params, stats, x, *, train):
    features, _ = BODY.apply(params["body"], {}, x, train=train)
    return jax.vmap(rejected, in_axes=(0, None))(features, params["w"]), stats


DISC = Network(disc_init, disc_apply)


def apart(params, stats, batch, keys, step):
    z_keys, penalty_keys = split_keys(keys, 2)
    z, real = jax.vmap(LATENT)(z_keys), batch["real"]

    made, all_logits = answers(GEN), answers(DISC)

    def judged(theta, x, i):
        return all_logits(theta, x)[:, i]

    held = made(params["gen"], z)

    def disc(theta):
        total = 0.0
        for i, weight in enumerate(WEIGHTS):
            judge = lambda x, i=i: judged(theta, x, i)
            cost = PENALTY(judge, real, held, penalty_keys, step)
            total += weight / 4 * (LOSS.disc(judge(real), judge(held)) + cost)
        return total

    def gen(phi):
        theta, fake = params["disc"], made(phi, z)
        return sum(
            weight / 4 * LOSS.gen(judged(theta, real, i), judged(theta, fake, i))
            for i, weight in enumerate(WEIGHTS)
        )

    return {"disc": disc, "gen": gen}


CASES = [
    Case(
        "cascade",
        lambda axis_name: cascade(
            GEN, DISC, weights=WEIGHTS, loss=LOSS, latent=LATENT, penalty=PENALTY
        ),
        apart,
        lambda: points(8),
    )
]
