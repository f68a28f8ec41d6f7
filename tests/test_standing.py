"""Running averages taken anew: against the long way round, and wherever one draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from experiments import digits, image, run, sample
from experiments.evaluate import sides
from gan_jax import devices, gan, latents, optimizers
from gan_jax.checkpoint import Checkpoints
from gan_jax.data import Arrays
from gan_jax.directory import write_config
from gan_jax.gan import SETTLING
from gan_jax.kernel import Network
from gan_jax.networks import dcgan, mlp
from gan_jax.networks.adapters import from_linen
from gan_jax.networks.layers import BatchNorm, Dense
from gan_jax.standing import standing

pytestmark = pytest.mark.usefixtures("compiled")


class Two(nn.Module):
    """Two norms, whose averages move at different paces; a spectral layer between."""

    @nn.compact
    def __call__(self, z, *, train):
        h = BatchNorm()(nn.Dense(6)(z), train=train)
        h = Dense(5, spectral=True)(nn.relu(h), train)
        return nn.BatchNorm(use_running_average=not train, momentum=0.6)(h)


def two():
    """The network, its parameters, and stats as training leaves them: of others."""
    network = from_linen(Two())
    params, stats = network.init(jax.random.key(0), jnp.zeros((2, 3)))
    stats["batch_stats"] = jax.tree.map(lambda x: 100 * x + 7, stats["batch_stats"])
    return network, params, stats


def normal_batches(key):
    return (jax.random.normal(key, (50, 3)),)


def test_averages_are_the_means_of_the_moments_of_the_very_batches():
    network, params, stats = two()
    key = jax.random.key(1)
    found = jax.jit(
        lambda s: standing(network, params, s, normal_batches, key, batches=10)
    )(stats)
    wide = jax.tree.map(lambda x: np.asarray(x, np.float64), jax.device_get(params))
    u, v = (np.asarray(stats["spectral"]["Dense_1"][n], np.float64) for n in "uv")
    first, second = wide["Dense_0"], wide["Dense_1"]
    moments = {"BatchNorm_0": [], "BatchNorm_1": []}
    for batch_key in jax.random.split(key, 10):
        h = np.asarray(normal_batches(batch_key)[0], np.float64) @ first["kernel"]
        h += first["bias"]
        moments["BatchNorm_0"].append((h.mean(0), h.var(0)))
        h = np.maximum((h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5), 0)
        v = u @ second["kernel"]
        v /= np.linalg.norm(v)
        u = second["kernel"] @ v
        u /= np.linalg.norm(u)
        h = h @ (second["kernel"] / (u @ second["kernel"] @ v)) + second["bias"]
        moments["BatchNorm_1"].append((h.mean(0), h.var(0)))
    own = found["batch_stats"]
    for name, pair in zip(
        moments, (own["BatchNorm_0"]["norm"], own["BatchNorm_1"]), strict=True
    ):
        mean, variance = np.mean(moments[name], axis=0)
        np.testing.assert_allclose(pair["mean"], mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(pair["var"], variance, rtol=1e-5)
    # Power iteration goes on as in training, to vectors of length 1.
    for name, want in (("u", u), ("v", v)):
        vector = found["spectral"]["Dense_1"][name]
        np.testing.assert_allclose(vector, want, atol=1e-5)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_nothing_is_left_of_trainings_averages():
    network, params, stats = two()
    key = jax.random.key(1)
    settle = jax.jit(
        lambda s: standing(network, params, s, normal_batches, key, batches=2)
    )
    other = {**stats, "batch_stats": jax.tree.map(jnp.sqrt, stats["batch_stats"])}
    for one, two_ in zip(
        *map(jax.tree.leaves, map(settle, (stats, other))), strict=True
    ):
        np.testing.assert_array_equal(one, two_)


def test_leaves_that_are_no_averages_become_what_calls_make_of_them():
    def apply(params, stats, x, *, train):
        new = {
            "average": 0.75 * stats["average"] + 0.25 * x.mean(0),
            "of_late": x.mean(0),
            "kept": stats["kept"],
            "paces": jnp.array([0.5, 0.9]) * stats["paces"] + x.mean(0),
            "calls": stats["calls"] + 1,
            "key": jax.random.split(stats["key"])[0],
        }
        return x, new

    stats = {
        "average": jnp.full(2, 9.0),
        "of_late": jnp.full(2, 9.0),
        "kept": jnp.full(2, 9.0),
        "paces": jnp.full(2, 9.0),
        "calls": jnp.int32(4),
        "key": jax.random.key(3),
    }
    network = Network(lambda key, x: ({}, stats), apply)
    draw = lambda key: (jax.random.normal(key, (10, 2)),)
    key = jax.random.key(1)
    found = standing(network, {}, stats, draw, key, batches=3)
    expected, means = stats, []
    for batch_key in jax.random.split(key, 3):
        (x,) = draw(batch_key)
        means.append(x.mean(0))
        _, expected = apply({}, expected, x, train=True)
    np.testing.assert_allclose(found["average"], np.mean(means, axis=0), rtol=1e-6)
    for name in ("of_late", "kept", "paces"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
    assert found["calls"] == 7
    assert jnp.array_equal(*(jax.random.key_data(x["key"]) for x in (found, expected)))
    with pytest.raises(ValueError, match="batches is 0"):
        standing(network, {}, stats, draw, key, batches=0)


def test_without_stats_nothing_is_computed():
    def never(*_, **__):
        raise AssertionError("it was called")

    nothing = {}
    key, never_called = jax.random.key(0), Network(never, never)
    found = standing(never_called, {}, nothing, never, key, batches=1)
    assert found is nothing
    opt = {player: optimizers.adam(1e-3, 0.0, 0.9) for player in ("gen", "disc")}
    nets = mlp.generator(2, 4), mlp.discriminator(4)
    model = gan(*nets, optimizers=opt, latent=latents.normal(3))
    state = jax.jit(model.init)(jax.random.key(0), {"real": jnp.zeros((4, 2))})
    made = jax.make_jaxpr(model.settled)(state, jax.random.key(1))
    assert not made.eqns


# ---- of a GAN ----


def model_of(classes=0, axis_name=None, ema=0.9):
    """A small GAN with BatchNorm in G, and its initial state."""
    opt = {player: optimizers.adam(1e-3, 0.0, 0.9) for player in ("gen", "disc")}
    model = gan(
        dcgan.generator(16, 1, 4, classes=classes, axis_name=axis_name),
        dcgan.discriminator(16, 4, classes=classes),
        optimizers=opt,
        latent=latents.normal(4),
        conditional=classes > 0,
        ema=ema,
        axis_name=axis_name,
    )
    batch = {"real": jnp.zeros((8, 16, 16, 1))}
    if classes:
        batch["label"] = jnp.arange(8) % classes
    return model, jax.jit(model.init)(jax.random.key(0), batch)


def first_norm(state):
    return state.stats["gen"]["batch_stats"]["BatchNorm_0"]["norm"]


def moments_of_first_layer(params):
    """Of a linear layer of normal numbers: no mean but the bias, squared lengths."""
    kernel = np.asarray(params["Dense_0"]["kernel"])
    channels = len(params["BatchNorm_0"]["norm"]["scale"])
    return np.square(kernel).sum(0).reshape(-1, channels).mean(0)


@pytest.mark.parametrize("ema", [0.9, None])
def test_statistics_are_of_the_parameters_that_are_drawn_from(ema):
    model, state = model_of(ema=ema)
    drawn_from = jax.tree.map(lambda x: 3 * x, state.params["gen"])
    if ema is None:
        state = state._replace(params=state.params | {"gen": drawn_from})
    else:
        state = state._replace(ema={"gen": drawn_from})
    found = jax.jit(model.settled)(state, jax.random.key(1))
    variance = moments_of_first_layer(drawn_from)
    np.testing.assert_allclose(first_norm(found)["var"], variance, rtol=0.15)
    assert abs(first_norm(found)["mean"]).max() < 0.15 * variance.max() ** 0.5
    # All else is as it was.
    back = found._replace(stats=state.stats)
    for one, other in zip(jax.tree.leaves(back), jax.tree.leaves(state), strict=True):
        assert jnp.array_equal(one, other)
    assert found.stats["disc"] == state.stats["disc"]


@pytest.mark.parametrize("name", ["sharded", "pmapped"])
def test_it_is_the_same_on_many_devices(name):
    parallel = getattr(devices, name)()
    model, state = model_of(axis_name=parallel.axis_name)
    alone, here = model_of()
    wanted = jax.jit(alone.settled)(here, jax.random.key(1)).stats["gen"]
    found = jax.jit(model.settled)(parallel.replicate(state), jax.random.key(1))
    for a, b in zip(*map(jax.tree.leaves, (found.stats["gen"], wanted)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_labels_come_as_often_as_is_said():
    def apply(params, stats, z, label, *, train):
        share = jax.nn.one_hot(label, 3).mean(0)
        return z, {"shares": 0.9 * stats["shares"] + 0.1 * share}

    gen = Network(lambda key, z, label: ({}, {"shares": jnp.zeros(3)}), apply)
    opt = {player: optimizers.adam(1e-3, 0.0, 0.9) for player in ("gen", "disc")}
    latent = latents.normal(2)
    nets = gen, mlp.discriminator(4)
    model = gan(*nets, optimizers=opt, latent=latent, conditional=True, ema=None)
    _, given = model_of(classes=3)
    state = given._replace(
        params=given.params | {"gen": {}}, stats={"gen": {"shares": jnp.ones(3)}}
    )
    found = jax.jit(model.settled)(state, jax.random.key(0), jnp.array([1, 0, 3]))
    shares = found.stats["gen"]["shares"]
    n = SETTLING[0] * SETTLING[1]
    assert shares[1] == 0
    assert shares.sum() == pytest.approx(1, rel=1e-5)
    assert shares[0] == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / n) ** 0.5)
    with pytest.raises(ValueError, match="frequencies is None and conditional True"):
        model.settled(state, jax.random.key(0))
    with pytest.raises(ValueError, match="and conditional False"):
        model_of()[0].settled(given, jax.random.key(0), jnp.ones(2))


# ---- wherever one draws from a run ----

SMALL = {"width": 4, "latent": 4, "batch_size": 8, "steps": 4, "gradient": "merged"}
IMAGES = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 1)).astype(np.uint8)


def begun(cfg):
    """A run's model, and a state whose average is not its parameters."""
    task = image.task(cfg, lambda: None)
    example = task.example(8)
    batch = {name: jnp.zeros(x.shape, x.dtype) for name, x in example.items()}
    model = task.model(None)
    state = jax.jit(model.init)(jax.random.key(0), batch)
    return model, state._replace(ema=jax.tree.map(lambda x: 3 * x, state.ema))


def spoiled(state):
    """The state with other statistics of training."""
    other = jax.tree.map(lambda x: 100 * x + 7, state.stats["gen"])
    return state._replace(stats=state.stats | {"gen": other})


def kept(directory, cfg, state):
    with Checkpoints(directory / "checkpoints") as checkpoints:
        checkpoints.save(4, state)
    write_config(directory, run.plain("digits", cfg) | {"source": "of no matter"})
    return directory


def test_pictures_and_distances_do_not_see_trainings_statistics():
    cfg = digits.Config(evaluate_images=32, **SMALL)
    model, state = begun(cfg)
    scores = image.distances(cfg, model, Arrays({"real": IMAGES}))
    draw = lambda state: image.fixed_samples(cfg, model, state)
    for look in (scores, draw):
        # Equal to each other, and not to what the raw statistics would give.
        np.testing.assert_equal(look(spoiled(state)), look(state))
    # As after a new start.
    again = image.distances(cfg, image.model(cfg), Arrays({"real": IMAGES}))
    np.testing.assert_equal(again(state), scores(state))
    raw = model._replace(settled=lambda state, key, frequencies: state)
    plain = lambda state: image.fixed_samples(cfg, raw, state)
    assert not np.allclose(plain(spoiled(state)), plain(state))
    assert not np.allclose(draw(state), plain(state))


@pytest.mark.parametrize("classes", [0, 3])
def test_one_program_serves_a_whole_run(classes):
    cfg = digits.Config(classes=classes, evaluate_images=32, **SMALL)
    model, state = begun(cfg)
    traced = []

    def settled(*given):
        traced.append(1)
        return model.settled(*given)

    counted = model._replace(settled=settled)
    labels = np.arange(64, dtype=np.int32) % 3
    source = Arrays({"real": IMAGES, "label": labels})
    scores = image.distances(cfg, counted, source)
    for step in range(3):
        later = state._replace(step=jnp.int32(step))
        scores(later)
        image.fixed_samples(cfg, counted, later)
    assert len(traced) == 1


@pytest.mark.parametrize("classes", [0, 3])
def test_runs_that_are_read_back_are_drawn_from_with_their_own(classes, tmp_path):
    cfg = digits.Config(classes=classes, **SMALL)
    _, state = begun(cfg)
    options = sample.Options(run=tmp_path, n=4, rows=2, columns=3)
    seen = []
    for name, own in (("one", state), ("other", spoiled(state))):
        place = kept(tmp_path / name, cfg, own)
        pictures = sample.pictures(sample.opened(place), options)
        drawn = {
            weights: sides.side(str(place), weights=weights).take(20, 0)["real"]
            for weights in ("ema", "raw")
        }
        seen.append(pictures | drawn)
    np.testing.assert_equal(*seen)
    assert not np.array_equal(seen[0]["ema"], seen[0]["raw"])
