"""Calls: k steps at once, on a grid, and their infos."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.calls import packed, stacked, steps_in_one_call, unpacked


class Taken(NamedTuple):
    step: jax.Array


def test_infos_come_back_by_name_and_step() -> None:
    def step(state, batch):  # type: ignore[no-untyped-def]
        half = (state.step / 2).astype(jnp.bfloat16)
        info = {"half": half, "n": state.step, "sum": batch.sum()}
        return Taken(state.step + 1), info

    def gather(arrays, got):  # type: ignore[no-untyped-def]
        return arrays[got]

    arrays = jnp.arange(10.0)
    block = stacked(lambda s: np.arange(s, s + 2), 0, 3)
    call = jax.jit(steps_in_one_call(step, gather, 3))
    state, infos = call(Taken(jnp.int32(0)), arrays, block)
    assert state.step == 3
    assert unpacked(infos) == [
        {"half": 0.0, "sum": 1.0, "n": 0},
        {"half": 0.5, "sum": 3.0, "n": 1},
        {"half": 1.0, "sum": 5.0, "n": 2},
    ]
    one = jax.jit(steps_in_one_call(step, gather, 1))
    for n, block in (
        (2, stacked(lambda s: np.arange(2), 2, 1)),
        (5, stacked(lambda s: np.arange(2) * (s == 5), 3, 3)),
    ):
        _, infos = one(Taken(jnp.int32(n)), arrays, block)
        assert unpacked(infos) == [{"half": n / 2, "sum": 1.0, "n": n}]
    assert isinstance(unpacked(infos)[0]["n"], int)


def test_infos_of_one_kind_or_none() -> None:
    assert unpacked(packed({"a": jnp.float32(1)})) == [{"a": 1.0}]
    assert unpacked(packed({"a": jnp.int32(1)})) == [{"a": 1}]
    assert unpacked(packed({})) == [{}]


def test_infos_that_are_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scalars.*\{'grad': \(3,\)\}"):
        packed({"grad": jnp.zeros(3)})
