"""A short seeded run, its numbers, and the way to renew them.

    python -m tests.golden

writes tests/golden.json anew. Do so only when a change is meant to change the numbers,
and say in the commit why it is.
"""

import json
from pathlib import Path

import jax
import numpy as np

from gan_jax import alternating, gan, latents, losses, optimizers, penalties
from gan_jax.data import Order, mixture_points, ring
from gan_jax.networks import mlp

FILE = Path(__file__).with_name("golden.json")
GAMES = {
    "merged": {"gradient": "merged"},
    "one_backward": {"gradient": "one_backward"},
    "critic_steps": {"play": alternating("disc", "gen", first=2)},
}


def run(name: str, seed: int = 0):
    """Thirty steps on the ring: the state and the infos of every tenth step."""
    source = mixture_points(ring(), 1000, seed=0)
    order = Order(len(source), 48, seed)
    model = gan(
        mlp.generator(2, width=16),
        mlp.discriminator(width=16),
        latent=latents.normal(4),
        loss=losses.relativistic_pairing(),
        penalty=penalties.total(penalties.r1(), penalties.wgan_gp()),
        optimizers={p: optimizers.adam(1e-2) for p in ("gen", "disc")},
        **GAMES[name],
    )
    state = model.init(jax.random.key(seed), source.gather(order.indices(0)))
    step, infos = jax.jit(model.step), {}
    for number in range(30):
        state, info = step(state, source.gather(order.indices(number)))
        if number % 10 == 9:
            infos[str(number)] = {k: float(v) for k, v in sorted(info.items())}
    return state, infos


def numbers() -> dict:
    """What is compared."""
    return {name: run(name)[1] for name in GAMES}


if __name__ == "__main__":
    FILE.write_text(json.dumps(numbers(), indent=1) + "\n")
    print(f"wrote {FILE.name}; the numbers are of jax {jax.__version__}, {np.__name__}")
