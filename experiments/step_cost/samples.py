"""How what feeds a step grows with the number of samples: it should not."""

import time
import tracemalloc
from typing import Any

import numpy as np

from experiments.step_cost.table import Row, Table, median
from gan_jax.data import Order, streaming

SIDE, BATCH = 32, 64


class Computed:
    """A data set of any size: ``n`` images, computed when they are asked for."""

    def __init__(self, n: int) -> None:
        self._n = n
        self.fingerprint = f"{n} computed images"

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: rows[0] for name, rows in self.gather(np.array([index])).items()}

    def gather(self, indices: np.ndarray) -> dict[str, Any]:
        """Many at once: each of one grey, its index."""
        grey = (indices % 256).astype(np.uint8)[:, None, None, None]
        return {"real": np.broadcast_to(grey, (len(indices), SIDE, SIDE, 3)).copy()}


def row(n: int) -> Row:
    """What it takes to begin with ``n`` samples, and to get batches of them."""
    tracemalloc.start()
    begun = time.perf_counter()
    order = Order(n, BATCH, seed=0)
    feed = streaming(Computed(n), order, flip=True)
    feed.get(0)
    started = time.perf_counter() - begun
    far = 10 * n // BATCH  # in the tenth epoch
    for step in (0, 1, far):
        order.indices(step)
    feed.get(far)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    def each(work: Any, first: int) -> float:
        times = []
        for step in range(first, first + 200):
            begun = time.perf_counter()
            work(step)
            times.append(time.perf_counter() - begun)
        return median(times) * 1e6

    taken = {
        "samples": n,
        "first batch, ms": started * 1e3,
        "indices, us": each(order.indices, 0),
        "in epoch 10, us": each(order.indices, far),
        "64 steps at once, us a step": each(lambda step: order.indices(step, 64), far)
        / 64,
        "batch streamed, us": each(feed.get, far),
        "peak MiB": peak / 2**20,
    }
    feed.close()
    return taken


def growth() -> Table:
    """10^3 to 10^7 samples."""
    row(100)  # the first use of everything
    rows = [row(10**power) for power in range(3, 8)]
    flat = all(
        last <= 3 * first
        for first, last in (
            (rows[0][name], rows[-1][name]) for name in rows[0] if name != "samples"
        )
    )
    return Table(
        f"starting and shuffling by the number of samples (batch {BATCH}, {SIDE}x"
        f"{SIDE} images computed when asked for)",
        "flat: nothing at 10^7 more than three times what it is at 10^3",
        "ten rounds of a hash on 64 numbers whatever n is, and no array of n: some "
        "0.1 ms and under a megabyte, the batches under way included.",
        rows,
        flat,
    )


TABLES = {"samples": growth}
