"""f-divergences: which one it is shows where no generator can be right."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.systems.system import Shown, System, scanned
from gan_jax import divergences, kernel, latents
from gan_jax.divergences import f_gan
from gan_jax.images import COLOURS, FAINT, INK
from gan_jax.kernel import Batch, Network, alternating
from gan_jax.losses import Loss
from gan_jax.networks import mlp
from gan_jax.objectives import adversarial

# Two distributions on six atoms, as samples: 20 real ones and 20 fakes.
REAL = np.repeat(np.arange(6), [6, 1, 4, 5, 3, 1])
FAKE = np.repeat(np.arange(6), [2, 5, 3, 1, 4, 5])
P, Q = (np.bincount(atoms) / 20 for atoms in (REAL, FAKE))


def normal(x: np.ndarray, mean: float, sd: float) -> np.ndarray:
    """The density of N(mean, sd^2)."""
    return np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))


def curves(
    x: np.ndarray, series: list[np.ndarray], low: float, high: float
) -> np.ndarray:
    """Functions of ``x`` in a frame, the first one grey, the others in colours."""
    height, width = 200, 320
    picture = np.full((height, width, 3), 255, np.uint8)
    zero = round(high / (high - low) * (height - 1))
    if 0 <= zero < height:
        picture[zero] = FAINT
    at = np.linspace(x[0], x[-1], width)
    colours = ((150, 150, 150), *COLOURS, INK)
    for colour, y in zip(colours, series, strict=False):
        rows = (high - np.interp(at, x, y)) / (high - low) * (height - 1)
        for column in range(1, width):
            ends = np.clip(np.sort(rows[column - 1 : column + 1]), -2, height + 1)
            top, bottom = np.round(ends).astype(int)
            picture[max(top, 0) : max(bottom + 2, 0), column] = colour
    picture[[0, -1]] = picture[:, [0, -1]] = FAINT
    return picture


def affine(start: float = 0.0) -> Network:
    """x = z e^scale + shift of numbers z: at first N(start, 1)."""

    def init(key: jax.Array, z: jax.Array) -> tuple[dict[str, jax.Array], dict]:
        return {"shift": jnp.full((), start), "scale": jnp.zeros(())}, {}

    def apply(
        params: dict[str, jax.Array], stats: dict, /, *inputs: jax.Array, train: bool
    ) -> tuple[jax.Array, dict]:
        (z,) = inputs
        return z * jnp.exp(params["scale"]) + params["shift"], stats

    return Network(init, apply)


def sums(p: np.ndarray, q: np.ndarray) -> dict[str, float]:
    """Every divergence by what it is, without an f."""
    m, w = (p + q) / 2, 0.3 * p + 0.7 * q

    def kl(p: np.ndarray, q: np.ndarray) -> float:
        return float((p * np.log(p / q)).sum())

    return {
        "total_variation": np.abs(p - q).sum() / 2,
        "kl": kl(p, q),
        "reverse_kl": kl(q, p),
        "squared_difference": ((p - q) ** 2 / q).sum(),
        "relative_squared_difference": ((p - q) ** 2 / p).sum(),
        "squared_hellinger": ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(),
        "jeffrey": kl(p, q) + kl(q, p),
        "jensen_shannon": (kl(p, m) + kl(q, m)) / 2,
        "weighted": 0.3 * kl(p, w) + 0.7 * kl(q, w),
        "twice_jensen_shannon": kl(p, m) + kl(q, m),
        "logistic": kl(p, m) + kl(q, m) - 2 * np.log(2),
    }


def free_logits() -> tuple[float, float]:
    """D's six logits under every f at once, by Adam: how far the values are from the
    sums, and the logits from log p/q."""
    made = {
        name: divergences.jensen_shannon(0.3)
        if name == "weighted"
        else getattr(divergences, name)()
        for name in sums(P, Q)
    }

    def loss(logits: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        each = {
            name: f_gan(made[name]).disc(s[REAL], s[FAKE]) for name, s in logits.items()
        }
        return sum(each.values(), jnp.zeros(())), each

    # Total variation wants logits without bound, so the rate falls slowly.
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, 2000))
    start = {name: jnp.zeros(6) for name in made}

    @jax.jit
    def run() -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        def step(carry: tuple, _: None) -> tuple[tuple, None]:
            logits, opt = carry
            updates, opt = optimizer.update(
                jax.grad(loss, has_aux=True)(logits)[0], opt
            )
            return (optax.apply_updates(logits, updates), opt), None

        (logits, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=2000)
        return logits, loss(logits)[1]

    logits, values = jax.device_get(run())
    wanted = sums(P, Q)
    apart = max(abs(-values[name] - wanted[name]) for name in made)
    del logits["total_variation"]  # its logits only have the right signs
    wrong = max(np.abs(s - np.log(P / Q)).max() for s in logits.values())
    return float(apart), float(wrong)


LINE = np.linspace(-9, 9, 3601)
MODES = 0.75 * normal(LINE, -1, 0.5) + 0.25 * normal(LINE, 1.8, 0.5) + 1e-300
# The generator begins at N(-1, 1): from there no game has a plateau on its way.
START = -1.0


def two_modes(key: jax.Array) -> Batch:
    """0.75 N(-1, 0.5^2) + 0.25 N(1.8, 0.5^2), for five moves."""
    which, noise = jax.random.split(key)
    mean = jnp.where(jax.random.uniform(which, (1280, 1)) < 0.75, -1.0, 1.8)
    return {"real": mean + 0.5 * jax.random.normal(noise, (1280, 1))}


def descended(
    divergence: Callable[[np.ndarray, np.ndarray], float],
) -> tuple[float, float]:
    """The mean and sd of the one Gaussian that gradient descent on the exact divergence
    comes to from N(START, 1), by quadrature."""

    def value(at: np.ndarray) -> float:
        q = normal(LINE, at[0], np.exp(at[1])) + 1e-300
        return divergence(MODES, q) * (LINE[1] - LINE[0])

    at, steps = np.array([START, 0.0]), 1e-5 * np.eye(2)
    for _ in range(600):
        slope = np.array([(value(at + h) - value(at - h)) / 2e-5 for h in steps])
        at = at - 0.1 * slope / (1 + np.linalg.norm(slope))
    return float(at[0]), float(np.exp(at[1]))


def fitted(
    loss: Loss, data: Callable[[jax.Array], Batch], seed: int, steps: int = 1500
) -> tuple[float, float]:
    """The mean and sd of a Gaussian generator, four steps of D to one of its own."""
    trained = kernel(
        adversarial(
            affine(START), mlp.discriminator(32), loss=loss, latent=latents.normal(1)
        ),
        {
            "disc": optax.adam(2e-3, b1=0.5),
            "gen": optax.adam(optax.cosine_decay_schedule(5e-3, steps), b1=0.5),
        },
        play=alternating("disc", "gen", first=4),
        ema={"gen": 0.99},
    )
    state, _ = scanned(trained, data, steps, seed)
    gen = state.ema["gen"]
    return float(gen["shift"]), float(jnp.exp(gen["scale"]))


def run_f_gan(seed: int = 0) -> Shown:
    """Which divergence it is shows in a generator that cannot match both modes."""
    apart, wrong = free_logits()
    games = {
        "KL": (f_gan(divergences.kl()), lambda p, q: sums(p, q)["kl"]),
        "Jeffrey": (f_gan(divergences.jeffrey()), lambda p, q: sums(p, q)["jeffrey"]),
        "reverse KL": (
            f_gan(divergences.reverse_kl()),
            lambda p, q: sums(p, q)["reverse_kl"],
        ),
        # beta(omega(r)) = log(1 + r) is d' of twice the KL of (p + q) / 2 from p.
        "logistic, not saturating": (
            f_gan(divergences.logistic(), saturating=False),
            lambda p, q: 2 * sums((p + q) / 2, p)["kl"],
        ),
    }
    exact = {name: descended(divergence) for name, (_, divergence) in games.items()}
    found = {name: fitted(loss, two_modes, seed) for name, (loss, _) in games.items()}
    off = max(
        abs(a - b)
        for name in games
        for a, b in zip(found[name], exact[name], strict=True)
    )
    told = ", ".join(
        f"{name} ({found[name][0]:.2f}, {found[name][1]:.2f}) for "
        f"({exact[name][0]:.2f}, {exact[name][1]:.2f})"
        for name in games
    )
    gaussians = [normal(LINE, *found[name]) for name in games]
    return Shown(
        apart < 2e-3 and wrong < 0.01 and off < 0.1,
        f"11 f: value off by at most {apart:.1e}, logits by {wrong:.1e}; "
        f"(mean, sd): {told}",
        curves(LINE[1000:2600], [y[1000:2600] for y in (MODES, *gaussians)], 0, 0.85),
    )


SYSTEMS = [
    System(
        "f_gan",
        "divergences.f_gan",
        "eleven f on six atoms; one Gaussian for two modes under four games",
        "the dual is the divergence to 2e-3 and the logits log p/q to 0.01; each "
        "generator comes to its own divergence's minimiser (quadrature) within 0.1",
        run_f_gan,
    ),
]
