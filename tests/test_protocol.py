"""Every game under the laws: adding a case to ``tests/cases`` is all it takes."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gan_jax.objectives
from gan_jax import devices
from tests.cases import every_case
from tests.games import largest_gap
from tests.protocol import comparable, gradients, poisoned, trained

CASES = {case.name: case for case in every_case()}
cases = pytest.mark.parametrize("name", CASES)


def test_names_are_told_apart():
    assert len(CASES) == len(every_case())


@cases
def test_each_player_gets_its_own_gradient(name):
    """Law 1: whether all players move at once or each in a move of its own."""
    case = CASES[name]
    with jax.enable_x64():
        # NumPy from here on: outside, float64 arrays are not JAX's.
        merged, alone, apart = jax.device_get(gradients(case))
    assert merged.keys() == apart.keys()
    for player, gradient in apart.items():
        assert max(np.abs(g).max() for g in jax.tree.leaves(gradient)) > 0
        assert largest_gap(merged[player], gradient) < case.exact, player
        assert largest_gap(alone[player], gradient) < case.exact, player


@cases
def test_the_step(name):
    """Laws 3, 5, 7 and the guard, on one compiled step."""
    case = CASES[name]
    built, batch = trained(case), case.batch()
    with jax.debug_key_reuse(True):
        state = jax.jit(built.init)(jax.random.key(0), batch)
        step = jax.jit(built.step)
        first, _ = step(state, batch)
        second, info = step(first, batch)
        # A run taken up again from what lies on disk is the same run, bit for bit.
        saved = jax.device_get(first._replace(key=jax.random.key_data(first.key)))
        loaded = jax.tree.map(jnp.asarray, saved)
        loaded = loaded._replace(key=jax.random.wrap_key_data(loaded.key))
        resumed, _ = step(loaded, batch)
        # A step with a NaN in it is not taken, for any player.
        kept, fault = step(second, poisoned(batch))
        assert step._cache_size() == 1
    assert same(second, resumed)
    assert int(fault["bad"]) == 1
    assert same(
        second._replace(step=kept.step, bad=kept.bad, skipped=kept.skipped), kept
    )
    for player in first.params:
        assert largest_gap(first.params[player], second.params[player]) > 0, player
    assert all(np.ndim(x) == 0 and np.isfinite(x) for x in info.values())


def same(a, b):
    return all(
        np.array_equal(x, y) for x, y in zip(comparable(a), comparable(b), strict=True)
    )


@cases
def test_seeds_and_devices(name):
    """Law 6: two seeds by vmap. Law 4: four devices, sharded and mapped, as one."""
    case = CASES[name]
    some = jax.devices()[: 4 if case.smooth else 1]
    batch = jax.tree.map(np.asarray, case.batch())
    alone = trained(case)
    seeds = jax.vmap(jax.random.key)(jnp.arange(2))
    starts = jax.jit(jax.vmap(alone.init, in_axes=(0, None)))(seeds, batch)
    many = jax.jit(jax.vmap(alone.step, in_axes=(0, None)))
    states = starts
    for _ in range(2):
        states, infos = many(states, batch)
    second = jax.device_get(jax.tree.map(lambda x: x[1], (states.params, infos)))
    for parallel in (
        devices.sharded(devices.data_mesh(some)),
        devices.pmapped(some),
    ):
        state, info = two_steps(
            trained(case, parallel.axis_name),
            parallel,
            jax.tree.map(lambda x: x[1], starts),
            batch,
        )
        assert largest_gap(second[0], jax.device_get(state.params)) < 1e-5
        assert info.keys() == second[1].keys()
        for key, value in info.items():
            np.testing.assert_allclose(value, second[1][key], rtol=1e-4, atol=1e-5)


def two_steps(built, parallel, state, batch):
    state = parallel.replicate(state)
    call = parallel.compile(lambda state, arrays, got: built.step(state, got), 0)
    for _ in range(2):
        state, info = call(state, parallel.replicate(()), parallel.put(batch, 0))
    return state, info


def test_every_objective_has_a_case():
    """A game that nobody put under the laws is a game that nobody checked."""
    folder = Path(__file__).parent / "cases"
    texts = "".join(file.read_text() for file in folder.glob("*.py"))
    missing = [name for name in gan_jax.objectives.__all__ if f"{name}(" not in texts]
    assert missing == []
