"""Under `jax.shard_map`: losses that are one number, integers that are remembered."""

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import PartitionSpec

from gan_jax import comparisons, devices, kernel, losses
from gan_jax.augment import Augment
from gan_jax.dynamics import consensus
from gan_jax.kernel import Objective
from gan_jax.objectives import adversarial
from gan_jax.objectives.unrolled import unrolled
from tests.games import LATENT, players, points

NETS = players()


def step_of(objective, axis_name=None, **options):
    rates = {player: optax.sgd(0.1) for player in ("gen", "disc")}
    return kernel(objective, rates, axis_name=axis_name, **options)


def one_step(objective, count, **options):
    """The state and the info of a first step on so many devices."""
    batch = points(8)
    alone = step_of(objective(None), **options)
    state = jax.jit(alone.init)(jax.random.key(0), batch)
    step = alone.step
    if count > 1:
        step = jax.shard_map(
            step_of(objective("data"), "data", **options).step,
            mesh=devices.data_mesh(jax.devices()[:count]),
            in_specs=(PartitionSpec(), PartitionSpec("data")),
            out_specs=PartitionSpec(),
        )
    return jax.device_get(jax.jit(step)(state, batch))


def matched(axis_name):
    """The shipped loss of means over all devices."""
    return adversarial(
        NETS["gen"],
        NETS["disc"],
        loss=comparisons.moment_matching(axis_name=axis_name),
        latent=LATENT,
    )


def matched_ahead(axis_name):
    return unrolled(
        NETS["gen"],
        NETS["disc"],
        loss=comparisons.moment_matching(axis_name=axis_name),
        latent=LATENT,
        steps=2,
        inner=optax.sgd(0.1),
        axis_name=axis_name,
    )


def of_ones_own(axis_name):
    """A user's own game: each player's mean score over all devices shall be 1."""

    def init(key, batch):
        players = ("gen", "disc")
        return {p: jnp.ones(2) for p in players}, {p: {} for p in players}

    def loss(params, stats, batch, keys, step):
        scores = {player: (batch["real"] @ params[player]).mean() for player in params}
        if axis_name is not None:
            scores = jax.lax.pmean(scores, axis_name)
        cost = sum(jnp.square(score - 1) for score in scores.values())
        return cost, (stats, {"cost": cost})

    return Objective(init, loss)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("game", [matched, matched_ahead, of_ones_own])
def test_a_loss_that_is_the_same_on_all_devices_has_its_whole_gradient(game, wrapped):
    """Such a loss does not vary over devices, and each would get its share only."""

    def objective(axis_name):
        own = game(axis_name)
        return consensus(own, 1.0, axis_name=axis_name) if wrapped else own

    _, alone = one_step(objective, 1)
    _, shared = one_step(objective, 4)
    for player in ("gen", "disc"):
        name = f"{player}/grad_norm"
        assert alone[name] > 1e-3
        assert shared[name] == pytest.approx(float(alone[name]), rel=1e-4)


def test_a_memory_of_integers_is_kept_over_parts_and_devices():
    counted = Augment(
        init=lambda: {"moves": jnp.zeros((), jnp.int32)},
        apply=lambda memory, key, x: x,
        update=lambda memory, logits: {"moves": memory["moves"] + 1},
    )

    def objective(axis_name):
        return adversarial(
            NETS["gen"],
            NETS["disc"],
            loss=losses.nonsaturating(),
            latent=LATENT,
            augment=counted,
        )

    state, _ = one_step(objective, 2, accumulate=2)
    assert int(state.stats["disc"]["augment"]["moves"]) == 1
