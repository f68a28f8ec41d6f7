"""Resident and streamed batches are equal, whatever the order of the steps."""

import contextlib
import sys
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from gan_jax.data.cache import cached
from gan_jax.data.faces import faces
from gan_jax.data.feed import Feed, feed, resident, streaming
from gan_jax.data.mixtures import mixture_points, ring
from gan_jax.data.order import Order
from gan_jax.data.source import Arrays, Sample

N, B = 50, 16
ORDER = Order(N, B, seed=3)
STEPS = [0, 1, 2, 10**6, 6, 0]


class OneByOne:
    """The same faces without `gather`, with a place to fail."""

    def __init__(self, broken: int | None = None) -> None:
        self.inner, self.broken = faces(N, 32), broken
        self.fingerprint = self.inner.fingerprint

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> Sample:
        if index == self.broken:
            raise ValueError("file_17.png: not a readable image")
        return self.inner[index]


def in_arrays() -> Arrays:
    source = faces(N, 32)
    return Arrays(source.gather(np.arange(N)), source.fingerprint)


def batch(chosen: Feed, step: int) -> dict[str, np.ndarray]:
    got = chosen.get(step)
    return jax.tree.map(np.asarray, jax.jit(chosen.gather)(chosen.arrays, got))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("count", [1, 4])
def test_all_ways_give_the_same_bits(tmp_path: Path, flip: bool, count: int) -> None:
    for p in {0, count - 1}:
        order = ORDER.share(p, count)
        ways = [
            resident(in_arrays(), order, flip=flip),
            streaming(in_arrays(), order, flip=flip, threads=3),
            streaming(OneByOne(), order, flip=flip, threads=5, ahead=0),
            streaming(cached(OneByOne(), tmp_path), order, flip=flip),
        ]
        for step in STEPS:
            first, *others = [batch(way, step) for way in ways]
            assert set(first) == {"real", "label", "attributes", "index"}
            assert len(first["real"]) == B // count
            assert first["real"].dtype == np.uint8
            assert first["index"].dtype == first["label"].dtype == np.int32
            for other in others:
                for name, value in first.items():
                    assert np.array_equal(value, other[name]), (step, name)
                    assert value.dtype == other[name].dtype
        for way in ways:
            way.close()


def test_batches_are_the_samples_of_the_order_mirrored_by_its_coins() -> None:
    source = faces(N, 32)
    got = batch(resident(in_arrays(), ORDER, flip=True), 5)
    for row, (index, coin) in enumerate(
        zip(ORDER.indices(5).tolist(), ORDER.flips(5), strict=True)
    ):
        expected = source[index]["real"]
        assert got["index"][row] == index
        assert np.array_equal(got["real"][row], expected[:, ::-1] if coin else expected)
        assert np.array_equal(got["attributes"][row], source[index]["attributes"])


def test_the_resident_way_carries_indices_only() -> None:
    chosen = resident(in_arrays(), ORDER, flip=True)
    got = chosen.get(3)
    assert {name: value.nbytes for name, value in got.items()} == {
        "index": 4 * B,
        "flip": B,
    }
    assert all(isinstance(a, jax.Array) for a in jax.tree.leaves(chosen.arrays))
    assert "flip" not in resident(in_arrays(), ORDER, flip=False).get(0)


@pytest.mark.parametrize(
    ("part", "wanted", "together"),
    [(2**20, 1, 16), (3 * 32**2 * 8, 2, 1), (1, 5, 1)],
)
def test_small_batches_that_are_only_copied_are_read_by_one_thread_many_at_once(
    monkeypatch: pytest.MonkeyPatch, part: int, wanted: int, together: int
) -> None:
    counts = []

    class Pool(ThreadPoolExecutor):
        def submit(self, fn: Any, indices: np.ndarray, flips: np.ndarray) -> Any:
            counts.append(len(indices))
            return super().submit(fn, indices, flips)

    module = sys.modules["gan_jax.data.feed"]
    monkeypatch.setattr(module, "PART", part)
    monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)

    def parts(source: Any) -> list[int]:
        counts.clear()
        chosen = streaming(source, ORDER, flip=True, threads=5, ahead=0)
        got = chosen.get(0)
        chosen.close()
        first = resident(in_arrays(), ORDER, flip=True)
        np.testing.assert_array_equal(got["real"], batch(first, 0)["real"])
        return list(counts)

    assert len(parts(in_arrays())) == wanted
    assert sum(counts) == B * together
    assert len(parts(OneByOne())) == 5  # it decodes; so it is shared out
    assert sum(counts) == B


def test_errors_in_threads_come_out_where_they_belong() -> None:
    broken = int(ORDER.indices(2)[5])
    chosen = streaming(OneByOne(broken), ORDER, flip=False, threads=2)
    bad = [step for step in range(9) if broken in ORDER.indices(step)]
    for step in range(9):
        if step in bad:
            for _ in range(2):  # asked again, it fails again
                with pytest.raises(ValueError, match=r"file_17\.png"):
                    chosen.get(step)
        else:
            assert len(chosen.get(step)["real"]) == B
    chosen.close()


def test_what_could_not_be_read_is_read_again_when_asked_for_again() -> None:
    source = OneByOne(int(ORDER.indices(0)[5]))
    chosen = streaming(source, ORDER, flip=False, ahead=0)
    with pytest.raises(ValueError, match=r"file_17\.png"):
        chosen.get(0)
    source.broken = None
    assert len(chosen.get(0)["real"]) == B
    chosen.close()


def test_close_ends_the_threads() -> None:
    def running() -> int:
        return sum(t.name.startswith("gan_jax-feed") for t in threading.enumerate())

    before = running()
    chosen = streaming(OneByOne(), ORDER, flip=False, threads=4)
    chosen.get(0)
    assert running() > before
    chosen.close()
    assert running() == before


def test_close_ends_who_waits_in_another_thread() -> None:
    gate, entered, ended = (threading.Event() for _ in range(3))

    class Slow(OneByOne):
        def __getitem__(self, index: int) -> Sample:
            entered.set()
            gate.wait(60)
            return super().__getitem__(index)

    gate.set()
    chosen = streaming(Slow(), ORDER, flip=False, threads=1)
    gate.clear()
    entered.clear()

    def wait() -> None:
        with contextlib.suppress(CancelledError):
            chosen.get(2)  # behind those that are read ahead: never begun
        ended.set()

    threading.Thread(target=chosen.get, args=(0,), daemon=True).start()
    assert entered.wait(60)
    threading.Thread(target=wait, daemon=True).start()
    time.sleep(0.2)
    closing = threading.Thread(target=chosen.close)
    closing.start()
    time.sleep(0.2)
    gate.set()
    closing.join()
    assert ended.wait(10)


@pytest.mark.parametrize("source", [OneByOne, in_arrays])
def test_a_batch_stays_as_it_is(source: Any) -> None:
    chosen = streaming(source(), ORDER, flip=False)
    first = chosen.get(0)
    kept = {name: value.copy() for name, value in first.items()}
    for step in range(1, 6):
        for value in chosen.get(step).values():
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 0
    assert all(np.array_equal(first[name], kept[name]) for name in kept)
    assert np.array_equal(chosen.get(0)["real"], kept["real"])
    chosen.close()


def test_size_decides_and_the_line_says_so(tmp_path: Path) -> None:
    small = feed(faces(N, 32), ORDER, flip=True, cache=tmp_path)
    assert small.describe.startswith("resident: 50 samples")
    large = feed(
        faces(N, 32), ORDER, flip=True, memory_limit_bytes=1000, cache=tmp_path
    )
    assert large.describe.startswith("streaming: 50 samples")
    assert "above the limit" in large.describe
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1
    for step in (0, 5):
        a, b = batch(small, step), batch(large, step)
        assert all(np.array_equal(a[name], b[name]) for name in a)
    assert (small.batch_size, large.batch_size) == (B, B)
    large.close()
    small.close()


@pytest.mark.parametrize(("limit", "way"), [(10**9, "resident"), (1000, "streaming")])
def test_without_a_cache_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, way: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    chosen = feed(OneByOne(), ORDER, flip=False, cache=False, memory_limit_bytes=limit)
    assert chosen.describe.startswith(way)
    expected = streaming(OneByOne(), ORDER, flip=False)
    assert np.array_equal(batch(chosen, 3)["real"], batch(expected, 3)["real"])
    chosen.close()
    expected.close()
    assert list(tmp_path.iterdir()) == []


def test_points_travel_too() -> None:
    source = mixture_points(ring(), N, 0)
    chosen = feed(source, ORDER, flip=False)
    assert chosen.describe.startswith("resident")
    got = batch(chosen, 0)
    assert got["real"].shape == (B, 2)
    assert np.array_equal(got["real"], source.arrays["real"][ORDER.indices(0)])
    with pytest.raises(ValueError, match="flip=False"):
        feed(source, ORDER, flip=True)


def test_an_order_over_other_samples_is_refused() -> None:
    for way in (resident, streaming):
        with pytest.raises(ValueError, match="51 samples"):
            way(in_arrays(), Order(51, B, 0), flip=False)
