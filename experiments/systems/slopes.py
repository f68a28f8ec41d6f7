"""What holds D's slope: penalties and clipped weights, where D could win outright.

The data lie on the line x = 0, the fakes on x = theta, a parallel one: G has nothing
but theta, which begins at 2. Their Jensen-Shannon divergence is log 2 wherever theta is
not 0, so that only a D that does not win outright tells G where to go.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.systems.system import Shown, System, scanned
from gan_jax import kernel, losses, optimizers, penalties
from gan_jax.images import plot
from gan_jax.kernel import Batch, Info, Network, State, simultaneous
from gan_jax.losses import Loss
from gan_jax.networks import mlp
from gan_jax.objectives import adversarial
from gan_jax.penalties import Penalty

START, STUCK = 2.0, 1.5
WASSERSTEIN, MINIMAX = losses.wasserstein(), losses.minimax()
# Two Diracs, 2 apart; per element they are 1.4 (L1) or sqrt 2 (L2) apart.
REAL, FAKE, APART = (1.2, -1.6), (0.0, 0.0), 2.0


def bare(
    begin: Callable[[], Any], apply: Callable[[Any, jax.Array], jax.Array]
) -> Network:
    """A network that begins with ``begin()`` and is ``apply(params, x)``."""

    def call(
        params: Any, stats: Any, /, *inputs: Any, train: bool
    ) -> tuple[jax.Array, Any]:
        return apply(params, *inputs), stats

    return Network(lambda key, x: (begin(), {}), call)


# G(z) = (theta, z); G(z) = FAKE; and D(x) = w x.
LINE = bare(
    lambda: jnp.asarray(START), lambda w, z: jnp.hstack([jnp.full_like(z, 1.0) * w, z])
)
POINT = bare(dict, lambda _, z: jnp.broadcast_to(jnp.asarray(FAKE), (len(z), 2)))
LINEAR = bare(lambda: jnp.zeros(2), lambda w, x: x @ w)


def uniform(key: jax.Array) -> jax.Array:
    """z ~ U[0, 1], as the data's other coordinate is."""
    return jax.random.uniform(key, (1,))


def on_the_line(key: jax.Array) -> Batch:
    """128 points (0, y)."""
    y = jax.random.uniform(key, (128, 1))
    return {"real": jnp.hstack([jnp.zeros_like(y), y])}


@functools.cache
def lines(
    loss: Loss,
    penalty: Penalty | None = None,
    *,
    steps: int = 3000,
    clip: float | None = None,
    seed: int = 0,
) -> tuple[State, np.ndarray]:
    """Parallel lines, both players at once: the last state, and theta step by step."""
    game = adversarial(
        LINE, mlp.discriminator(64), loss=loss, latent=uniform, penalty=penalty
    )

    def followed(
        params: dict, stats: dict, batch: Batch, keys: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[dict, Info]]:
        value, (stats, info) = game.loss(params, stats, batch, keys, step)
        return value, (stats, info | {"theta": params["gen"]})

    adam = optax.adam(1e-3, b1=0.5)
    disc = adam if clip is None else optimizers.clipped_weights(adam, clip)
    trained = kernel(game._replace(loss=followed), {"gen": adam, "disc": disc})
    state, info = scanned(trained, on_the_line, steps, seed)
    return state, np.asarray(info["theta"])


def late(thetas: np.ndarray) -> float:
    """How far from 0 theta is on average in the last quarter of a run."""
    return float(np.abs(thetas[-len(thetas) // 4 :]).mean())


def diracs(
    penalty: Penalty | None,
    critic: Network,
    optimizer: optax.GradientTransformation,
    *,
    steps: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """A critic alone on two Diracs: its value, and its gap D(x) - D(x_f)."""
    game = adversarial(POINT, critic, loss=WASSERSTEIN, latent=uniform, penalty=penalty)
    trained = kernel(game, {"disc": optimizer}, play=simultaneous("disc"))
    batch = {"real": jnp.broadcast_to(jnp.asarray(REAL), (32, 2))}
    _, info = scanned(trained, lambda key: batch, steps, seed)
    gap = -np.asarray(info["disc/loss"])
    cost = np.asarray(info.get("disc/penalty", 0 * gap))
    return float((gap - cost)[-100:].mean()), float(gap[-100:].mean())


def falling() -> optax.GradientTransformation:
    """Adam whose rate falls, so that it comes to rest."""
    return optimizers.adam(optimizers.exponential(1e-2, 1e-4, 2000), b1=0.9)


def curves(**thetas: np.ndarray) -> np.ndarray:
    """theta over the steps of some runs, and of the saturating game without penalty."""
    shown = {"saturating": lines(MINIMAX)[1], **thetas}
    every = 20
    series = {
        name.replace("_", " "): (
            list(map(float, range(0, len(theta), every))),
            [float(x) for x in theta[::every]],
        )
        for name, theta in shown.items()
    }
    return plot("theta", series, size=(560, 300))


def near(value: float, wanted: float, share: float = 0.02) -> bool:
    """Whether ``value`` is ``wanted`` up to a share of it."""
    return abs(value - wanted) < share * abs(wanted)


def nonsaturating() -> Shown:
    """It is the loss of G, not the divergence, that counts."""
    stuck = late(lines(MINIMAX)[1])
    _, plain = lines(losses.nonsaturating())
    both = penalties.total(penalties.r1(0.1), penalties.r2(0.1))
    _, held = lines(losses.nonsaturating(), both, steps=4000)
    return Shown(
        stuck > STUCK and late(plain) < 0.1 and late(held) < 0.1,
        f"theta {late(plain):.3f}, with R1 + R2 {late(held):.3f}; saturating "
        f"{stuck:.2f}",
        curves(non_saturating=plain, R1_and_R2=held),
    )


def target_slope(penalty: Penalty) -> Shown:
    """A slope of 1 between or near the data lets no G down, not even the saturating."""
    stuck = late(lines(MINIMAX)[1])
    _, plain = lines(losses.nonsaturating(), penalty)
    _, cured = lines(MINIMAX, penalty)
    return Shown(
        stuck > STUCK and late(plain) < 0.5 and late(cured) < 0.5,
        f"theta {late(plain):.3f} (non-saturating) and {late(cured):.3f} (saturating); "
        f"without the penalty the latter stays at {stuck:.2f}",
        curves(non_saturating_held=plain, saturating_held=cured),
    )


def wgan() -> Shown:
    """Clipped weights: the box is no ball, and theta circles."""
    bound = 0.01
    optimizer = optimizers.clipped_weights(optax.rmsprop(1e-3), bound)
    value, _ = diracs(None, LINEAR, optimizer, steps=200)
    wanted = bound * sum(abs(r - f) for r, f in zip(REAL, FAKE, strict=True))
    state, thetas = lines(WASSERSTEIN, clip=0.1)
    largest = max(
        float(jnp.abs(w).max()) for w in jax.tree.leaves(state.params["disc"])
    )
    return Shown(
        near(value, wanted) and late(thetas) < 0.5 and largest < 0.1 + 1e-8,
        f"W {value:.4f} (0.01 x L1 distance: {wanted:.4f}); theta {late(thetas):.3f}; "
        f"largest weight {largest:.4f} of 0.1",
        curves(clipped_weights=thetas),
    )


def wgan_gp() -> Shown:
    """The slope between the Diracs is 1 + d / (2 lambda), not 1."""
    value, gap = diracs(penalties.wgan_gp(10.0), mlp.discriminator(64), falling())
    slope = 1 + APART / 20
    _, thetas = lines(WASSERSTEIN, penalties.wgan_gp(10.0))
    return Shown(
        near(gap / APART, slope)
        and near(value, APART + APART**2 / 40)
        and late(thetas) < 0.1,
        f"slope {gap / APART:.3f} ({slope:.3f}), value {value:.3f} (2.100); theta "
        f"{late(thetas):.3f}",
        curves(WGAN_GP=thetas),
    )


def wgan_div() -> Shown:
    """The formula is a linear critic's; one that is flat at both points has no best."""
    k, p = 2.0, 6.0
    value, gap = diracs(penalties.wgan_div(k, p), LINEAR, falling())
    slope = (APART / (k * p)) ** (1 / (p - 1))
    wanted = APART * slope - k * slope**p
    free, _ = diracs(penalties.wgan_div(k, p), mlp.discriminator(64), falling())
    _, thetas = lines(WASSERSTEIN, penalties.wgan_div(k, p))
    return Shown(
        near(gap / APART, slope) and near(value, wanted) and late(thetas) < 0.1,
        f"linear critic: slope {gap / APART:.3f} ({slope:.3f}), value {value:.3f} "
        f"({wanted:.3f}); an MLP's value {free:.3f}; theta {late(thetas):.3f}",
        curves(WGAN_div=thetas),
    )


def gan_qp() -> Shown:
    """The gap is lambda d for any critic, and the value half of it."""
    by_norm = {"l1": 14.0, "l2": 10 * 2**0.5}
    told, holds = [], True
    for norm, wanted in by_norm.items():
        penalty = penalties.quadratic_potential(10.0, "l1" if norm == "l1" else "l2")
        value, gap = diracs(penalty, mlp.discriminator(64), falling())
        holds &= near(gap, wanted) and near(value, wanted / 2)
        told.append(f"{norm} gap {gap:.2f} ({wanted:.2f}), value {value:.2f}")
    _, thetas = lines(WASSERSTEIN, penalties.quadratic_potential(10.0))
    return Shown(
        holds and late(thetas) < 0.1,
        f"{'; '.join(told)}; theta {late(thetas):.3f}",
        curves(GAN_QP=thetas),
    )


DIRACS = "two Diracs d = 2 apart, and parallel lines from theta = 2"
SYSTEMS = [
    System(
        "non_saturating",
        "losses.nonsaturating",
        "data on the line x = 0, fakes on x = theta from theta = 2: JS is log 2",
        "theta < 0.1, also with R1 + R2; the saturating G above 1.5",
        nonsaturating,
    ),
    System(
        "gan_gp",
        "penalties.wgan_gp",
        "parallel lines from theta = 2, logistic losses",
        "theta < 0.5 for the non-saturating and the saturating G; the latter without "
        "penalty above 1.5",
        lambda: target_slope(penalties.wgan_gp()),
    ),
    System(
        "dragan",
        "penalties.dragan",
        "parallel lines from theta = 2, logistic losses",
        "theta < 0.5 for the non-saturating and the saturating G; the latter without "
        "penalty above 1.5",
        lambda: target_slope(penalties.dragan()),
    ),
    System(
        "wgan",
        "optimizers.clipped_weights",
        DIRACS,
        "W = bound x L1 distance to 2%; theta < 0.5; no weight beyond the bound",
        wgan,
    ),
    System(
        "wgan_gp",
        "penalties.wgan_gp",
        DIRACS,
        "slope 1 + d/2λ and value d + d²/4λ to 2%; theta < 0.1",
        wgan_gp,
    ),
    System(
        "wgan_div",
        "penalties.wgan_div",
        DIRACS,
        "a linear critic: slope (d/kp)^(1/(p-1)), value ds - ks^p, to 2%; theta < 0.1",
        wgan_div,
    ),
    System(
        "gan_qp",
        "penalties.quadratic_potential",
        DIRACS,
        "gap λd and value λd/2 to 2%, both norms; theta < 0.1",
        gan_qp,
    ),
]
