"""Random bits by computation: a hash of (seed, counters), with no state to keep."""

import numpy as np
from jaxtyping import UInt64

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: the increment of SplitMix64
_MASK = (1 << 64) - 1


def mix(x: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """Scrambles 64-bit words: the finalizer of SplitMix64, a bijection.

    Args:
      x: words of any shape.

    Returns:
      Words of the same shape.

    Reference:
      Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def seed_word(seed: int, purpose: int) -> UInt64[np.ndarray, "1"]:
    """Turns a seed and a purpose into one word, so that purposes do not share bits.

    Args:
      seed: any int; taken modulo 2**64.
      purpose: a small int that names what the bits are for.

    Returns:
      An array of one word (numpy wraps arrays around silently, scalars with a warning).
    """
    start = np.array([seed & _MASK], np.uint64)
    step = np.array([(purpose + 1) * _GOLDEN & _MASK], np.uint64)
    return mix(mix(start + step) + step)


def bits(
    word: UInt64[np.ndarray, "..."], counter: UInt64[np.ndarray, "..."]
) -> UInt64[np.ndarray, "..."]:
    """Gives the words at places `counter` of the SplitMix64 stream from `word` on.

    Args:
      word: start of the stream, from `seed_word` or from `bits` itself.
      counter: places in the stream; broadcast against `word`.

    Returns:
      Words of the broadcast shape.
    """
    return mix(word + (counter + np.uint64(1)) * np.uint64(_GOLDEN))


def uniform(words: UInt64[np.ndarray, "..."]) -> np.ndarray:
    """Turns words into float32 numbers in [0, 1), exact multiples of 2**-24.

    Args:
      words: words of any shape.

    Returns:
      float32 array of the same shape.
    """
    return (words >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
