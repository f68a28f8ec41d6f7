"""The README's code runs, and its command is the one that CI runs."""

import re
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import optax

import gan_jax
from gan_jax.networks import mlp

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
LIBRARY, OBJECTIVE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_library_in_25_lines(capsys):
    lines = [line for line in LIBRARY.splitlines() if line.strip()]
    assert len(lines) <= 25
    assert "steps, ring = 4_000" in LIBRARY
    exec(LIBRARY.replace("4_000", "3", 1), {})
    assert capsys.readouterr().out.startswith("MixtureReport(covered=")


def test_an_objective_of_ones_own_separates_the_players():
    names = {}
    exec(OBJECTIVE, names)
    gen, disc = mlp.generator(2, 8), mlp.discriminator(8)
    game = names["least_squares"](gen, disc, gan_jax.latents.normal(4))
    rate = {"gen": optax.sgd(0.1), "disc": optax.sgd(0.1)}
    trained = gan_jax.kernel(game, rate)
    batch = {"real": jnp.ones((16, 2))}
    state = trained.init(jax.random.key(0), batch)
    keys = jax.random.split(jax.random.key(1), 16)

    def merged(params):
        return game.loss(params, state.stats, batch, keys, state.step)

    @jax.jit
    def both(params):
        own = {
            player: jax.grad(lambda p, name: merged(p)[1][1][name])(
                params, f"{player}/loss"
            )[player]
            for player in rate
        }
        return jax.grad(lambda p: merged(p)[0])(params), own

    total, own = both(state.params)
    assert all(float(optax.tree.norm(own[player])) > 0 for player in rate)
    chex.assert_trees_all_close(total, own, atol=1e-6)
    state, info = jax.jit(trained.step)(state, batch)
    assert info["nonfinite_leaf"] == -1


def test_ci_runs_the_command_of_the_readme():
    ci = (ROOT / ".ci" / "run").read_text()
    (command,) = re.findall(r"^python3 -m venv .*pytest.*$", README, re.MULTILINE)
    for part in command.split(" && ")[1:]:
        words = part.removeprefix(".venv/bin/")
        assert words.replace("pip install", 'pip" install --quiet') in ci or (
            words.replace("python -m", 'python" -m') in ci
        )
