"""Random bits without the loop are JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.parts import sample_keys
from gan_jax.threefry import unrolled

DRAWS = {
    "fold_in": lambda key: jax.random.key_data(jax.random.fold_in(key, 2**31 + 5)),
    "split": lambda key: jax.random.key_data(jax.random.split(key, (3, 2))),
    "bits8": lambda key: jax.random.bits(key, (5, 3), jnp.uint8),
    "bits16": lambda key: jax.random.bits(key, (7,), jnp.uint16),
    "normal": lambda key: jax.random.normal(key, (33, 3)),
    "bfloat16": lambda key: jax.random.normal(key, (9,), jnp.bfloat16),
    "randint": lambda key: jax.random.randint(key, (9,), 0, 1000),
    "permutation": lambda key: jax.random.permutation(key, 17),
    "nothing": lambda key: jax.random.bits(key, (0,)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_bits_are_jaxs(name):
    draw = jax.jit(jax.vmap(DRAWS[name]))
    keys = jax.random.split(jax.random.key(3), 4)
    np.testing.assert_array_equal(draw(keys), draw(unrolled(keys)))


def test_bits_of_64():
    with jax.enable_x64(True):
        key = jax.random.key(1)
        wanted, found = (
            jax.random.normal(k, (9,), float) for k in (key, unrolled(key))
        )
        assert wanted.dtype == np.float64
        np.testing.assert_array_equal(wanted, found)


def test_other_keys_are_left_alone():
    other = jax.random.key(0, impl="rbg")
    assert unrolled(other) is other
    with jax.threefry_partitionable(False):
        old = jax.random.key(0)
        assert unrolled(old) is old
    once = unrolled(jax.random.key(0))
    assert unrolled(once) is once


def test_on_a_cpu_there_is_no_loop_and_elsewhere_jaxs_own_lowering_stays():
    batch = {"real": jnp.zeros((8, 2))}

    def noise(key):
        keys = sample_keys(key, batch, None)
        return jax.vmap(lambda k: jax.random.normal(k, (4,)))(keys)

    def plain(key):
        return jax.vmap(lambda k: jax.random.normal(k, (4,)))(jax.random.split(key, 8))

    def lowered(function, platform):
        traced = jax.jit(function).trace(jax.random.key(0))
        return traced.lower(lowering_platforms=(platform,)).as_text()

    assert "stablehlo.while" in lowered(plain, "cpu")
    assert "stablehlo.while" not in lowered(noise, "cpu")
    assert "threefry2x32" in lowered(plain, "tpu")
    assert "threefry2x32" in lowered(noise, "tpu")
