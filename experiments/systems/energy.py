"""Energies without a generator: what a chain samples, and what it teaches."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.systems.system import Shown, System, scanned, side_by_side
from gan_jax import kernel
from gan_jax.kernel import Batch
from gan_jax.langevin import langevin, mala
from gan_jax.networks import mlp
from gan_jax.objectives.energy import energy_model

BLUE, RED, GREY, INK = (0, 114, 178), (213, 94, 0), (205, 205, 205), (60, 60, 60)


def plot(
    curves: dict[tuple[int, int, int], np.ndarray], filled: np.ndarray | None = None
) -> np.ndarray:
    """Curves over one axis, each of about 360 numbers, above 0; one filled in grey."""
    height, width = 240, len(next(iter(curves.values())))
    every = [*curves.values(), *([] if filled is None else [filled])]
    top = 1.08 * max(float(c.max()) for c in every)
    picture = np.full((height, width, 3), 255, np.uint8)
    rows = np.arange(height)[:, None]
    if filled is not None:
        picture[rows > (height - 1) * (1 - filled[None] / top)] = GREY
    for colour, curve in curves.items():
        at = (height - 1) * (1 - curve / top)
        # As thick as the curve is steep, so that it has no gaps.
        before = np.concatenate([at[:1], at[:-1]])
        low, high = np.minimum(at, before) - 1, np.maximum(at, before) + 1
        picture[(rows >= low[None]) & (rows <= high[None])] = colour
    picture[-1] = INK
    return picture


# --- chains -------------------------------------------------------------------------

# The logarithm of q(x | x') / q(x' | x) up to a constant, as three sources have it.
# The target is N(0, 1) and e = 1, so the slope of U at x is x.
PRINTED: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "e for e/2": lambda x, y: (np.square(y - x + x) - np.square(x - y + y)) / 2,
    "no square": lambda x, y: (np.abs(y - x + x / 2) - np.abs(x - y + y / 2)) / 2,
    "no q": lambda x, y: np.zeros_like(x),
}


def printed_variance(
    ratio: Callable[[np.ndarray, np.ndarray], np.ndarray], chains: int, steps: int
) -> float:
    """The variance that a chain ends with whose correction is ``ratio``."""
    random = np.random.default_rng(0)
    x = np.zeros(chains)
    for _ in range(steps):
        y = x / 2 + random.standard_normal(chains)
        chance = np.log(random.uniform(size=chains))
        x = np.where(chance < (x * x - y * y) / 2 + ratio(x, y), y, x)
    return float(x.var())


def run_langevin() -> Shown:
    """Chains in the latent space of G(z) = 2z + 1 for U(x) = (x - 1)^2 / 8."""
    chains, steps = 200_000, 40

    def energy(z: jax.Array) -> jax.Array:
        return jnp.square(2 * z[:, 0] + 1 - 1) / 8

    @jax.jit
    def run(keys: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        start = jnp.zeros((chains, 1))
        return (
            langevin(keys, start, energy, 1.0, steps),
            mala(keys, start, energy, 1.0, steps),
        )

    plain, (exact, taken) = run(jax.random.split(jax.random.key(0), chains))
    of_plain, of_exact = float(plain.var()), float(exact.var())
    printed = {k: printed_variance(v, chains, steps) for k, v in PRINTED.items()}
    holds = (
        abs(of_exact - 1) < 0.02
        and abs(of_plain - 4 / 3) < 0.02
        and all(abs(v - 1) > 0.2 for v in printed.values())
    )
    bins = np.linspace(-4.5, 4.5, 121)
    middle = np.linspace(-4.5, 4.5, 360)
    heights = [
        np.repeat(np.histogram(np.asarray(x), bins, density=True)[0], 3)
        for x in (exact, plain)
    ]
    wanted = np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi)
    others = ", ".join(f"{k} {v:.2f}" for k, v in printed.items())
    return Shown(
        holds,
        f"variance {of_exact:.3f} ({float(taken.mean()):.0%} taken), uncorrected "
        f"{of_plain:.3f}; as printed: {others}",
        side_by_side(plot({BLUE: heights[0]}, wanted), plot({RED: heights[1]}, wanted)),
    )


# --- an energy and its own chain ----------------------------------------------------

LINE = np.linspace(-5, 5, 1081)
WELL = np.exp(-((LINE**2 - 4) ** 2) / 8)
WELL /= WELL.sum()


def well_points(key: jax.Array) -> Batch:
    """256 points of the double well, by the inverse of its distribution."""
    u = jax.random.uniform(key, (256, 1))
    return {"real": jnp.interp(u, jnp.asarray(WELL.cumsum()), jnp.asarray(LINE))}


def learned_density(seed: int, restart: float, weight: float) -> np.ndarray:
    """exp(-U) of a trained energy, normalised over the grid."""
    network = mlp.discriminator(width=32)
    game = energy_model(
        network,
        chain=partial(langevin, step_size=0.1, steps=3),
        fresh=lambda key: jax.random.uniform(key, (1,), minval=-4, maxval=4),
        slots=16,
        restart=restart,
        weight=weight,
    )
    trained = kernel(game, {"energy": optax.adam(2e-3, b1=0.0)}, ema={"energy": 0.995})
    state, _ = scanned(trained, well_points, 2000, seed)
    x = jnp.asarray(LINE, jnp.float32)[:, None]
    logits, _ = network.apply(
        state.ema["energy"], state.stats["energy"]["network"], x, train=False
    )
    density = np.exp(np.asarray(logits, np.float64) - float(logits.max()))
    return density / density.sum()


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p || q) of two densities on the grid."""
    return float(np.sum(p * (np.log(p) - np.log(q)), where=p > 0))


def run_energy_model() -> Shown:
    """The double well; chains of 3 steps, with and without what they left behind."""
    arms = {"kept": (0.05, 0.01), "not kept": (1.0, 0.01), "weight 1": (0.05, 1.0)}
    found = {name: learned_density(0, *arm) for name, arm in arms.items()}
    kl = {name: divergence(WELL, q) for name, q in found.items()}
    others = max(kl["kept"], 0.05)
    return Shown(
        kl["kept"] < 0.05 and kl["not kept"] > others and kl["weight 1"] > others,
        f"KL {kl['kept']:.3f}; every chain from noise {kl['not kept']:.3f}; squares "
        f"weighed 1 {kl['weight 1']:.3f}",
        side_by_side(*(plot({BLUE: q[::3]}, WELL[::3]) for q in found.values())),
    )


SYSTEMS = [
    System(
        "langevin",
        "langevin.mala",
        "chains in the latent space of G(z) = 2z + 1 at step size 1",
        "variance 1 ± 0.02 with the correction, 4/3 ± 0.02 without, and another one "
        "with the corrections as printed",
        run_langevin,
    ),
    System(
        "energy_model",
        "objectives.energy_model",
        "a double well, by chains of 3 steps",
        "KL(data ‖ exp(-U) / Z) < 0.05, and more if chains begin anew each step or "
        "the squares weigh 1, not 0.01",
        run_energy_model,
    ),
]
