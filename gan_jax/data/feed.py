"""How batches reach the step: from the device's own memory, or streamed by threads.

Either way `get(step)` is a pure function, and the batches are equal bit for bit.
"""

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gan_jax.data.cache import cached, read
from gan_jax.data.order import Order
from gan_jax.data.source import Arrays, Sample, Source

Batch = dict[str, Any]  # name -> array with one row a sample

# Bytes of rows that are only copied, below which a part costs more to hand to a thread
# than to read: 64 images of 256 bytes took 215 us of a core in eight parts, 69 in one.
# Steps are sent to the devices together up to as much: sending 256 bytes took 50 us.
PART = 2**20
AT_ONCE = 64  # steps whose draws are evaluated, and whose rows are sent, together
MEMORY_LIMIT = 4 * 2**30  # bytes of data on a device; CelebA at 64x64 takes 2.3 GiB


class Feed(NamedTuple):
    """What `fit` consumes.

    Attributes:
      get: step -> this process's share of that step's batch, or of what selects it, on
        the host. Pure: any step, in any order, as often as wanted.
      arrays: a pytree that stays on the devices; () when streaming.
      gather: (arrays, got) -> batch, to be called inside the compiled step.
      batch_size: the global batch.
      describe: one line for the log: which way, why, how large.
      close: ends the threads.
      together: for how many steps what `get` got is sent to the devices at once. `get`
        is asked for up to so many steps after the last one of a run.
    """

    get: Callable[[int], Batch]
    arrays: Any
    gather: Callable[[Any, Batch], Batch]
    batch_size: int
    describe: str
    close: Callable[[], None]
    together: int = 1


def feed(
    source: Source,
    order: Order,
    *,
    flip: bool,
    memory_limit_bytes: int = MEMORY_LIMIT,
    cache: str | os.PathLike[str] | bool = True,
    threads: int = 8,
) -> Feed:
    """Chooses between `resident` and `streaming` by the size of the decoded data.

    Args:
      source: the data set; decoded once into the cache unless it already is in arrays.
      order: which samples a step sees.
      flip: whether images are mirrored left to right by a fair coin.
      memory_limit_bytes: the largest data that is put on the device.
      cache: directory of the cache; True for the user's own; False for none, which
        decodes into memory if the data is resident, else in every epoch anew.
      threads: how many decode at once.

    Returns:
      A feed, whose `describe` says which way was taken and why.
    """
    nbytes = _decoded_bytes(source)
    resides = nbytes <= memory_limit_bytes
    if isinstance(source, Arrays):
        arrays: Source = source
    elif cache is False:
        arrays = _in_memory(source, threads) if resides else source
    else:
        arrays = cached(source, None if cache is True else cache, threads)
    if resides and isinstance(arrays, Arrays):
        return resident(arrays, order, flip=flip)
    chosen = streaming(arrays, order, flip=flip, threads=threads)
    why = f"; above the limit of {memory_limit_bytes / 2**20:,.0f} MiB on the device"
    return chosen._replace(describe=chosen.describe + why)


def resident(source: Arrays, order: Order, *, flip: bool) -> Feed:
    """Puts the data on the device once; a step then takes only indices and coins.

    Args:
      source: the data, in arrays.
      order: which samples a step sees.
      flip: whether images are mirrored.

    Returns:
      A feed. Its arrays are uncommitted: a replicated sharding may be put on them.
    """
    _check(source, order, source.arrays["real"], flip)
    draws = _Draws(order)

    def get(step: int) -> Batch:
        (index,), (coin,) = draws(step)
        return {"index": index, "flip": coin} if flip else {"index": index}

    def gather(arrays: Any, got: Batch) -> Batch:
        index = got["index"]
        batch = {name: jnp.take(a, index, 0, mode="clip") for name, a in arrays.items()}
        if flip:
            coin = got["flip"][:, None, None, None]
            batch["real"] = jnp.where(coin, batch["real"][:, :, ::-1], batch["real"])
        return batch | {"index": index}

    arrays = {name: jnp.asarray(array) for name, array in source.arrays.items()}
    return Feed(
        get,
        arrays,
        gather,
        order.batch_size,
        f"resident: {len(source):,} samples, {source.nbytes / 2**20:,.1f} MiB on the "
        f"device; {source.fingerprint}",
        lambda: None,
        _together(order.local_size * 4),
    )


def streaming(
    source: Source, order: Order, *, flip: bool, threads: int = 8, ahead: int = 4
) -> Feed:
    """Reads batches in threads, a few steps ahead of the one that was asked for.

    Args:
      source: the data set; what it raises comes out of `get`.
      order: which samples a step sees.
      flip: whether images are mirrored.
      threads: how many read at once.
      ahead: how many coming steps are read before they are asked for.

    Returns:
      A feed whose arrays are () and whose `gather` hands over what `get` got.
    """
    if threads < 1 or ahead < 0:
        raise ValueError(f"threads is {threads}, ahead {ahead}; give >= 1 and >= 0.")
    like = source[0]
    _check(source, order, like["real"][None], flip)
    stream = _Stream(source, order, flip, threads, ahead, like)
    return Feed(
        stream.get,
        (),
        lambda arrays, got: got,
        order.batch_size,
        f"streaming: {len(source):,} samples, "
        f"{_decoded_bytes(source) / 2**20:,.1f} MiB decoded; {threads} threads, "
        f"{ahead} steps ahead; {source.fingerprint}",
        stream.close,
        stream.together,
    )


def _together(nbytes: int) -> int:
    """How many steps of so many bytes go together: a power of two, at most AT_ONCE."""
    return 1 << (min(AT_ONCE, max(1, PART // nbytes)).bit_length() - 1)


class _Draws:
    """Indices and coins of steps, of which many are evaluated at once.

    A call of numpy costs more than what it does to one batch's numbers, and an order
    makes some two hundred of them.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._block = functools.lru_cache(maxsize=2)(self._evaluated)

    def __call__(self, step: int, steps: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Both as (steps, n); ``step`` is a multiple of ``steps``, as AT_ONCE is."""
        number, place = divmod(step, AT_ONCE)
        indices, flips = self._block(number)
        return indices[place : place + steps], flips[place : place + steps]

    def _evaluated(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        first, shape = number * AT_ONCE, (AT_ONCE, self._order.local_size)
        indices = self._order.indices(first, AT_ONCE).astype(np.int32)
        flips = self._order.flips(first, AT_ONCE)
        indices.flags.writeable = flips.flags.writeable = False  # rows are handed out
        return indices.reshape(shape), flips.reshape(shape)


class _Stream:
    """The runs of steps under way: each one array a name, that threads fill in parts.

    Where one step is small, rows of several are read as one; where it is large, or is
    decoded, a run is one step, and several threads share it.
    """

    def __init__(
        self,
        source: Source,
        order: Order,
        flip: bool,
        threads: int,
        ahead: int,
        like: Sample,
    ) -> None:
        self._source, self._order, self._flip = source, order, flip
        self._draws, self._like = _Draws(order), like
        self._parts, self.together = min(threads, order.local_size), 1
        if isinstance(source, Arrays):
            nbytes = order.local_size * sum(np.asarray(x).nbytes for x in like.values())
            self._parts = max(1, min(self._parts, nbytes // PART))
            self.together = _together(nbytes)
        self._ahead = -(-ahead // self.together)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="gan_jax-feed")
        self._lock = threading.Lock()
        self._runs: dict[int, list[Future[Sample]]] = {}

    def get(self, step: int) -> Batch:
        number, place = divmod(step, self.together)
        with self._lock:
            window = range(number, number + 1 + self._ahead)
            for old in [run for run in self._runs if run not in window]:
                for part in self._runs.pop(old):
                    part.cancel()
            for run in window:
                if run not in self._runs:
                    self._runs[run] = self._submit(run)
            parts = self._runs[number]
        try:
            rows = [part.result() for part in parts]
        except BaseException:
            with self._lock:  # asked again, it is read again
                self._runs.pop(number, None)
            raise
        n = self._order.local_size
        batch = {
            name: x[place * n : (place + 1) * n]
            if len(rows) == 1
            else np.concatenate([row[name] for row in rows])
            for name, x in rows[0].items()
        }
        for value in batch.values():
            value.flags.writeable = False  # other steps and calls may share its memory
        return batch | {"index": self._draws(step)[0][0]}

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _submit(self, run: int) -> list[Future[Sample]]:
        draws = self._draws(run * self.together, self.together)
        indices, flips = (np.array_split(x.reshape(-1), self._parts) for x in draws)
        return [
            self._pool.submit(self._part, *part)
            for part in zip(indices, flips, strict=True)
        ]

    def _part(self, indices: np.ndarray, flips: np.ndarray) -> Sample:
        rows = read(self._source, indices, self._like)
        if self._flip:
            coin = flips[:, None, None, None]
            rows["real"] = np.where(coin, rows["real"][:, :, ::-1], rows["real"])
        return rows


def _check(source: Source, order: Order, real: np.ndarray, flip: bool) -> None:
    if order.n != len(source):
        raise ValueError(
            f"the order is over {order.n} samples and the source has {len(source)}; "
            "give Order(len(source), …)."
        )
    if flip and real.ndim != 4:
        raise ValueError(
            f"flip=True mirrors images (n, h, w, c); the data is {real.shape}. "
            "Give flip=False."
        )


def _decoded_bytes(source: Source) -> int:
    if isinstance(source, Arrays):
        return source.nbytes
    return len(source) * sum(np.asarray(v).nbytes for v in source[0].values())


def _in_memory(source: Source, threads: int) -> Arrays:
    like = source[0]
    blocks = np.array_split(np.arange(len(source)), -(-len(source) // 64))
    with ThreadPoolExecutor(threads, thread_name_prefix="gan_jax-read") as pool:
        rows = list(pool.map(lambda block: read(source, block, like), blocks))
    return Arrays(
        {name: np.concatenate([row[name] for row in rows]) for name in like},
        source.fingerprint,
        classes=getattr(source, "classes", None),
        attribute_names=getattr(source, "attribute_names", None),
    )
