"""Lies about Wasserstein critics, GAN-QP and worst samples."""

from tests.mutations import Mutation

PENALTIES = "gan_jax/penalties.py"
NUMERICS = "gan_jax/numerics.py"
OPTIMIZERS = "gan_jax/optimizers.py"
ROBUST = "gan_jax/robust.py"
BIGAN = "gan_jax/objectives/bigan_qp.py"
OWN = 'tests/test_protocol.py -k "own_gradient and bigan_qp"'


def seen_by(name: str) -> str:
    """The tests of this family whose names hold ``name``."""
    return f"tests/test_slopes.py -k {name}"


MUTATIONS = [
    Mutation(
        PENALTIES,
        "/ 2 * (powers[0].mean() + powers[1].mean())",
        "* (powers[0].mean() + powers[1].mean())",
        seen_by("wgan_div_on"),
    ),
    Mutation(
        PENALTIES,
        "(powers[0].mean() + powers[1].mean())",
        "(2 * powers[0].mean())",
        seen_by("wgan_div_takes"),
    ),
    Mutation(
        PENALTIES,
        "_slope(disc, x) ** power",
        "_squared_slope(disc, x) ** power",
        seen_by("wgan_div_on"),
    ),
    Mutation(
        PENALTIES,
        "potential(disc(real) - disc(fake), bound)",
        "potential(disc(real) + disc(fake), bound)",
        seen_by("gan_qp_on_two_diracs"),
    ),
    Mutation(
        PENALTIES,
        "quotient(jnp.square(delta), 2 * bound)",
        "quotient(jnp.square(delta), bound)",
        seen_by("gan_qp_on_two_diracs"),
    ),
    Mutation(
        PENALTIES,
        "jnp.abs(a - b).mean(axis=axes)",
        "jnp.abs(a - b).sum(axis=axes)",
        seen_by("gan_qp_on_two_diracs"),
    ),
    Mutation(
        PENALTIES,
        "root(jnp.square(a - b).mean(axis=axes))",
        "jnp.sqrt(jnp.square(a - b).mean(axis=axes))",
        seen_by("equal_samples"),
    ),
    Mutation(
        NUMERICS,
        "jnp.where(b == 0, 0.0, a / nonzero(b))",
        "a / b",
        seen_by("equal_samples"),
    ),
    Mutation(
        OPTIMIZERS,
        "jnp.where(jnp.abs(landed) > bound, inward, way)",
        "way",
        seen_by("box"),
    ),
    Mutation(
        OPTIMIZERS,
        "way = jnp.clip(end, -bound, bound) - start",
        "way = jnp.clip(end - start, -bound, bound)",
        seen_by("box"),
    ),
    Mutation(
        OPTIMIZERS,
        "jax.tree.map(into_box, params, moved), state",
        "jax.tree.map(into_box, params, moved), ()",
        seen_by("clipped_player"),
    ),
    Mutation(
        ROBUST,
        "moved = stop(perturbation(_summed(loss, disc), both, radius, ball, steps))",
        "moved = perturbation(_summed(loss, disc), both, radius, ball, steps)",
        seen_by("first_order"),
    ),
    Mutation(
        ROBUST,
        "return value(worse) - value(both)",
        "return value(both) - value(worse)",
        seen_by("linear_discriminator"),
    ),
    Mutation(
        ROBUST,
        "return lambda pair: len(pair[0]) * _mean(loss, disc)(pair)",
        "return lambda pair: _mean(loss, disc)(pair)",
        seen_by("sample_by_sample"),
    ),
    Mutation(
        ROBUST,
        "2.5 * epsilon / steps",
        "epsilon / (2.5 * steps)",
        seen_by("linear_discriminator"),
    ),
    Mutation(
        ROBUST,
        "/ (2 * len(slopes))",
        "/ len(slopes)",
        seen_by("sample_by_sample"),
    ),
    Mutation(
        ROBUST,
        "jnp.abs(slopes).sum() / len(slopes)",
        "jnp.square(slopes).sum() / len(slopes)",
        seen_by("sample_by_sample"),
    ),
    Mutation(
        ROBUST,
        "scale * (cost(of_real) + cost(of_fake))",
        "scale * (cost(of_real) + cost(of_fake)) / 2",
        seen_by("first_order"),
    ),
    Mutation(
        ROBUST,
        "share = jnp.minimum(1.0, epsilon / nonzero(_lengths(moved)))",
        "share = epsilon / nonzero(_lengths(moved))",
        seen_by("more_steps"),
    ),
    Mutation(
        ROBUST,
        "jax.grad(value)(jax.tree.map(jnp.add, x, moved))",
        "jax.grad(value)(x)",
        seen_by("more_steps"),
    ),
    Mutation(
        ROBUST,
        "return jnp.clip(moved, -epsilon, epsilon)",
        "return moved",
        seen_by("more_steps"),
    ),
    Mutation(
        BIGAN,
        "scores(disc, theta, held, real, stop(code))",
        "scores(disc, theta, held, real, code)",
        OWN,
    ),
    Mutation(BIGAN, "made(stop(code))", "made(code)", OWN),
    Mutation(BIGAN, "step) * stop(apart)", "step) * apart", OWN),
    Mutation(
        BIGAN,
        "scores(disc, stop(theta), held, fake, z)",
        "scores(disc, theta, held, fake, z)",
        OWN,
    ),
    Mutation(BIGAN, "cost - delta.mean() +", "cost + delta.mean() +", OWN),
    Mutation(
        BIGAN,
        " + mean_distance(code, z, norm)",
        "",
        seen_by("bigan_qp_judges"),
    ),
    Mutation(
        BIGAN,
        "off_x = at(rec_x, step)",
        "off_x = at(rec_z, step)",
        OWN,
    ),
]
