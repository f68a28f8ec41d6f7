"""Games with a code or a class: is it found in the sample?"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.systems.aids import RING, adam
from experiments.systems.system import (
    Shown,
    System,
    points_of,
    scanned,
    side_by_side,
)
from gan_jax import images, kernel, latents, losses, optimizers, penalties
from gan_jax.kernel import Network
from gan_jax.networks import mlp
from gan_jax.objectives.ac_gan import ac_gan
from gan_jax.objectives.infogan import coded, infogan


def nearest(points: np.ndarray) -> np.ndarray:
    """The mode that each point lies nearest to."""
    gaps = np.asarray(points)[:, None] - RING.modes[None]
    return np.linalg.norm(gaps, axis=-1).argmin(axis=1)


def coloured(points: np.ndarray, label: np.ndarray, classes: int = 8) -> np.ndarray:
    """Points in the plane, one colour a class."""
    picture = np.full((256, 256, 3), 255, np.uint8)
    colours = [*images.COLOURS, (86, 180, 233), (120, 120, 120), (0, 0, 0)]
    at = np.round((points * [1, -1] + 3) / 6 * 255).astype(int)
    for i in range(classes):
        own = at[(label == i) & (at >= 1).all(1) & (at < 255).all(1)]
        for down, right in ((0, 0), (0, 1), (1, 0), (-1, 0), (0, -1)):
            picture[own[:, 1] + down, own[:, 0] + right] = colours[i]
    return picture


def information(a: np.ndarray, b: np.ndarray, n: int = 8) -> float:
    """The mutual information of two labels, in nats, from their counts."""
    joint = np.zeros((n, n))
    np.add.at(joint, (a, b), 1 / len(a))
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    some = joint > 0
    return float((joint[some] * np.log(joint[some] / product[some])).sum())


def read_ring(weight: float, seed: int, steps: int = 2500) -> tuple[float, float, Any]:
    """InfoGAN with one code of eight values: what the bound and the modes say."""
    gen, latent = mlp.generator(2, width=64), latents.normal(8)
    gamma = optimizers.exponential(1.0, 0.05, steps)
    game = infogan(
        gen,
        mlp.discriminator(width=64),
        mlp_reader(),
        loss=losses.nonsaturating(),
        latent=latent,
        categories=(8,),
        weight=weight,
        penalty=penalties.r1(gamma),
    )
    built = kernel(game, adam("gen", "disc", "reader", steps=steps))
    state, info = scanned(built, points_of(RING, 256), steps, seed)
    z = jax.vmap(latent)(jax.random.split(jax.random.key(7), 2400))
    code = np.arange(2400) % 8
    row = coded(z, jnp.asarray(code[:, None]), categories=(8,))
    samples, _ = gen.apply(state.params["gen"], state.stats["gen"], row, train=False)
    samples = np.asarray(samples)
    bound = float(np.asarray(info["reader/information"])[-100:].mean())
    return bound, information(code, nearest(samples)), coloured(samples, code)


def mlp_reader() -> Network:
    """An MLP from points to eight logits."""
    return mlp.generator(8, width=64)


def run_infogan(seed: int = 0) -> Shown:
    """Does the code find the modes, which nobody labelled?"""
    bound, found, picture = read_ring(1.0, seed)
    _, without, plain = read_ring(0.0, seed)
    whole = float(np.log(8))
    return Shown(
        found > 0.7 * whole and without < 0.4 * whole and bound > 0.8 * whole,
        f"the code tells {found:.2f} nats of the mode (of log 8 = {whole:.2f}), and "
        f"{without:.2f} where the weight is 0; the bound says {bound:.2f} of the point",
        side_by_side(picture, plain),
    )


def classified(gen_weight: float, seed: int, steps: int = 2000) -> tuple[float, Any]:
    """AC-GAN on the ring: the share of fakes that lie nearest to their own mode."""
    gen = mlp.generator(2, width=64, classes=8)
    body = mlp.generator(9, width=64)

    def apply(
        params: Any, stats: Any, /, *inputs: jax.Array, train: bool
    ) -> tuple[Any, Any]:
        answer, stats = body.apply(params, stats, *inputs, train=train)
        return (answer[:, 0], answer[:, 1:]), stats

    game = ac_gan(
        gen,
        Network(body.init, apply),
        loss=losses.nonsaturating(),
        latent=latents.normal(8),
        gen_weight=gen_weight,
        disc_weight=gen_weight,
        penalty=penalties.r1(optimizers.exponential(1.0, 0.05, steps)),
    )
    built = kernel(game, adam("gen", "disc", steps=steps))
    state, _ = scanned(built, points_of(RING, 256), steps, seed)
    z = jax.vmap(latents.normal(8))(jax.random.split(jax.random.key(7), 2400))
    label = np.arange(2400) % 8
    samples, _ = gen.apply(
        state.params["gen"], state.stats["gen"], z, jnp.asarray(label), train=False
    )
    samples = np.asarray(samples)
    return float((nearest(samples) == label).mean()), coloured(samples, label)


def run_ac_gan(seed: int = 0) -> Shown:
    """Is a fake of the class that it was asked for?"""
    right, picture = classified(1.0, seed)
    chance, plain = classified(0.0, seed)
    return Shown(
        right > 0.95 and chance < 0.4,
        f"{100 * right:.1f}% of the fakes lie nearest to the mode they were asked for; "
        f"without the class terms {100 * chance:.0f}% (chance: 12%)",
        side_by_side(picture, plain),
    )


SYSTEMS = [
    System(
        "infogan",
        "objectives.infogan",
        "the ring of eight modes, one code of eight values",
        "the code tells more than 0.7 log 8 of the mode, and less than 0.4 log 8 with "
        "weight 0; the bound says more than 0.8 log 8",
        run_infogan,
    ),
    System(
        "ac_gan",
        "objectives.ac_gan",
        "the ring of eight modes as eight classes",
        "95% of the fakes are of their class, and less than 40% without the class "
        "terms (chance: 12%)",
        run_ac_gan,
    ),
]
