"""Lies about tiles, patches and linear maps with transposes of their own."""

from tests.mutations import Mutation

CONV = "gan_jax/ops/conv.py"
TILES = "gan_jax/ops/tiles.py"
MINIMAL = "gan_jax/ops/minimal.py"
LINEAR = "gan_jax/ops/linear.py"
PRODUCTS = "gan_jax/ops/products.py"
GROUPED = "gan_jax/ops/grouped.py"
POOL = "gan_jax/ops/pool.py"
FEW = "gan_jax/ops/few_channels.py"
STRIDE_1 = "tests/test_ops.py -k stride_1_has"
STRIDE_2 = "tests/test_ops.py -k second_derivatives_are"
PRODUCTS_TAKEN = 'tests/test_ops.py -k "tiles_of_3x3_take or tiles_take"'
ROUNDING = "tests/test_ops.py -k twice"
SHORTER = "tests/test_ops.py -k shorter_side"
GROUPS = "tests/test_ops.py -k groups_have"
DEVICES = "tests/test_ops.py -k same_on_all_devices"
ONCE = "tests/test_ops.py -k groups_share"
POOLED = "tests/test_ops.py -k halved"
OTHERS = 'tests/test_ops.py -k "forward_mode or vmap or one_argument"'


MUTATIONS = [
    # The schemes of two and three taps, there and back.
    Mutation(MINIMAL, "outer - inner, c]", "outer + inner, c]", STRIDE_1),
    Mutation(MINIMAL, "s: [p, q - r + s, q + r", "s: [p, q - r + s, q - r", STRIDE_1),
    Mutation(MINIMAL, "(q - r) / 2", "(q + r) / 2", STRIDE_1),
    Mutation(MINIMAL, "q - r - s]", "q - r + s]", STRIDE_1),
    Mutation(MINIMAL, "q + r - p, -s]", "q + r - p, s]", STRIDE_1),
    Mutation(MINIMAL, "[y, y + z, y - z, -z]", "[y, y + z, y + z, -z]", STRIDE_1),
    Mutation(MINIMAL, "[a - b, b, c - b]", "[a - b, b, b - c]", STRIDE_2),
    Mutation(MINIMAL, "[p, q - p - r, r]", "[p, q - p + r, r]", STRIDE_2),
    Mutation(MINIMAL, "[a + both, both + b]", "[a - both, both + b]", STRIDE_2),
    # Of four outputs.
    Mutation(MINIMAL, "b + 0.5 * (c - d)", "b + 0.5 * (d - c)", STRIDE_2),
    Mutation(MINIMAL, "- (1.5 * p + 0.5 * r)", "- (0.5 * p + 1.5 * r)", STRIDE_2),
    Mutation(MINIMAL, "(2 * a + b) / 9", "(2 * a + b) / 8", STRIDE_2),
    Mutation(MINIMAL, "t + (s + 2 * (r + q)) / 9", "t + (s + 2 * r) / 9", STRIDE_2),
    Mutation(MINIMAL, "(8 * r + s) + (t - q)", "(8 * r + s) + (t + q)", STRIDE_2),
    Mutation(MINIMAL, "(w + y) - (x + z)", "(w + y) + (x + z)", STRIDE_2),
    Mutation(MINIMAL, "C**3 * d - C * b", "C**3 * d + C * b", STRIDE_1),
    Mutation(MINIMAL, "[even + odd, even - odd]", "[even + odd, odd - even]", STRIDE_1),
    Mutation(MINIMAL, "(even + p) - C * inv", "(even - p) - C * inv", STRIDE_1),
    Mutation(MINIMAL, "C / D * b, a", "C / D * b, b", STRIDE_1),
    Mutation(MINIMAL, "C / D * odd", "D / C * odd", STRIDE_1),
    Mutation(MINIMAL, "C * odd + C**2 * inv", "C**2 * odd + C * inv", STRIDE_1),
    Mutation(MINIMAL, "C**2 * x + z", "C * x + z", STRIDE_1),
    # Which scheme, for speed and for accuracy.
    Mutation(TILES, "((F22, F42), (F22,))", "((F22,), (F22,))", PRODUCTS_TAKEN),
    Mutation(TILES, "((F23, F43), (F23, F43))", "((F23,), (F23,))", PRODUCTS_TAKEN),
    Mutation(MINIMAL, "C = 1.5", "C = 1.2", ROUNDING),
    # Where tiles lie: zeros around the image, odd outputs, neighbours.
    Mutation(TILES, "(border, full - side - border)", "(0, full - side)", STRIDE_1),
    Mutation(TILES, "[:, :h, :w]", "[:, -h:, -w:]", STRIDE_1),
    Mutation(
        TILES,
        "jnp.concatenate([before, x, after], axis)",
        "jnp.concatenate([after, x, before], axis)",
        STRIDE_1,
    ),
    # The other ways.
    Mutation(CONV, "full[::-1, ::-1]", "full", STRIDE_1),
    Mutation(CONV, "kernel[::-1, ::-1]", "kernel", STRIDE_2),
    Mutation(CONV, "(0, 2, 4, 1, 3, 5) if", "(0, 2, 4, 3, 1, 5) if", STRIDE_2),
    Mutation(CONV, "(0, 2, 5, 1, 3, 4)", "(0, 2, 5, 3, 1, 4)", STRIDE_2),
    Mutation(CONV, "(0, 3, 1, 4, 2, 5) if", "(0, 4, 1, 3, 2, 5) if", STRIDE_2),
    Mutation(CONV, "(0, 3, 1, 4, 5, 2)", "(0, 4, 1, 3, 5, 2)", STRIDE_2),
    Mutation(CONV, "(taps - 1, taps - 1)", "(0, 2 * taps - 2)", STRIDE_2),
    Mutation(
        CONV,
        "x[:, border : border + h, border : border + w]",
        "x[:, :h, :w]",
        STRIDE_2,
    ),
    Mutation(CONV, "[:, 1 : 1 + h, 1 : 1 + w]", "[:, :h, :w]", STRIDE_2),
    Mutation(
        CONV,
        "x.astype(dtype), kernel.astype(dtype)",
        "x, kernel",
        ("tests/test_ops.py -k stride_1_in_bfloat16"),
    ),
    Mutation(
        CONV,
        "cpu=on_cpu, default=native_same",
        "cpu=on_cpu, default=on_cpu",
        ("tests/test_ops.py -k stride_1_in_bfloat16"),
    ),
    # Fast, and not right alone.
    Mutation(PRODUCTS, "<= b.shape[1]", "> 0", SHORTER),
    Mutation(PRODUCTS, "in_memory(in_memory(x).T)", "x.T", SHORTER),
    Mutation(CONV, "product(x.reshape(-1, c), turned)", "(x @ turned)", SHORTER),
    Mutation(GROUPED, "jnp.split(in_memory(x)", "jnp.split((x)", ONCE),
    Mutation(
        GROUPED, "in_memory(jnp.concatenate(ys, -1))", "jnp.concatenate(ys, -1)", ONCE
    ),
    Mutation(POOL, "cpu=by_slices", "cpu=native", POOLED),
    Mutation(POOL, "default=native", "default=by_slices", POOLED),
    Mutation(POOL, "(y / 4)", "(y / 2)", POOLED),
    Mutation(FEW, "bind(*varying_alike(x, kernel))", "bind(x, kernel)", DEVICES),
    Mutation(FEW, "kernel[::-1, ::-1]", "kernel", GROUPS),
    Mutation(FEW, "(size // 2, size // 2)", "(size - 1, 0)", GROUPS),
    Mutation(FEW, "size: same(y, turned(kernel))", "size: same(y, kernel)", GROUPS),
    Mutation(FEW, "partial(run, **given), axes)", "partial(run, **given))", OTHERS),
    # Transposes.
    Mutation(
        LINEAR,
        "forward=backward, backward=forward",
        ("forward=forward, backward=backward"),
        STRIDE_1,
    ),
    Mutation(
        LINEAR,
        "*primals, **maps), linear_p.bind(*tangents",
        ("*primals, **maps), linear_p.bind(*primals"),
        OTHERS,
    ),
    Mutation(LINEAR, "jnp.moveaxis(x, axis, 0)", "jnp.moveaxis(x, 0, axis)", OTHERS),
]
