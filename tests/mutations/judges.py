"""Lies about judges of generators: trained ones, rated ones, sampled ones."""

from tests.mutations import Mutation

JUDGE = "gan_jax/evaluate/judge.py"
TWO = "gan_jax/evaluate/two_sample.py"
CRITIC = "gan_jax/evaluate/critic.py"
SKILL = "gan_jax/evaluate/skill.py"
AIS = "gan_jax/evaluate/likelihood.py"
CHAIN = "gan_jax/langevin.py"
HOLES = "gan_jax/evaluate/geometry.py"
JUDGES = "tests/test_evaluate_judges.py -k"
RATED = "tests/test_evaluate_skill.py -k"
SAMPLED = "tests/test_evaluate_likelihood.py -k"
CHAINS = "tests/test_langevin.py -k"
COUNTED = "tests/test_evaluate_geometry.py -k"

MUTATIONS = [
    # The judge: a penalty on the loss, a part of the batch, the tail of a set.
    Mutation(JUDGE, "return own + cost, (", "return own - cost, (", f"{JUDGES} plays"),
    Mutation(
        JUDGE, "parts if whole else", "parts[:1] if whole else", f"{JUDGES} in_parts"
    ),
    # C2ST: tested on what it learned, a variance too small, a side forgotten.
    Mutation(
        TWO, "/ len(fake)) / 16", "/ len(fake)) / 4", f"{JUDGES} one_distribution"
    ),
    Mutation(TWO, "(0.5 - accuracy)", "(accuracy - 0.5)", f"{JUDGES} one_distribution"),
    Mutation(TWO, "share(fake <= 0, fake)", "share(fake > 0, fake)", f"{JUDGES} mode"),
    Mutation(
        TWO,
        "return lambda x: (x - mean) / scale",
        "return lambda x: x",
        f"{JUDGES} key",
    ),
    Mutation(
        TWO,
        "jnp.where(jnp.isnan(logits), jnp.nan, right.astype(logits.dtype)).mean()",
        "right.astype(logits.dtype).mean()",
        f"{JUDGES} finite",
    ),
    # The critic: the sign of the gap, what it learned from, no bound on its slope.
    Mutation(CRITIC, "each[1] - each[0]", "each[0] - each[1]", f"{JUDGES} memorised"),
    Mutation(
        CRITIC,
        "jnp.stack([train, held_out])",
        "jnp.stack([train, train])",
        f"{JUDGES} memorised",
    ),
    Mutation(
        CRITIC, "penalty=wgan_gp(weight)", "penalty=None", f"{JUDGES} measures_how_far"
    ),
    # Skill.
    Mutation(SKILL, "np.mean(x == bound) / 2", "np.mean(x == bound)", f"{RATED} ties"),
    Mutation(SKILL, "POINTS = 400 / ", "POINTS = 200 / ", f"{RATED} odds"),
    Mutation(
        SKILL,
        "weight = games * expected * (1 - expected)",
        "weight = games * expected",
        f"{RATED} deviation",
    ),
    Mutation(SKILL, "1 + 3 * np.square", "1 + 2 * np.square", f"{RATED} example"),
    Mutation(SKILL, "delta**2 - spread", "delta - spread", f"{RATED} glicko2"),
    Mutation(
        SKILL,
        "games * (1 - rates.T)",
        "games * (1 - rates).T * 0.9",
        f"{RATED} two_sides",
    ),
    Mutation(SKILL, 'connection="strong"', 'connection="weak"', f"{RATED} prior_only"),
    # AIS: the sd for the variance, the constant, the weight's place, the way back.
    Mutation(AIS, "/ (2 * variance)", "/ (2 * math.sqrt(variance))", f"{SAMPLED} lies"),
    Mutation(
        AIS,
        "-target.shape[1] / 2 * math",
        "-target.shape[1] * math",
        f"{SAMPLED} given",
    ),
    Mutation(
        AIS,
        "jnp.square(z).sum(axis=1) / 2 - new * log",
        "jnp.square(z).sum(axis=1) / 2 - old * log",
        f"{SAMPLED} many_weights",
    ),
    Mutation(AIS, "(new - old) * log_density", "new * log_density", f"{SAMPLED} lies"),
    Mutation(
        AIS,
        "start = jnp.repeat(z, chains, axis=0)",
        "start = 0 * jnp.repeat(z, chains, axis=0)",
        f"{SAMPLED} few_temperatures",
    ),
    Mutation(
        AIS,
        "upper = -_log_mean(back.log_weight)",
        "upper = _log_mean(-back.log_weight)",
        f"{SAMPLED} many_weights",
    ),
    # The move: half a kick, the velocity's share, the correction.
    Mutation(
        CHAIN,
        "(_squared_distance(velocity, zero) - _squared_distance(v, zero)) / 2",
        "_squared_distance(velocity, zero) - _squared_distance(v, zero)",
        f"{CHAINS} no_gaussian",
    ),
    Mutation(
        CHAIN,
        "log_ratio = u - new_u + kinetic",
        "log_ratio = kinetic",
        f"{CHAINS} no_gaussian",
    ),
    # Holes: deaths that are not cut, times that are not shares.
    Mutation(
        HOLES, "np.repeat([0, 1, -1, 0]", "np.repeat([0, 1, 1, 0]", f"{COUNTED} living"
    ),
    Mutation(HOLES, "return times / alpha_max", "return times", f"{COUNTED} living"),
]
