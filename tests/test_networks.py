"""Laws of the networks: shapes, dtypes, coupling, and what holds at the start."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from jax import Array

from gan_jax.kernel import Network
from gan_jax.networks import adapters, dcgan, layers, mlp, r3, resnet

Z = jax.random.normal(jax.random.key(1), (3, 6))
LABEL = jnp.array([0, 2, 1])


def started(network: Network, *inputs: Array):
    return jax.jit(network.init)(jax.random.key(0), *inputs)


def filled(network: Network, *inputs: Array):
    """Params drawn by numpy and stats of ones: spares the compiling of initialisers."""
    params, stats = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), "f4"), params)
    return params, jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), stats)


def images(size: int, n: int = 3) -> Array:
    return jnp.tanh(jax.random.normal(jax.random.key(2), (n, size, size, 3)))


def abstract(network: Network, *inputs: Array, train: bool = True):
    """Shapes of (params, stats, outputs, new stats), without computing any."""
    params, stats = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    out = jax.eval_shape(partial(network.apply, train=train), params, stats, *inputs)
    return params, stats, *out


def count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def equal(a, b) -> bool:
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        np.array_equal(x, y)
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


FAMILIES = {
    "dcgan": (dcgan, (16, 32, 64, 128)),
    "resnet": (resnet, (32, 64, 128)),
    "r3": (r3, (32, 64)),
}
OFFERED = [(name, size) for name, (_, sizes) in FAMILIES.items() for size in sizes]


@pytest.mark.parametrize(("family", "size"), OFFERED)
@pytest.mark.parametrize(("classes", "dtype"), [(0, None), (3, jnp.bfloat16)])
def test_shapes_and_dtypes(family, size, classes, dtype):
    module, _ = FAMILIES[family]
    label = (LABEL,) if classes else ()
    gen = module.generator(size, width=16, classes=classes, dtype=dtype)
    disc = module.discriminator(size, width=16, classes=classes, dtype=dtype)
    *gen_state, fake, gen_stats = abstract(gen, Z, *label)
    *disc_state, logits, disc_stats = abstract(disc, images(size), *label)
    assert (fake.shape, fake.dtype) == ((3, size, size, 3), jnp.float32)
    assert (logits.shape, logits.dtype) == ((3,), jnp.float32)
    for leaf in jax.tree.leaves((gen_state, disc_state)):
        assert leaf.dtype == jnp.float32
    # The stats keep structure, shapes and dtypes: a scan over steps can carry them.
    assert gen_stats == gen_state[1]
    assert disc_stats == disc_state[1]


def test_compute_dtype_is_used():
    gen = dcgan.generator(16, width=4, dtype=jnp.bfloat16)
    params, stats = filled(gen, Z)
    text = str(jax.make_jaxpr(partial(gen.apply, train=True))(params, stats, Z))
    convolutions = [x for x in text.splitlines() if "conv_general_dilated[" in x]
    assert convolutions
    assert all("bf16" in line.split("=")[0] for line in convolutions)


def test_parameter_counts_of_published_widths():
    z = jnp.zeros((2, 100))
    layers_64 = [100 * 4096 + 512, 16 * 256 * 128 + 256, 16 * 128 * 64 + 128]
    layers_64 += [16 * 64 * 32 + 64, 16 * 32 * 3 + 3]
    assert count(abstract(dcgan.generator(64, width=32), z)[0]) == sum(layers_64)
    layers_64 = [48 * 32 + 32, 16 * 32 * 64 + 64, 16 * 64 * 128 + 128]
    layers_64 += [16 * 128 * 256 + 256, 4096 + 1]
    disc = dcgan.discriminator(64, width=32)
    assert count(abstract(disc, images(64))[0]) == sum(layers_64)
    # SNGAN at 32 pixels and z of 128, as counted from the field's PyTorch code.
    assert count(abstract(resnet.generator(32), jnp.zeros((2, 128)))[0]) == 4276739


@pytest.mark.parametrize("shape", [2, (4, 4, 1)])
def test_mlp_shapes_and_tanh(shape):
    largest = {}
    for tanh in (True, False):
        gen = mlp.generator(shape, 8, tanh=tanh)
        x, stats = jax.jit(partial(gen.apply, train=True))(*filled(gen, Z), Z)
        assert x.shape == ((3, 2) if shape == 2 else (3, *shape))
        assert stats == {}
        largest[tanh] = abs(x).max()
    assert largest[True] <= 1 < largest[False]
    assert abstract(mlp.discriminator(8), x)[2].shape == (3,)


# -- what a logit depends on ---------------------------------------------------------

PER_SAMPLE = {
    "mlp": lambda: (mlp.discriminator(8), 16),
    "dcgan": lambda: (dcgan.discriminator(16, 4), 16),
    "dcgan spectral": lambda: (dcgan.discriminator(16, 4, "spectral"), 16),
    "resnet": lambda: (resnet.discriminator(32, 4), 32),
    "r3": lambda: (r3.discriminator(32, 8, group=4), 32),
}


def coupling(network: Network, size: int) -> float:
    """The largest derivative of logit 0 in another sample, in training."""
    x = images(size)
    params, stats = filled(network, x)
    grad = jax.jit(
        jax.grad(lambda x: network.apply(params, stats, x, train=True)[0][0])
    )(x)
    assert abs(grad[0]).max() > 0
    return float(abs(grad[1:]).max())


@pytest.mark.parametrize("name", PER_SAMPLE)
def test_without_batch_norm_a_logit_sees_its_own_sample_only(name):
    assert coupling(*PER_SAMPLE[name]()) == 0


def test_batch_norm_couples_samples():
    assert coupling(dcgan.discriminator(16, 4, "batch"), 16) > 0


@pytest.mark.parametrize(
    "disc",
    [
        dcgan.discriminator(16, 4, "spectral", classes=3),
        mlp.discriminator(8, classes=3),
        mlp.discriminator(8, classes=3, spectral=True),
    ],
)
def test_projection_of_zero_is_unconditional(disc):
    x = images(16)
    params, stats = filled(disc, x, LABEL)

    @jax.jit
    def logits(params, label):
        return disc.apply(params, stats, x, label, train=False)[0]

    assert not np.allclose(logits(params, LABEL), logits(params, LABEL[::-1]))
    params["Projection_0"]["embedding"] *= 0
    got = logits(params, LABEL)
    assert np.isfinite(got).all()
    np.testing.assert_array_equal(got, logits(params, LABEL[::-1]))


# -- norms ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
@pytest.mark.parametrize("train", [True, False])
def test_conditional_batch_norm_starts_as_plain_bit_for_bit(dtype, train):
    x = 3 * jax.random.normal(jax.random.key(3), (3, 4, 4, 5)) + 1
    x = x if dtype is None else x.astype(dtype)
    plain, conditional = (layers.BatchNorm(classes, dtype) for classes in (0, 3))
    networks = adapters.from_linen(plain), adapters.from_linen(conditional)
    states = started(networks[0], x), started(networks[1], x, LABEL)
    applies = [jax.jit(partial(network.apply, train=train)) for network in networks]
    want, stats = applies[0](*states[0], x)
    got, got_stats = applies[1](*states[1], x, LABEL)
    assert got.dtype == want.dtype == x.dtype
    np.testing.assert_array_equal(got, want)
    assert equal(stats, got_stats)


def test_a_label_moves_its_own_sample_only():
    x = jax.random.normal(jax.random.key(3), (3, 2, 2, 5))
    norm = adapters.from_linen(layers.BatchNorm(classes=3))
    apply = jax.jit(partial(norm.apply, train=True))
    params, stats = started(norm, x, LABEL)
    before, _ = apply(params, stats, x, LABEL)
    params["scale"] = params["scale"].at[2].set(2.0)
    params["bias"] = params["bias"].at[2].set(1.0)
    after, _ = apply(params, stats, x, LABEL)
    np.testing.assert_array_equal(after[LABEL != 2], before[LABEL != 2])
    want = 2 * before[LABEL == 2] + 1
    np.testing.assert_allclose(after[LABEL == 2], want, rtol=1e-6)


def test_averages_move_by_a_tenth_a_call():
    x = 3 + jax.random.normal(jax.random.key(3), (64, 5))
    norm = adapters.from_linen(layers.BatchNorm())
    params, stats = started(norm, x)
    found = norm.apply(params, stats, x, train=True)[1]["batch_stats"]["norm"]
    np.testing.assert_allclose(found["mean"], 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["var"], 0.9 + 0.1 * x.var(0), rtol=1e-5)


@pytest.mark.parametrize(
    ("network", "x"),
    [
        (mlp.generator(4, width=4, classes=3), Z),
        (mlp.discriminator(4, classes=3), Z),
        (dcgan.discriminator(16, width=4, norm=None, classes=3), images(16)),
        (resnet.discriminator(32, width=2, classes=3), images(32)),
        (r3.generator(32, width=4, group=4, classes=3), Z),
        (r3.discriminator(32, width=4, group=4, classes=3), images(32)),
    ],
)
def test_a_class_that_does_not_exist_is_no_other_class(network, x):
    params, stats = filled(network, x, LABEL)
    answers = network.apply(params, stats, x, jnp.array([3, 1, -1]), train=False)[0]
    bad = [not np.isfinite(answer).any() for answer in np.asarray(answers)]
    assert bad == [True, False, True]


def test_batch_norm_is_global_over_the_mapped_axis():
    gen = dcgan.generator(16, width=4)
    mapped = dcgan.generator(16, width=4, axis_name="data")
    z = jax.random.normal(jax.random.key(4), (4, 6))
    params, stats = filled(mapped, z)
    want, want_stats = jax.jit(partial(gen.apply, train=True))(params, stats, z)
    step = jax.pmap(
        lambda z: mapped.apply(params, stats, z, train=True), axis_name="data"
    )
    got, got_stats = step(z.reshape(2, 2, 6))
    np.testing.assert_allclose(got.reshape(want.shape), want, atol=1e-5)
    for a, b in zip(*map(jax.tree.leaves, (got_stats, want_stats)), strict=True):
        np.testing.assert_allclose(a, np.stack([b, b]), rtol=1e-5, atol=1e-6)


class Spectral(nn.Module):
    """One spectrally normalised weight, returned as it is used."""

    start: Array

    @nn.compact
    def __call__(self, *, train: bool) -> Array:
        weight = self.param("kernel", lambda key: self.start)
        return layers.spectral_norm(self, weight, train)


def spectral(dtype):
    weight = np.random.default_rng(0).normal(size=(3, 3, 4, 6))
    return adapters.from_linen(Spectral(jnp.asarray(weight, dtype)))


@pytest.mark.parametrize(("dtype", "tol"), [("float32", 2e-6), ("float64", 1e-7)])
def test_spectral_norm_converges_to_norm_one(dtype, tol):
    with jax.enable_x64(dtype == "float64"):
        network = spectral(dtype)
        params, stats = started(network)
        one, once = network.apply(params, stats, train=True)
        assert not equal(stats, once)
        step = jax.jit(partial(network.apply, train=True))
        for _ in range(100):
            normalised, stats = step(params, stats)
        assert {x.dtype for x in jax.tree.leaves(stats)} == {np.dtype("float32")}
        top = np.linalg.svd(np.asarray(normalised, "f8").reshape(-1, 6))[1][0]
        assert abs(top - 1) < tol
        again, kept = network.apply(params, stats, train=False)
        np.testing.assert_allclose(again, normalised, rtol=1e-5 if tol > 1e-6 else 1e-7)
        assert equal(kept, stats)
        assert abs(np.linalg.svd(np.asarray(one).reshape(-1, 6))[1][0] - 1) > tol


@pytest.mark.parametrize("train", [True, False])
def test_spectral_norm_gradient(train):
    with jax.enable_x64(True):
        network = spectral("float64")
        params, stats = started(network)
        cotangent = np.random.default_rng(1).normal(size=(36, 6))

        def value(p):
            normalised, new = network.apply(p, stats, train=train)
            return (normalised.reshape(36, 6) * cotangent).sum(), (normalised, new)

        # u and v are float32: those of this very call, to the last bit.
        got, (normalised, new) = jax.grad(value, has_aux=True)(params)
        got = got["kernel"].reshape(36, 6)
        u, v = (np.asarray(new["spectral"][name], "f8") for name in "uv")
        sigma = u @ np.asarray(params["kernel"]).reshape(36, 6) @ v
        inner = (cotangent * np.asarray(normalised).reshape(36, 6)).sum()
        want = (cotangent - inner * np.outer(u, v)) / sigma
        np.testing.assert_allclose(got, want, atol=1e-12)


def test_spectral_norm_makes_one_power_iteration_a_call():
    network = spectral("float32")
    params, stats = started(network)
    _, new = network.apply(params, stats, train=True)
    matrix = np.asarray(params["kernel"], "f8").reshape(36, 6)
    v = np.asarray(stats["spectral"]["u"]) @ matrix
    v /= np.linalg.norm(v)
    u = matrix @ v
    np.testing.assert_allclose(new["spectral"]["v"], v, atol=1e-6)
    np.testing.assert_allclose(new["spectral"]["u"], u / np.linalg.norm(u), atol=1e-6)


# -- layers and blocks ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (layers.ConvTranspose(5), nn.ConvTranspose(5, (4, 4), (2, 2))),
        (layers.Conv(6, 4, 2), nn.Conv(6, (4, 4), (2, 2))),
        (layers.Conv(6, 3, groups=2), nn.Conv(6, (3, 3), feature_group_count=2)),
        (layers.Dense(5), nn.Dense(5)),
    ],
)
def test_weights_are_interchangeable_with_flax(ours, theirs):
    x = jax.random.normal(jax.random.key(5), (2, 6, 6, 4))
    shapes = [jax.eval_shape(m.init, jax.random.key(0), x) for m in (ours, theirs)]
    assert shapes[0] == shapes[1]
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape)), shapes[0])
    got, want = (jax.jit(m.apply)(variables, x) for m in (ours, theirs))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_r3_block_starts_as_the_identity_and_leaves_it():
    x = jax.random.normal(jax.random.key(5), (2, 4, 4, 8))
    block = r3.Block(total=8, group=4, dtype=None)
    params = jax.jit(block.init)(jax.random.key(0), x)
    np.testing.assert_array_equal(block.apply(params, x), x)
    grads = jax.jit(jax.grad(lambda p: block.apply(p, x).var()))(params)["params"]
    assert abs(grads["Conv_2"]["kernel"]).max() > 0


def test_r3_filters():
    """[1, 3, 3, 1] up and down: adjoint to each other, means kept inside."""
    x = jax.random.normal(jax.random.key(6), (1, 8, 8, 2))
    doubled, halved = jax.jit(r3.doubled), jax.jit(r3.halved)
    up = doubled(x)
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
    dot = jnp.zeros((1, 8, 8, 1)).at[0, 4, 4, 0].set(1.0)
    np.testing.assert_allclose(doubled(dot)[0, 7:11, 7:11, 0], taps, rtol=1e-6)
    assert float(abs(doubled(dot)).sum()) == pytest.approx(4)
    (down,) = jax.jit(lambda x, g: jax.vjp(r3.doubled, x)[1](g))(x, up)
    np.testing.assert_allclose(halved(up), down / 4, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        halved(jnp.ones((1, 8, 8, 1)))[:, 1:-1, 1:-1], 1, rtol=1e-6
    )


def test_r3_initial_deviations():
    block = r3.Block(total=8, group=8, dtype=None)
    x = jnp.ones((1, 4, 4, 64))
    params = jax.jit(block.init)(jax.random.key(0), x)["params"]
    gain = (2 / 1.04) ** 0.5 * 8**-0.25
    for name, fan_in in (("Conv_0", 64), ("Conv_1", 9 * 8)):
        deviation = float(params[name]["kernel"].std())
        assert deviation == pytest.approx(gain / fan_in**0.5, rel=0.05)
    gen = r3.generator(32, width=8, group=4)
    assert len([k for k in abstract(gen, Z)[0] if k.startswith("Block")]) == 8


def kernels(network: Network, x: Array) -> dict[str, np.ndarray]:
    """Those at the start that are large enough to tell a deviation by."""
    params, _ = started(network, x)
    found = {
        jax.tree_util.keystr(path): np.asarray(leaf)
        for path, leaf in jax.tree.leaves_with_path(params)
        if leaf.ndim > 1 and leaf.size > 500
    }
    assert len(found) > 2
    return found


def test_dcgan_begins_with_a_deviation_of_002():
    gen = kernels(dcgan.generator(16, width=16), Z)
    disc = kernels(dcgan.discriminator(16, width=16), images(16))
    for kernel in (*gen.values(), *disc.values()):
        assert kernel.std() == pytest.approx(0.02, rel=0.1)


def test_resnet_begins_as_glorot_and_with_gain_root_2_within_blocks():
    gen = kernels(resnet.generator(32, width=8), Z)
    disc = kernels(resnet.discriminator(32, width=16), images(32))
    for name, kernel in (gen | disc).items():
        *taps, inputs, outputs = kernel.shape
        glorot = (2 / (np.prod(taps) * (inputs + outputs))) ** 0.5
        gain = 2**0.5 if "Block" in name and taps == [3, 3] else 1
        assert kernel.std() == pytest.approx(gain * glorot, rel=0.1), name


def test_resnet_shortcuts_commute_with_resampling():
    x = jax.random.normal(jax.random.key(7), (1, 4, 4, 3))
    conv = layers.Conv(5, 1)
    params = {"kernel": jnp.arange(15.0).reshape(1, 1, 3, 5), "bias": jnp.ones(5)}
    apply = partial(conv.apply, {"params": params})

    for change in (resnet.doubled, resnet.halved):
        got = jax.jit(lambda x, change=change: apply(change(x)))(x)
        want = jax.jit(lambda x, change=change: change(apply(x)))(x)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


# -- stats ---------------------------------------------------------------------------

STATEFUL = {
    "dcgan generator": lambda: (dcgan.generator(16, width=4), Z),
    "dcgan discriminator": lambda: (dcgan.discriminator(16, 4, "batch"), images(16)),
    "spectral": lambda: (dcgan.discriminator(16, 4, "spectral"), images(16)),
}


@pytest.mark.parametrize("name", STATEFUL)
def test_stats_change_in_training_only(name):
    network, x = STATEFUL[name]()
    params, stats = filled(network, x)
    apply = jax.jit(network.apply, static_argnames="train")
    evaluated, kept = apply(params, stats, x, train=False)
    _, new = apply(params, stats, x, train=True)
    assert equal(kept, stats)
    assert not equal(new, stats)
    assert not np.array_equal(evaluated, apply(params, new, x, train=False)[0])


# -- adapters ------------------------------------------------------------------------


class NnxDiscriminator(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(2, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, momentum=0.9, rngs=rngs)
        self.out = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.out(nnx.relu(self.norm(self.hidden(x))))[:, 0]


class NnxWithTrain(NnxDiscriminator):
    def __call__(self, x: Array, *, train: bool) -> Array:
        h = self.norm(self.hidden(x), use_running_average=not train)
        return self.out(nnx.relu(h))[:, 0]


class LinenDiscriminator(nn.Module):
    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        h = nn.Dense(8, name="hidden")(x)
        h = nn.BatchNorm(not train, momentum=0.9, name="norm")(h)
        return nn.Dense(1, name="out")(nn.relu(h))[:, 0]


@pytest.mark.parametrize("factory", [NnxDiscriminator, NnxWithTrain])
def test_nnx_and_linen_agree(factory):
    x = jax.random.normal(jax.random.key(8), (6, 2))
    from_nnx = adapters.from_nnx(lambda rngs: factory(rngs))
    from_linen = adapters.from_linen(LinenDiscriminator())
    params, stats = started(from_nnx, x)
    for train in (True, False):

        def loss(network, params, stats, train=train):
            logits, new = network.apply(params, stats, x, train=train)
            return jnp.sin(logits).sum(), (logits, new)

        grad = jax.jit(jax.grad(loss, 1, has_aux=True), static_argnums=0)
        got, (logits, new) = grad(from_nnx, params, stats)
        want, (logits_, new_) = grad(from_linen, params, {"batch_stats": stats})
        for a, b in zip(
            *map(jax.tree.leaves, ((got, logits, new), (want, logits_, new_))),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert equal(new, stats) != train


def test_nnx_over_seeds():
    x = jnp.ones((3, 2))
    network = adapters.from_nnx(NnxDiscriminator)
    keys = jax.random.split(jax.random.key(0), 2)

    @jax.jit
    def logits(key):
        return network.apply(*network.init(key, x), x, train=False)[0]

    together = jax.jit(jax.vmap(logits))(keys)
    for i, key in enumerate(keys):
        alone = logits(key)
        np.testing.assert_allclose(together[i], alone, rtol=1e-6)


def test_the_kernel_imports_without_flax():
    code = "import sys, gan_jax.kernel; sys.exit('flax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: dcgan.generator(28), "size=28"),
        (lambda: dcgan.discriminator(48), "size=48"),
        (lambda: resnet.generator(16), "size=16"),
        (lambda: r3.discriminator(128), "size=128"),
        (lambda: r3.generator(32, width=20, group=16), "multiple of group.* as 16"),
        (lambda: r3.generator(64, width=10, group=3), "multiple of group.* as 12"),
        (lambda: r3.generator(64, width=5, group=1), "multiple of group.* as 4"),
        (lambda: r3.generator(32, width=16, group=0), "group=0"),
        (lambda: dcgan.generator.__wrapped__(32, norm="layer"), "norm='layer'"),
        (lambda: dcgan.generator(32, norm=None, classes=3), "classes=3"),
        (lambda: resnet.generator(32, norm=None, classes=3), "classes=3"),
    ],
)
def test_what_is_not_offered_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("network", "inputs", "message"),
    [
        (dcgan.generator(16, width=4, classes=3), (Z,), "no label"),
        (dcgan.generator(16, width=4), (Z, LABEL), "classes=0"),
        (mlp.discriminator(8), (Z, LABEL), "classes=0"),
        (r3.generator(32, width=8, group=4, classes=3), (Z,), "no label"),
        (mlp.discriminator(8, classes=3), (Z, LABEL[:2]), r"shape \(3,\)"),
        (mlp.discriminator(8, classes=3), (Z, LABEL / 1), "integer"),
        (resnet.discriminator(32, 4), (images(16),), "32, 32, channels"),
        (dcgan.discriminator(16, 4), (jnp.zeros((1, 16, 16, 3), "u1"),), "127.5"),
        (dcgan.generator(16, width=4), (Z[:, None],), r"\(n, latent\)"),
    ],
)
def test_wrong_inputs_are_refused(network, inputs, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(network.init, jax.random.key(0), *inputs)
