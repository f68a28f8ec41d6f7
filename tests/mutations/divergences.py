"""Lies about divergences, likelihood ratios, and the ways to compare."""

from tests.mutations import Mutation

F, R, C = "gan_jax/divergences.py", "gan_jax/ratios.py", "gan_jax/comparisons.py"
CONJUGATE = "tests/test_divergences.py -k supremum"
COMPOSITE = "tests/test_divergences.py -k composite"
ACTIVATION = "tests/test_divergences.py -k slope_of_f"
SUMS = "tests/test_divergences.py -k f_gives"
JEFFREY = "tests/test_divergences.py -k jeffreys"
SINGLE = "tests/test_divergences.py -k single_precision"
APART = "tests/test_divergences.py -k two_points"
LOST = "tests/test_divergences.py -k lose_nothing"
OMEGA = "tests/test_ratios.py -k learns_omega"
BOTH = "tests/test_ratios.py -k 'learns_omega or free_logits'"
DESIGNED = "tests/test_ratios.py -k slopes_that"
KNOWN = "tests/test_ratios.py -k known_games"
FREE = "tests/test_ratios.py -k free_logits"
REFUSED = "tests/test_ratios.py -k refused"
ALLOWED = "tests/test_ratios.py -k allowed"
VALUES = "tests/test_comparisons.py -k values"
OWN = "tests/test_comparisons.py -k of_its_own"
MOMENTS = "tests/test_comparisons.py -k moments"
TOLD = "tests/test_comparisons.py -k refused"

MUTATIONS = [
    Mutation(
        F,
        "divergence.composite(fake).mean() - divergence.activation(real).mean()",
        "divergence.activation(fake).mean() - divergence.composite(real).mean()",
        SINGLE,
    ),
    Mutation(
        F,
        "return -divergence.composite(fake).mean()",
        "return divergence.composite(fake).mean()",
        SINGLE,
    ),
    Mutation(
        F,
        "return -divergence.activation(fake).mean()",
        "return -divergence.activation(real).mean()",
        SINGLE,
    ),
    Mutation(F, "jnp.maximum(t, -0.5)", "t", CONJUGATE),
    Mutation(F, "return jnp.tanh(v) / 2", "return jnp.tanh(v)", APART),
    Mutation(F, "f=lambda u: -jnp.log(u)", "f=lambda u: jnp.log(u)", SUMS),
    Mutation(F, "jnp.exp(t - 1)", "jnp.exp(t)", CONJUGATE),
    Mutation(F, "activation=lambda v: v + 1,", "activation=lambda v: v,", ACTIVATION),
    Mutation(
        F, "-1 - jnp.log(jax.nn.relu(-t))", "-jnp.log(jax.nn.relu(-t))", CONJUGATE
    ),
    Mutation(F, "lambda v: -jnp.exp(-v)", "lambda v: -jnp.exp(v)", ACTIVATION),
    Mutation(
        F,
        "jnp.square(jax.nn.relu(t / 2 + 1)) - 1",
        "jnp.square(t / 2 + 1) - 1",
        CONJUGATE,
    ),
    Mutation(F, "jnp.exp(2 * v) - 1", "jnp.exp(v) - 1", COMPOSITE),
    Mutation(F, "1 - jnp.exp(-2 * v)", "1 - jnp.exp(-v)", ACTIVATION),
    Mutation(F, "2 - 2 * jnp.exp(-v)", "2 - 2 * jnp.exp(v)", COMPOSITE),
    Mutation(
        F, "composite=lambda v: jnp.exp(v / 2) - 1", "composite=jnp.expm1", COMPOSITE
    ),
    Mutation(
        F,
        "composite=lambda v: jnp.exp(v / 2) - 1",
        "composite=lambda v: jnp.expm1(v / 2)",
        LOST,
    ),
    Mutation(F, "t / jnp.where(inside, 1 - t, 1)", "t", CONJUGATE),
    Mutation(F, "log_ratio - 1 + jnp.exp(log_ratio)", "jnp.exp(log_ratio)", JEFFREY),
    Mutation(F, "jnp.log(jnp.where(s > 1, s, 1)), s)", "s, s)", JEFFREY),
    Mutation(F, "tangents[0] / (1 + jnp.exp(found))", "tangents[0]", JEFFREY),
    Mutation(F, "v - 1 + jnp.exp(v)", "v + 1 + jnp.exp(v)", COMPOSITE),
    Mutation(
        F,
        "prior * xlogy(u, u) - xlogy",
        "xlogy(u, u) - xlogy",
        "tests/test_divergences.py -k 'f_gives and weighted'",
    ),
    Mutation(F, "softplus(-v - shift)", "softplus(-v + shift)", ACTIVATION),
    Mutation(F, "other * (log_other - jnp", "prior * (log_other - jnp", CONJUGATE),
    Mutation(F, "2 * half.conjugate(t / 2)", "2 * half.conjugate(t)", CONJUGATE),
    Mutation(F, "- (1 + u) * jnp.log1p(u)", "- u * jnp.log1p(u)", SUMS),
    Mutation(
        F,
        "        composite=softplus,",
        "        composite=lambda v: softplus(-v),",
        SINGLE,
    ),
    Mutation(R, "-pair.phi(-real).mean()", "-pair.phi(real).mean()", KNOWN),
    Mutation(R, "- pair.psi(-fake).mean()", "+ pair.psi(-fake).mean()", KNOWN),
    Mutation(R, "minimised(-fake).mean()", "-minimised(-fake).mean()", ALLOWED),
    Mutation(
        R,
        "pair.psi if beta is None else beta",
        "pair.phi if beta is None else beta",
        KNOWN,
    ),
    Mutation(
        R,
        "lambda log_r: log_r / 2,\n        _same",
        "lambda log_r: log_r,\n        _same",
        BOTH,
    ),
    Mutation(R, "jnp.square(v - b)", "jnp.square(v + b)", OMEGA),
    Mutation(R, "beta + 1 + 1 / alpha", "beta + 1 + alpha", BOTH),
    Mutation(R, "phi=lambda v: -jnp.tanh(v)", "phi=jnp.tanh", BOTH),
    Mutation(R, "return rho(t) * rise", "return rho(t)", DESIGNED),
    Mutation(R, "-jnp.exp(v) * slope(v)", "-slope(v)", DESIGNED),
    Mutation(R, "weights / 2", "weights", FREE),
    Mutation(R, "slope(*primals) * tangents[0]", "tangents[0]", DESIGNED),
    Mutation(R, "if (np.diagonal(value) >=", "if (value.max(axis=1) >=", REFUSED),
    Mutation(R, "alpha or jnp.zeros_like", "jnp.zeros_like", ALLOWED),
    Mutation(R, "if not left < right", "if not left > right", REFUSED),
    Mutation(R, "jnp.exp(log_r) * beta(v)", "beta(v)", REFUSED),
    Mutation(R, "beside[2] - beside[0] <", "beside[0] - beside[2] <", REFUSED),
    Mutation(C, "jnp.square(jax.nn.sigmoid(v))", "jax.nn.sigmoid(v)", VALUES),
    Mutation(C, "jnp.exp(v / 2)", "jnp.exp(v)", VALUES),
    Mutation(C, "cost(-real).mean()", "cost(real).mean()", VALUES),
    Mutation(C, "fit.composite(fake)", "fit.activation(fake)", VALUES),
    Mutation(C, "return -divergence.composite", "return -divergence.f", OWN),
    Mutation(C, "return -gen(real, fake)", "return gen(real, fake)", MOMENTS),
    Mutation(C, "averaged(x.mean(), axis_name)", "x.mean()", MOMENTS),
    Mutation(
        C,
        '(disc, gen, "batch", axis_name)',
        "(disc, gen)",
        "tests/test_comparisons.py -k told_truly",
    ),
    Mutation(C, "- spread / (n - 1)", "- spread / n", MOMENTS),
    Mutation(C, "jax.lax.axis_size(axis_name))", "1)", MOMENTS),
    Mutation(C, "    if not same:", "    if same is None:", TOLD),
]
