"""Energies with a generator: what keeps one wide, and what keeps the other bounded."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.systems.system import (
    Shown,
    System,
    points_of,
    scanned,
    side_by_side,
)
from gan_jax import gan, kernel, latents, losses, penalties
from gan_jax.data.mixtures import MixtureReport, mixture_report, ring
from gan_jax.images import scatter
from gan_jax.kernel import Kernel, Network
from gan_jax.networks import mlp
from gan_jax.networks.energies import reconstruction
from gan_jax.objectives.meg import Estimator, meg
from gan_jax.penalties import Penalty

RING = ring(sd=0.2)
ring_points = points_of(RING, 256)
REACH = 3.5
AXIS = np.linspace(-REACH, REACH, 141)
PLANE = np.stack(np.meshgrid(AXIS, -AXIS), axis=-1).reshape(-1, 2)


def cloud(samples: np.ndarray) -> np.ndarray:
    """Samples over points of the data."""
    real = np.concatenate([ring_points(jax.random.key(i))["real"] for i in range(8)])
    return scatter(samples, real, (-REACH, REACH, -REACH, REACH), size=282)


def ring_density() -> np.ndarray:
    """The density on the plane's grid, normalised there."""
    square = np.square(PLANE[:, None] - RING.modes[None].astype(float)).sum(axis=-1)
    density = np.exp(-square / (2 * RING.sd**2)).sum(axis=1)
    return density / density.sum()


def of_pairs(network: Network) -> Network:
    """A discriminator of a sample and its latent side by side."""

    def init(key: jax.Array, x: jax.Array, z: jax.Array) -> Any:
        return network.init(key, jnp.concatenate([x, z], axis=1))

    def apply(params: Any, stats: Any, /, *inputs: Any, train: bool) -> Any:
        return network.apply(params, stats, jnp.concatenate(inputs, 1), train=train)

    return Network(init, apply)


class Generated(NamedTuple):
    """What one run of MEG came to.

    Attributes:
      samples: (4000, 2).
      report: of their modes.
      spread: their root mean square distance from the nearest mode along an axis.
      mutual: M, the mean of the last 200 steps.
      order: the share of the plane whose energy is above that of a point of the data.
      energy: on the plane's grid.
    """

    samples: np.ndarray
    report: MixtureReport
    spread: float
    mutual: float
    order: float
    energy: np.ndarray


def generated(estimator: Estimator, weight: float, seed: int = 0) -> Generated:
    """Train an energy, a generator and an estimator at once, and measure them."""
    gen, disc = mlp.generator(2, width=64), mlp.discriminator(width=64)
    estimators = {
        "critic": of_pairs(mlp.discriminator(width=64)),
        "encoder": mlp.generator(2, width=64),
    }
    game = meg(
        gen,
        disc,
        estimators[estimator],
        latent=latents.normal(2),
        estimator=estimator,
        weight=weight,
        penalty=penalties.r1(0.2),
    )
    adam = {p: optax.adam(1e-3, b1=0.5, b2=0.9) for p in ("disc", "gen", "mutual")}
    trained = kernel(game, adam, ema={"gen": 0.99})
    state, info = scanned(trained, ring_points, 2000, seed)
    z = jax.random.normal(jax.random.key(9), (4000, 2))
    x, _ = gen.apply(state.ema["gen"], state.stats["gen"], z, train=False)
    plane = jnp.asarray(PLANE, jnp.float32)
    logits, _ = disc.apply(state.params["disc"], {}, plane, train=False)
    samples, energy = np.asarray(x), -np.asarray(logits)
    apart = np.linalg.norm(samples[:, None] - RING.modes[None], axis=-1).min(axis=1)
    return Generated(
        samples,
        mixture_report(samples, RING),
        float(np.sqrt(np.square(apart).mean() / 2)),
        float(info["mutual/loss"][-200:].mean()),
        order(energy),
        energy,
    )


def order(energy: np.ndarray) -> float:
    """The share of the plane that lies higher than a point of the data does: 1/2 by
    chance."""
    rank = np.empty(len(energy))
    rank[np.argsort(-energy)] = (np.arange(len(energy)) + 0.5) / len(energy)
    return float((ring_density() * rank).sum())


def run_meg() -> Shown:
    """Eight Gaussians, with both estimators and with none."""
    arms = {
        "critic": generated("critic", 1.0),
        "encoder": generated("encoder", 1.0),
        "none": generated("critic", 0.0),
    }
    best = order(-np.log(ring_density() + 1e-300))
    half_way = (best + 0.5) / 2
    good = all(
        arms[name].report.covered == 8
        and arms[name].report.reverse_kl < 0.05
        and arms[name].order > half_way
        for name in ("critic", "encoder")
    )
    told, none = arms["critic"].mutual, arms["none"]
    poor = none.report.reverse_kl > 0.2 and none.order < half_way
    text = "; ".join(
        f"{name} {run.report.covered} modes, reverse KL {run.report.reverse_kl:.3f}, "
        f"order {run.order:.2f}, sd {run.spread:.2f}"
        for name, run in arms.items()
    )
    return Shown(
        good and poor and told < np.log(2) / 2,
        f"{text} (best order {best:.2f}, data's sd 0.20); critic's M {told:.2f}, "
        "log 2 = 0.69",
        np.vstack(
            [
                side_by_side(*(cloud(run.samples) for run in arms.values())),
                side_by_side(*(pit(run.energy) for run in arms.values())),
            ]
        ),
    )


def pit(energy: np.ndarray) -> np.ndarray:
    """An energy on the plane by its rank: the lowest is dark."""
    side = len(AXIS)
    rank = energy.argsort().argsort().reshape(side, side, 1) / energy.size
    dark, light = np.array([20, 30, 80]), np.array([250, 245, 220])
    colours = np.round(dark + (light - dark) * np.sqrt(rank)).astype(np.uint8)
    return colours.repeat(2, axis=0).repeat(2, axis=1)


# --- a margin -----------------------------------------------------------------------


def autoencoder(code: int) -> Network:
    """Two networks end to end, with ``code`` numbers between them."""
    encode, decode = mlp.generator(code, width=64), mlp.generator(2, width=64)

    def init(key: jax.Array, x: jax.Array) -> Any:
        first, second = jax.random.split(key)
        between = jnp.zeros((1, code))
        return (encode.init(first, x)[0], decode.init(second, between)[0]), {}

    def apply(params: Any, stats: Any, /, *inputs: Any, train: bool) -> Any:
        between, _ = encode.apply(params[0], {}, *inputs, train=train)
        return decode.apply(params[1], {}, between, train=train)[0], stats

    return Network(init, apply)


class Margin(NamedTuple):
    """What one run of EBGAN came to.

    Attributes:
      samples: (4000, 2).
      report: of their modes.
      disc_loss: L_D without penalty, the mean of the last 1000 steps.
      fake_energy: the same mean of U at fakes.
    """

    samples: np.ndarray
    report: MixtureReport
    disc_loss: float
    fake_energy: float


def with_margin(m: float, penalty: Penalty | None, seed: int = 0) -> Margin:
    """Train a generator against the energy of a reconstruction."""
    model = gan(
        mlp.generator(2, width=128),
        reconstruction(autoencoder(2)),
        loss=losses.margin(m),
        penalty=penalty,
        optimizers={p: optax.adam(1e-3, b1=0.0, b2=0.99) for p in ("gen", "disc")},
        latent=latents.normal(2),
    )
    state, info = scanned(Kernel(model.init, model.step), ring_points, 3000, seed)
    z = jax.random.normal(jax.random.key(9), (4000, 2))
    samples = np.asarray(model.sample(state, z))
    return Margin(
        samples,
        mixture_report(samples, RING),
        float(info["disc/loss"][-1000:].mean()),
        -float(info["disc/fake_logit"][-1000:].mean()),
    )


def run_ebgan() -> Shown:
    """Eight Gaussians: with a margin of 1, and with one that is never reached."""
    damped = with_margin(1.0, penalties.total(penalties.r1(0.3), penalties.r2(0.3)))
    free = with_margin(1.0, None)
    endless = with_margin(1e6, None)
    report = damped.report
    return Shown(
        abs(damped.disc_loss - 1) < 0.1
        and report.covered == 8
        and report.reverse_kl < 0.05
        and free.fake_energy < 1.1
        and endless.fake_energy > 100,
        f"L_D {damped.disc_loss:.2f} (m = 1), {report.covered} modes, reverse KL "
        f"{report.reverse_kl:.3f}; no penalty: L_D {free.disc_loss:.2f}, "
        f"{free.report.covered} modes, U at fakes {free.fake_energy:.1f}; no margin "
        f"either: U at fakes {endless.fake_energy:,.0f}",
        side_by_side(*(cloud(run.samples) for run in (damped, free, endless))),
    )


SYSTEMS = [
    System(
        "meg",
        "objectives.meg",
        "eight Gaussians, all three players at once",
        "8 modes, reverse KL < 0.05, the energy's order of the plane nearer to the "
        "best than to chance, M < log 2 / 2; without M reverse KL > 0.2 and the order "
        "nearer to chance",
        run_meg,
    ),
    System(
        "ebgan",
        "losses.margin",
        "eight Gaussians, by the energy of an autoencoder",
        "L_D = m within 10 %, 8 modes, reverse KL < 0.05; without penalty U of "
        "fakes stays below 1.1 m, without margin too it passes 100",
        run_ebgan,
    ),
]
