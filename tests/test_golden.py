"""Law 9: known numbers, and the same numbers twice. Law 10: it learns."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import gan, latents, losses, optimizers, penalties
from gan_jax.checkpoint import digest
from gan_jax.data import mixture_points, mixture_report, ring
from gan_jax.networks import mlp
from tests import golden


@pytest.mark.parametrize("name", golden.GAMES)
def test_golden_numbers(name):
    """A change here means that every run of every user changes.

    If that was meant, renew the file by `python -m tests.golden` and say in the commit
    why; if not, the change broke something. The tolerance is that between machines and
    numbers of cores.
    """
    wanted = json.loads(golden.FILE.read_text())[name]
    _, found = golden.run(name)
    assert list(found) == list(wanted)
    for step, info in wanted.items():
        assert sorted(found[step]) == sorted(info)
        for key, value in info.items():
            assert found[step][key] == pytest.approx(value, rel=1e-3, abs=1e-4), (
                f"{key} at step {step}"
            )


def test_the_same_run_twice_bit_for_bit_and_another_seed():
    one, _ = golden.run("merged")
    two, _ = golden.run("merged")
    other, _ = golden.run("merged", seed=1)
    assert digest(one) == digest(two) != digest(other)


@pytest.mark.usefixtures("optimised")
def test_it_learns_the_ring_from_three_seeds():
    """All eight modes in each of three runs, trained at once by vmap."""
    steps, batch, truth = 3000, 256, ring()
    points = jnp.asarray(mixture_points(truth, 20_000, seed=0).arrays["real"])
    gamma = optimizers.exponential(1.0, 0.01, steps)
    model = gan(
        mlp.generator(2, width=64),
        mlp.discriminator(width=64),
        latent=latents.normal(2),
        loss=losses.relativistic_pairing(),
        penalty=penalties.total(penalties.r1(gamma), penalties.r2(gamma)),
        gradient="one_backward",
        optimizers={
            player: optimizers.adam(optimizers.cosine(2e-3, 1e-4, steps), 0.0, 0.99)
            for player in ("gen", "disc")
        },
        ema=0.99,
    )

    def run(key):
        data_key, key = jax.random.split(key)

        def step(state, data_key):
            chosen = jax.random.randint(data_key, (batch,), 0, len(points))
            return model.step(state, {"real": points[chosen]})[0], None

        state = model.init(key, {"real": points[:batch]})
        state, _ = jax.lax.scan(step, state, jax.random.split(data_key, steps))
        z = jax.vmap(latents.normal(2))(jax.random.split(key, 2500))
        return model.sample(state, z)

    samples = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 3))
    reports = [mixture_report(np.asarray(x), truth) for x in samples]
    print(reports)
    assert [report.covered for report in reports] == [8, 8, 8]
    assert min(report.high_quality for report in reports) > 0.2
