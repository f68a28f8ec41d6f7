"""An energy against its own chain, and with a generator of high entropy beside it."""

from functools import partial

import jax
import jax.numpy as jnp

from gan_jax import latents, penalties
from gan_jax.kernel import Network
from gan_jax.langevin import langevin
from gan_jax.objectives.energy import energy_model
from gan_jax.objectives.meg import meg
from gan_jax.parts import split_keys
from tests.apart import answers
from tests.games import LATENT, dense, players, points
from tests.protocol import Case

PENALTY = penalties.total(penalties.r1(0.2), penalties.r2(0.1))
NETS = players()
CHAIN = partial(langevin, step_size=0.1, steps=3)
FRESH = latents.normal(2)
PAIRS = dense((8, 8, 1), logits=True)
MUTUAL = {
    "encoder": dense((8, 3)),
    "critic": Network(
        lambda key, x, z: PAIRS.init(key, jnp.concatenate([x, z], 1)),
        lambda params, stats, x, z, train: PAIRS.apply(
            params, stats, jnp.concatenate([x, z], 1), train=train
        ),
    ),
}


def energy(theta, x):
    return -NETS["disc"].apply(theta, {}, x, train=True)[0]


def model_apart(params, stats, batch, keys, step):
    real, buffer = batch["real"], stats["energy"]["buffer"]
    place_keys, restart_keys, fresh_keys, chain_keys = split_keys(keys, 4)
    start = []
    for i in range(len(real)):
        slot = jax.random.randint(place_keys[i], (), 0, buffer.shape[0])
        anew = jax.random.bernoulli(restart_keys[i], 0.3)
        start.append(jnp.where(anew, FRESH(fresh_keys[i]), buffer[slot, i]))
    held = params["energy"]
    fake = CHAIN(chain_keys, jnp.stack(start), lambda x: energy(held, x))

    def own(theta):
        up, down = energy(theta, real), energy(theta, fake)
        return (up - down + 0.1 * (up**2 + down**2)).mean()

    return {"energy": own}


def meg_apart(estimator):
    def apart(params, stats, batch, keys, step):
        z_keys, other_keys, penalty_keys = split_keys(keys, 3)
        z, other = jax.vmap(LATENT)(z_keys), jax.vmap(LATENT)(other_keys)
        real = batch["real"]

        made, read = answers(NETS["gen"]), answers(MUTUAL[estimator])

        def bound(psi, fake):
            if estimator == "encoder":
                return ((z - read(psi, fake)) ** 2).sum(axis=1).mean()
            # The cross-entropy of a batch of both kinds, by its probabilities.
            together = jax.nn.sigmoid(read(psi, fake, z))
            apart = jax.nn.sigmoid(read(psi, fake, other))
            return -jnp.concatenate([jnp.log(together), jnp.log(1 - apart)]).mean()

        held = made(params["gen"], z)

        def disc(theta):
            cost = PENALTY(lambda x: energy(theta, x), real, held, penalty_keys, step)
            return (energy(theta, real) - energy(theta, held)).mean() + cost

        def gen(phi):
            fake = made(phi, z)
            return energy(params["disc"], fake).mean() + 0.7 * bound(
                params["mutual"], fake
            )

        return {
            "disc": disc,
            "gen": gen,
            "mutual": lambda psi: 0.7 * bound(psi, held),
        }

    return apart


CASES = [
    Case(
        "energy_model",
        lambda axis_name: energy_model(
            NETS["disc"],
            chain=CHAIN,
            fresh=FRESH,
            slots=2,
            restart=0.3,
            weight=0.1,
            axis_name=axis_name,
        ),
        model_apart,
        lambda: points(8),
    ),
    *(
        Case(
            f"meg_{estimator}",
            lambda axis_name, estimator=estimator: meg(
                NETS["gen"],
                NETS["disc"],
                MUTUAL[estimator],
                latent=LATENT,
                estimator=estimator,
                weight=0.7,
                penalty=PENALTY,
            ),
            meg_apart(estimator),
            lambda: points(8),
        )
        for estimator in ("critic", "encoder")
    ),
]
