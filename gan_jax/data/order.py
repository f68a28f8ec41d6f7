"""The order of the data: which samples a step sees, computed from (seed, step) alone.

Every epoch is a permutation of the data set. It is evaluated where it is needed, by a
small Feistel network, and never stored: there is no iterator, no state and no seek.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from gan_jax.data.splitmix import bits, seed_word

_ROUNDS = 10  # 4 suffice in theory for large n; small n wants more, and they are cheap
_LARGEST = 2**62  # positions stay inside int64
_PERMUTE, _FLIP = 0, 1  # purposes of the seed


def permute(
    x: UInt64[np.ndarray, "n"], size: int, words: UInt64[np.ndarray, "n"]
) -> UInt64[np.ndarray, "n"]:
    """Evaluates a pseudo-random permutation of {0, …, size − 1} at the points `x`.

    A Feistel network on Z_a × Z_b (a·b ≥ size, a and b near √size): the halves take
    turns at being shifted by a hash of the other. Values that land outside of
    {0, …, size − 1} walk on along their cycle until they are back inside.

    Args:
      x: points, each below `size`.
      size: number of elements.
      words: for each point the key of the permutation to evaluate it under.

    Returns:
      The images of the points.

    Reference:
      Black, Rogaway, "Ciphers with arbitrary finite domains", 2002.
    """
    out = _feistel(x, size, words)
    outside = np.flatnonzero(out >= size)
    while outside.size:  # a·b < size + √size + 1: rarely more than once
        out[outside] = _feistel(out[outside], size, words[outside])
        outside = outside[out[outside] >= size]
    return out


def _feistel(
    x: UInt64[np.ndarray, "n"], size: int, words: UInt64[np.ndarray, "n"]
) -> UInt64[np.ndarray, "n"]:
    a = np.uint64(math.isqrt(size - 1) + 1)
    b = np.uint64(-(-size // int(a)))
    left, right = np.divmod(x, b)
    for turn in range(_ROUNDS):
        count = np.uint64(_ROUNDS)
        if turn % 2:
            shift = bits(words, left * count + np.uint64(turn))
            right = np.mod(right + np.mod(shift, b), b)
        else:
            shift = bits(words, right * count + np.uint64(turn))
            left = np.mod(left + np.mod(shift, a), a)
    return left * b + right


@dataclasses.dataclass(frozen=True)
class Order:
    """The stream of samples: epoch after epoch, each in its own seeded permutation.

    Batch `step` is positions [step·B, (step + 1)·B) of the stream, so a batch may
    straddle epochs, no sample is dropped, and a batch may be larger than the data set.
    In a pod, process p of P reads [p·B/P, (p + 1)·B/P) of the same global batch.

    Args:
      n: number of samples in the data set.
      batch_size: B, the global batch.
      seed: any int.
      process_index: p, this process.
      process_count: P, which divides B.

    Raises:
      ValueError: for a count below one, or a batch that P does not divide.
    """

    n: int
    batch_size: int
    seed: int
    process_index: int = 0
    process_count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.n < 2**31:
            raise ValueError(
                f"n is {self.n}; an order needs 1 <= n < 2**31 samples "
                "(batch['index'] is int32). Is the data set empty?"
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; give 1 or more.")
        if not 0 <= self.process_index < self.process_count:
            raise ValueError(
                f"process_index is {self.process_index} of process_count "
                f"{self.process_count}; give 0 <= index < count."
            )
        if self.batch_size % self.process_count:
            raise ValueError(
                f"batch_size {self.batch_size} does not split evenly over "
                f"{self.process_count} processes; give a multiple of it."
            )

    @property
    def local_size(self) -> int:
        """Samples that this process reads in each step."""
        return self.batch_size // self.process_count

    def share(self, process_index: int, process_count: int) -> "Order":
        """The same stream as one process of a pod reads it."""
        return dataclasses.replace(
            self, process_index=process_index, process_count=process_count
        )

    def positions(self, step: int, steps: int = 1) -> UInt64[np.ndarray, "b"]:
        """Places in the stream that this process reads in `steps` steps from `step`."""
        start = step * self.batch_size + self.process_index * self.local_size
        if step < 0 or start > _LARGEST:
            raise ValueError(
                f"step is {step}; with batches of {self.batch_size} it must lie in "
                f"0 … {_LARGEST // self.batch_size}."
            )
        later = np.arange(steps, dtype=np.uint64) * np.uint64(self.batch_size)
        within = np.arange(self.local_size, dtype=np.uint64)
        return (np.uint64(start) + later[:, None] + within).reshape(-1)

    def indices(self, step: int, steps: int = 1) -> Int64[np.ndarray, "b"]:
        """Samples of the data set that this process reads in `step`.

        Args:
          step: 0, 1, …; any, in any order, at the same cost.
          steps: how many, one after the other. Many at once are far cheaper: what a
            call of numpy costs is paid once.

        Returns:
          Indices below n, in the order of the global batch.
        """
        epoch, place = np.divmod(self.positions(step, steps), np.uint64(self.n))
        words = bits(seed_word(self.seed, _PERMUTE), epoch)
        return permute(place, self.n, words).astype(np.int64)

    def flips(self, step: int, steps: int = 1) -> Bool[np.ndarray, "b"]:
        """Whether each sample of `step` is mirrored: a fair coin per position.

        Args:
          step, steps: as for `indices`.

        Returns:
          True where the image is to be mirrored left to right.
        """
        words = bits(seed_word(self.seed, _FLIP), self.positions(step, steps))
        return (words >> np.uint64(63)).astype(np.bool_)
