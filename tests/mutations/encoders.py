"""Lies about O-GAN, alpha-GAN, GLO and IMLE."""

from tests.mutations import Mutation

PLAYERS = "gan_jax/objectives/players.py"
NUMERICS = "gan_jax/numerics.py"
OGAN = "gan_jax/objectives/ogan.py"
ALPHA = "gan_jax/objectives/alpha_gan.py"
GLANN = "gan_jax/objectives/glann.py"
RECONSTRUCTION = "gan_jax/reconstruction.py"
ROWWISE = "gan_jax/rowwise.py"
PAPER = "tests/test_encoders.py -k papers_game"
BOTH = "tests/test_encoders.py -k both_players"
PEARSON = "tests/test_encoders.py -k pearsons"
HAND = "tests/test_encoders.py -k by_hand"
SPHERE = "tests/test_encoders.py -k along_the_sphere"
SEARCH = "tests/test_encoders.py -k all_devices"

MUTATIONS = [
    # O-GAN
    Mutation(OGAN, "loss.disc(real_logits, fake_logits) - scale * rho",
             "loss.disc(real_logits, fake_logits) + scale * rho", BOTH),
    Mutation(OGAN, "gen_loss -= scale * correlation", "gen_loss += scale * correlation",
             BOTH),
    Mutation(PLAYERS, "call(stop(theta), fake)", "call(theta, fake)", BOTH),
    Mutation(PLAYERS, "call(theta, stop(fake))", "call(theta, fake)", BOTH),
    Mutation(OGAN, "loss.disc(real_logits, fake_logits) -",
             "loss.disc(fake_logits, real_logits) -", PAPER),
    Mutation(OGAN, "stop(real_logits), codes.by_gen.mean(-1)",
             "real_logits, codes.by_gen.mean(-1)",
             'tests/test_protocol.py -k "gradient and ogan and not info"'),
    Mutation(PLAYERS, "penalty(disc, real, stop(fake), keys, step)",
             "penalty(disc, real, fake, keys, step)",
             'tests/test_protocol.py -k "gradient and ogan and not info"'),
    Mutation(OGAN, "centred = v - v.mean(axis=-1, keepdims=True)", "centred = v",
             PEARSON),
    Mutation(OGAN, "jnp.square(centred).mean(axis=-1",
             "jnp.square(centred).mean(axis=0", PEARSON),
    Mutation(NUMERICS, "jnp.where(b == 0, 0.0, a / jnp.sqrt(nonzero(b)))",
             "a / jnp.sqrt(b)", PEARSON),
    Mutation(OGAN, "jnp.square(real - fake).mean(", "jnp.square(real - fake).sum(",
             PAPER),
    Mutation(OGAN, "weight: Weight = 0.25", "weight: Weight = 0.5", PAPER),
    Mutation(NUMERICS, "jnp.where(b == 0, 0.0, a / nonzero(b))", "a / b",
             "tests/test_encoders.py -k secant"),
    Mutation(OGAN, "return normalised(codes)", "return codes",
             "tests/test_encoders.py -k reconstruction_is"),
    Mutation(OGAN, "z = scale * code(", "z = code(",
             "tests/test_encoders.py -k reconstruction_is"),
    # Alpha-GAN
    Mutation(ALPHA, "softplus(-prior_logits).mean() + softplus(code_logits)",
             "softplus(prior_logits).mean() + softplus(-code_logits)", HAND),
    Mutation(ALPHA, "by_critic = -rated(stop(psi), codes)",
             "by_critic = rated(stop(psi), codes)", HAND),
    Mutation(ALPHA, "by_critic = -rated(stop(psi), codes)",
             "by_critic = -rated(psi, codes)", HAND),
    Mutation(ALPHA, "remade, remade_stats = made(params[\"gen\"], stop(codes))",
             "remade, remade_stats = made(params[\"gen\"], codes)", HAND),
    Mutation(ALPHA, "by_enc, _ = made(stop(params[\"gen\"]), codes)",
             "by_enc, _ = made(params[\"gen\"], codes)", HAND),
    Mutation(ALPHA, "theta, held = params[\"disc\"], stop(params[\"disc\"])",
             "theta, held = params[\"disc\"], params[\"disc\"]", HAND),
    Mutation(ALPHA, "judged(theta, stop(remade))", "judged(theta, remade)",
             'tests/test_protocol.py -k "gradient and ae_gan"'),
    Mutation(ALPHA, "gen_loss -= judged", "gen_loss += judged", HAND),
    Mutation(ALPHA, "disc_loss = softplus(-real_logits)",
             "disc_loss = softplus(real_logits)", HAND),
    Mutation(ALPHA, "enc_loss = scale * reconstruction", "enc_loss = reconstruction",
             HAND),
    Mutation(PLAYERS, "penalty(disc, real, stop(fake), keys, step)",
             "penalty(disc, real, fake, keys, step)",
             'tests/test_protocol.py -k "gradient and alpha_gan"'),
    # GLO
    Mutation(GLANN, 'on_sphere(rows(params["codes"], index))',
             'rows(params["codes"], index)', SPHERE),
    Mutation(GLANN, "codes = on_sphere(drawn(latent,", "codes = (drawn(latent,",
             SPHERE),
    Mutation(GLANN, "v / jnp.sqrt(nonzero(squared))",
             "v / stop(jnp.sqrt(nonzero(squared)))", SPHERE),
    Mutation(GLANN, 'rows(params["codes"], index)', 'params["codes"][index]',
             "tests/test_encoders.py -k beyond"),
    Mutation(GLANN, "value = error(real, made).mean()",
             "value = error(real, made).sum()", SPHERE),
    Mutation(RECONSTRUCTION, "4**level *", "2**level *",
             "tests/test_encoders.py -k pyramid"),
    Mutation(RECONSTRUCTION, "enumerate((1, 4, 6", "enumerate((2, 4, 5",
             "tests/test_encoders.py -k pyramid"),
    Mutation(RECONSTRUCTION, "mode=\"edge\"", "mode=\"constant\"",
             "tests/test_encoders.py -k pyramid"),
    Mutation(RECONSTRUCTION, "total + 4**levels *", "total + 0 *",
             "tests/test_encoders.py -k pyramid"),
    Mutation(ROWWISE, "grads != 0", "grads == grads",
             "tests/test_encoders.py -k each_row"),
    Mutation(ROWWISE, "jax.tree.map(chosen, new, state)", "new",
             "tests/test_encoders.py -k each_row"),
    # IMLE
    Mutation(GLANN, "jnp.argmin(", "jnp.argmax(", SEARCH),
    Mutation(GLANN, "jnp.square(y).sum(-1)[None] - 2 * products",
             "-2 * products", "tests/test_encoders.py -k far_from"),
    Mutation(GLANN, "x, y = x - middle, y - middle", "y = y + 0 * middle",
             "tests/test_encoders.py -k far_from"),
    Mutation(GLANN, "- 2 * products", "- products",
             "tests/test_encoders.py -k far_from"),
    Mutation(GLANN, "gathered((z, offered), axis_name)", "(z, offered)", SEARCH),
    Mutation(GLANN, "chosen = z[nearest(real, offered)]",
             "chosen = z[nearest(offered, real)][: len(real)]",
             "tests/test_encoders.py -k follows"),
    Mutation(GLANN, "squared_error(real, made).mean()",
             "squared_error(real, made).mean() / 2",
             "tests/test_encoders.py -k follows"),
    Mutation(GLANN, "return on_sphere(outputs), stats", "return outputs, stats",
             "tests/test_encoders.py -k ends_on"),
]  # fmt: skip
