"""The game of one matched moment: the one of its kind that couples a batch."""

import jax

from gan_jax.comparisons import moment_matching
from gan_jax.objectives import adversarial
from gan_jax.parts import split_keys
from tests.apart import answers
from tests.games import LATENT, players, points
from tests.protocol import Case

NETS = players()


def apart(params, stats, batch, keys, step):
    z = jax.vmap(LATENT)(split_keys(keys, 2)[0])
    made, judged = (answers(NETS[name]) for name in ("gen", "disc"))

    def gap(theta, phi):
        r, f = judged(theta, batch["real"]), judged(theta, made(phi, z))
        n = len(r)
        # The products of two different samples, whose mean has no bias.
        same = (r.sum() ** 2 - (r**2).sum() + f.sum() ** 2 - (f**2).sum()) / (n * n - n)
        return same - 2 * r.mean() * f.mean()

    return {
        "disc": lambda theta: -gap(theta, params["gen"]),
        "gen": lambda phi: gap(params["disc"], phi),
    }


CASES = [
    Case(
        "moment_matching",
        lambda axis_name: adversarial(
            NETS["gen"],
            NETS["disc"],
            loss=moment_matching(axis_name=axis_name),
            latent=LATENT,
        ),
        apart,
        lambda: points(8),
    )
]
