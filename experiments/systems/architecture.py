"""Layers, heads and weights: a game with each of them still learns."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.systems.system import Shown, System, points_of, scanned
from gan_jax import data, images, kernel, latents, losses, penalties
from gan_jax.evaluate.sliced import sliced_wasserstein
from gan_jax.gan import gan
from gan_jax.kernel import Network, Objective, Play
from gan_jax.networks import dcgan, mlp
from gan_jax.networks.cascade import cascading_rejection
from gan_jax.objectives.adversarial import adversarial
from gan_jax.objectives.cascade import cascade
from gan_jax.optimizers import adam, cosine, exponential
from gan_jax.orthogonality import (
    add_orthogonal_gradient,
    orthogonal_penalty,
)

PLAYERS = ("gen", "disc")
TOGETHER: Play = (PLAYERS,)

# --- the ring -----------------------------------------------------------------------

RING = data.ring(sd=0.1)
LATENT = latents.normal(2)
WIDTH, STEPS = 64, 2000
ring_batch = points_of(RING, 128)


def game_options() -> dict[str, Any]:
    """R3GAN's loss and penalties, with weights that fall over the run."""
    gamma = exponential(0.1, 0.001, STEPS)
    return {
        "loss": losses.relativistic_pairing(),
        "penalty": penalties.total(penalties.r1(gamma), penalties.r2(gamma)),
        "latent": LATENT,
    }


def optimizer() -> optax.GradientTransformation:
    return adam(cosine(5e-3, 2.5e-4, STEPS), b1=0.0, b2=0.99)


def ring_run(
    objective: Objective,
    optimizers: dict[str, optax.GradientTransformation] | None = None,
    seed: int = 0,
) -> Any:
    """Train on the ring: the last state."""
    rules = {player: optimizer() for player in PLAYERS} | (optimizers or {})
    trained = kernel(objective, rules, play=TOGETHER, ema={"gen": 0.995})
    return scanned(trained, ring_batch, STEPS, seed)[0]


@functools.cache
def plain_run(seed: int) -> Any:
    """What two rows compare with: one logit, and nothing asked of the weights."""
    gen, disc = mlp.generator(2, WIDTH), mlp.discriminator(WIDTH)
    return ring_run(adversarial(gen, disc, **game_options()), seed=seed)


def ring_samples(gen: Network, state: Any, *label: jax.Array) -> np.ndarray:
    """Points of the averaged generator, 2,500 or one for each label."""
    n = len(label[0]) if label else 2500
    z = jax.vmap(LATENT)(jax.random.split(jax.random.key(99), n))
    made, _ = gen.apply(state.ema["gen"], state.stats["gen"], z, *label, train=False)
    return np.asarray(made)


def said(report: data.MixtureReport) -> str:
    return (
        f"{report.covered}/{report.modes} modes, {report.high_quality:.0%} within 3 sd"
    )


def clouds(*points: np.ndarray) -> np.ndarray:
    """Samples over the ring, side by side."""
    real = np.asarray(ring_batch(jax.random.key(7))["real"])
    limits = (-2.6, 2.6, -2.6, 2.6)
    return np.hstack([images.scatter(p, real, limits) for p in points])


def head_cosine(heads: np.ndarray) -> float:
    """The largest |cosine| between the first head and another."""
    units = heads / np.linalg.norm(heads, axis=0)
    return float(np.abs(units[:, 0] @ units[:, 1:]).max())


def run_cascade(seed: int = 0) -> Shown:
    """Three logits by cascading rejection, three plain ones, and one."""
    gen = mlp.generator(2, WIDTH)
    discs = {
        "cascade": mlp.discriminator(WIDTH, cascade=3),
        # An MLP of three outputs is a discriminator of three plain heads.
        "plain": mlp.generator(3, WIDTH),
    }
    states = {
        name: ring_run(
            cascade(gen, disc, weights=(1.0, 1.0, 1.0), **game_options()), seed=seed
        )
        for name, disc in discs.items()
    }
    states["one"] = plain_run(seed)
    samples = {name: ring_samples(gen, state) for name, state in states.items()}
    reports = {name: data.mixture_report(s, RING) for name, s in samples.items()}
    kernel_ = states["cascade"].params["disc"]["Cascade_0"]["kernel"]
    rejected = head_cosine(np.asarray(cascading_rejection(jnp.eye(WIDTH), kernel_)[0]))
    plain = head_cosine(np.asarray(states["plain"].params["disc"]["Dense_2"]["kernel"]))
    mine, control = reports["cascade"], reports["one"]
    return Shown(
        mine.covered == 8
        and mine.high_quality > 0.6
        and mine.high_quality > control.high_quality - 0.15
        and rejected < 1e-3 < 0.1 < plain,
        f"{said(mine)}; one logit {said(control)}; three plain logits "
        f"{said(reports['plain'])}; |cos| of the first head with the others "
        f"{rejected:.0e}, of plain ones {plain:.2f}",
        clouds(*samples.values()),
    )


def run_orthogonal(seed: int = 0) -> Shown:
    """The generator's weights with the gradient of the penalty, and without."""
    gen, disc = mlp.generator(2, WIDTH), mlp.discriminator(WIDTH)
    objective = adversarial(gen, disc, **game_options())
    rule = optax.chain(add_orthogonal_gradient(1e-3), optimizer())
    states = {
        "with": ring_run(objective, {"gen": rule}, seed),
        "without": plain_run(seed),
    }
    samples = {name: ring_samples(gen, state) for name, state in states.items()}
    reports = {name: data.mixture_report(s, RING) for name, s in samples.items()}

    def cosines(params: Any) -> np.ndarray:
        w = np.asarray(params["Dense_1"]["kernel"], np.float64)
        w = w / np.linalg.norm(w, axis=0)
        return w.T @ w - np.eye(WIDTH)

    begun, _ = objective.init(jax.random.key(seed), ring_batch(jax.random.key(0)))
    costs = {
        name: float(orthogonal_penalty(params["Dense_1"], 1.0))
        for name, params in (
            ("start", begun["gen"]),
            *((name, state.params["gen"]) for name, state in states.items()),
        )
    }
    angles = [np.abs(cosines(s.params["gen"])) for s in states.values()]
    shown = np.hstack([np.kron(a, np.ones((4, 4))) for a in angles])
    grey = np.round(255 * (1 - np.clip(shown, 0, 1))).astype(np.uint8)
    picture = np.hstack([clouds(*samples.values()), np.repeat(grey[..., None], 3, 2)])
    mine, control = reports["with"], reports["without"]
    return Shown(
        costs["with"] < 0.1 * min(costs["start"], costs["without"])
        and mine.covered == 8
        and mine.high_quality > control.high_quality - 0.15,
        f"Σ(WᵀW)²_ij of the hidden layer {costs['start']:.0f} → {costs['with']:.2g}, "
        f"without it → {costs['without']:.0f}; {said(mine)}, without {said(control)}",
        picture,
    )


def blind(disc: Network) -> Network:
    """A discriminator that is given the label and does not look."""

    def apply(params: Any, stats: Any, /, *inputs: Any, train: bool) -> tuple[Any, Any]:
        return disc.apply(params, stats, inputs[0], train=train)

    return Network(lambda key, x, label: disc.init(key, x), apply)


def run_projection(seed: int = 0) -> Shown:
    """Labels through ⟨e_y, h⟩, and past a discriminator that does not see them.

    Without pairs: a relativistic loss compares the fake and the real of one label, and
    so lets the labels through to a blind D.
    """
    gen = mlp.generator(2, WIDTH, classes=8)
    seeing, unseeing = mlp.discriminator(WIDTH, classes=8), mlp.discriminator(WIDTH)
    apart = {"loss": losses.nonsaturating()}
    runs: dict[str, tuple[Network, dict[str, Any]]] = {
        "projection": (seeing, apart),
        "blind": (blind(unseeing), apart),
        "pairs": (blind(unseeing), {}),
    }
    label = np.arange(2400) % 8
    samples, own = {}, {}
    for name, (disc, other) in runs.items():
        options = game_options() | other
        objective = adversarial(gen, disc, conditional=True, **options)
        made = ring_samples(gen, ring_run(objective, seed=seed), jnp.asarray(label))
        nearest = np.linalg.norm(made[:, None] - RING.modes[None], axis=-1).argmin(1)
        samples[name] = made
        own[name] = [float((nearest == label)[label == y].mean()) for y in range(8)]
    near = np.linalg.norm(samples["projection"] - RING.modes[label], axis=1)
    close = float((near < 3 * RING.sd).mean())
    shown = [coloured(points, label) for points in samples.values()]
    return Shown(
        min(own["projection"]) > 0.95 and close > 0.6 and sum(own["blind"]) / 8 < 0.5,
        f"on the label's own mode: {min(own['projection']):.0%} of the worst class, "
        f"{close:.0%} within 3 sd; with a blind D {sum(own['blind']) / 8:.0%} (chance "
        f"12%), and {sum(own['pairs']) / 8:.0%} where a paired loss tells it",
        np.hstack(shown),
    )


def coloured(points: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Points with a colour for each label, four at a time from the palette."""
    limits = (-2.6, 2.6, -2.6, 2.6)
    picture = np.full((256, 256, 3), 255, np.uint8)
    for y in range(8):
        one = images.scatter(points[label == y], None, limits)
        ink = one.min(-1) < 200
        ink[[0, -1]] = ink[:, [0, -1]] = False
        hue = np.array(images.COLOURS[y % 4], float)
        picture[ink] = np.round(hue if y < 4 else 0.5 * hue + 110).astype(np.uint8)
    return picture


# --- images -------------------------------------------------------------------------


def face_batches(n: int, seed: int) -> np.ndarray:
    """Drawn faces of 16x16 pixels."""
    return data.faces(n, 16, seed).gather(np.arange(n))["real"]


def face_run(norm: Any, real: np.ndarray, steps: int, seed: int) -> list[Any]:
    """Train a small DCGAN: the model, its first state and its last."""
    model = gan(
        dcgan.generator(16, width=16, norm=norm),
        dcgan.discriminator(16, width=16),
        latent=latents.normal(32),
        optimizers={p: adam(1e-3, b1=0.5, b2=0.99) for p in PLAYERS},
        penalty=penalties.r1(1.0),
        ema=0.99,
    )
    order = data.Order(len(real), 64, seed)
    start = jax.jit(model.init)(jax.random.key(seed), {"real": real[:64]})
    step, state = jax.jit(model.step), start
    for number in range(steps):
        state, _ = step(state, {"real": real[order.indices(number)]})
    return [model, start, state]


def scale_spread(params: Any, z: np.ndarray) -> float:
    """How much γ(z) varies with z: its deviation, averaged over channels and layers."""
    spreads = []
    for name, norm in params.items():
        if name.startswith("SelfModulatedNorm"):
            affine = jax.tree.map(np.asarray, norm["Affine_0"])
            h = z @ affine["Dense_0"]["kernel"] + affine["Dense_0"]["bias"]
            spreads.append((np.maximum(h, 0) @ affine["scale"]["kernel"]).std(0))
    return float(np.concatenate(spreads).mean())


def run_self_modulation(seed: int = 0) -> Shown:
    """Drawn faces by DCGAN, its norms modulated by z, and plain."""
    real, held = face_batches(4096, 0), face_batches(1024, 1)
    z = jax.random.normal(jax.random.key(5), (1024, 32))
    points = held.reshape(1024, -1) / 127.5 - 1

    @jax.jit
    def far(x: jax.Array) -> jax.Array:
        flat = x.reshape(1024, -1)
        return sliced_wasserstein(
            flat, jnp.asarray(points, jnp.float32), jax.random.key(6)
        )

    first, last, pictures, ends = [], [], [], []
    for norm in ("batch", "self"):
        model, start, end = face_run(norm, real, 600, seed)
        sample = jax.jit(model.sample)
        first.append(np.asarray(sample(start, z)))
        made = sample(end, z)
        last.append(float(far(made)))
        pictures.append(images.grid(made[:36]))
        ends.append(end)
    begun = float(far(jnp.asarray(first[0])))
    floor = float(far(jnp.asarray(real[:1024] / 127.5 - 1, jnp.float32)))
    differ = int((first[0] != first[1]).sum())
    spread = scale_spread(ends[1].params["gen"], np.asarray(z))
    plain, own = last
    return Shown(
        differ == 0 and own < 0.5 * begun and own < 1.25 * plain and spread > 0.01,
        f"{differ} of {first[0].size:,} numbers differ at the start; SW2 {begun:.3f} → "
        f"{own:.3f}, plain norms → {plain:.3f} (real faces {floor:.3f}); at the end "
        f"γ varies by ±{spread:.2f} with z",
        np.hstack([images.grid(held[:36]), *pictures]).repeat(3, 0).repeat(3, 1),
    )


SYSTEMS = [
    System(
        "self_mod",
        "networks.dcgan.generator(norm='self')",
        "drawn faces of 16x16 pixels, 600 steps",
        "the plain generator's images at the start bit for bit; at the end half the "
        "distance or less, at most 1.25 of the plain one's, and γ moves with z",
        run_self_modulation,
    ),
    System(
        "cascading_rejection",
        "objectives.cascade",
        "a ring of eight Gaussians, three logits",
        "8/8 modes, over 60% within 3 sd (a bare ring has 39%) and no worse than one "
        "logit by 15%; the other heads are orthogonal to the first",
        run_cascade,
    ),
    System(
        "orthogonal_weights",
        "orthogonality.add_orthogonal_gradient",
        "a ring of eight Gaussians, β = 1e-3 on G",
        "products of columns fall to a tenth of the start's and of the control's; 8/8 "
        "modes, no worse than without by 15%",
        run_orthogonal,
    ),
    System(
        "projection",
        "networks.mlp.discriminator(classes=8)",
        "a ring of eight labelled Gaussians",
        "over 95% of each class on its own mode; below 50% with a D that is not shown "
        "the label (chance is 12%; luck gives more)",
        run_projection,
    ),
]
