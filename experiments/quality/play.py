"""Training in a few lines: a GAN on samples drawn anew for every step."""

from collections.abc import Callable

import jax
import numpy as np
from jax import Array

from gan_jax.gan import Gan
from gan_jax.kernel import State

CHUNK = 100  # steps of one compiled call


def trained(model: Gan, draw: Callable[[Array], Array], steps: int, seed: int) -> State:
    """The state after ``steps`` steps.

    Args:
      model: to train.
      draw: ``key -> a batch of real samples``, inside the compiled step.
      steps: rounded up to whole calls of a hundred.
      seed: of the initial state and of every draw.
    """
    start_key, data_key = jax.random.split(jax.random.key(seed))

    def step(state: State, _: None) -> tuple[State, None]:
        real = draw(jax.random.fold_in(data_key, state.step))
        return model.step(state, {"real": real})[0], None

    def call(state: State) -> State:
        return jax.lax.scan(step, state, None, length=CHUNK)[0]

    state = jax.jit(lambda key: model.init(key, {"real": draw(key)}))(start_key)
    compiled = jax.jit(call, donate_argnums=0)
    for _ in range(-(-steps // CHUNK)):
        state = compiled(state)
    return state


def sampled(model: Gan, state: State, z: Array, at_once: int = 2000) -> np.ndarray:
    """Samples of all latents."""
    sample = jax.jit(model.sample)
    parts = [sample(state, z[i : i + at_once]) for i in range(0, len(z), at_once)]
    return np.concatenate([np.asarray(part) for part in parts])
