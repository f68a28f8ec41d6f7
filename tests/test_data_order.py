"""The order is a permutation per epoch, computed at any step, and splits over a pod."""

import time

import numpy as np
import pytest

from gan_jax.data.order import Order
from gan_jax.data.splitmix import bits, mix, seed_word, uniform


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 15, 16, 17, 97, 1000, 4097])
def test_every_epoch_is_a_permutation(n: int) -> None:
    order = Order(n, n, seed=7)
    for epoch in (0, 1, 10**6):
        assert sorted(order.indices(epoch)) == list(range(n))


def test_epochs_and_seeds_differ() -> None:
    first = Order(1000, 1000, seed=1).indices(0)
    for other in (
        Order(1000, 1000, seed=1).indices(1),
        Order(1000, 1000, 2).indices(0),
    ):
        assert (first == other).mean() < 0.02  # by chance about 1 in 1000
    assert (first == np.arange(1000)).mean() < 0.02


def test_batches_straddle_epochs_and_drop_nothing() -> None:
    n, steps = 10, 7  # 7 batches of 10 in another grouping: 70 = 10 epochs of 7
    stream = np.concatenate([Order(7, n, 3).indices(step) for step in range(steps)])
    for epoch in stream.reshape(10, 7):
        assert sorted(epoch) == list(range(7))


def test_a_batch_may_be_larger_than_the_data() -> None:
    counts = np.bincount(Order(3, 300, 0).indices(5), minlength=3)
    assert counts.tolist() == [100, 100, 100]


def test_the_stream_does_not_depend_on_the_batch_size() -> None:
    whole = Order(11, 24, 5)
    parts = Order(11, 6, 5)
    assert np.array_equal(
        whole.indices(0), np.concatenate([parts.indices(s) for s in range(4)])
    )
    assert np.array_equal(
        whole.flips(0), np.concatenate([parts.flips(s) for s in range(4)])
    )


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_processes_read_slices_of_the_global_batch(count: int) -> None:
    order = Order(100, 16, 9)
    shares = [order.share(p, count) for p in range(count)]
    for step in (0, 6, 7):
        got = np.concatenate([share.indices(step) for share in shares])
        assert np.array_equal(got, order.indices(step))
        coins = np.concatenate([share.flips(step) for share in shares])
        assert np.array_equal(coins, order.flips(step))


@pytest.mark.parametrize("step", [10**6, 10**12])
def test_far_steps_are_immediate(step: int) -> None:
    order = Order(10**9, 1024, 0)
    start = time.perf_counter()
    indices = order.indices(step)
    assert time.perf_counter() - start < 0.1
    assert indices.dtype == np.int64
    assert indices.shape == (1024,)
    assert len(set(indices.tolist())) == 1024
    assert indices.min() >= 0
    assert indices.max() < 10**9
    assert abs(indices.mean() / 10**9 - 0.5) < 5 * 0.2887 / 32  # 5 standard errors


@pytest.mark.parametrize("n", [3, 4, 5])
def test_small_permutations_are_equally_likely(n: int) -> None:
    trials, kinds = 3000, int(np.prod(np.arange(1, n + 1)))
    places = Order(n, n * trials, seed=11).indices(0).reshape(trials, n)
    _, counts = np.unique(places, axis=0, return_counts=True)
    assert len(counts) == kinds
    expected = trials / kinds
    chi2 = np.sum((counts - expected) ** 2 / expected)
    assert chi2 < kinds - 1 + 5 * np.sqrt(2 * (kinds - 1))


def test_neighbours_are_independent() -> None:
    epoch = Order(20_000, 20_000, 3).indices(0).astype(np.float64)
    for lag in (1, 2, 3, 141):  # 141: near √n, the side of the Feistel network's square
        correlation = np.corrcoef(epoch[:-lag], epoch[lag:])[0, 1]
        assert abs(correlation) < 5 / np.sqrt(20_000)


def test_flips_are_fair_and_independent_of_the_order() -> None:
    order = Order(1000, 20_000, 4)
    flips = order.flips(0)
    assert flips.dtype == np.bool_
    assert abs(flips.mean() - 0.5) < 5 * 0.5 / np.sqrt(20_000)
    assert abs(np.corrcoef(flips, order.indices(0))[0, 1]) < 5 / np.sqrt(20_000)
    assert not np.array_equal(flips, order.flips(1))
    assert np.array_equal(flips, Order(77, 20_000, 4).flips(0))  # of position alone


def test_splitmix_has_its_published_values() -> None:
    # The first outputs of SplitMix64 from state 0 and from state 1234567.
    zero = bits(np.zeros(1, np.uint64), np.arange(2, dtype=np.uint64))
    assert zero.tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    other = bits(np.array([1234567], np.uint64), np.arange(1, dtype=np.uint64))
    assert other.tolist() == [6457827717110365317]
    words = mix(np.arange(10_000, dtype=np.uint64) + seed_word(0, 0))
    numbers = uniform(words)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 5 * 0.2887 / 100


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((0, 1, 0), "n is 0"),
        ((2**31, 1, 0), "int32"),
        ((5, 0, 0), "batch_size"),
        ((5, 4, 0, 2, 2), "process_index"),
        ((5, 4, 0, 0, 3), "split evenly"),
    ],
)
def test_bad_arguments_say_what_is_wanted(arguments: tuple, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Order(*arguments)


def test_negative_and_absurd_steps_are_refused() -> None:
    for step in (-1, 2**62):
        with pytest.raises(ValueError, match="step is"):
            Order(5, 4, 0).indices(step)
