"""Lies about energies: a sign, a ratio, a stop, whose place in the buffer it is."""

from tests.mutations import Mutation

CHAIN = "gan_jax/langevin.py"
MODEL = "gan_jax/objectives/energy.py"
PLAYERS = "gan_jax/objectives/players.py"
MEG = "gan_jax/objectives/meg.py"
LOSSES = "gan_jax/losses.py"
TESTS = "tests/test_energy.py -k"
CHAINS = "tests/test_langevin.py -k"
LAW = "tests/test_protocol.py -k 'own_gradient and"

MUTATIONS = [
    Mutation(
        CHAIN,
        "moved = x - step_size / 2 * slope",
        "moved = x - step_size * slope",
        f"{CHAINS} unadjusted",
    ),
    Mutation(
        CHAIN,
        "size = step_size**0.5 if",
        "size = step_size if",
        f"{CHAINS} unadjusted",
    ),
    Mutation(
        CHAIN,
        "return x - step_size / 2 * slope\n",
        "return x - step_size * slope\n",
        f"{CHAINS} own_variance",
    ),
    Mutation(
        CHAIN,
        "(there - back) / (2 * step_size)",
        "(jnp.sqrt(there) - jnp.sqrt(back)) / (2 * step_size)",
        f"{CHAINS} own_variance",
    ),
    Mutation(
        CHAIN,
        "log_ratio = u - new_u + (there - back) / (2 * step_size)",
        "log_ratio = u - new_u",
        f"{CHAINS} own_variance",
    ),
    Mutation(
        CHAIN,
        "(there - back) / (2 * step_size)",
        "(back - there) / (2 * step_size)",
        f"{CHAINS} own_variance",
    ),
    Mutation(
        CHAIN,
        "choose(new_u, u), choose(new_slope, slope)",
        "choose(new_u, u), new_slope",
        f"{CHAINS} own_variance",
    ),
    Mutation(
        CHAIN,
        "jnp.clip(slope, -slope_limit, slope_limit)",
        "jnp.clip(slope, 0, slope_limit)",
        f"{CHAINS} options",
    ),
    Mutation(
        MODEL,
        "return -logits, stats",
        "return logits, stats",
        f"{TESTS} sign_of_an_energy",
    ),
    Mutation(
        MODEL,
        "jnp.square(real_u).mean() + jnp.square(fake_u).mean()",
        "jnp.square(real_u).mean() - jnp.square(fake_u).mean()",
        f"{TESTS} floor",
    ),
    Mutation(
        MODEL,
        "difference = real_u.mean() - fake_u.mean()",
        "difference = fake_u.mean() - real_u.mean()",
        f"{TESTS} floor",
    ),
    Mutation(
        MODEL,
        "fake = fixed(theta",
        "fake = sampled(theta",
        f"{LAW} energy_model'",
    ),
    Mutation(
        MODEL,
        "buffer[slot, columns],\n",
        "buffer[slot[::-1], columns],\n",
        f"{TESTS} the_buffer",
    ),
    Mutation(
        MODEL,
        "buffer.at[slot, columns].set(samples)",
        "buffer.at[slot, columns[::-1]].set(samples)",
        f"{TESTS} the_buffer",
    ),
    Mutation(
        MODEL,
        "jax.random.bernoulli(key, restart)",
        "jax.random.bernoulli(key, 1 - restart)",
        f"{TESTS} the_buffer",
    ),
    Mutation(
        MODEL,
        "gathered((slot, columns, samples), axis_name)",
        "(slot, columns, samples)",
        f"{TESTS} four_devices",
    ),
    Mutation(
        MODEL,
        "n * jax.lax.axis_index(axis_name)",
        "0 * jax.lax.axis_index(axis_name)",
        f"{TESTS} four_devices",
    ),
    Mutation(
        MEG,
        "disc_loss, gen_loss = u.real.mean() - u.fake.mean(), u.by_gen.mean()",
        "disc_loss, gen_loss = u.real.mean() - u.fake.mean(), -u.by_gen.mean()",
        f"{LAW} meg_encoder'",
    ),
    Mutation(
        PLAYERS,
        "call(theta, stop(fake))",
        "call(theta, fake)",
        f"{LAW} meg_encoder'",
    ),
    Mutation(
        PLAYERS,
        "call(stop(theta), fake)",
        "call(theta, fake)",
        f"{LAW} meg_encoder'",
    ),
    Mutation(
        MEG,
        'stats["mutual"], fake, z, other',
        'stats["mutual"], stop(fake), z, other',
        f"{TESTS} want_the_same",
    ),
    Mutation(
        MEG,
        "total = disc_loss + gen_loss + scale * cost",
        "total = disc_loss + gen_loss - scale * cost",
        f"{TESTS} want_the_same",
    ),
    Mutation(
        MEG,
        "scores(mutual, params, stats, fake, other)",
        "scores(mutual, params, stats, fake, jnp.roll(z, 1, 0))",
        f"{TESTS} negatives",
    ),
    Mutation(
        MEG,
        "softplus(apart).mean()) / 2",
        "softplus(apart).mean())",
        f"{TESTS} log_2",
    ),
    Mutation(
        MEG,
        "z, other = drawn(latent, z_keys), drawn(latent, other_keys)",
        "z, other = drawn(latent, z_keys), drawn(latent, z_keys)",
        f"{TESTS} log_2",
    ),
    Mutation(
        LOSSES,
        "jax.nn.relu(m + fake).mean()",
        "jax.nn.relu(m - fake).mean()",
        f"{TESTS} the_margin",
    ),
    Mutation(
        LOSSES,
        "-real.mean() + jax.nn.relu(m + fake)",
        "-real.mean() + (m + fake)",
        f"{TESTS} the_margin",
    ),
    Mutation(
        "gan_jax/networks/energies.py",
        "return -root(squared), stats",
        "return root(squared), stats",
        f"{TESTS} reconstruction",
    ),
]
