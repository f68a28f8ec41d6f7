"""What a row of the table is, and what several rows are made with."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data.mixtures import Mixture
from gan_jax.kernel import Batch, Info, Kernel, State


class Shown(NamedTuple):
    """What one run showed.

    Attributes:
      holds: whether it showed what it must.
      text: the numbers that say so, in one line.
      picture: uint8 (h, w) or (h, w, 3).
    """

    holds: bool
    text: str
    picture: np.ndarray


class System(NamedTuple):
    """A system and its smallest honest task.

    Attributes:
      name: for ``--only``.
      where: the public name that it is built with.
      task: what it is put to, in one line.
      must: what it must show, in one line.
      run: ``() -> Shown``; all seeds are fixed.
    """

    name: str
    where: str
    task: str
    must: str
    run: Callable[[], Shown]


def scanned(
    kernel: Kernel, batches: Callable[[jax.Array], Batch], steps: int, seed: int = 0
) -> tuple[State, Info]:
    """A whole run as one compiled call: the last state, and all infos, (steps,) each.

    Args:
      kernel: what is trained.
      batches: ``key -> batch``; each step has its own key.
      steps: how many.
      seed: of the parameters, the noise and the data.
    """
    start, data = jax.random.split(jax.random.key(seed))

    def step(state: State, _: None) -> tuple[State, Info]:
        return kernel.step(state, batches(jax.random.fold_in(data, state.step)))

    @jax.jit
    def run(key: jax.Array) -> tuple[State, Info]:
        state = kernel.init(key, batches(data))
        return jax.lax.scan(step, state, length=steps)

    return run(start)


def points_of(mixture: Mixture, n: int) -> Callable[[jax.Array], Batch]:
    """``key -> n points of it and the numbers of their modes``, for `scanned`."""

    def batch(key: jax.Array) -> Batch:
        mode_key, noise_key = jax.random.split(key)
        label = jax.random.randint(mode_key, (n,), 0, len(mixture.modes))
        noise = mixture.sd * jax.random.normal(noise_key, (n, 2))
        return {"real": jnp.asarray(mixture.modes)[label] + noise, "label": label}

    return batch


def side_by_side(*pictures: np.ndarray) -> np.ndarray:
    """Pictures in a row, white between them and beneath the lower ones."""
    height = max(len(p) for p in pictures)
    white = [
        np.pad(p, ((0, height - len(p)), (8, 0), (0, 0)), constant_values=255)
        for p in pictures
    ]
    return np.hstack(white)[:, 8:]
