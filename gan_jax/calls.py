"""One compiled call: k training steps between two looks of the host.

A call takes the state, what stays on the devices, and a block of what the host sends,
for its k steps or for several calls; it returns the state and the infos of all k. Infos
come back as two arrays, of floats and of whole numbers, however many names they have:
fetching them is two transfers.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gan_jax.data.feed import Feed
from gan_jax.devices import Parallel, sharded
from gan_jax.digest import on_host, placed
from gan_jax.kernel import Batch, Info, State

Step = Callable[[State, Batch], tuple[State, Info]]
Gather = Callable[[Any, Any], Batch]


@runtime_checkable
class Trainable(Protocol):
    """A `Kernel` or a `Gan`: how a state begins and what becomes of it."""

    @property
    def init(self) -> Callable[[Array, Batch], State]:
        """``(key, batch) -> State``."""

    @property
    def step(self) -> Callable[[State, Batch], tuple[State, Info]]:
        """``(state, batch) -> (state, info)``."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Infos:
    """The infos of one step, or of k steps along the leading axis.

    Attributes:
      floats: (..., names) float32.
      counters: (..., names) int32.
      float_names, counter_names: what stands where along the last axis.
    """

    floats: Array
    counters: Array
    float_names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    counter_names: tuple[str, ...] = dataclasses.field(metadata={"static": True})


class Calls:
    """The calls of a run: the state they begin with, where each begins, its program.

    Args:
      kernel, feed, parallel: as `gan_jax.train.fit` is given them.
      k: the steps of a call.
      steps: where the last one ends.
    """

    def __init__(
        self, kernel: Trainable, feed: Feed, parallel: Parallel, k: int, steps: int
    ) -> None:
        self._kernel, self._feed, self._parallel = kernel, feed, parallel
        self._k, self.steps = k, steps
        # A call lies within one block. What pmap takes it takes anew for each call.
        together = feed.together if parallel.axis_name is None else 1
        self._together = whole_calls(together, k)
        self._block: tuple[int, Any] = (-1, None)
        self._arrays = parallel.replicate(feed.arrays)
        self._everywhere = parallel.replicate(np.zeros(())).sharding
        self._programs: dict[int, Any] = {}

    def init(self, key: Array) -> State:
        """The initial state, on every device, from the first batch."""
        return jax.jit(self._init, out_shardings=self._everywhere)(*self._inputs(key))

    def like(self, key: Array) -> State:
        """The shapes of `init`, and where they go."""
        return self._abstract(jax.eval_shape(self._init, *self._inputs(key)))

    def _init(self, key: Array, arrays: Any, got: Any) -> State:
        return self._kernel.init(key, self._feed.gather(arrays, got))

    def _inputs(self, key: Array) -> tuple[Array, Any, Any]:
        # One global batch also for pmap, which would have it in parts.
        put = sharded(self._everywhere.mesh).put
        key = placed(self._abstract(key), on_host(key))
        return key, self._arrays, put(self._share(), 0)

    def _share(self) -> Any:
        """This process's part of the first batch."""
        got, size = self._feed.get(0), self._feed.batch_size
        processes = jax.process_count()
        rows = {len(x) for x in jax.tree.leaves(got)}
        if rows - {size // processes}:
            raise ValueError(
                f"the feed's batch is of {size} samples, of which each of {processes} "
                f"process(es) gets {size // processes}, but get(0) has {sorted(rows)}. "
                "Give the order process_index=jax.process_index() and "
                "process_count=jax.process_count()."
            )
        return got

    def _abstract(self, tree: Any) -> Any:
        def abstract(x: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self._everywhere)

        return jax.tree.map(abstract, tree)

    def end(self, step: int) -> int:
        """Where the call that begins at ``step`` ends: a multiple of k, or the end."""
        return min((step // self._k + 1) * self._k, self.steps)

    def get(self, step: int) -> Any:
        """The block in which the call that begins at ``step`` lies, on the devices."""
        number = step // self._together
        if step < self.steps and number != self._block[0]:
            first = number * self._together
            got = stacked(self._feed.get, first, self._together)
            with jax.transfer_guard("allow"):  # this is where it is meant to happen
                self._block = number, self._parallel.put(got, 1)
        return self._block[1]

    def __call__(self, state: State, step: int, block: Any) -> tuple[State, Infos]:
        """Dispatch the call that begins at ``step``; ``state`` is donated."""
        length = self.end(step) - step
        if length not in self._programs:
            call = steps_in_one_call(self._kernel.step, self._feed.gather, length)
            self._programs[length] = self._parallel.compile(call, 1)
            with jax.transfer_guard("allow"):  # constants of the program
                return self._programs[length](state, self._arrays, block)
        return self._programs[length](state, self._arrays, block)


# One function per kernel and length: `jax.jit` knows it again when the same process
# goes on with a run, and does not compile a second time.
@functools.lru_cache(maxsize=16)
def steps_in_one_call(step: Step, gather: Gather, length: int) -> Callable[..., Any]:
    """``(state, arrays, block) -> (state, infos)``, ``length`` steps of a kernel.

    The block's arrays have a leading axis of n steps, those from a multiple of n on. A
    step takes its own by ``state.step``, modulo n.

    Args:
      step: the kernel's.
      gather: ``(arrays, got) -> batch``.
      length: steps; if it is not 1 they are scanned.
    """

    def one(state: Any, arrays: Any, block: Any) -> tuple[Any, Infos]:
        def own(x: Any) -> Any:
            place = state.step % len(x) if len(x) > 1 else 0
            return jax.lax.dynamic_index_in_dim(x, place, keepdims=False)

        got = jax.tree.map(own, block)
        state, info = step(state, gather(arrays, got))
        return state, packed(info)

    def many(state: Any, arrays: Any, block: Any) -> tuple[Any, Infos]:
        return jax.lax.scan(
            lambda s, _: one(s, arrays, block), state, None, length=length
        )

    return one if length == 1 else many


def whole_calls(steps: int, k: int) -> int:
    """The steps of as many calls of k as hold ``steps``.

    >>> whole_calls(64, 1), whole_calls(64, 10)
    (64, 70)
    """
    return -(-steps // k) * k


def stacked(get: Callable[[int], Any], first: int, steps: int) -> Any:
    """A block: what ``get`` gets for ``steps`` steps from ``first`` on, on the host."""
    each = [get(step) for step in range(first, first + steps)]
    return jax.tree.map(lambda *x: np.stack(x), *each)


def packed(info: Info) -> Infos:
    """The scalars of ``info`` side by side.

    Raises:
      ValueError: naming what is not a scalar.
    """
    if arrays := {name: x.shape for name, x in info.items() if jnp.ndim(x)}:
        raise ValueError(f"infos are scalars, but these are arrays: {arrays}")
    floats = [k for k, x in info.items() if jnp.issubdtype(x.dtype, jnp.floating)]
    counters = [name for name in info if name not in floats]

    def side_by_side(names: list[str], dtype: Any) -> Array:
        if not names:
            return jnp.zeros(0, dtype)
        return jnp.stack([info[name].astype(dtype) for name in names])

    return Infos(
        side_by_side(floats, jnp.float32),
        side_by_side(counters, jnp.int32),
        tuple(floats),
        tuple(counters),
    )


def unpacked(infos: Infos) -> list[dict[str, float | int]]:
    """The infos of each step, as plain numbers; waits for the device."""
    fetched = jax.device_get((infos.floats, infos.counters))
    floats, counters = (np.atleast_2d(x) for x in fetched)
    return [
        dict(zip(infos.float_names, f, strict=True))
        | dict(zip(infos.counter_names, c, strict=True))
        for f, c in zip(floats.tolist(), counters.tolist(), strict=True)
    ]
