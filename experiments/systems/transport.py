"""Moments and transport: batches compared as a whole, in features that D learns.

How far samples in the plane are from the data is said by the energy distance of the
points themselves, 2 E|x - y| - E|x - x'| - E|y - y'|, without bias. It is 0 on average
between two samples of the data, and no player trains on it.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.systems.system import Shown, System, points_of, scanned
from gan_jax import kernel, latents, penalties
from gan_jax.data.mixtures import mixture_points, mixture_report, ring
from gan_jax.distances import euclidean
from gan_jax.images import scatter
from gan_jax.kernel import Network
from gan_jax.networks import mlp
from gan_jax.objectives.mmd_gan import mmd_gan
from gan_jax.objectives.ot_gan import ot_gan
from gan_jax.penalties import Penalty

RING = ring(8, radius=2.0, sd=0.1)
NORMAL = latents.normal(4)
IN_THE_PLANE = mlp.generator(2, width=128)
POINTS = 2500  # of a judged sample
# Of the way from the untrained generator to the data, what may be left.
LEFT = 0.1


def held_out(seed: int) -> np.ndarray:
    return mixture_points(RING, POINTS, seed).arrays["real"]


def adam(rate: float, steps: int) -> optax.GradientTransformation:
    """Adam at a rate that falls to a fiftieth."""
    return optax.adam(optax.cosine_decay_schedule(rate, steps, 0.02), b1=0.5, b2=0.9)


def drawn_by(params: Any) -> np.ndarray:
    z = jax.vmap(NORMAL)(jax.random.split(jax.random.key(9), POINTS))
    return np.asarray(IN_THE_PLANE.apply(params, {}, z, train=False)[0])


def energy_distance(a: np.ndarray, b: np.ndarray) -> float:
    def apart(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.linalg.norm(x[:, None] - y[None], axis=-1).sum())

    within = sum(apart(x, x) / (len(x) * (len(x) - 1)) for x in (a, b))
    return 2 * apart(a, b) / (len(a) * len(b)) - within


def untrained() -> np.ndarray:
    z = NORMAL(jax.random.key(0))
    return drawn_by(IN_THE_PLANE.init(jax.random.key(0), z[None])[0])


@functools.cache
def floor() -> float:
    """The largest distance of five between two samples of the data."""
    return max(energy_distance(held_out(i), held_out(i + 20)) for i in range(5))


def beside(samples: np.ndarray, control: np.ndarray, told: str) -> Shown:
    """What samples of the ring and those of a control show; ``told`` says which one."""
    truth = held_out(100)
    start, end, without = (
        energy_distance(x, truth) for x in (untrained(), samples, control)
    )
    report = mixture_report(samples, RING)
    return Shown(
        report.covered == 8 and end <= LEFT * start and without >= 2 * end,
        f"{report.covered} of 8 modes, {report.high_quality:.0%} within 3 sd; "
        f"{end:.4f} from the data (untrained {start:.2f}, real samples {floor():.4f}); "
        f"{told} {without:.4f}",
        np.hstack([scatter(x, truth, size=384) for x in (samples, control)]),
    )


def by_moments(penalty: Penalty | None, seed: int = 0, steps: int = 3000) -> np.ndarray:
    disc = mlp.generator(8, width=64)  # 8 features
    game = mmd_gan(IN_THE_PLANE, disc, latent=NORMAL, penalty=penalty)
    rates = {"gen": adam(2e-3, steps), "disc": adam(2e-3, steps)}
    trained = kernel(game, rates, ema={"gen": 0.995})
    state, _ = scanned(trained, points_of(RING, 128), steps, seed)
    return drawn_by(state.ema["gen"])


def run_mmd_gan(seed: int = 0) -> Shown:
    samples = by_moments(penalties.zero_centred(1.0), seed)
    return beside(samples, by_moments(None, seed), "without the penalty")


def beside_a_constant(network: Network, constant: float) -> Network:
    """``network`` of (x, constant).

    At its start a network of leaky ReLUs without biases maps c x to c D(x), and the
    cosine of two features does not see how long points are. Beside a constant it does.
    """

    def joined(x: jax.Array) -> jax.Array:
        return jnp.hstack([x, jnp.full_like(x[:, :1], constant)])

    def init(key: jax.Array, *inputs: Any) -> tuple[Any, Any]:
        return network.init(key, joined(inputs[0]))

    def apply(params: Any, stats: Any, /, *inputs: Any, train: bool) -> tuple[Any, Any]:
        return network.apply(params, stats, joined(inputs[0]), train=train)

    return Network(init, apply)


def by_transport(batch: int, seed: int = 0, steps: int = 800) -> np.ndarray:
    disc = beside_a_constant(mlp.generator(16, width=64), 2.0)  # 16 features
    game = ot_gan(IN_THE_PLANE, disc, latent=NORMAL, sharpness=15.0, iterations=40)
    trained = kernel(
        game,
        {"gen": adam(3e-3, steps), "disc": adam(3e-4, steps)},
        play=(("gen",),) * 5 + (("disc",),),
        ema={"gen": 0.995},
    )
    state, _ = scanned(trained, points_of(RING, 6 * batch), steps, seed)
    return drawn_by(state.ema["gen"])


def run_ot_gan(seed: int = 0) -> Shown:
    samples = by_transport(128, seed)
    return beside(samples, by_transport(8, seed), "with batches of 8,")


BATCH, LEVELS = 256, (np.arange(4096) + 0.5) / 4096


def off(quantiles: np.ndarray) -> float:
    """W1 to the Gumbel distribution: E |Q(u) - Q_true(u)|, Q_true(u) = -log(-log u)."""
    by_level = np.repeat(np.sort(quantiles), len(LEVELS) // len(quantiles))
    return float(np.abs(by_level + np.log(-np.log(LEVELS))).mean())


def run_sinkhorn(seed: int = 0, steps: int = 2000) -> Shown:
    on_the_line = mlp.generator(1, width=32)
    game = ot_gan(
        on_the_line,
        None,
        latent=latents.normal(1),
        distance=euclidean,
        sharpness=3.0,
        iterations=30,
    )
    trained = kernel(game, {"gen": adam(3e-3, steps)}, ema={"gen": 0.995})
    state, info = scanned(
        trained, lambda key: {"real": jax.random.gumbel(key, (BATCH, 1))}, steps, seed
    )
    z = jax.scipy.stats.norm.ppf(LEVELS.astype(np.float32))[:, None]

    def quantiles(params: Any) -> np.ndarray:
        return np.sort(
            np.asarray(on_the_line.apply(params, {}, z, train=False)[0])[:, 0]
        )

    before = quantiles(on_the_line.init(jax.random.key(seed), z)[0])
    after = quantiles(state.ema["gen"])
    rng = np.random.default_rng(seed)
    of_batches = sum(off(rng.gumbel(size=BATCH)) for _ in range(100)) / 100
    limits = (0.0, 1.0, -2.5, 8.0)
    truth = np.stack([LEVELS, -np.log(-np.log(LEVELS))], axis=1)
    curves = [np.stack([LEVELS, x], axis=1) for x in (before, after)]
    return Shown(
        off(after) <= of_batches / 2,
        f"W1 to the truth {off(after):.3f} (untrained {off(before):.2f}, a real batch "
        f"of {BATCH} {of_batches:.3f}); column sums off by "
        f"{float(info['column_gap'][-1]):.1%}",
        np.hstack([scatter(x, truth, limits, 384) for x in curves]),
    )


SYSTEMS = [
    System(
        "mmd_gan",
        "objectives.mmd_gan",
        "ring of 8 Gaussians, moments of 8 learned features",
        f"8 modes; at most {LEFT:.0%} of the untrained distance is left, and at "
        "least twice that without a penalty on the witness's slope",
        run_mmd_gan,
    ),
    System(
        "ot_gan",
        "objectives.ot_gan",
        "ring of 8 Gaussians, transport in 16 learned features",
        f"8 modes; at most {LEFT:.0%} of the untrained distance is left, and at "
        "least twice that with batches of 8 for 128",
        run_ot_gan,
    ),
    System(
        "sinkhorn",
        "objectives.ot_gan",
        "a Gumbel distribution on the line, transport of samples, no D",
        "at most half of a real batch's mean distance from the true quantiles",
        run_sinkhorn,
    ),
]
