"""Every game under the laws: adding a case to ``tests/cases`` is all it takes."""

import re
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
    """Laws 3 to 7 and the guard, on one compiled step and in two kinds of company."""
    case = CASES[name]
    built, batch = trained(case), case.batch()
    seeds = jax.vmap(jax.random.key)(jnp.arange(2))
    starts = jax.jit(jax.vmap(built.init, in_axes=(0, None)))(seeds, batch)
    start = jax.tree.map(lambda x: x[1], starts)
    traced = []

    @jax.jit
    def step(state, batch):
        traced.append(None)
        return built.step(state, batch)

    with jax.debug_key_reuse(True):
        first, _ = step(start, batch)
        second, info = step(first, batch)
        # A run taken up again from what lies on disk is the same run, bit for bit.
        saved = jax.device_get(first._replace(key=jax.random.key_data(first.key)))
        loaded = jax.tree.map(jnp.asarray, saved)
        loaded = loaded._replace(key=jax.random.wrap_key_data(loaded.key))
        resumed, _ = step(loaded, batch)
        # A step with a NaN in it is not taken, for any player.
        kept, fault = step(second, poisoned(batch))
        assert len(traced) == 1
    assert same(second, resumed)
    assert int(fault["bad"]) == 1
    counters = {name: getattr(kept, name) for name in ("step", "bad", "skipped")}
    assert same(second._replace(**counters), kept)
    for player in first.params:
        assert largest_gap(first.params[player], second.params[player]) > 0, player
    assert all(np.ndim(x) == 0 and np.isfinite(x) for x in info.values())
    # Four devices: two seeds by vmap with the batch sharded, and one seed mapped.
    some = jax.devices()[: 4 if case.smooth else 1]
    many = jax.vmap(built.step, in_axes=(0, None))
    both = two_steps(many, devices.sharded(devices.data_mesh(some)), starts, batch)
    alike((second, info), jax.tree.map(lambda x: x[1], both))
    mapped = devices.pmapped(some)
    own = trained(case, mapped.axis_name)
    alike((second, info), two_steps(own.step, mapped, start, batch))


def same(a, b):
    return all(
        np.array_equal(x, y) for x, y in zip(comparable(a), comparable(b), strict=True)
    )


def alike(run, other):
    (state, info), (other_state, other_info) = run, other
    assert largest_gap(*jax.device_get((state.params, other_state.params))) < 1e-5
    assert info.keys() == other_info.keys()
    for key, value in other_info.items():
        np.testing.assert_allclose(value, info[key], rtol=1e-4, atol=1e-5)


def two_steps(step, parallel, state, batch):
    state = parallel.replicate(jax.tree.map(jnp.copy, state))  # it is donated
    call = parallel.compile(lambda state, arrays, got: step(state, got), 0)
    got = jax.tree.map(np.asarray, batch)
    for _ in range(2):
        state, info = call(state, parallel.replicate(()), parallel.put(got, 0))
    return state, info


def test_every_objective_has_a_case():
    """A game that nobody put under the laws is a game that nobody checked."""
    folder = Path(__file__).parent / "cases"
    texts = "".join(file.read_text() for file in folder.glob("*.py"))
    called = set(re.findall(r"(?<![a-z_])([a-z_]+)\(", texts))
    missing = set(gan_jax.objectives.__all__) - called
    assert missing == set()
