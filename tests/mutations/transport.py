"""Lies about moments, plans, and who holds what fixed."""

from tests.mutations import Mutation

DISTANCES, MOMENTS = "gan_jax/distances.py", "gan_jax/moments.py"
TRANSPORT, FEATURES = "gan_jax/transport.py", "gan_jax/objectives/features.py"
PLAYERS = "gan_jax/objectives/players.py"
MMD_GAN, OT_GAN = "gan_jax/objectives/mmd_gan.py", "gan_jax/objectives/ot_gan.py"


def test(name: str) -> str:
    return f"tests/test_transport.py -k '{name}'"


def law(case: str) -> str:
    return f"tests/test_protocol.py -k 'own_gradient and {case}'"


MUTATIONS = [
    Mutation(DISTANCES, "sum(axis=-1)", "mean(axis=-1)", test("test_distances")),
    Mutation(
        DISTANCES,
        "return root(squared_euclidean(x, y))",
        "return jnp.sqrt(squared_euclidean(x, y))",
        test("gradients_everywhere and euclidean"),
    ),
    Mutation(DISTANCES, "return 1 - jnp", "return 2 - jnp", test("test_distances")),
    Mutation(MOMENTS, "(2 * s**2)", "(s**2)", test("by_loops")),
    Mutation(MOMENTS, "squared / (2 * a)", "squared / a", test("by_loops")),
    Mutation(MOMENTS, "within - 2 * kernel", "within - kernel", test("by_loops")),
    Mutation(
        MOMENTS,
        "jnp.where(jnp.eye(n, dtype=bool), 0.0, gram).sum() / (n * (n - 1))",
        "gram.mean()",
        test("mean_of_mmd"),
    ),
    Mutation(
        MOMENTS,
        "mean(axis=1) - kernel(at, y)",
        "mean(axis=1) + kernel(at, y)",
        test("by_loops"),
    ),
    Mutation(
        TRANSPORT,
        "first * (sharpness / first) ** grown",
        "sharpness + 0 * grown",
        test("sharp_plans_sort"),
    ),
    Mutation(
        TRANSPORT,
        "rows = rows_of(columns, sharpness)",
        "rows = rows_of(columns, sharpness / 2)",
        test("marginals"),
    ),
    Mutation(
        TRANSPORT,
        "(held_plan(cost, sharpness, iterations) * cost)",
        "(sinkhorn(cost, sharpness, iterations) * cost)",
        test("regularised_minimum"),
    ),
    Mutation(
        TRANSPORT,
        "return sinkhorn(cost, sharpness, iterations), None",
        "return sinkhorn(jax.lax.stop_gradient(cost), sharpness, iterations), None",
        test("outer_derivatives"),
    ),
    Mutation(
        TRANSPORT,
        "jnp.abs(plan.sum(axis=0)",
        "jnp.abs(plan.sum(axis=1)",
        test("marginals"),
    ),
    Mutation(TRANSPORT, "1.0, -2.0, -2.0", "1.0, -1.0, -1.0", test("six_terms")),
    Mutation(TRANSPORT, "(x, x2), (y, y2))", "(x, x), (y, y))", test("six_terms")),
    Mutation(
        TRANSPORT,
        "(b[0::2], b[1::2])",
        "(b[: len(b) // 2], b[len(b) // 2 :])",
        test("six_terms"),
    ),
    Mutation(
        PLAYERS,
        "call(theta, stop(fake))",
        "call(theta, fake)",
        law("mmd_gan"),
    ),
    Mutation(
        PLAYERS,
        "call(stop(theta), fake)",
        "call(theta, fake)",
        law("ot_gan"),
    ),
    Mutation(
        FEATURES,
        "= gathered(seen, axis_name)",
        "= seen",
        test("eight_devices"),
    ),
    Mutation(
        "gan_jax/parts.py",
        "jax.lax.all_gather(tree, axis_name, tiled=True)",
        "tree",
        test("eight_devices and without"),
    ),
    Mutation(MMD_GAN, "disc_loss = -mmd2", "disc_loss = mmd2", law("mmd_gan")),
    Mutation(
        MMD_GAN,
        "mmd2(similarity, stop(seen.real)",
        "mmd2(similarity, (seen.real)",
        law("mmd_gan"),
    ),
    Mutation(
        PLAYERS,
        "penalty(disc, real, stop(fake), keys, step)",
        "penalty(disc, real, fake, keys, step)",
        law("mmd_gan"),
    ),
    Mutation(
        MMD_GAN,
        "at, seen.real, seen.fake",
        "at, seen.real, seen.by_gen",
        law("mmd_gan"),
    ),
    Mutation(OT_GAN, "disc_loss = -energy", "disc_loss = energy", law("ot_gan")),
    Mutation(
        OT_GAN,
        "distance, stop(seen.real), seen.by_gen",
        "distance, seen.real, seen.by_gen",
        law("ot_gan"),
    ),
    Mutation(
        OT_GAN,
        "distance, seen.real, seen.fake",
        "distance, seen.real, seen.by_gen",
        law("ot_gan"),
    ),
]
