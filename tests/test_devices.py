"""Law 4: one device or eight, sharded or mapped, the same draws and the same run."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from gan_jax import alternating, devices, gan, losses, penalties
from tests.games import LATENT, largest_gap, players, points


def model(axis_name=None, **changes):
    nets = players()
    penalty = penalties.total(
        penalties.r1(), penalties.wgan_gp(), penalties.dragan(axis_name=axis_name)
    )
    options = {
        "loss": losses.relativistic_average(axis_name=axis_name),
        "penalty": penalty,
        # A relativistic loss has no gradient for D's last bias: a large epsilon keeps
        # Adam from blowing rounding up to a full step there.
        "optimizers": {
            player: optax.adam(1e-2, eps=1e-3) for player in ("gen", "disc")
        },
        "play": alternating("disc", "gen"),
    } | changes
    return gan(nets["gen"], nets["disc"], latent=LATENT, axis_name=axis_name, **options)


def trained(parallel, n=32, steps=4, **changes):
    batch = jax.tree.map(np.asarray, points(n))
    built = model(parallel.axis_name, **changes)
    state = parallel.replicate(jax.jit(built.init)(jax.random.key(0), batch))
    call = parallel.compile(lambda state, arrays, got: built.step(state, got), 0)
    for _ in range(steps):
        state, info = call(state, parallel.replicate(()), parallel.put(batch, 0))
    return jax.device_get((state._replace(key=jax.random.key_data(state.key)), info))


@pytest.fixture(scope="module")
def one_device():
    return trained(devices.sharded(devices.data_mesh(jax.devices()[:1])))


@pytest.mark.parametrize("how", ["jit", "pmap"])
@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_devices_change_nothing(how, count, one_device):
    some = jax.devices()[:count]
    parallel = (
        devices.sharded(devices.data_mesh(some))
        if how == "jit"
        else devices.pmapped(some)
    )
    assert parallel.devices == count
    state, info = trained(parallel)
    reference, reference_info = one_device
    assert largest_gap(state.params, reference.params) < 1e-5
    for name, value in reference_info.items():
        np.testing.assert_allclose(info[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", ["pmap", "shard_map"])
def test_lazy_penalties_parts_and_one_backward_under_a_mapped_axis(how):
    options = {
        "penalty": penalties.lazy(penalties.r1(), every=2),
        "accumulate": 2,
        "gradient": "one_backward",
        "loss": losses.relativistic_pairing(),
    }
    reference, _ = trained(
        devices.sharded(devices.data_mesh(jax.devices()[:1])), **options
    )
    if how == "pmap":
        state, _ = trained(devices.pmapped(jax.devices()[:4]), **options)
    else:
        built, batch = model("data", **options), points(32)
        state = built.init(jax.random.key(0), batch)
        mesh = devices.data_mesh(jax.devices()[:4])
        step = jax.jit(devices.mapped_step(built.step, mesh))
        for _ in range(4):
            state, _ = step(state, batch)
    assert largest_gap(state.params, reference.params) < 1e-5


@pytest.mark.parametrize("checked", [True, False])
def test_the_step_runs_under_shard_map(checked, one_device):
    mesh = devices.data_mesh(jax.devices()[:4])
    built, batch = model("data"), points(32)
    state = built.init(jax.random.key(0), batch)
    step = jax.jit(
        jax.shard_map(
            built.step,
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec("data")),
            out_specs=PartitionSpec(),
            check_vma=checked,
        )
    )
    for _ in range(4):
        state, _ = step(state, batch)
    assert largest_gap(state.params, one_device[0].params) < 1e-5


def test_noise_does_not_depend_on_the_number_of_devices():
    """The latent vectors of the whole batch, bit for bit."""

    def drawn(count, how):
        def loss(params, stats, batch, keys, step):
            z = jax.vmap(LATENT)(keys)
            # Each sample's vector in its own slot of the gradient.
            return (params["a"][batch["index"]] * z).sum(), (stats, {})

        from gan_jax.kernel import Objective, kernel

        game = Objective(
            lambda key, batch: ({"a": jnp.zeros((16, 3))}, {"a": {}}), loss
        )
        some = jax.devices()[:count]
        parallel = (
            devices.sharded(devices.data_mesh(some))
            if how == "jit"
            else devices.pmapped(some)
        )
        rule = kernel(game, {"a": optax.sgd(1.0)}, axis_name=parallel.axis_name)
        batch = {"index": np.arange(16, dtype=np.int32)}
        state = parallel.replicate(rule.init(jax.random.key(0), batch))
        call = parallel.compile(lambda s, arrays, got: rule.step(s, got), 0)
        state, _ = call(state, parallel.replicate(()), parallel.put(batch, 0))
        scale = count if how == "pmap" else 1  # pmean divides by the devices
        return np.asarray(state.params["a"]) * scale

    reference = drawn(1, "jit")
    assert np.abs(reference).min() > 0
    for count in (2, 4, 8):
        np.testing.assert_array_equal(drawn(count, "jit"), reference)
        np.testing.assert_array_equal(drawn(count, "pmap"), reference)


def test_a_batch_that_cannot_be_split_names_the_nearest_sizes():
    with pytest.raises(ValueError, match=r"100.*8 devices.*96 and 104"):
        devices.check_divisible(100, 8)
    with pytest.raises(ValueError, match=r"nearest sizes are 8\."):
        devices.check_divisible(3, 8)
