"""Games about dynamics: consensus, the unrolled D, and small games in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_jax import losses, penalties
from gan_jax.dynamics import consensus
from gan_jax.objectives import adversarial
from gan_jax.objectives.games import bilinear, dirac, linear_quadratic
from gan_jax.objectives.unrolled import unrolled
from gan_jax.parts import split_keys
from tests.apart import answers
from tests.games import LATENT, dense, points
from tests.protocol import Case

NETS = {"gen": dense((6, 2)), "disc": dense((6, 1), logits=True)}
LOSS = losses.nonsaturating()
GAMMA, RATE = 0.5, 0.3


fakes, judged = (answers(NETS[name]) for name in ("gen", "disc"))


def consensual(params, stats, batch, keys, step):
    """Each player's own loss and half of gamma times both players' squared slopes."""
    z = jax.vmap(LATENT)(split_keys(keys, 2)[0])

    def disc(theta, phi):
        return LOSS.disc(judged(theta, batch["real"]), judged(theta, fakes(phi, z)))

    def gen(theta, phi):
        return LOSS.gen(judged(theta, batch["real"]), judged(theta, fakes(phi, z)))

    def both(theta, phi):
        slopes = jax.grad(disc, 0)(theta, phi), jax.grad(gen, 1)(theta, phi)
        return GAMMA / 2 * sum((x**2).sum() for x in jax.tree.leaves(slopes))

    theta, phi = params["disc"], params["gen"]
    return {
        "disc": lambda theta: disc(theta, phi) + both(theta, phi),
        "gen": lambda phi: gen(theta, phi) + both(theta, phi),
    }


R2 = penalties.r2(0.2)


def ahead(steps, aim, penalty):
    def apart(params, stats, batch, keys, step):
        z = jax.vmap(LATENT)(split_keys(keys, 2 + steps)[0])
        real = batch["real"]

        def plain(theta, phi):
            return LOSS.disc(judged(theta, real), judged(theta, fakes(phi, z)))

        def disc(theta, phi):
            if penalty is None:
                return plain(theta, phi)
            x = fakes(phi, z)
            cost = penalty(lambda x: judged(theta, x), real, x, keys, step)
            return plain(theta, phi) + cost

        def gen(phi):
            theta = params["disc"]
            for _ in range(steps):
                slope = jax.grad(disc)(theta, phi)
                theta = jax.tree.map(lambda x, g: x - RATE * g, theta, slope)
            if aim == "zero_sum":
                return -plain(theta, phi)
            return LOSS.gen(judged(theta, real), judged(theta, fakes(phi, z)))

        return {"disc": lambda theta: disc(theta, params["gen"]), "gen": gen}

    return apart


def unrolled_case(name, steps, aim, penalty):
    def objective(axis_name):
        return unrolled(
            NETS["gen"],
            NETS["disc"],
            loss=LOSS,
            latent=LATENT,
            steps=steps,
            inner=optax.sgd(RATE),
            aim=aim,
            penalty=penalty,
            axis_name=axis_name,
        )

    return Case(name, objective, ahead(steps, aim, penalty), lambda: points(8))


MATRIX = np.array([[1.0, 0.5], [0.0, -2.0], [0.3, 0.0]])


def bilinear_apart(params, stats, batch, keys, step):
    gap = lambda phi: MATRIX @ (phi - batch["real"].sum(0) / 8)
    return {
        "disc": lambda psi: (psi * gap(params["gen"])).sum(),
        "gen": lambda phi: -(params["disc"] * gap(phi)).sum(),
    }


def dirac_apart(params, stats, batch, keys, step):
    real = batch["real"]

    def disc(psi):
        logits = (real * psi[None]).sum(1)
        fake = jnp.log(1 + jnp.exp((params["gen"] * psi).sum()))
        return jnp.log(1 + jnp.exp(-logits)).mean() + fake + 0.4 / 2 * (psi**2).sum()

    def gen(phi):
        return jnp.log(1 + jnp.exp(-(params["disc"] * phi).sum()))

    return {"disc": disc, "gen": gen}


MU = 0.7


def quadratic_apart(params, stats, batch, keys, step):
    moment = sum(jnp.outer(x, x) for x in batch["real"]) / 8

    def value(a, g):
        return jnp.trace(a @ (moment - g @ g.T)) - MU / 2 * jnp.linalg.norm(a) ** 2

    return {
        "disc": lambda a: -value(a, params["gen"]),
        "gen": lambda g: value(params["disc"], g),
    }


CASES = [
    Case(
        "consensus",
        lambda axis_name: consensus(
            adversarial(NETS["gen"], NETS["disc"], loss=LOSS, latent=LATENT),
            GAMMA,
            axis_name=axis_name,
        ),
        consensual,
        lambda: points(8),
    ),
    unrolled_case("unrolled", 2, "zero_sum", None),
    unrolled_case("unrolled_own", 1, "own", R2),
    Case(
        "bilinear",
        lambda axis_name: bilinear(
            np.array([1.0, -0.5]), np.array([0.2, 1.0, 0.4]), MATRIX
        ),
        bilinear_apart,
        lambda: points(8),
    ),
    Case(
        "dirac",
        lambda axis_name: dirac(
            np.array([0.2, 0.1]), np.array([0.1, 0.2]), penalty=penalties.r1(0.4)
        ),
        dirac_apart,
        lambda: points(8),
    ),
    Case(
        "linear_quadratic",
        lambda axis_name: linear_quadratic(1, MU),
        quadratic_apart,
        lambda: points(8),
    ),
]
