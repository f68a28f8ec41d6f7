"""One loss for both players: equal gradients, written in three ways; and nine losses.

The rows that all others stand on: whether the gradients of one scalar are those of two,
what that costs, and whether every loss learns a ring with it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.systems.system import Shown, System, scanned
from gan_jax import data, gan, images, latents, losses, penalties
from gan_jax.kernel import Kernel, alternating
from gan_jax.networks import mlp
from gan_jax.objectives import adversarial
from gan_jax.optimizers import adam, cosine, exponential

GRADIENTS = ("merged", "article", "one_backward")
LOSSES = {
    "minimax": losses.minimax(),
    "non-saturating": losses.nonsaturating(),
    "hinge": losses.hinge(),
    "least squares": losses.least_squares(),
    "Wasserstein": losses.wasserstein(),
    "Rp": losses.relativistic_pairing(),
    "Ra logistic": losses.relativistic_average(),
    "Ra least squares": losses.relativistic_average("least_squares"),
    "Ra hinge": losses.relativistic_average("hinge"),
}
GEN, DISC, LATENT = mlp.generator(2, 32), mlp.discriminator(32), latents.normal(4)


def gradients(gradient: Any, weight: float) -> tuple[Any, Any]:
    """Of the merged loss, and of two losses apart, in float64."""
    loss = losses.nonsaturating()
    game = adversarial(GEN, DISC, loss=loss, latent=LATENT, gradient=gradient)
    real = {"real": weight * jax.random.normal(jax.random.key(1), (64, 2))}
    params, stats = game.init(jax.random.key(0), real)
    params = jax.tree.map(lambda x: x.astype(float), params)
    keys = jax.random.split(jax.random.key(2), 64)
    z = jax.vmap(lambda key: LATENT(jax.random.split(key)[0]))(keys)

    def fakes(phi: Any) -> jax.Array:
        return GEN.apply(phi, {}, z, train=True)[0]

    def judged(theta: Any, x: jax.Array) -> jax.Array:
        return DISC.apply(theta, {}, x, train=True)[0]

    def merged(params: Any) -> jax.Array:
        return game.loss(params, stats, real, keys, jnp.asarray(0))[0]

    theta, phi = params["disc"], params["gen"]
    held, r = fakes(phi), judged(theta, real["real"])
    apart = {
        "disc": jax.grad(lambda t: loss.disc(judged(t, real["real"]), judged(t, held)))(
            theta
        ),
        "gen": jax.grad(lambda p: loss.gen(r, judged(theta, fakes(p))))(phi),
    }
    return jax.grad(merged)(params), apart


def gap(a: Any, b: Any) -> float:
    """The largest difference of two pytrees over the largest number."""
    a, b = ([np.asarray(x) for x in jax.tree.leaves(t)] for t in (a, b))
    largest = max(np.abs(x).max() for x in b)
    return float(max(np.abs(x - y).max() for x, y in zip(a, b, strict=True)) / largest)


def flops(n: int, **options: Any) -> float:
    """Operations of one compiled step, as XLA counts them, with equal players."""
    model = gan(
        mlp.generator(64, 256, depth=3),
        mlp.discriminator(256, depth=3),
        latent=latents.normal(64),
        penalty=None,
        ema=None,
        optimizers={"gen": optax.sgd(1e-3), "disc": optax.sgd(1e-3)},
        **options,
    )
    batch = {"real": jax.ShapeDtypeStruct((n, 64), jnp.float32)}
    state = jax.eval_shape(model.init, jax.random.key(0), batch)
    compiled: Any = jax.jit(model.step).lower(state, batch).compile()
    return float(compiled.cost_analysis()["flops"])


def weighed(optimizer: optax.GradientTransformation) -> float:
    """How much further ten times the gradient takes a player, in its second step."""

    def moved(weight: float) -> jax.Array:
        params, gradient = jnp.ones(3), weight * jnp.array([1.0, -2.0, 3.0])
        state = optimizer.init(params)
        _, state = optimizer.update(gradient, state, params)
        updates: Any = optimizer.update(gradient, state, params)[0]
        return jnp.linalg.norm(updates)

    return float(moved(10.0) / moved(1.0))


def one_loss() -> Shown:
    """Three ways of writing it, against two losses; what each costs; lambda."""
    with jax.enable_x64():
        gaps = {g: gap(*gradients(g, 1.0)) for g in GRADIENTS}
    apart = flops(256, play=alternating("disc", "gen"))
    shares = {g: flops(128, gradient=g) / apart for g in GRADIENTS}
    sgd, by_adam = weighed(optax.sgd(0.1)), weighed(optax.adam(0.1))
    curve = images.plot(
        "operations of a step, alternating = 1",
        {g: ([0.0, 1.0], [s, s]) for g, s in shares.items()},
        axis="",
    )
    return Shown(
        max(gaps.values()) < 1e-12
        and shares["one_backward"] < shares["merged"] < shares["article"] < 1
        and abs(sgd - 10) < 1e-3
        and abs(by_adam - 1) < 1e-3,
        f"gaps {', '.join(f'{g} {x:.0e}' for g, x in gaps.items())}; operations "
        f"{', '.join(f'{g} {s:.2f}' for g, s in shares.items())}; a weight of 10 moves "
        f"SGD {sgd:.2f} times as far, Adam {by_adam:.2f} times",
        curve,
    )


def nine_losses(seed: int = 0) -> Shown:
    """Every loss on the ring, with R1 and R2, in one simultaneous step."""
    steps, ring = 2000, data.ring(sd=0.1)
    points = jnp.asarray(data.mixture_points(ring, 20_000, seed=1).arrays["real"])
    weight = exponential(1.0, 0.01, steps)
    covered, pictures = {}, []
    z = jax.random.normal(jax.random.key(9), (2500, 4))
    for name, loss in LOSSES.items():
        model = gan(
            mlp.generator(2, 64),
            mlp.discriminator(64),
            loss=loss,
            penalty=penalties.total(penalties.r1(weight), penalties.r2(weight)),
            latent=LATENT,
            optimizers={
                player: adam(cosine(2e-3, 1e-4, steps), b1=0.0, b2=0.99)
                for player in ("gen", "disc")
            },
        )

        def batches(key: jax.Array) -> dict[str, jax.Array]:
            return {"real": jax.random.choice(key, points, (128,))}

        state, _ = scanned(Kernel(model.init, model.step), batches, steps, seed)
        samples = np.asarray(model.sample(state, z))
        covered[name] = data.mixture_report(samples, ring)
        pictures.append(images.scatter(samples, ring.modes, (-3, 3, -3, 3), size=200))
    rows = [np.hstack(pictures[i : i + 3]) for i in (0, 3, 6)]
    return Shown(
        all(r.covered == 8 and r.high_quality > 0.45 for r in covered.values()),
        ", ".join(
            f"{name} {r.covered} ({r.high_quality:.0%})" for name, r in covered.items()
        ),
        np.vstack(rows),
    )


SYSTEMS = [
    System(
        "one_loss",
        "objectives.adversarial",
        "two small players, one scalar in three ways against two losses in float64",
        "equal gradients to 1e-12; fewer operations than alternating; a weight on a "
        "player's loss moves SGD, not Adam",
        one_loss,
    ),
    System(
        "losses",
        "losses",
        "a ring of 8 Gaussians (sd 0.1), nine losses with R1 and R2, all at once",
        "8 of 8 modes for each, over 45% within 3 sd (a bare ring has 39%)",
        nine_losses,
    ),
]
