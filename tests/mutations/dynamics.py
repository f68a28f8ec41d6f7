"""Lies about dynamics, convergence, unrolled play and R3GAN's schedules."""

from tests.mutations import Mutation

DYNAMICS = "gan_jax/dynamics.py"
CONVERGENCE = "gan_jax/convergence.py"
GAMES = "gan_jax/objectives/games.py"
UNROLLED = "gan_jax/objectives/unrolled.py"
PARTS = "gan_jax/parts.py"
R3GAN = "gan_jax/r3gan.py"
SCHEDULES = "gan_jax/schedules.py"

PLAYS = "tests/test_plays.py -k "
AHEAD = "tests/test_unrolled.py -k "
STABLE = "tests/test_convergence.py -k "
RECIPE = "tests/test_r3gan.py -k "
MAPPED = "tests/test_mapped.py -k "

MUTATIONS = [
    Mutation(
        DYNAMICS,
        "scalar + weight / 2 * square",
        "scalar + weight * square",
        PLAYS + "'bilinear_game and consensus'",
    ),
    Mutation(
        DYNAMICS,
        "scalar + weight / 2 * square",
        "scalar - weight / 2 * square",
        PLAYS + "'bilinear_game and consensus'",
    ),
    Mutation(
        DYNAMICS,
        "return averaged(v, axis_name)",
        "return v",
        AHEAD + "shard_map",
    ),
    Mutation(
        PARTS,
        "has_aux=True)(varying(params, axis_name), *rest)",
        "has_aux=True)(params, *rest)",
        AHEAD + "shard_map",
    ),
    Mutation(
        PARTS,
        "return varying(value, axis_name), aux",
        "return value, aux",
        MAPPED + "same_on_all",
    ),
    Mutation(
        DYNAMICS,
        "alpha=1.0, beta=1.0",
        "alpha=1.0, beta=0.5",
        PLAYS + "'bilinear_game and optimistic'",
    ),
    Mutation(
        DYNAMICS,
        "eps=eps, nesterov=False",
        "eps=eps, nesterov=True",
        PLAYS + "optimistic_adam",
    ),
    Mutation(
        DYNAMICS,
        "jnp.where(state.ahead, w + u - at, u)",
        "jnp.where(state.ahead, u, u)",
        PLAYS + "looks_ahead",
    ),
    Mutation(
        DYNAMICS,
        "jnp.where(state.ahead, w, at)",
        "jnp.where(state.ahead, at, w)",
        PLAYS + "looks_ahead",
    ),
    Mutation(
        DYNAMICS,
        "return updates, Extragradient(inner, start, ~state.ahead)",
        "inner = jax.tree.map(lambda a, b: jnp.where(state.ahead, a, b), inner, "
        "state.inner)\n        return updates, Extragradient(inner, start, "
        "~state.ahead)",
        PLAYS + "extra_adam",
    ),
    Mutation(
        CONVERGENCE,
        "maps: FlatMap = lambda w: -velocity(w)",
        "maps: FlatMap = lambda w: velocity(w)",
        STABLE + "dirac",
    ),
    Mutation(
        CONVERGENCE,
        "w = w - jnp.asarray(own, w.dtype) * velocity(w)",
        "w = w + jnp.asarray(own, w.dtype) * velocity(w)",
        STABLE + "two_rates",
    ),
    Mutation(
        CONVERGENCE,
        "        for own in steps:\n            w = w -",
        "        for own in [sum(steps)]:\n            w = w -",
        STABLE + "bilinear",
    ),
    Mutation(
        CONVERGENCE,
        "jax.jvp(maps, (w,), (u,))[1]",
        "jax.vjp(maps, w)[1](u)[0] + 0.1 * u",
        STABLE + "arnoldi",
    ),
    Mutation(
        CONVERGENCE,
        "if not any(found[player][2] for found in tries)",
        "if False",
        STABLE + "constant",
    ),
    Mutation(
        GAMES,
        "mu / 2 * jnp.square(a).sum()",
        "mu * jnp.square(a).sum()",
        STABLE + "linear_quadratic_is",
    ),
    Mutation(
        GAMES,
        "gap = real.T @ real / len(real) - g @ g.T",
        "gap = real.T @ real - g @ g.T",
        STABLE + "linear_quadratic_is",
    ),
    Mutation(
        GAMES,
        "gen_loss = -value(stop(psi), phi, real)",
        "gen_loss = value(stop(psi), phi, real)",
        STABLE + "bilinear",
    ),
    Mutation(
        GAMES,
        "disc_loss = value(psi, stop(phi), real)",
        "disc_loss = value(psi, phi, real)",
        STABLE + "bilinear",
    ),
    Mutation(
        GAMES,
        "(phi - real.mean(axis=0))",
        "(phi - real.sum(axis=0))",
        "tests/test_protocol.py -k 'own_gradient and bilinear'",
    ),
    Mutation(
        UNROLLED,
        'theta = stop(params["disc"])',
        'theta = params["disc"]',
        AHEAD + "by_hand",
    ),
    Mutation(
        UNROLLED,
        "            r, f, _ = judged(theta, fake)\n            return",
        "            r, f, _ = judged(theta, stop(fake))\n            return",
        AHEAD + "one_step_ahead_by_hand",
    ),
    Mutation(
        UNROLLED,
        "slope = averaged(slope, axis_name)",
        "slope = stop(averaged(slope, axis_name))",
        AHEAD + "one_step_ahead_by_hand",
    ),
    Mutation(
        UNROLLED,
        "gen_loss = -loss.disc(r, f) if",
        "gen_loss = loss.disc(r, f) if",
        AHEAD + "one_step_ahead_by_hand",
    ),
    Mutation(
        UNROLLED,
        "gen_loss = -loss.disc(r, f) if",
        "gen_loss = -loss.disc(stop(r), f) if",
        AHEAD + "second_order",
    ),
    Mutation(
        UNROLLED,
        "held = stop(fake)",
        "held = fake",
        AHEAD + "one_step_ahead_by_hand",
    ),
    Mutation(
        UNROLLED,
        "            slope = averaged(slope, axis_name)\n",
        "",
        AHEAD + "shard_map",
    ),
    Mutation(
        UNROLLED,
        "varying((theta, inner.init(theta)), axis_name)",
        "(theta, inner.init(theta))",
        AHEAD + "shard_map",
    ),
    Mutation(
        SCHEDULES,
        "schedule(step * (batch_size / moves))",
        "schedule(step * batch_size)",
        RECIPE + "several",
    ),
    Mutation(
        SCHEDULES,
        "0.5 ** (batch_size / jnp.maximum",
        "0.5 ** (1 / jnp.maximum",
        RECIPE + "images",
    ),
    Mutation(
        SCHEDULES,
        "jnp.minimum(images, ramp",
        "jnp.maximum(images, ramp",
        "tests/test_schedules.py -k ramp",
    ),
    Mutation(
        SCHEDULES,
        "ramp * batch_size * step",
        "ramp * step",
        "tests/test_schedules.py -k ramp",
    ),
    Mutation(R3GAN, "b1=0.0", "b1=0.5", RECIPE + "momentum"),
    Mutation(R3GAN, "total(r1(weight), r2(weight))", "r1(weight)", RECIPE + "images"),
    Mutation(
        "gan_jax/field_picture.py",
        "-fine / (top - bottom)",
        "fine / (top - bottom)",
        "tests/test_field_picture.py -k path",
    ),
    Mutation(
        "gan_jax/field_picture.py",
        "tip, wing = at + half",
        "tip, wing = at - half",
        "tests/test_field_picture.py -k arrows",
    ),
]
