"""Games that learn a likelihood ratio, and the four ways to compare.

D judges N(0, 1) against fakes from N(1, 1), whose log-ratio is 1/2 - x.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.systems.divergences import P, Q, affine, curves, fitted
from experiments.systems.system import Shown, System, scanned
from gan_jax import divergences, kernel, latents, penalties, ratios
from gan_jax.comparisons import class_probability, moment_matching, ratio_matching
from gan_jax.divergences import Elementwise
from gan_jax.kernel import Batch, Network, alternating
from gan_jax.losses import Loss
from gan_jax.networks import mlp
from gan_jax.objectives import adversarial

WINDOW = np.linspace(-1, 2, 61)
LOG_RATIO = 0.5 - WINDOW  # of N(0, 1) to N(1, 1)


def judged(loss: Loss, seed: int, steps: int = 1500, n: int = 1024) -> np.ndarray:
    """D's logits in the window, real samples from N(0, 1) and fakes from N(1, 1)."""

    def standard(key: jax.Array) -> Batch:
        return {"real": jax.random.normal(key, (n, 1))}

    disc = small_at_first(mlp.discriminator(32))
    # No optimizer for G: it stays at N(1, 1).
    game = adversarial(affine(1.0), disc, loss=loss, latent=latents.normal(1))
    optimizer = optax.adam(optax.cosine_decay_schedule(4e-3, steps))
    state, _ = scanned(kernel(game, {"disc": optimizer}), standard, steps, seed)
    x = jnp.asarray(WINDOW, jnp.float32)[:, None]
    logits, _ = disc.apply(state.params["disc"], state.stats["disc"], x, train=False)
    return np.asarray(logits)


def small_at_first(disc: Network) -> Network:
    """A quarter of D's logits. An exponential of a large one, before anything is
    learned, sends D where that exponential is flat: LSIF then never comes back."""

    def apply(
        params: dict, stats: dict, /, *inputs: jax.Array, train: bool
    ) -> tuple[jax.Array, dict]:
        logits, stats = disc.apply(params, stats, *inputs, train=train)
        return logits / 4, stats

    return Network(disc.init, apply)


def weight(t: jax.Array) -> jax.Array:
    """The rho of a game of one's own; its phi and psi have no closed form."""
    return jnp.exp(-t / 2) / jnp.sqrt(1 + t**2)


OWN = ratios.designed(lambda log_r: log_r, weight)
CROSS = ratios.cross_entropy()
PAIRS = {
    "exponential": ratios.exponential(),
    "least squares": ratios.least_squares(),
    "one's own": OWN,
}


def narrow(key: jax.Array) -> Batch:
    """N(1, 0.5^2), for five moves."""
    return {"real": 1 + 0.5 * jax.random.normal(key, (1280, 1))}


def flowed(pair: ratios.Pair, loss: Loss) -> float:
    """How far the masses of six atoms end from P, in total variation, if each step is
    G's own and D is always at its best."""
    real = jnp.zeros(1)
    p = jnp.asarray(P, jnp.float32)

    @jax.jit
    def run(q: jax.Array) -> jax.Array:
        def step(q: jax.Array, _: None) -> tuple[jax.Array, None]:
            logits = -pair.output(jnp.log(q / p))
            cost = jax.vmap(lambda s: loss.gen(real, s[None]))(logits)
            return jax.nn.softmax(jnp.log(q) - 0.05 * cost), None

        return jax.lax.scan(step, q, length=20_000)[0]

    # Half way to P: near enough for any rule that leads there.
    q = run(jnp.asarray((P + Q) / 2, jnp.float32))
    return float(np.abs(np.asarray(q) - P).sum() / 2)


def run_likelihood_ratio(seed: int = 0) -> Shown:
    """D learns what it was asked to, and G follows beta."""
    square: Elementwise = jnp.square
    outputs = {
        name: -judged(ratios.likelihood_ratio(pair), seed)
        for name, pair in PAIRS.items()
    }
    log_r = jnp.asarray(-LOG_RATIO)
    off = {
        name: float(
            np.abs(
                pair.activation(jnp.asarray(outputs[name]))
                - pair.activation(pair.output(log_r))
            ).max()
        )
        for name, pair in PAIRS.items()
    }
    mean, sd = fitted(ratios.likelihood_ratio(OWN), narrow, seed)
    ends = {
        name: flowed(pair, ratios.likelihood_ratio(pair, **extended))
        for name, pair, extended in (
            ("psi", CROSS, {}),
            ("beta = t", CROSS, {"beta": lambda t: t}),
            ("least squares", PAIRS["least squares"], {}),
            ("one's own", OWN, {}),
            ("midway", PAIRS["least squares"], {"alpha": square, "beta": square}),
        )
    }
    midway = ends.pop("midway")
    try:
        ratios.likelihood_ratio(CROSS, beta=lambda t: -t)
        refused = False
    except ValueError:
        refused = True
    shown = [
        np.asarray(PAIRS[name].activation(jnp.asarray(t)))
        for name, t in outputs.items()
    ]
    return Shown(
        max(off.values()) < 0.1
        and abs(mean - 1) < 0.1
        and abs(sd - 0.5) < 0.1
        and max(ends.values()) < 0.01
        and midway > 0.1
        and refused,
        "omega off by "
        + ", ".join(f"{value:.3f} ({name})" for name, value in off.items())
        + f"; one's own game fits N(1, 0.5) by ({mean:.2f}, {sd:.2f}); six atoms end "
        f"{max(ends.values()):.0e} from p, with the midway beta of LSGAN {midway:.2f}",
        curves(WINDOW, [-LOG_RATIO, *shown], -2, 2),
    )


def run_four_ways(seed: int = 0) -> Shown:
    """log p/q = 1/2 - x by class probability and ratio matching; a mean by a moment."""
    reverse = divergences.reverse_kl()
    ways = {
        "logistic": class_probability("logistic", reverse),
        "Brier": class_probability("brier", reverse),
        "exponential": class_probability("exponential", reverse),
        "LSIF": ratio_matching(divergences.squared_difference(), reverse),
        "KLIEP": ratio_matching(divergences.kl(), reverse),
    }
    # LSIF weighs a sample by the square of its ratio, and needs more of them.
    more = {"LSIF": {"steps": 2500, "n": 2048}}
    logits = {
        name: judged(loss, seed, **more.get(name, {})) for name, loss in ways.items()
    }
    off = {name: np.abs(s - LOG_RATIO).max() for name, s in logits.items()}
    mean, sd = moved(seed)
    return Shown(
        bool(max(off.values()) < 0.1) and abs(mean - 1) < 0.1 and abs(sd - 1) < 0.1,
        "log-ratio off by "
        + ", ".join(f"{value:.3f} ({name})" for name, value in off.items())
        + f"; one linear moment takes N(0, 1) to mean {mean:.2f} of N(1, 0.5) and "
        f"leaves sd {sd:.2f}",
        # What each is off by; the frame ends where it would no longer hold.
        curves(WINDOW, [s - LOG_RATIO for s in logits.values()], -0.1, 0.1),
    )


def moved(seed: int) -> tuple[float, float]:
    """The mean and sd to which a linear statistic takes a generator from N(0, 1)."""

    def init(key: jax.Array, x: jax.Array) -> tuple[jax.Array, dict]:
        return jnp.ones(()), {}

    def apply(
        slope: jax.Array, stats: dict, /, *inputs: jax.Array, train: bool
    ) -> tuple[jax.Array, dict]:
        return slope * inputs[0][:, 0], stats

    game = adversarial(
        affine(),
        Network(init, apply),
        loss=moment_matching(),
        latent=latents.normal(1),
        penalty=penalties.wgan_gp(),
    )
    steps = 1000
    # Plain descent: Adam would take the spread, which nothing holds, for a walk.
    rate = optax.cosine_decay_schedule(0.05, steps)
    trained = kernel(
        game,
        {"disc": optax.adam(1e-2), "gen": optax.sgd(rate)},
        play=alternating("disc", "gen"),
    )
    state, _ = scanned(trained, narrow, steps, seed)
    gen = state.params["gen"]
    return float(gen["shift"]), float(jnp.exp(gen["scale"]))


SYSTEMS = [
    System(
        "likelihood_ratio",
        "ratios.likelihood_ratio",
        "D between N(0, 1) and N(1, 1); a Gaussian generator; the masses of six atoms",
        "t = omega(q/p) within 0.1 on [-1, 2] also for an omega and rho of one's own, "
        "which fit N(1, 0.5) within 0.1; p is reached by every rising beta, not by "
        "LSGAN's midway one; a falling beta is refused",
        run_likelihood_ratio,
    ),
    System(
        "four_ways",
        "comparisons",
        "the log-ratio of N(0, 1) to N(1, 1), which is 1/2 - x",
        "within 0.1 on [-1, 2] by class probability and ratio matching, which is a "
        "dual; a linear moment matches the mean within 0.1 and leaves the sd",
        run_four_ways,
    ),
]
