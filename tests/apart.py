"""Players' own losses the long way round: what several cases and tests share."""

import jax

from gan_jax.parts import split_keys
from tests.games import LATENT


def answers(network, stats=None):
    """``(params, *inputs) -> what the network answers``, in training."""
    held = {} if stats is None else stats
    return lambda params, *inputs: network.apply(params, held, *inputs, train=True)[0]


def two_players(nets, loss, penalty=None):
    """`tests.protocol.Case.apart` of "gen" and "disc": two losses, the fakes fixed."""

    def apart(params, stats, batch, keys, step):
        z_keys, penalty_keys = split_keys(keys, 2)
        z, real = jax.vmap(LATENT)(z_keys), batch["real"]
        made, judged = (answers(nets[name], stats[name]) for name in ("gen", "disc"))
        held = made(params["gen"], z)

        def disc(theta):
            value = loss.disc(judged(theta, real), judged(theta, held))
            if penalty is None:
                return value
            judge = lambda x: judged(theta, x)
            return value + penalty(judge, real, held, penalty_keys, step)

        def gen(phi):
            theta = params["disc"]
            return loss.gen(judged(theta, real), judged(theta, made(phi, z)))

        return {"disc": disc, "gen": gen}

    return apart
