"""O-GAN on images: drawn faces, whose attributes are known, by a small DCGAN."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from experiments.systems.system import Shown, System
from gan_jax import kernel, latents
from gan_jax.data.faces import faces
from gan_jax.images import grid
from gan_jax.kernel import Kernel, State
from gan_jax.networks import dcgan
from gan_jax.networks.adapters import from_linen
from gan_jax.networks.layers import Conv, Dense, leaky_relu
from gan_jax.objectives.ogan import code, ogan, reconstruct

LATENT, WIDTH, STEPS, BATCH, TRAINED = 32, 16, 2000, 64, 8192
HALF = 2048  # faces that probes are fitted to, and as many that they are tested on


class Encoder(nn.Module):
    """The DCGAN discriminator's convolutions, and as many numbers as z has."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        h = x
        for i in range(3):
            h = leaky_relu(Conv(WIDTH * 2**i, size=4, stride=2)(h))
        return Dense(LATENT)(h.reshape(len(h), -1))


def trained(built: Kernel, images: np.ndarray, seed: int) -> tuple[State, State]:
    """The first and the last state. Step by step: a scan of convolutions is slow."""
    data, order = jnp.asarray(images), np.random.default_rng(seed)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: State, index: jax.Array) -> State:
        return built.step(state, {"real": data[index]})[0]

    first = jax.jit(built.init)(jax.random.key(seed), {"real": data[:BATCH]})
    state = jax.tree.map(jnp.copy, first)
    for _ in range(STEPS):
        state = step(state, jnp.asarray(order.integers(len(images), size=BATCH)))
    return first, state


def probed(features: Any, attributes: np.ndarray) -> float:
    """Accuracy of linear (ridge) probes on held-out faces, mean over attributes."""
    x = np.asarray(features, np.float64)
    x = (x - x[:HALF].mean(axis=0)) / (x[:HALF].std(axis=0) + 1e-9)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    square = x[:HALF].T @ x[:HALF] + np.eye(x.shape[1])
    right = []
    for values in attributes.T:
        target = np.eye(values.max() + 1)[values[:HALF]]
        guess = x[HALF:] @ np.linalg.solve(square, x[:HALF].T @ target)
        right.append((guess.argmax(axis=1) == values[HALF:]).mean())
    return float(np.mean(right))


def of_faces(seed: int = 0) -> Shown:
    """Faces that were never trained on, through E and G and beside their originals."""
    seen = faces(TRAINED, 32).gather(np.arange(TRAINED))["real"]
    fresh = faces(2 * HALF, 32, seed=1).gather(np.arange(2 * HALF))
    gen, enc = dcgan.generator(32, width=WIDTH), from_linen(Encoder())
    built = kernel(
        ogan(gen, enc, latent=latents.normal(LATENT)),
        {player: optax.adam(5e-4, b1=0.5, b2=0.99) for player in ("gen", "enc")},
        ema={"gen": 0.995, "enc": 0.995},
    )
    first, last = trained(built, seen, seed)
    params = {**last.params, **last.ema}
    x = np.asarray(fresh["real"], np.float32) / 127.5 - 1
    made = np.asarray(reconstruct(gen, enc, params, last.stats, x))
    error = float(np.square(made - x).mean())
    other = float(np.square(made[::-1] - x).mean())
    variance = float(x.var(axis=0).mean())

    flat = x.reshape(len(x), -1) - x[:HALF].reshape(HALF, -1).mean(axis=0)
    main = np.linalg.svd(flat[:HALF], full_matrices=False)[2][:LATENT]
    by_code, untrained, by_pixels, constant = (
        probed(features, fresh["attributes"])
        for features in (
            code(enc, params, last.stats, x),
            code(enc, first.params, first.stats, x),
            flat @ main.T,
            np.zeros((len(x), 1)),
        )
    )
    z = jax.random.normal(jax.random.key(3), (16, LATENT))
    drawn = gen.apply(params["gen"], last.stats["gen"], z, train=False)[0]
    rows = np.concatenate([x[:16], made[:16], np.asarray(drawn)])
    return Shown(
        error < variance / 2 and error < other / 3 and by_code > untrained + 0.01,
        f"error {error:.3f} of variance {variance:.3f} (another face's reconstruction "
        f"{other:.3f}); probes {by_code:.1%}, untrained encoder {untrained:.1%}, "
        f"{LATENT} principal components of the pixels {by_pixels:.1%}, the commonest "
        f"value {constant:.1%}",
        grid(rows, 16).repeat(2, axis=0).repeat(2, axis=1),
    )


SYSTEMS = [
    System(
        "ogan_faces",
        "objectives.ogan",
        "drawn faces of 32 x 32 pixels that were not trained on",
        "reconstructions within half the variance and a third of another face's error; "
        "attributes read from codes better than from an untrained encoder's",
        of_faces,
    )
]
