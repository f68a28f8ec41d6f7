"""Stride-2 convolutions: the same numbers as lax, by a different way."""

import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax
from jax.sharding import PartitionSpec as P

from gan_jax.ops.conv import FEW, MANY, conv, conv1x1, conv3x3, conv_transpose
from gan_jax.ops.grouped import MOST, grouped_conv
from gan_jax.ops.linear import linear
from gan_jax.ops.pool import halved, native


def lax_up(x: Array, kernel: Array) -> Array:
    return lax.conv_transpose(x, kernel, (2, 2), "SAME")


def lax_down(x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


both = pytest.mark.parametrize(
    ("ours", "native"), [(conv_transpose, lax_up), (conv, lax_down)]
)


def operands(dtype, size=4, shape=(2, 4, 6, 4), features=3):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=shape), dtype)
    kernel = rng.normal(size=(size, size, shape[-1], features)) / size
    kernel = jnp.asarray(kernel, dtype)
    return x, kernel


def loss(conv, x, kernel):
    return jnp.sin(conv(x, kernel)).sum()


def penalty(conv, x, kernel):
    grads = jax.grad(partial(loss, conv), (0, 1))(x, kernel)
    return sum((jnp.cos(g) * g).sum() for g in grads)


@both
@pytest.mark.parametrize(
    ("size", "shape", "features"),
    [
        (2, (2, 4, 6, 4), 3),
        (4, (2, 4, 6, 4), 3),
        (6, (2, 4, 6, 4), 3),
        # More than a few channels: tiles, of an odd number of outputs too; a kernel
        # that is turned round, and one that is not.
        (4, (40, 8, 8, 9), 10),
        (4, (1, 2, 6, 16), 9),
        # Rows by four outputs, one of them in an unfinished tile.
        (4, (1, 22, 6, 9), 10),
    ],
)
def test_value_gradients_and_second_derivatives_are_those_of_lax(
    ours, native, size, shape, features
):
    with jax.enable_x64(True):
        args = operands(jnp.float64, size, shape, features)
        for quantity in (loss, penalty):
            got = jax.jit(jax.value_and_grad(partial(quantity, ours), (0, 1)))
            want = jax.jit(jax.value_and_grad(partial(quantity, native), (0, 1)))
            for a, b in zip(*map(jax.tree.leaves, (got(*args), want(*args))), strict=1):
                # Of the largest entry: a small one may be what large ones leave.
                atol = 1e-12 * max(1.0, float(jnp.abs(b).max()))
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=atol)


def lax_groups(x: Array, kernel: Array, groups: int, stride: int) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


lax_same = partial(lax_groups, groups=1, stride=1)


def check_vmap(ours, x: Array, kernel: Array) -> None:
    """Gradients mapped over kernels equal those of a loop."""
    kernels = jnp.stack([kernel, 2 * kernel])
    grad = jax.grad(partial(loss, ours), (0, 1))
    got = jax.vmap(grad, (None, 0))(x, kernels)
    for i in range(2):
        for a, b in zip(got, grad(x, kernels[i]), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-4)


# Tiles of even and odd images; few channels in, few out, neither few nor many.
SAME = [
    (conv3x3, 3, (2, 4, 6, MANY), MANY),
    (conv3x3, 3, (3, 5, 3, MANY), MANY + 1),
    (conv3x3, 3, (2, 1, 1, MANY), MANY),
    (conv3x3, 3, (1, 9, 4, MANY), MANY + 1),
    (conv3x3, 3, (1, 3, 11, MANY), MANY),
    (conv3x3, 3, (2, 4, 5, FEW), MANY),
    (conv3x3, 3, (2, 4, 5, MANY), 3),
    (conv3x3, 3, (2, 4, 5, FEW + 1), MANY),
    (conv1x1, 1, (2, 4, 5, 6), 7),
]


@pytest.mark.parametrize(("ours", "size", "shape", "features"), SAME)
def test_stride_1_has_values_and_derivatives_of_lax(ours, size, shape, features):
    with jax.enable_x64(True):
        args = operands(jnp.float64, size, shape, features)
        tangents = tuple(jnp.cos(a) for a in args)
        for of in (lambda f, x, k: f(x, k).sum(), loss, penalty):
            pair = [
                jax.jit(jax.value_and_grad(partial(of, f), (0, 1)))(*args)
                for f in (ours, lax_same)
            ]
            for a, b in zip(*map(jax.tree.leaves, pair), strict=True):
                atol = 1e-12 * max(1.0, float(jnp.abs(b).max()))
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=atol)
        got, want = (jax.jvp(f, args, tangents)[1] for f in (ours, lax_same))
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("ours", "size", "shape", "features"), SAME)
def test_stride_1_in_bfloat16_under_vmap_and_elsewhere(ours, size, shape, features):
    x, kernel = operands(jnp.bfloat16, size, shape, features)
    y = ours(x, kernel)
    assert y.dtype == jnp.bfloat16
    want = lax_same(*(a.astype("f4") for a in (x, kernel)))
    np.testing.assert_allclose(y.astype("f4"), want, rtol=0.02, atol=0.02)

    x, kernel = operands(jnp.float32, size, shape, features)
    check_vmap(ours, x, kernel)

    def text(conv):
        step = jax.jit(jax.grad(partial(loss, conv), (0, 1))).trace(x, kernel)
        lowered = step.lower(lowering_platforms=("tpu",)).as_text()
        lines = [line for line in lowered.splitlines() if "convolution" in line]
        return sorted(line.split("window = ")[1] for line in lines)

    assert text(ours) == text(lax_same)


def operations(ours, other, x: Array, kernel: Array) -> float:
    """How many one convolution and its gradients take, relative to another."""

    def flops(conv):
        step = jax.jit(lambda x, k, g: jax.vjp(conv, x, k)[1](g))
        return step.lower(x, kernel, conv(x, kernel)).compile().cost_analysis()["flops"]

    return flops(ours) / flops(other)


@pytest.mark.parametrize(("side", "most"), [(16, 0.33), (6, 0.62)])
def test_tiles_of_3x3_take_36_products_of_144_or_sixteen_of_36(side, most):
    """And some additions. Lax's own count leaves out what falls on the padding."""
    x, kernel = operands(jnp.float32, 3, (8, side, side, 64), 64)
    assert operations(conv3x3, lax_same, x, kernel) < most


@pytest.mark.parametrize(
    ("ours", "native", "size", "shape"),
    [
        (conv, lax_down, 4, (8, 32, 32, 32)),
        (conv_transpose, lax_up, 4, (8, 16, 16, 32)),
        (conv3x3, lax_same, 3, (8, 16, 16, 64)),
    ],
)
def test_tiles_round_hardly_more_than_twice_as_much_as_lax(ours, native, size, shape):
    """By float64, as a root of mean squares: values, and both gradients."""
    with jax.enable_x64(True):
        args = operands(jnp.float32, size, shape, 64)
        cotangent = operands(jnp.float32, size, native(*args).shape, 64)[0]

        @partial(jax.jit, static_argnums=(0, 1))
        def answers(conv, dtype):
            x, kernel, y = (a.astype(dtype) for a in (*args, cotangent))
            value, back = jax.vjp(conv, x, kernel)
            return value, *back(y)

        exact = answers(native, jnp.float64)
        for a, b, c in zip(
            answers(ours, jnp.float32), answers(native, jnp.float32), exact, strict=True
        ):
            own, theirs = (float(jnp.linalg.norm(x - c)) for x in (a, b))
            assert 0 < own < 2.2 * theirs


@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (2, 1), (4, 1), (4, 2)])
def test_groups_have_values_and_derivatives_of_lax(groups, stride):
    with jax.enable_x64():
        rng = np.random.default_rng(0)
        x = jnp.asarray(rng.normal(size=(2, 5, 4, 8)))
        kernel = jnp.asarray(rng.normal(size=(3, 3, 8 // groups, 12)))
        pair = [
            partial(f, groups=groups, stride=stride) for f in (grouped_conv, lax_groups)
        ]
        for of in (lambda f, x, k: f(x, k).sum(), loss, penalty):
            ours, native = (
                jax.jit(jax.value_and_grad(partial(of, f), (0, 1)))(x, kernel)
                for f in pair
            )
            chex.assert_trees_all_close(ours, native, rtol=1e-12, atol=1e-12)


def test_groups_under_vmap_and_in_forward_mode():
    x, kernel = operands(jnp.float32, 3, (2, 5, 4, 8), 12)
    kernel = kernel[:, :, :4]
    ours, native = (partial(f, groups=2, stride=1) for f in (grouped_conv, lax_groups))
    check_vmap(ours, x, kernel)
    got, want = (jax.jvp(f, (x, kernel), (x, 2 * kernel))[1] for f in (ours, native))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_groups_of_a_kernel_that_is_the_same_on_all_devices():
    """Its gradient is summed over them, at the first and at the second order."""
    x, kernel = operands(jnp.float32, 3, (4, 5, 4, 8), 12)
    kernel = kernel[:, :, :4]
    convolved = partial(loss, partial(grouped_conv, groups=2))

    def gradients(x, kernel):
        def slope(k):
            return (jax.grad(convolved)(x, k) ** 2).sum()

        return jax.grad(convolved, 1)(x, kernel), jax.grad(slope)(kernel)

    axis = jax.sharding.AxisType.Auto
    mesh = jax.make_mesh((2,), ("i",), axis_types=(axis,), devices=jax.devices()[:2])
    mapped = jax.shard_map(
        gradients, mesh=mesh, in_specs=(P("i"), P()), out_specs=(P(), P())
    )
    for got, want in zip(jax.jit(mapped)(x, kernel), gradients(x, kernel), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("groups", [1, 4, 2 * MOST])
@pytest.mark.parametrize("platform", ["cpu", "tpu", "cuda"])
def test_groups_are_taken_apart_on_cpus_alone(groups, platform):
    x = jax.ShapeDtypeStruct((2, 4, 4, 64), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, 64 // groups, 64), jnp.float32)
    traced = jax.jit(grouped_conv, static_argnums=2).trace(x, kernel, groups)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    apart = platform == "cpu" and groups == 4
    assert text.count("stablehlo.convolution") == (groups if apart else 1)


def program(function, *args: Array) -> str:
    return jax.jit(function).lower(*args).compile().as_text()


@pytest.mark.parametrize(
    ("ours", "size", "shape", "features"),
    [
        (conv, 4, (4, 8, 8, 32), 64),
        (conv_transpose, 4, (4, 4, 4, 64), 32),
        (conv3x3, 3, (4, 8, 8, 64), 32),
        (conv3x3, 3, (4, 8, 8, 64), 3),
        (conv1x1, 1, (4, 8, 8, 64), 32),
        (conv1x1, 1, (4, 8, 8, 32), 64),
    ],
)
def test_kernel_gradients_have_their_shorter_side_in_front(ours, size, shape, features):
    """They are sums over samples and pixels, the first axis of both operands."""
    x, kernel = operands(jnp.float32, size, shape, features)
    text = program(
        lambda x, k, g: jax.vjp(ours, x, k)[1](g), x, kernel, ours(x, kernel)
    )
    over_rows = re.escape("lhs_contracting_dims={0}, rhs_contracting_dims={0}")
    sides = re.findall(rf"f32\[(\d+),(\d+)\]\S* dot\(.*{over_rows}", text)
    assert sides
    assert all(int(first) <= int(second) for first, second in sides)


def test_groups_share_what_is_computed_around_them():
    """The operand and the output's cotangent are made once, not for every group."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 4, 4, 64)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 16, 64)), jnp.float32)

    def around(x, kernel):
        return loss(lambda x, k: grouped_conv(jnp.abs(x), k, 4), x, kernel)

    text = program(jax.grad(around, (0, 1)), x, kernel)
    assert text.count(" abs(") == text.count(" cosine(") == 1


def test_halved_is_the_mean_of_four_pixels():
    x, _ = operands(jnp.float32)
    with jax.enable_x64():
        args = operands(jnp.float64)
        for of in (lambda f, x, k: f(x).sum(), lambda f, x, k: jnp.sin(f(x)).sum()):
            ours, lax_own = (
                jax.jit(jax.value_and_grad(partial(of, f)))(*args)
                for f in (halved, native)
            )
            chex.assert_trees_all_close(ours, lax_own, rtol=1e-12, atol=1e-12)
    text = program(lambda x: halved(jax.nn.relu(x) + 1), x)
    assert " reduce(" not in text
    assert text.count(" fusion(") == 1
    elsewhere = (
        jax.jit(f).trace(x).lower(lowering_platforms=("tpu",)).as_text()
        for f in (halved, native)
    )
    assert len({text.count("stablehlo.slice") for text in elsewhere}) == 1


@both
def test_forward_mode_is_that_of_lax(ours, native):
    with jax.enable_x64(True):
        args = operands(jnp.float64)
        for tangents in (args, (args[0], 0 * args[1]), (0 * args[0], args[1])):
            got = jax.jvp(ours, args, tangents)
            want = jax.jvp(native, args, tangents)
            np.testing.assert_allclose(got[1], want[1], rtol=1e-12, atol=1e-12)


@both
def test_gradient_in_one_argument_only(ours, native):
    x, kernel = operands(jnp.float32)
    for argnum in (0, 1):
        got = jax.grad(partial(loss, ours), argnum)(x, kernel)
        want = jax.grad(partial(loss, native), argnum)(x, kernel)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@both
@pytest.mark.parametrize(("dtype", "tol"), [(jnp.float32, 2e-5), (jnp.bfloat16, 0.06)])
def test_dtype_is_kept(ours, native, dtype, tol):
    x, kernel = operands(dtype)
    value, grads = jax.value_and_grad(
        lambda x, k: ours(x, k).astype(jnp.float32).sum(), (0, 1)
    )(x, kernel)
    assert ours(x, kernel).dtype == dtype
    assert [g.dtype for g in grads] == [dtype, dtype]
    np.testing.assert_allclose(value, native(x, kernel).astype("f4").sum(), rtol=tol)


@both
def test_vmap_over_kernels_equals_a_loop(ours, native):
    x, kernel = operands(jnp.float32)
    check_vmap(ours, x, kernel)


def test_vmap_of_a_linear_map_over_its_last_axis():
    def forward(x):
        return [x[1:] - x[:-1]]

    def backward(y):
        zero = jnp.zeros_like(y[:1])
        return [jnp.concatenate([zero, y]) - jnp.concatenate([y, zero])]

    def of(x):
        return linear(forward, backward, x)[0]

    xs = jnp.arange(60.0).reshape(4, 3, 5) ** 2
    got = jax.vmap(of, 2)(xs)
    np.testing.assert_array_equal(
        got, jnp.stack([of(x) for x in xs.transpose(2, 0, 1)])
    )


def test_scan_descends():
    x, kernel = operands(jnp.float32)

    def step(k, _):
        value, g = jax.value_and_grad(partial(loss, conv_transpose), 1)(x, k)
        return k - 1e-3 * g, value

    _, values = jax.jit(lambda k: lax.scan(step, k, None, length=5))(kernel)
    assert np.all(np.diff(values) < 0)


@both
@pytest.mark.parametrize(("side", "most"), [(32, 0.6), (8, 0.8)])
def test_tiles_take_fifteen_products_of_32_or_nine_of_sixteen(ours, native, side, most):
    """And some additions. Lax's own count leaves out what falls on the padding."""
    x, kernel = operands(jnp.float32, shape=(16, side, side, 32), features=32)
    assert operations(ours, native, x, kernel) < most


@both
@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_other_platforms_get_the_program_of_lax(ours, native, platform):
    x, kernel = operands(jnp.float32)

    def text(conv, platform):
        step = jax.jit(lambda x, k: jax.grad(partial(loss, conv), (0, 1))(x, k))
        lowered = step.trace(x, kernel).lower(lowering_platforms=(platform,)).as_text()
        lines = [line for line in lowered.splitlines() if "convolution" in line]
        return sorted(line.split("window = ")[1] for line in lines)

    want = text(native, platform)
    assert text(ours, platform) == want
    assert any("lhs_dilate = [2, 2]" in line for line in want)
    assert text(ours, "cpu") != text(native, "cpu")


@both
@pytest.mark.parametrize("shape", [(3, 3, 4, 2), (4, 2, 4, 2)])
def test_kernels_not_offered_are_refused(ours, native, shape):
    with pytest.raises(ValueError, match=r"even size.*jax\.lax\.conv"):
        # Past the shape annotation, which asks for a square kernel itself.
        ours.__wrapped__(jnp.zeros((1, 2, 2, 4)), jnp.zeros(shape))


def test_odd_images_are_refused():
    with pytest.raises(ValueError, match="even height and width"):
        conv(jnp.zeros((1, 4, 3, 4)), jnp.zeros((4, 4, 4, 2)))
