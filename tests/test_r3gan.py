"""R3GAN's recipe keeps its schedules' time, in images, whatever the play.

That the blocks of its networks start as the identity is in ``test_networks.py``.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import alternating, latents, simultaneous
from gan_jax.kernel import Network
from gan_jax.r3gan import r3gan

BATCH, IMAGES = 4, 40
POINT = Network(
    lambda key, z: (jnp.array([1.0, 0.5]), {}),
    lambda phi, stats, z, train: (jnp.broadcast_to(phi[None], (len(z), 2)), stats),
)
SLOPE = Network(
    lambda key, x: (jnp.array([0.3, -0.4]), {}),
    lambda psi, stats, x, train: (x @ psi, stats),
)


def played(play, steps, **options):
    """All states and infos of a short run on the Dirac-GAN, (steps, ...) each."""
    model = r3gan(
        POINT,
        SLOPE,
        latent=latents.normal(1),
        batch_size=BATCH,
        images=IMAGES,
        gamma=(2.0, 0.5),
        rate=(0.1, 0.02),
        half_life=(0.0, 20.0),
        play=play,
        **options,
    )
    batch = {"real": jnp.zeros((BATCH * len(play), 2))}

    def step(state, _):
        new, info = model.step(state, batch)
        return new, (state._replace(key=0), new._replace(key=0), info)

    @jax.jit
    def run(key):
        return jax.lax.scan(step, model.init(key, batch), length=steps)[1]

    return jax.device_get(run(jax.random.key(0)))


def cosine(start, end, images):
    """Half a wave, written as the published code has it: from one end and its share."""
    decay = 0.5 * (1 + np.cos(np.pi * np.minimum(images, IMAGES) / IMAGES))
    return start + (1 - decay) * (end - start)


@pytest.mark.parametrize("name", ["alternating", "one_backward"])
def test_schedules_count_images(name):
    alternate = name == "alternating"
    play = alternating("disc", "gen") if alternate else simultaneous("gen", "disc")
    gradient = "merged" if alternate else "one_backward"
    before, after, info = played(play, 13, gradient=gradient)
    images = BATCH * np.arange(13)
    for player in ("gen", "disc"):
        rate = info[f"{player}/learning_rate"]
        np.testing.assert_allclose(rate, cosine(0.1, 0.02, images), rtol=1e-5)
        b2 = after.opt[player].hyperparams["b2"]
        np.testing.assert_allclose(b2, cosine(0.9, 0.99, images), rtol=1e-5)
    # gamma / 2 (|psi|^2 + |psi|^2)
    square = (before.params["disc"] ** 2).sum(axis=1)
    gamma = info["disc/penalty"] / square
    np.testing.assert_allclose(gamma, cosine(2.0, 0.5, images), rtol=1e-5)
    # Half of what was there is left after half_life images.
    half_life = np.maximum(cosine(0.0, 20.0, images), 1e-8)
    decay = 0.5 ** (BATCH / half_life)[:, None]
    average = decay * before.ema["gen"] + (1 - decay) * after.params["gen"]
    np.testing.assert_allclose(after.ema["gen"], average, rtol=1e-5)
    np.testing.assert_array_equal(after.ema["gen"][0], after.params["gen"][0])


def test_several_moves_keep_the_time_of_the_step():
    _, _, info = played(alternating("disc", "gen", first=2), 5)
    last = BATCH * (np.arange(5) + 0.5)  # of D's second move
    np.testing.assert_allclose(
        info["disc/learning_rate"], cosine(0.1, 0.02, last), rtol=1e-5
    )
    np.testing.assert_allclose(
        info["gen/learning_rate"], cosine(0.1, 0.02, BATCH * np.arange(5)), rtol=1e-5
    )


def test_adam_has_no_momentum():
    """With b1 = 0 the first moment is the last gradient."""
    _, after, info = played(alternating("disc", "gen"), 3)
    moment = after.opt["gen"].inner_state[0].mu
    np.testing.assert_allclose(
        np.linalg.norm(moment, axis=1), info["gen/grad_norm"], rtol=1e-5
    )


def test_the_clock_wants_images():
    with pytest.raises(ValueError, match="batch_size is 0"):
        r3gan(POINT, SLOPE, latent=latents.normal(1), batch_size=0)
