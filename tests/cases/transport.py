"""Games over whole batches of features: moments matched, transport paid for."""

import jax

from gan_jax import distances, moments, penalties, transport
from gan_jax.objectives.mmd_gan import mmd_gan
from gan_jax.objectives.ot_gan import ot_gan
from gan_jax.parts import split_keys
from tests.apart import answers
from tests.games import LATENT, dense, points
from tests.protocol import Case

GEN, DISC = dense((8, 8, 2)), dense((8, 4))
KERNEL = moments.rational_quadratic(linear=0.1)
PENALTY = penalties.wgan_gp(1.0)
SHARPNESS, ITERATIONS = 10.0, 20


fakes, described = answers(GEN), answers(DISC)


def mmd_apart(params, stats, batch, keys, step):
    z_keys, penalty_keys = split_keys(keys, 2)
    z, real = jax.vmap(LATENT)(z_keys), batch["real"]
    held = fakes(params["gen"], z)

    def disc(theta):
        a, b = described(theta, real), described(theta, held)

        def score(x):
            return moments.witness(KERNEL, described(theta, x), a, b)

        cost = PENALTY(score, real, held, penalty_keys, step)
        return cost - moments.mmd2(KERNEL, a, b)

    def gen(phi):
        theta = params["disc"]
        a, b = described(theta, real), described(theta, fakes(phi, z))
        return moments.mmd2(KERNEL, a, b)

    return {"disc": disc, "gen": gen}


def ot_apart(params, stats, batch, keys, step):
    z, real = jax.vmap(LATENT)(keys), batch["real"]
    theta_now, phi_now = params["disc"], params["gen"]

    def terms(a, b):
        x, x2, y, y2 = a[::2], a[1::2], b[::2], b[1::2]
        pairs = [(x, y), (x, y2), (x2, y), (x2, y2), (x, x2), (x, x2), (y, y2), (y, y2)]
        return [distances.cosine(*pair) for pair in pairs]

    now = terms(described(theta_now, real), described(theta_now, fakes(phi_now, z)))
    plans = [transport.sinkhorn(cost, SHARPNESS, ITERATIONS) for cost in now]

    def energy(a, b):
        paid = [(p * c).sum() for p, c in zip(plans, terms(a, b), strict=True)]
        return sum(paid[:4]) - sum(paid[4:])

    def disc(theta):
        held = fakes(phi_now, z)
        return -energy(described(theta, real), described(theta, held))

    def gen(phi):
        return energy(described(theta_now, real), described(theta_now, fakes(phi, z)))

    return {"disc": disc, "gen": gen}


def by_moments(axis_name):
    return mmd_gan(
        GEN, DISC, latent=LATENT, kernel=KERNEL, penalty=PENALTY, axis_name=axis_name
    )


def by_transport(axis_name):
    return ot_gan(
        GEN,
        DISC,
        latent=LATENT,
        sharpness=SHARPNESS,
        iterations=ITERATIONS,
        axis_name=axis_name,
    )


CASES = [
    Case("mmd_gan", by_moments, mmd_apart, lambda: points(8)),
    Case("ot_gan", by_transport, ot_apart, lambda: points(8)),
]
