"""What a row of the table is."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

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
