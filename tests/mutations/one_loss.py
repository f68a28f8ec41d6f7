"""Lies about the one loss: its stops, the losses' signs, the penalties' halves."""

from tests.mutations import Mutation

GAME = "gan_jax/objectives/adversarial.py"
LOSSES = "gan_jax/losses.py"
PENALTIES = "gan_jax/penalties.py"


def separation(loss: str, penalty: str = "none", gradient: str = "merged") -> str:
    """The law of separation for one game."""
    wanted = f"{loss}-{penalty}-{gradient}"
    return (
        f"'tests/test_separation.py::test_each_player_gets_its_own_gradient[{wanted}]'"
    )


DEVICES = "tests/test_step_cost.py -k work_per_device"

MUTATIONS = [
    Mutation(
        "gan_jax/kernel.py",
        "bad = jnp.argmax(jnp.stack([jnp.zeros((), bool), found])) == 1",
        "bad = found",
        "tests/test_kernel.py -k compiled_once",
    ),
    Mutation(
        "gan_jax/kernel.py",
        "found if new is first else bad",
        "bad",
        "tests/test_compile_tpu.py -k travel_in_one_exchange",
    ),
    Mutation(
        "gan_jax/parts.py",
        "jax.lax.optimization_barrier(beside)[:, 0]",
        "beside[:, 0]",
        DEVICES,
    ),
    Mutation(
        "gan_jax/stop.py",
        "lambda _, cotangent: (None,)",
        "lambda _, cotangent: (cotangent,)",
        "tests/test_stop.py -k identity",
    ),
    Mutation(
        GAME,
        "now.gen(stop(real_logits), gen_logits)",
        "now.gen(real_logits, gen_logits)",
        separation("relativistic_pairing"),
    ),
    Mutation(
        GAME,
        'by_gen = theta if gradient == "article" else stop(theta)',
        "by_gen = theta",
        separation("hinge"),
    ),
    Mutation(
        GAME,
        "score(theta, stats, stop(fake), labels)",
        "score(theta, stats, fake, labels)",
        separation("hinge"),
    ),
    Mutation(
        GAME,
        "per_sample(g / c, by_fake)",
        "per_sample(c / g, by_fake)",
        separation("nonsaturating", "total", "one_backward"),
    ),
    Mutation(
        GAME,
        "total = disc_loss + gen_loss - now.gen(real_logits, fake_logits)",
        "total = disc_loss + gen_loss + now.gen(real_logits, fake_logits)",
        separation("nonsaturating", "total", "article"),
    ),
    Mutation(
        LOSSES,
        "return -softplus(fake).mean()",
        "return softplus(fake).mean()",
        "tests/test_dynamics.py -k 'by_hand or minimax'",
    ),
    Mutation(
        LOSSES,
        "return softplus(-fake).mean()",
        "return softplus(fake).mean()",
        "tests/test_dynamics.py -k nonsaturating",
    ),
    Mutation(
        LOSSES,
        "return fake.mean() - real.mean()",
        "return real.mean() - fake.mean()",
        "tests/test_dynamics.py -k bilinear",
    ),
    Mutation(
        LOSSES,
        "jax.nn.relu(1 - real).mean()",
        "jax.nn.relu(1 + real).mean()",
        "tests/test_losses.py",
    ),
    Mutation(
        LOSSES,
        "return softplus(real - fake).mean()",
        "return softplus(fake - real).mean()",
        "tests/test_losses.py",
    ),
    Mutation(
        LOSSES,
        "score(mean(real) - fake).mean()",
        "score(fake - mean(real)).mean()",
        "tests/test_losses.py",
    ),
    Mutation(
        PENALTIES,
        "return at(gamma, step) / 2 * _squared_slope(disc, real).mean()",
        "return at(gamma, step) * _squared_slope(disc, real).mean()",
        "tests/test_penalties.py",
    ),
    Mutation(
        PENALTIES,
        "return at(gamma, step) / 2 * _squared_slope(disc, fake).mean()",
        "return at(gamma, step) / 2 * _squared_slope(disc, real).mean()",
        "tests/test_penalties.py",
    ),
    Mutation(
        PENALTIES,
        "return share * real + (1 - share) * fake",
        "return share * real + share * fake",
        "tests/test_penalties.py",
    ),
]
