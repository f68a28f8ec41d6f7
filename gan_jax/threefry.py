"""JAX's own random bits, on a CPU without the loop.

Threefry, the hash behind JAX's default keys, mixes two words in twenty rounds. For CPUs
JAX lowers it to a loop of five turns of four, which compiles quickly and runs slowly:
every turn carries all words through memory. Here the rounds stand one after the other,
as they do on other devices, where JAX's own lowering stays. The bits are the same.

Reference: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
"""

import functools
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA  # Threefish's, in 32 bits: it is xored into the third key word


def unrolled(key: Array) -> Array:
    """``key`` as a key that draws the same numbers, without a loop on a CPU.

    Args:
      key: a typed key, or an array of them. Where it is of another kind than threefry,
        or JAX is told to draw in the old order that cannot be partitioned, it is
        returned as it is.

    >>> key = jax.random.key(0)
    >>> bool((jax.random.bits(key, 3) == jax.random.bits(unrolled(key), 3)).all())
    True
    """
    own = jax.random.key_impl(key) == "threefry2x32"
    if not own or not jax.threefry_partitionable.value:
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_kind())


def _rounds(k0: Array, k1: Array, x0: Array, x1: Array) -> tuple[Array, Array]:
    """Twenty rounds on the words x under the key k; after every four, a key word."""
    keys = k0, k1, k0 ^ k1 ^ jnp.uint32(PARITY)
    x0, x1 = x0 + k0, x1 + k1
    for turn in range(5):
        for by in ROTATIONS[turn % 2]:
            x0 = x0 + x1
            x1 = x0 ^ (x1 << jnp.uint32(by) | x1 >> jnp.uint32(32 - by))
        x0 = x0 + keys[(turn + 1) % 3]
        x1 = x1 + keys[(turn + 2) % 3] + jnp.uint32(turn + 1)
    return x0, x1


def _hashed(key: Array, high: Array, low: Array) -> tuple[Array, Array]:
    from jax.extend.random import threefry2x32_p

    def as_it_is(*words: Array) -> tuple[Array, Array]:
        return tuple(threefry2x32_p.bind(*words))

    return jax.lax.platform_dependent(
        key[0], key[1], high, low, cpu=_rounds, default=as_it_is
    )


def _counted(key: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The words at the places 0, 1, ... of ``shape``, counted in 64 bits."""
    if prod(shape) >= 2**32:
        raise ValueError(f"{shape} is more than 2^32 numbers from one key.")
    low = jnp.arange(prod(shape), dtype=jnp.uint32).reshape(shape)
    return _hashed(key, jnp.zeros_like(low), low)


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return jnp.stack(_counted(key, shape), axis=-1)


def _fold_in(key: Array, data: int | Array) -> Array:
    low = jnp.asarray(data, jnp.uint32)
    return jnp.stack(_hashed(key, jnp.zeros_like(low), low))


def _random_bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    high, low = _counted(key, shape)
    if width == 64:
        return high.astype(jnp.uint64) << jnp.uint64(32) | low.astype(jnp.uint64)
    return (high ^ low).astype(f"uint{width}")


@functools.cache
def _kind() -> Any:
    from jax.extend import random  # late: it brings in Pallas, a tenth of our import

    return random.define_prng_impl(
        key_shape=(2,),
        seed=random.threefry_prng_impl.seed,
        split=_split,
        random_bits=_random_bits,
        fold_in=_fold_in,
        name="threefry2x32_unrolled",
        tag="fry_unrolled",
    )
