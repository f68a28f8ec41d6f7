"""BiGAN-QP on drawn discs: does the encoder find what the generator would draw?"""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.systems.system import Shown, System, scanned
from gan_jax import kernel, latents
from gan_jax.images import grid
from gan_jax.kernel import Batch, Network
from gan_jax.networks import mlp
from gan_jax.objectives.bigan_qp import bigan_qp
from gan_jax.optimizers import adam

SIDE, LATENT, BATCH, STEPS = 16, 8, 64, 2500


def discs(key: jax.Array, n: int) -> jax.Array:
    """White discs on black, of any place and size, (n, SIDE * SIDE) in [-1, 1]."""
    place = jax.random.uniform(key, (n, 3, 1, 1), minval=-1.0)
    x, y, size = 0.6 * place[:, 0], 0.6 * place[:, 1], 0.32 + 0.12 * place[:, 2]
    axis = jnp.linspace(-1.0, 1.0, SIDE)
    away = jnp.hypot(axis[None, None] - x, axis[None, :, None] - y)
    return jnp.tanh((size - away) / 0.12).reshape(n, -1)


def of_pairs(network: Network) -> Network:
    """A judge of (x, z), from one of x and z side by side."""

    def both(x: jax.Array, z: jax.Array) -> jax.Array:
        return jnp.concatenate([x, z], axis=1)

    return Network(
        lambda key, x, z: network.init(key, both(x, z)),
        lambda params, stats, *inputs, train: network.apply(
            params, stats, both(*inputs), train=train
        ),
    )


def trained(rec_z: float, rec_x: float, seed: int) -> tuple[jax.Array, ...]:
    """Held-out discs, their reconstructions, and samples of the prior."""
    gen = mlp.generator(SIDE * SIDE, 128, tanh=True)
    enc = mlp.generator(LATENT, 128)
    prior = latents.normal(LATENT)
    game = bigan_qp(
        gen,
        enc,
        of_pairs(mlp.discriminator(128)),
        latent=prior,
        scale=1.0,
        rec_z=rec_z,
        rec_x=rec_x,
    )

    def batches(key: jax.Array) -> Batch:
        return {"real": discs(key, BATCH)}

    optimizers = {player: adam(1e-3) for player in ("gen", "enc", "disc")}
    averages = {"gen": 0.99, "enc": 0.99}
    state, _ = scanned(kernel(game, optimizers, ema=averages), batches, STEPS, seed)

    @jax.jit
    def shown() -> tuple[jax.Array, ...]:
        def made(z: jax.Array) -> jax.Array:
            return gen.apply(state.ema["gen"], {}, z, train=False)[0]

        # Of a key that no batch of the run has come from.
        held = discs(jax.random.key(1000 + seed), 512)
        code, _ = enc.apply(state.ema["enc"], {}, held, train=False)
        z = jax.vmap(prior)(jax.random.split(jax.random.key(2000 + seed), 512))
        return held, made(code), made(z)

    return shown()


def error(a: jax.Array, b: jax.Array) -> float:
    """The mean square of their differences."""
    return float(jnp.square(a - b).mean())


def run(seed: int = 0) -> Shown:
    """With the two reconstructions, and without."""
    held, again, samples = trained(4.0, 6.0, seed)
    _, lost, _ = trained(0.0, 0.0, seed)
    own, other, without = (
        error(again, held),
        error(again, jnp.roll(held, 1, axis=0)),
        error(lost, held),
    )
    variance = float(held.var(axis=0).mean())
    rows = [np.asarray(x[:12]) for x in (held, again, lost, samples)]
    images = np.concatenate(rows).reshape(-1, SIDE, SIDE, 1)
    picture = grid(images.repeat(3, axis=1).repeat(3, axis=2), columns=12, padding=4)
    return Shown(
        own < variance / 4 and own < other / 4 and without > variance / 2,
        f"error {own:.3f}, against another disc {other:.3f}, variance {variance:.3f}; "
        f"without the reconstructions {without:.3f}",
        picture,
    )


SYSTEMS = [
    System(
        "bigan_qp",
        "objectives.bigan_qp",
        "16x16 discs, G, E and the judge at once; reconstruction of held-out ones",
        "an error below a quarter of the variance and of that against another disc; "
        "without the two reconstructions above half the variance",
        run,
    )
]
