"""Lies about augmentation, LeCam, bCR, top-k, InfoGAN and AC-GAN."""

from tests.mutations import Mutation

GAME = "gan_jax/objectives/adversarial.py"
ADA = "gan_jax/augment/ada.py"
CHANGES = "gan_jax/augment/diff_augment.py"
PIPELINE = "gan_jax/augment/pipeline.py"
REGULARIZERS = "gan_jax/regularizers.py"
LOSSES = "gan_jax/losses.py"
INFO = "gan_jax/objectives/infogan.py"
PLAYERS = "gan_jax/objectives/players.py"
CLASSES = "gan_jax/objectives/ac_gan.py"


def told(file: str, right: str, wrong: str, test: str) -> Mutation:
    changes = file in (GAME, ADA, CHANGES, PIPELINE)
    tests = "tests/test_augment.py" if changes else "tests/test_aids.py"
    return Mutation(file, right, wrong, f"{tests} -k {test}")


MUTATIONS = [
    # Real samples alone are changed; then fakes alone.
    told(GAME, "held, view_fake(fake), labels", "held, fake, labels", "same_law"),
    told(GAME, "held, view_real(real), labels", "held, real, labels", "same_law"),
    # One draw for real and fake.
    told(
        GAME,
        "return tuple(through(own) for own in keys)",
        "return (through(keys[0]),) * 2",
        "same_law",
    ),
    # The penalty is on the slope behind the change.
    told(GAME, "view_real(x), labels)[0],", "x, labels)[0],", "slope_before"),
    # The regularizer is reported, but nobody pays it.
    Mutation(
        GAME,
        """            total += cost
            info["disc/regularizer"] = cost""",
        """            info["disc/regularizer"] = cost""",
        'tests/test_protocol.py -k "own_gradient and aided"',
    ),
    # What D has remembered is forgotten.
    told(
        GAME,
        'update(memory["augment"], real_logits)',
        "update(augment.init(), real_logits)",
        "only_the_disc",
    ),
    told(
        CHANGES,
        "saturated(x + (b - 0.5), 2 * s)",
        "saturated(x + b, 2 * s)",
        "law_of_colours",
    ),
    told(CHANGES, "2 * s), c + 0.5)", "s), c + 0.5)", "law_of_colours"),
    told(
        CHANGES, "jnp.arange(n) - shift[axis]", "jnp.arange(n) + shift[axis]", "pieces"
    ),
    told(CHANGES, "jnp.where(source < 0, n, source)", "source", "pieces"),
    told(CHANGES, "+ 1 - size % 2", "- size % 2", "law_of_places"),
    told(CHANGES, "grey = x.mean(axis=-1, keepdims=True)", "grey = x.mean()", "pieces"),
    told(PIPELINE, "turn = 1 - jnp.sqrt(1 - p)", "turn = p * 0", "law_of_scales"),
    told(
        PIPELINE,
        "_scaling(stretch, 1 / stretch)",
        "_scaling(stretch, stretch)",
        "law_of_scales",
    ),
    told(
        PIPELINE,
        "_linear(one - 2 * flip * luma)",
        "_linear(one - flip * luma)",
        "mixed_colours",
    ),
    told(PIPELINE, "jnp.eye(4)) @ mixing", "jnp.eye(4))", "mixed_colours"),
    told(PIPELINE, 'mode="mirror"', 'mode="nearest"', "whole_pixels"),
    told(PIPELINE, "REACH * size)", "2 * REACH * size)", "whole_pixels"),
    told(
        ADA,
        "lesson = jnp.sign(memory",
        "lesson = -jnp.sign(memory",
        "follows_the_signs",
    ),
    told(
        ADA,
        "lesson * batch * interval / images",
        "lesson * batch / images",
        "follows_the_signs",
    ),
    told(
        ADA, "jnp.sign(real_logits).mean()", "real_logits.mean()", "follows_the_signs"
    ),
    told(ADA, 'p = settled(memory)["p"]', 'p = memory["p"]', "from_the_move"),
    # LeCam: the anchors swapped, the averages of the present, a square forgotten.
    told(
        REGULARIZERS,
        "excess(real - fake_mean)",
        "excess(real - real_mean)",
        "lecam_by_hand",
    ),
    told(
        REGULARIZERS,
        "excess(real_mean - fake)",
        "excess(fake - real_mean)",
        "lecam_by_hand",
    ),
    told(REGULARIZERS, "jnp.where(known, value, 0.0)", "value", "lecam_by_hand"),
    told(
        REGULARIZERS,
        'memory["real"] / mass, memory["fake"] / mass',
        'memory["real"], memory["fake"]',
        "lecam_by_hand",
    ),
    told(
        REGULARIZERS,
        "gap(disc, real_samples, real_keys)",
        "gap(disc, fake_samples, real_keys)",
        "consistency",
    ),
    told(
        REGULARIZERS,
        "gap(disc, fake_samples, fake_keys)",
        "gap(disc, fake_samples, real_keys)",
        "consistency",
    ),
    # Top-k: the worst; each device its own; the mean over everyone.
    told(LOSSES, "jnp.argsort(-everyone)", "jnp.argsort(everyone)", "top_k_learns"),
    told(
        LOSSES, "size / k * jnp.where(chosen", "size * jnp.where(chosen", "top_k_learns"
    ),
    told(
        LOSSES, "kept = jnp.where(chosen, fake, 0)", "kept = fake", "top_k_leaves_out"
    ),
    told(
        LOSSES,
        "first = jax.lax.axis_index(axis_name) * fake.size",
        "first = jax.lax.axis_index(axis_name) * 0",
        "all_devices",
    ),
    # InfoGAN: against the code, deaf to the code, of the wrong size.
    told(INFO, "+ at(weight, step) * s", "- at(weight, step) * s", "cooperate"),
    Mutation(
        INFO,
        """stats["reader"], fake, train=True""",
        """stats["reader"], stop(fake), train=True""",
        "tests/test_aids.py -k cooperate",
    ),
    told(INFO, "jnp.square(error) / 2", "jnp.square(error)", "bounds_the_information"),
    told(INFO, "spread = log_sd +", "spread = -log_sd +", "bounds_the_information"),
    told(
        INFO, "continuous * jnp.log(2.0)", "continuous * 0.0", "bounds_the_information"
    ),
    told(INFO, "begin += k", "begin += 0", "perfect_reader"),
    # AC-GAN: D's classes from G's fakes reach G, G's reach D, a missing term.
    Mutation(
        PLAYERS,
        "call(theta, stop(fake))",
        "call(theta, fake)",
        'tests/test_protocol.py -k "own_gradient and ac_gan"',
    ),
    Mutation(
        PLAYERS,
        "call(stop(theta), fake)",
        "call(theta, fake)",
        'tests/test_protocol.py -k "own_gradient and ac_gan"',
    ),
    told(
        CLASSES,
        "at(gen_weight, step) * gen_class_loss",
        "by_disc * gen_class_loss",
        "ac_gan_by_hand",
    ),
    told(
        CLASSES,
        "        if of_fakes:\n",
        "        if not of_fakes:\n",
        "ac_gan_by_hand",
    ),
]
