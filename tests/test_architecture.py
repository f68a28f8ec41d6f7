"""Conditioning, cascades, orthogonality and minibatch statistics: what must be so."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from gan_jax import losses
from gan_jax.networks import adapters, conditioning, dcgan, layers, mlp, resnet
from gan_jax.networks.cascade import Cascade, cascading_rejection
from gan_jax.networks.minibatch import minibatch_stddev
from gan_jax.objectives import adversarial
from gan_jax.objectives.cascade import cascade
from gan_jax.orthogonality import (
    add_orthogonal_gradient,
    orthogonal_penalty,
    self_orthogonality,
)
from tests.games import LATENT, largest_gap, players, points


def drawn(*shape, seed=0):
    """Normal numbers in float64, in NumPy."""
    return np.random.default_rng(seed).normal(size=shape)


def single(*shape, seed=0):
    """Normal numbers in float32, in JAX."""
    return jnp.asarray(drawn(*shape, seed=seed), jnp.float32)


IMAGES = 3 * single(3, 4, 4, 5) + 1
VECTORS = single(3, 6, seed=1)
LABEL = jnp.array([0, 2, 1])


class Batch(nn.Module):
    """SELF-MOD as a norm in training, beside the other two."""

    dtype: str | None = None

    @nn.compact
    def __call__(self, x, c):
        return conditioning.SelfModulatedNorm(self.dtype)(x, c, train=True)


NORMS = {
    "layer": conditioning.ConditionalLayerNorm,
    "adain": conditioning.AdaIN,
    "self": Batch,
}
PLAIN = {
    "layer": lambda dtype: nn.LayerNorm(dtype=dtype),
    "adain": lambda dtype: nn.InstanceNorm(
        epsilon=1e-5, dtype=dtype, use_fast_variance=False
    ),
    "self": lambda dtype: nn.BatchNorm(False, momentum=0.9, dtype=dtype),
}


def run(module, variables, *inputs):
    """What a norm answers; new averages are thrown away."""
    return module.apply(variables, *inputs, mutable=["batch_stats"])[0]


def begun(module, *inputs):
    return jax.jit(module.init)(jax.random.key(0), *inputs)


def refilled(params, seed=1):
    """A tree of these shapes with random numbers: no zero is left to hide behind."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), "f4"), params)


def shaped(network, *inputs):
    """Shapes of a network's params, and stats of ones: no initialiser is compiled."""
    params, stats = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    return params, jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), stats)


# -- norms with a scale and shift that a vector chooses ------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NORMS)
def test_zero_heads_are_the_plain_norm_bit_for_bit(name, dtype):
    x = IMAGES.astype(dtype)
    plain, conditional = PLAIN[name](dtype), NORMS[name]()
    want = jax.jit(partial(run, plain))(begun(plain, x), x)
    variables = begun(conditional, x, VECTORS)
    got = jax.jit(partial(run, conditional))(variables, x, VECTORS)
    assert got.dtype == want.dtype == x.dtype
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", NORMS)
def test_a_vector_moves_its_own_sample_only(name):
    module = NORMS[name]()
    variables = dict(begun(module, IMAGES, VECTORS))
    variables["params"] = refilled(variables["params"])
    apply = jax.jit(partial(run, module))
    before = apply(variables, IMAGES, VECTORS)
    after = apply(variables, IMAGES, VECTORS.at[1].add(1.0))
    np.testing.assert_array_equal(before[::2], after[::2])
    assert abs(after[1] - before[1]).max() > 0.1


def test_self_modulation_is_its_formula():
    """y = γ(z) x̂ + β(z), in float64, one sample and one position at a time."""
    module = Batch()
    variables = dict(begun(module, IMAGES, VECTORS))
    variables["params"] = params = refilled(variables["params"])
    got = run(module, variables, IMAGES, VECTORS)
    heads = params["SelfModulatedNorm_0"]["Affine_0"]
    heads = jax.tree.map(lambda p: np.asarray(p, "f8"), heads)
    x, z = np.asarray(IMAGES, "f8"), np.asarray(VECTORS, "f8")
    mean, sd = x.mean((0, 1, 2)), np.sqrt(x.var((0, 1, 2)) + 1e-5)
    hidden = heads["Dense_0"]["kernel"].T.dot(z[2]) + heads["Dense_0"]["bias"]
    assert hidden.shape == (32,)
    hidden = hidden * (hidden > 0)
    scale = hidden @ heads["scale"]["kernel"] + heads["scale"]["bias"]
    shift = hidden @ heads["bias"]["kernel"] + heads["bias"]["bias"]
    want = scale * (x[2, 1, 3] - mean) / sd + shift
    np.testing.assert_allclose(got[2, 1, 3], want, rtol=1e-4, atol=1e-4)


def test_adain_gives_each_sample_the_statistics_of_its_style():
    module = conditioning.AdaIN()
    variables = begun(module, IMAGES, VECTORS)
    params = refilled(variables["params"])
    y = np.asarray(module.apply({"params": params}, IMAGES, VECTORS), "f8")
    heads = params["Affine_0"]
    scale, shift = (
        np.asarray(VECTORS @ heads[name]["kernel"] + heads[name]["bias"][None])
        for name in ("scale", "bias")
    )
    np.testing.assert_allclose(y.mean((1, 2)), shift, atol=1e-5)
    np.testing.assert_allclose(y.std((1, 2)), abs(scale), rtol=1e-4)


def test_layer_norm_sees_one_position():
    module = conditioning.ConditionalLayerNorm()
    variables = begun(module, IMAGES, VECTORS)
    y = module.apply(variables, IMAGES, VECTORS)
    z = module.apply(variables, IMAGES.at[0, 0, 0].multiply(-3.0), VECTORS)
    np.testing.assert_array_equal(y[0, 1:], z[0, 1:])
    assert not np.allclose(y[0, 0, 0], z[0, 0, 0])
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-6)
    np.testing.assert_allclose(y.std(-1), 1, atol=1e-3)


def test_a_labelled_latent_starts_as_the_latent_and_is_its_formula():
    module = conditioning.LabelledLatent(3)
    variables = begun(module, VECTORS, LABEL)
    np.testing.assert_array_equal(module.apply(variables, VECTORS, LABEL), VECTORS)
    params = refilled(variables["params"])
    got = module.apply({"params": params}, VECTORS, LABEL)
    for i, label in enumerate(LABEL):
        z, e = np.asarray(VECTORS[i]), params["shift"][label]
        want = z + e + params["scale"][label] * z
        np.testing.assert_allclose(got[i], want, rtol=1e-6)


@pytest.mark.parametrize(
    "generator",
    [partial(dcgan.generator, 16, width=4), partial(resnet.generator, 32, width=2)],
)
def test_a_self_modulated_generator_starts_as_the_plain_one(generator):
    """With the weights that both have, it makes the same images bit for bit."""
    plain, own = generator(), generator(norm="self", classes=3)
    params, stats = shaped(plain, VECTORS)
    own_params, own_stats = shaped(own, VECTORS, LABEL)
    name = jax.tree_util.keystr
    shared = {
        name(path): leaf
        for path, leaf in jax.tree.leaves_with_path(refilled(params))
        if "BatchNorm" not in name(path)
    }
    own_names = {name(path) for path, _ in jax.tree.leaves_with_path(own_params)}
    assert set(shared) < own_names

    def start(path, leaf):
        """As it begins, by the tests above; embeddings of labels are zero, too."""
        at = name(path)
        one = at.endswith(("['scale']['bias']", "['norm']['scale']"))
        return shared.get(at, jnp.full(leaf.shape, float(one)))

    plain_params = jax.tree.map_with_path(start, params)
    own_params = jax.tree.map_with_path(start, own_params)
    want, _ = jax.jit(partial(plain.apply, train=True))(plain_params, stats, VECTORS)
    apply = jax.jit(partial(own.apply, train=True))
    got, _ = apply(own_params, own_stats, VECTORS, LABEL)
    assert want.std() > 0.01
    np.testing.assert_array_equal(got, want)
    # Once its heads have moved, the label is seen, and the latent through them.
    moved = jax.tree.map(lambda p, r: p + 0.1 * r, own_params, refilled(own_params))
    one, _ = apply(moved, own_stats, VECTORS, LABEL)
    other, _ = apply(moved, own_stats, VECTORS, LABEL.at[0].set(1))
    assert not np.array_equal(one[0], other[0])


def test_residual_scaling_leaves_the_shortcut():
    """The middle of α = 0 and α = 1 is α = 1/2, in both blocks; networks pass it on."""
    x = single(2, 4, 4, 3)
    blocks = {
        "down": lambda r: resnet.DownBlock(4, True, False, False, None, r),
        "up": lambda r: resnet.UpBlock(4, None, 0, None, None, r),
    }
    inputs = {"down": (x,), "up": (x, None, VECTORS[:2])}
    for name, block in blocks.items():
        call = partial(block(1.0).init, jax.random.key(0), train=False)
        variables = refilled(jax.eval_shape(call, *inputs[name]))
        whole, half, none = (
            np.asarray(block(r).apply(variables, *inputs[name], train=False))
            for r in (1.0, 0.5, 0.0)
        )
        np.testing.assert_allclose(half, (whole + none) / 2, rtol=1e-4, atol=1e-4)
        assert abs(whole - none).max() > 0.1
        # With α = 0 it is the shortcut, whose 1x1 convolution is a matrix.
        shortcut = variables["params"]["Conv_2"]
        want = x @ shortcut["kernel"][0, 0] + shortcut["bias"].reshape(1, 1, 1, -1)
        if name == "down":
            want = want.reshape(2, 2, 2, 2, 2, 4).mean((2, 4))
        else:
            want = want.repeat(2, 1).repeat(2, 2)
        np.testing.assert_allclose(none, want, rtol=1e-4, atol=1e-5)
    for factory, x in (
        (resnet.generator, jnp.zeros((2, 3))),
        (resnet.discriminator, jnp.zeros((2, 32, 32, 3))),
    ):
        texts = []
        for residual in (1.0, 0.375):
            network = factory(32, width=2, residual=residual)
            made = jax.eval_shape(network.init, jax.random.key(0), x)
            apply = partial(network.apply, train=False)
            texts.append(str(jax.make_jaxpr(apply)(*made, x)).count("0.375"))
        assert texts == [0, 3 if factory is resnet.generator else 4]


# -- cascading rejection -------------------------------------------------------------


def test_each_logit_judges_what_the_one_before_left():
    with jax.enable_x64():
        v, w = drawn(4, 7), drawn(7, 4, seed=1)
        rejected = jax.jit(cascading_rejection)
        scores, _ = jax.device_get(rejected(v, w))
        lefts = [jax.device_get(rejected(v, w[:, :i])[1]) for i in range(1, 5)]
        longer, left = jax.device_get(rejected(v, w * np.array([3.0, -0.1, 7.0, 1.0])))
        basis, _ = np.linalg.qr(w)
        straight, _ = jax.device_get(rejected(v, basis))
        twice, _ = jax.device_get(rejected(v, np.repeat(w[:, :1], 2, 1)))
        none, kept = jax.device_get(rejected(v, 0 * w))
    for i, rest in enumerate(lefts):
        assert abs(rest @ w[:, i]).max() < 1e-13
        before = v if i == 0 else lefts[i - 1]
        np.testing.assert_allclose(scores[:, i], before @ w[:, i], atol=1e-13)
        # What is taken away is along the weight and nothing else.
        assert (
            np.linalg.matrix_rank(
                np.concatenate([before - rest, w[:, i : i + 1].T]), tol=1e-10
            )
            == 1
        )
    # Orthogonal to the weight before, not to all before.
    assert abs(lefts[2] @ w[:, 0]).max() > 0.01
    np.testing.assert_allclose(left, lefts[-1], atol=1e-13)
    np.testing.assert_allclose(longer, scores * [[3.0, -0.1, 7.0, 1.0]], atol=1e-12)
    np.testing.assert_allclose(straight, v @ basis, atol=1e-13)
    assert abs(twice[:, 0]).min() > 0.01
    assert abs(twice[:, 1]).max() < 1e-14
    np.testing.assert_array_equal(none, 0)
    np.testing.assert_array_equal(kept, v)


def test_a_cascade_is_linear_heads_of_which_the_others_are_orthogonal_to_the_first():
    with jax.enable_x64():
        w = drawn(6, 4)
        heads, _ = jax.device_get(jax.jit(cascading_rejection)(np.eye(6), w))
    assert abs(heads[:, 1:].T @ w[:, 0]).max() < 1e-13
    np.testing.assert_allclose(heads[:, 0], w[:, 0])


def test_a_cascade_of_one_is_the_plain_head():
    h = single(5, 6)
    plain, one = layers.Dense(1), Cascade(1)
    params = refilled(jax.eval_shape(plain.init, jax.random.key(0), h))
    np.testing.assert_array_equal(plain.apply(params, h), one.apply(params, h))


def test_a_spectral_cascade_has_weights_of_length_one():
    h, w = single(5, 6), single(6, 3, seed=1)
    module = Cascade(3, spectral=True)
    got = module.apply({"params": {"kernel": w, "bias": jnp.arange(3.0)}}, h)
    units = np.asarray(w) / np.linalg.norm(w, axis=0)
    want, _ = cascading_rejection(h, jnp.asarray(units))
    np.testing.assert_allclose(got, want + np.arange(3.0)[None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("disc", "shape"),
    [
        (mlp.discriminator(8, cascade=3), (2, 2)),
        (dcgan.discriminator(16, 4, "spectral", cascade=3), (2, 16, 16, 3)),
        (resnet.discriminator(32, 2, cascade=3), (2, 32, 32, 3)),
    ],
)
def test_the_ready_discriminators_cascade(disc, shape):
    made = jax.eval_shape(disc.init, jax.random.key(0), jnp.zeros(shape))
    logits, _ = jax.eval_shape(partial(disc.apply, train=True), *made, jnp.zeros(shape))
    assert (logits.shape, logits.dtype) == ((2, 3), jnp.float32)


def flops(weights) -> float:
    gen = mlp.generator(2, 32)
    disc = mlp.discriminator(64, cascade=len(weights))
    game = cascade(
        gen, disc, weights=weights, loss=losses.nonsaturating(), latent=LATENT
    )
    batch = {"real": jnp.zeros((64, 2))}
    params, stats = jax.eval_shape(game.init, jax.random.key(0), batch)

    def gradient(params, stats, batch, keys):
        return jax.grad(lambda p: game.loss(p, stats, batch, keys, jnp.asarray(0))[0])(
            params
        )

    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 64))
    program = jax.jit(gradient).lower(params, stats, batch, keys).compile()
    return program.cost_analysis()["flops"]


def test_more_logits_do_not_run_the_networks_more_often():
    assert flops((1.0,) * 6) < 1.2 * flops((1.0,))


# -- orthogonality -------------------------------------------------------------------


def test_the_orthogonal_gradient_is_the_penalty_s():
    """By automatic differentiation, by finite differences, and through optax."""
    with jax.enable_x64():
        params = {
            "conv": {"kernel": drawn(2, 3, 2, 4), "bias": np.ones(4)},
            "kernel": drawn(3, 5, seed=1),
        }
        params = jax.tree.map(jnp.asarray, params)
        value = jax.jit(partial(orthogonal_penalty, beta=0.3))
        got = jax.device_get(
            jax.jit(jax.grad(partial(orthogonal_penalty, beta=0.3)))(params)
        )
        rule = add_orthogonal_gradient(0.3)
        update = jax.jit(lambda g: rule.update(g, rule.init(params), params)[0])
        added, ones = (
            jax.device_get(update(jax.tree.map(fill, params)))
            for fill in (jnp.zeros_like, jnp.ones_like)
        )
        step = np.zeros((2, 3, 2, 4))
        step[1, 2, 0, 3] = 1e-5
        sides = []
        for side in (step, -step):
            moved = {**params, "conv": {**params["conv"]}}
            moved["conv"]["kernel"] = params["conv"]["kernel"] + side
            sides.append(float(value(moved)))
        params = jax.device_get(params)
    # The value, pair of columns by pair of columns.
    want = 0.0
    for matrix in (params["conv"]["kernel"].reshape(-1, 4), params["kernel"]):
        k = matrix.shape[1]
        pairs = [(i, j) for i in range(k) for j in range(k) if i != j]
        want += sum(0.3 * (matrix[:, i] @ matrix[:, j]) ** 2 for i, j in pairs)
    assert sum(sides) / 2 == pytest.approx(want, rel=1e-8)
    assert (sides[0] - sides[1]) / 2e-5 == pytest.approx(
        got["conv"]["kernel"][1, 2, 0, 3], rel=1e-6
    )
    for a, b, c in zip(*map(jax.tree.leaves, (got, added, ones)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
        np.testing.assert_allclose(b + 1, c, atol=1e-12)
    np.testing.assert_array_equal(added["conv"]["bias"], 0)


def test_the_orthogonal_gradient_of_some_weights():
    """`optax.masked` chooses them, as for weight decay."""
    params = {"in": {"kernel": single(3, 4)}, "out": {"kernel": single(3, 4, seed=1)}}
    mask = {"in": True, "out": False}
    rule = optax.masked(add_orthogonal_gradient(1.0), mask)
    zeros = jax.tree.map(jnp.zeros_like, params)
    added, _ = rule.update(zeros, rule.init(params), params)
    assert abs(added["in"]["kernel"]).max() > 0.1
    np.testing.assert_array_equal(added["out"]["kernel"], 0)


def test_orthogonal_weights_cost_nothing_whatever_their_length():
    columns = np.linalg.qr(drawn(6, 4))[0] * np.array([1.0, 2, 3, 4])
    columns = jnp.asarray(columns, jnp.float32)
    assert float(orthogonal_penalty({"w": columns}, 1.0)) < 1e-10
    rule = optax.chain(add_orthogonal_gradient(1e-2), optax.sgd(1.0))
    w = {"w": single(6, 4)}
    start, state = float(orthogonal_penalty(w, 1.0)), rule.init(w)

    def step(carry, _):
        w, state = carry
        updates, state = rule.update(jax.tree.map(jnp.zeros_like, w), state, w)
        return (optax.apply_updates(w, updates), state), None

    (w, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, length=200))((w, state))
    assert float(orthogonal_penalty(w, 1.0)) < 1e-4 * start


@pytest.mark.parametrize("angle", [0.3, 1.0, 2.5])
def test_the_cosine_of_signs_is_an_angle(angle):
    """E sgn(x·a) sgn(x·b) = 1 − 2θ/π, read from R of two filters with λ₁ = 0."""
    n = 40_000
    x = np.random.default_rng(3).normal(size=(n, 3))
    w = np.array([[1.0, np.cos(angle)], [0.0, np.sin(angle)], [0.0, 0.0]])
    cost = partial(self_orthogonality, gamma=1e4)
    with jax.enable_x64():
        x, w = jnp.asarray(x), jnp.asarray(w)
        both = [
            float(cost(x, w, sum_weight=one, square_weight=1 - one))
            for one in (0.0, 1.0)
        ]
    expected = 1 - 2 * angle / np.pi
    spread = 5 * np.sqrt((1 - expected**2) / n)  # five standard errors
    assert abs(np.sqrt(both[0] / 2) - abs(expected)) < spread
    assert np.sqrt(both[1]) == pytest.approx(np.sqrt(2 * both[0]), rel=1e-9)


def test_self_orthogonality_is_its_formula():
    """Cosines in NumPy, one pair after the other, with the paper's weights."""
    x, w = drawn(9, 4), drawn(4, 4, seed=1)
    w[:, 3] = 0.0  # a silent filter
    with jax.enable_x64():
        got = float(jax.jit(self_orthogonality)(x, w))
        slope = jax.device_get(jax.jit(jax.grad(self_orthogonality, 1))(x, w))
    y = np.tanh(10 * x @ w)
    total = squares = 0.0
    for i in range(4):
        for j in range(4):
            if i != j and y[:, i].any() and y[:, j].any():
                cosine = y[:, i] @ y[:, j]
                cosine /= np.sqrt((y[:, i] @ y[:, i]) * (y[:, j] @ y[:, j]))
                total, squares = total + cosine, squares + cosine**2
    assert got == pytest.approx(100 * total**2 + squares, rel=1e-9)
    assert np.isfinite(slope).all()


def on_four(function, in_specs, out_specs):
    """``function`` mapped over four devices' shares of the batch."""
    mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
    mapped = jax.shard_map(
        function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=True
    )
    return jax.jit(mapped)


def test_self_orthogonality_on_four_devices_is_that_of_one():
    x, w = single(8, 4), single(4, 3, seed=1)
    want = self_orthogonality(x, w)
    mapped = on_four(
        partial(self_orthogonality, axis_name="data"), (P("data"), P()), P()
    )
    np.testing.assert_allclose(mapped(x, w), want, rtol=1e-5)


# -- minibatch standard deviation ----------------------------------------------------


def test_minibatch_stddev_is_its_formula():
    h = np.asarray(IMAGES, "f8")
    got = minibatch_stddev(IMAGES)
    assert got.shape == (3, 4, 4, 6)
    np.testing.assert_array_equal(got[..., :5], IMAGES)
    np.testing.assert_allclose(got[..., 5], h.std(0).mean(), rtol=1e-6)
    points = single(6, 2)
    pairs = minibatch_stddev(points, group=2)[:, 2]
    for i in (0, 2, 4):
        want = np.asarray(points[i : i + 2], "f8").std(0).mean()
        np.testing.assert_allclose(pairs[i : i + 2], want, rtol=1e-6)
    same = minibatch_stddev(jnp.ones((3, 2)))
    np.testing.assert_allclose(same[:, 2], 1e-4, rtol=1e-5)
    slope = jax.grad(lambda h: minibatch_stddev(h).sum())(jnp.ones((3, 2)))
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("group", [None, 2])
def test_minibatch_stddev_on_four_devices_is_that_of_one(group):
    """Its values, and its gradient by the features."""
    h, weight = single(8, 2, 2, 3), single(8, 2, 2, 4, seed=1)
    axis_name = None if group else "data"

    def both(h, weight, axis_name=None):
        seen = minibatch_stddev(h, group, axis_name)
        slope = jax.grad(
            lambda h: (jnp.sin(minibatch_stddev(h, group, axis_name)) * weight).sum()
        )(h)
        return seen, slope

    want = jax.jit(both)(h, weight)
    mapped = on_four(
        partial(both, axis_name=axis_name), (P("data"), P("data")), P("data")
    )
    for a, b in zip(mapped(h, weight), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_one_backward_refuses_minibatch_stddev():
    def game(**options):
        disc = dcgan.discriminator(16, 4, **options)
        return adversarial(
            dcgan.generator(16, width=4),
            disc,
            loss=losses.nonsaturating(),
            latent=LATENT,
            gradient="one_backward",
        )

    batch = {"real": jnp.zeros((2, 16, 16, 3))}
    with pytest.raises(ValueError, match="judges every sample"):
        game(stddev=True).init(jax.random.key(0), batch)
    with pytest.raises(ValueError, match="judges every sample"):
        game(stddev=True, axis_name="data").init(jax.random.key(0), batch)


# -- errors --------------------------------------------------------------------------


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mlp.discriminator(8, cascade=2, classes=3), "takes no labels"),
        (lambda: mlp.discriminator(8, cascade=-1), "1 logit or more"),
        (lambda: minibatch_stddev(IMAGES, 2), "group is 2 for 3 samples"),
        (lambda: minibatch_stddev(IMAGES, 3, "data"), "need no axis"),
        (lambda: begun(conditioning.AdaIN(), VECTORS, VECTORS), "single one"),
        (
            lambda: begun(conditioning.ConditionalLayerNorm(), IMAGES, LABEL),
            "one vector per sample",
        ),
        (lambda: add_orthogonal_gradient().update({}, ()), "needs the parameters"),
        (lambda: game_of((1.0, -1.0)), "none of them negative"),
        (lambda: game_of(()), "one for each logit"),
        (
            lambda: traced_loss(game_of((1.0, 1.0))),
            r"shape \(8, 3\) for 8 samples, but there are 2 weights",
        ),
    ],
)
def test_what_is_not_offered_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def game_of(weights):
    disc = mlp.discriminator(4, cascade=3)
    gen = players()["gen"]
    return cascade(gen, disc, weights=weights, loss=losses.hinge(), latent=LATENT)


def traced_loss(game):
    batch = points(8)
    params, stats = jax.eval_shape(game.init, jax.random.key(0), batch)
    keys = jax.random.split(jax.random.key(0), 8)
    step = jnp.asarray(0)
    return jax.eval_shape(
        lambda p, s: game.loss(p, s, batch, keys, step), params, stats
    )


def test_adapters_take_the_conditional_norms():
    """They are linen modules: a network around one keeps its stats apart."""
    network = adapters.from_linen(conditioning.SelfModulatedNorm())
    params, stats = jax.jit(network.init)(jax.random.key(0), IMAGES, VECTORS)
    assert set(params) == {"Affine_0"}
    _, new = jax.jit(partial(network.apply, train=True))(params, stats, IMAGES, VECTORS)
    gap = largest_gap(stats, new)
    assert gap > 0.01
