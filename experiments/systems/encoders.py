"""Systems that find the latent of a sample: O-GAN, alpha-GAN, and GLO with IMLE."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.systems.system import Shown, System, points_of, scanned
from gan_jax import kernel, latents, penalties
from gan_jax.data.mixtures import ring
from gan_jax.images import grid, scatter
from gan_jax.kernel import Batch, Network, Params, State
from gan_jax.networks import mlp
from gan_jax.objectives.alpha_gan import alpha_gan
from gan_jax.objectives.glann import glo, imle, nearest, on_sphere, spherical
from gan_jax.objectives.ogan import ogan, reconstruct
from gan_jax.reconstruction import laplacian
from gan_jax.rowwise import rowwise


def averaged(state: State) -> Params:
    """The averages of those players that have one, the parameters of the others."""
    return {**state.params, **state.ema}


def bent(key: jax.Array, n: int = 256) -> Batch:
    """x = tanh(1.5 u M), u ~ N(0, I) of 8 elements, x of 16, M the same for all."""
    matrix = jax.random.normal(jax.random.key(99), (8, 16)) / 8**0.5
    return {"real": jnp.tanh(1.5 * jax.random.normal(key, (n, 8)) @ matrix)}


def inverted(weight: float, seed: int = 0) -> tuple[float, np.ndarray, np.ndarray]:
    """O-GAN on bent Gaussians: rho, fresh samples and their reconstructions."""
    gen, enc = mlp.generator(16, tanh=True), mlp.generator(8)
    built = kernel(
        ogan(gen, enc, latent=latents.normal(8), weight=weight),
        {player: optax.rmsprop(1e-3, decay=0.99) for player in ("gen", "enc")},
        ema={"gen": 0.999, "enc": 0.999},
    )
    state, info = scanned(built, bent, 4000, seed)
    x = bent(jax.random.key(5), 2048)["real"]
    made = reconstruct(gen, enc, averaged(state), state.stats, x)
    rho = float(info["enc/correlation"][-100:].mean())
    return rho, np.asarray(x), np.asarray(made)


def of_bent_gaussians() -> Shown:
    """With the correlation E inverts G; without it the same game does not."""
    rho, x, made = inverted(0.5)
    rho_0, _, made_0 = inverted(0.0)
    error, error_0 = (float(np.square(y - x).mean()) for y in (made, made_0))
    variance = float(x.var(axis=0).mean())
    shown = np.concatenate([y[:20] for y in (x, made, made_0)]).reshape(60, 4, 4, 1)
    return Shown(
        rho > 0.95 and error < 0.1 * variance and error_0 > variance,
        f"rho {rho:.3f}, error {error:.3f} of variance {variance:.3f}; without rho's "
        f"term rho {rho_0:.3f}, error {error_0:.3f}",
        grid(shown, 20, padding=1).repeat(10, axis=0).repeat(10, axis=1),
    )


def tilted(key: jax.Array, n: int = 256) -> Batch:
    """x = 1 + u A, Gaussian of 4 elements that are correlated."""
    matrix = jnp.eye(4) + jax.random.normal(jax.random.key(9), (4, 4)) / 2
    return {"real": 1 + jax.random.normal(key, (n, 4)) @ matrix}


class Coded(NamedTuple):
    """What an autoencoder came to on fresh samples.

    Attributes:
      error: mean square of the reconstruction's.
      distance: of the codes from N(0, I), by their first two moments.
      codes: (2048, 4).
    """

    error: float
    distance: float
    codes: np.ndarray


def coded(*, critic: bool, weight: float, seed: int = 0) -> Coded:
    """Alpha-GAN on the tilted Gaussian, with or without its critic of codes."""
    enc, gen = mlp.generator(4, width=64), mlp.generator(4, width=64)
    disc = mlp.discriminator(width=64)
    code = mlp.discriminator(width=64) if critic else None
    penalty = penalties.total(penalties.r1(0.1), penalties.r2(0.1))
    players = ("enc", "gen", "disc", *(["code"] if critic else []))
    built = kernel(
        alpha_gan(
            gen,
            enc,
            disc,
            code,
            latent=latents.normal(4),
            weight=weight,
            penalty=penalty,
            code_penalty=penalty if critic else None,
        ),
        {player: optax.adam(1e-3, b1=0.0, b2=0.99) for player in players},
        ema={"enc": 0.998, "gen": 0.998},
    )
    state, _ = scanned(built, tilted, 2000, seed)
    x = tilted(jax.random.key(5), 2048)["real"]
    params = averaged(state)
    codes, _ = enc.apply(params["enc"], {}, x, train=False)
    made, _ = gen.apply(params["gen"], {}, codes, train=False)
    own = np.asarray(codes, np.float64)
    return Coded(
        float(jnp.square(made - x).mean()), from_standard_normal(own), np.asarray(codes)
    )


def from_standard_normal(codes: np.ndarray) -> float:
    """|m|^2 + sum (1 - s_i)^2, s_i^2 the eigenvalues of the covariance: the squared
    Wasserstein distance between N(m, C) and N(0, I)."""
    spreads = np.sqrt(np.linalg.eigvalsh(np.cov(codes.T)).clip(0))
    return float(np.square(codes.mean(axis=0)).sum() + np.square(1 - spreads).sum())


def of_tilted_gaussians() -> Shown:
    """Codes are spread as the prior if C is there, and mean something if lambda is."""
    alpha = coded(critic=True, weight=10.0)
    free = coded(critic=False, weight=10.0)
    mute = coded(critic=True, weight=0.0)
    x = tilted(jax.random.key(5), 2048)["real"]
    variance = float(x.var(axis=0).mean())
    prior = np.random.default_rng(0).normal(size=(2048, 2))
    clouds = [scatter(c.codes[:, :2], prior, (-4, 4, -4, 4)) for c in (alpha, free)]
    return Shown(
        alpha.error < 0.05 * variance
        and alpha.distance < 0.15
        and free.distance > 3 * alpha.distance
        and mute.error > variance,
        f"error {alpha.error:.4f} of variance {variance:.2f}, codes "
        f"{alpha.distance:.3f} from N(0, I); AE-GAN {free.error:.4f}, "
        f"{free.distance:.3f}; "
        f"lambda = 0 {mute.error:.2f}, {mute.distance:.3f}",
        np.concatenate(clouds, axis=1),
    )


RING = ring()


def drawn_to_ring(size: int, n: int) -> np.ndarray:
    """8192 samples of IMLE with z of ``size`` elements and n candidates a step."""
    gen, steps = mlp.generator(2), 4000
    rate = optax.cosine_decay_schedule(1e-3, steps, 0.05)
    built = kernel(
        imle(gen, latent=latents.normal(size), candidates=1), {"gen": optax.adam(rate)}
    )
    state, _ = scanned(built, points_of(RING, n), steps)
    z = jax.random.normal(jax.random.key(4), (8192, size))
    return np.asarray(made(gen, state, z))


def missed(samples: np.ndarray) -> float:
    """Mean square distance from a point of the ring to the nearest of 512 samples."""
    x = points_of(RING, 2000)(jax.random.key(77))["real"]
    sets = jnp.asarray(samples, jnp.float32).reshape(16, 512, 2)
    return 2 * float(np.mean([between(x, some) for some in sets]))


def on_modes(samples: np.ndarray) -> tuple[int, float]:
    """How many modes are reached within 0.2, and the share of samples that do it."""
    apart = np.linalg.norm(samples[:, None] - RING.modes[None], axis=-1) < 0.2
    return int(apart.any(axis=0).sum()), float(apart.any(axis=1).mean())


def of_a_ring() -> Shown:
    """Every point is reached, and better than by a Gaussian cloud, which reaches all.

    How many samples lie where no data are depends on the room between: with sixteen
    latents and many candidates next to all of them do.
    """
    samples, wide = drawn_to_ring(2, 32), drawn_to_ring(16, 512)
    noise = np.random.default_rng(0).normal(size=samples.shape)
    cloud = noise @ np.linalg.cholesky(np.cov(samples.T)).T + samples.mean(axis=0)
    (modes, close), (_, close_wide) = on_modes(samples), on_modes(wide)
    real = points_of(RING, 2000)(jax.random.key(1))["real"]
    views = [scatter(x[:3000], real, (-3, 3, -3, 3)) for x in (samples, wide)]
    return Shown(
        missed(samples) < missed(cloud) / 3 and modes == 8,
        f"{missed(samples):.4f}, a Gaussian of the same covariance "
        f"{missed(cloud):.4f}; "
        f"{modes} of 8 modes; samples within 0.2 of a mode {close:.0%} (16 latents and "
        f"512 candidates: {close_wide:.0%}, {missed(wide):.4f})",
        np.concatenate(views, axis=1),
    )


def disks(centres: jax.Array) -> jax.Array:
    """Images (n, 16, 16, 1) of one bright disk each, radius 3, at centres (n, 2)."""
    line = jnp.arange(16) + 0.5
    across = jnp.square(line[None, None] - centres[:, 0, None, None])
    down = jnp.square(line[None, :, None] - centres[:, 1, None, None])
    return jnp.tanh(3 - jnp.sqrt(across + down))[..., None]


def between(points: jax.Array, candidates: jax.Array) -> float:
    """Mean square difference, by element, between points and their nearest ones."""
    return float(jnp.square(points - candidates[nearest(points, candidates)]).mean())


def of_disks() -> Shown:
    """Both phases: codes for images of two degrees of freedom, then a way to draw
    codes. Codes drawn from the sphere itself are the control."""
    count, size, steps = 512, 8, 2000
    place = jax.random.uniform(jax.random.key(1), (count, 2), minval=3, maxval=13)
    real = disks(place)
    gen = mlp.generator((16, 16, 1), tanh=True)
    rate = optax.cosine_decay_schedule(1e-3, steps, 0.05)
    first = kernel(
        glo(gen, count=count, latent=latents.sphere(size), error=laplacian(2)),
        {"gen": optax.adam(rate), "codes": rowwise(optax.adam(0.05, b1=0.5))},
    )

    def rows(key: jax.Array) -> Batch:
        index = jax.random.randint(key, (64,), 0, count)
        return {"real": real[index], "index": index}

    state, _ = scanned(first, rows, steps)
    codes = on_sphere(state.params["codes"])

    mapper = spherical(mlp.generator(size))
    rate = optax.cosine_decay_schedule(2e-3, 1500, 0.05)
    second = kernel(
        imle(mapper, latent=latents.normal(size)), {"gen": optax.adam(rate)}
    )

    def some_codes(key: jax.Array) -> Batch:
        return {"real": codes[jax.random.randint(key, (256,), 0, count)]}

    mapped, _ = scanned(second, some_codes, 1500, seed=1)
    e = jax.random.normal(jax.random.key(4), (count, size))
    by_mapper = made(mapper, mapped, e)
    anywhere = on_sphere(jax.random.normal(jax.random.key(5), (count, size)))
    remade, drawn, control = (made(gen, state, z) for z in (codes, by_mapper, anywhere))
    line = jnp.linspace(3, 13, 41)
    every = disks(jnp.stack(jnp.meshgrid(line, line), axis=-1).reshape(-1, 2))
    variance = float(real.var(axis=0).mean())
    error = float(jnp.square(remade - real).mean()) / variance
    recall, recall_0 = (between(real, x) / variance for x in (drawn, control))
    off, off_0 = (between(x, every) / variance for x in (drawn, control))
    shown = np.concatenate([x[:16] for x in (real, remade, drawn, control)])
    return Shown(
        error < 0.05 and recall < recall_0 / 1.5 and off < off_0 / 3,
        f"of the variance: reconstruction {error:.3f}; from an image to the nearest "
        f"sample {recall:.3f} (codes from the sphere {recall_0:.3f}); from a sample to "
        f"the nearest disk {off:.3f} ({off_0:.3f})",
        grid(shown, 16).repeat(2, axis=0).repeat(2, axis=1),
    )


def made(network: Network, state: State, z: jax.Array) -> jax.Array:
    """What a trained "gen" makes of latents."""
    return network.apply(state.params["gen"], state.stats["gen"], z, train=False)[0]


SYSTEMS = [
    System(
        "ogan",
        "objectives.ogan",
        "16 numbers made of 8, x = tanh(1.5 u M)",
        "rho above 0.95 and reconstructions below 0.1 of the variance; without rho's "
        "term an error above the variance",
        of_bent_gaussians,
    ),
    System(
        "alpha_gan",
        "objectives.alpha_gan",
        "a correlated Gaussian of 4 numbers",
        "error below 0.05 of the variance and codes within 0.15 of N(0, I), 3 times as "
        "far without the critic of codes; lambda = 0: error above the variance",
        of_tilted_gaussians,
    ),
    System(
        "imle",
        "objectives.imle",
        "a ring of 8 Gaussians",
        "recall: from data to the nearest of 512 samples a third of the mean square "
        "distance that a Gaussian of the same covariance leaves; all 8 modes",
        of_a_ring,
    ),
    System(
        "glann",
        "objectives.glo, imle",
        "512 images of a disk",
        "reconstruction below 0.05 of the variance; samples nearer to the images (1.5 "
        "times) and to disks (3 times) than those of codes from all over the sphere",
        of_disks,
    ),
]
