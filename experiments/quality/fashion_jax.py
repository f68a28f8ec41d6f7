"""Our side of `experiments.quality.fashion`: a process that trains and draws.

The number of steps is given, so that a seed's samples are the same on one machine
however busy it is. Samples come from the generator's average, with the statistics of
its norms taken anew.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import fashion, image
from experiments.quality.play import sampled
from experiments.quality.sides import Asked, Left, asked, leave
from gan_jax.data import Arrays, Order, feed
from gan_jax.gan import Gan, latents
from gan_jax.host_memory import keep_memory, settle_memory
from gan_jax.images import to_uint8
from gan_jax.kernel import State
from gan_jax.latents import normal

AHEAD = 100  # steps that are dispatched before one is waited for
AT_ONCE = 500  # samples


def config(recipe: dict[str, Any], steps: int, size: int) -> fashion.Config:
    """The recipe over so many steps; it names what differs from the experiment's."""
    changes: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in recipe.items()
    }
    return fashion.Config(**changes, steps=steps, size=size)


def trained(model: Gan, images: np.ndarray, cfg: fashion.Config, seed: int) -> State:
    """The state after all steps."""
    order = Order(len(images), cfg.batch_size, seed)
    source = feed(Arrays({"real": images}, "fashion"), order, flip=False)

    def call(state: State, arrays: Any, got: Any) -> State:
        return model.step(state, source.gather(arrays, got))[0]

    first = {"real": jnp.zeros((cfg.batch_size, *images.shape[1:]), jnp.uint8)}
    state = jax.jit(lambda key: model.init(key, first))(jax.random.key(seed))
    arrays = jax.device_put(source.arrays)
    compiled = jax.jit(call, donate_argnums=0)
    for step in range(cfg.steps):
        state = compiled(state, arrays, source.get(step))
        if step % AHEAD == 0:
            jax.block_until_ready(state)
        if step == 0:
            settle_memory()
    return jax.block_until_ready(state)


def run(ask: Asked) -> Left:
    """Train, look at the clock, and draw."""
    if ask.steps is None:
        raise ValueError("this side wants a number of steps; give steps=.")
    keep_memory()
    images = ask.images()
    cfg = config(ask.recipe, ask.steps, images.shape[1])
    model = image.model(cfg)
    settle_key, z_key = jax.random.split(jax.random.key(2**31 + ask.seed))
    state = trained(model, images, cfg, ask.seed)
    state = jax.block_until_ready(jax.jit(model.settled)(state, settle_key))
    seconds = ask.spent()
    if skipped := int(state.skipped):
        raise FloatingPointError(f"{skipped} of {ask.steps} steps were not finite.")
    z = latents(normal(cfg.latent), z_key, ask.samples)
    drawn = to_uint8(sampled(model, state, z, AT_ONCE))
    return Left(drawn, ask.steps, seconds)


if __name__ == "__main__":
    ask = asked()
    leave("fashion_jax", ask, run(ask))
