"""Aids for a game that D wins too easily."""

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
from gan_jax import images, kernel, latents, losses, optimizers, penalties
from gan_jax.augment import Augment, ada, diff_augment, fixed
from gan_jax.data import faces, mixture_report, ring
from gan_jax.gan import Gan, gan
from gan_jax.images import plot
from gan_jax.kernel import Batch, Info, Kernel, Network, State, simultaneous
from gan_jax.losses import Loss
from gan_jax.networks import mlp
from gan_jax.objectives.adversarial import adversarial
from gan_jax.regularizers import consistency, lecam

RING = ring()
LIMITS = (-3.0, 3.0, -3.0, 3.0)
PAIRS = losses.relativistic_pairing()


def adam(*players: str, rate: float = 2e-3, steps: int = 2000) -> dict[str, Any]:
    """Adam without momentum for each player, its rate falling along a cosine."""
    fall = optimizers.cosine(rate, rate / 20, steps)
    return {player: optimizers.adam(fall, 0.0, 0.99) for player in players}


# --- few images ---------------------------------------------------------------------

FEW, SIDE = 64, 16
FACE_STEPS = 1500
BOXED = (SIDE, SIDE, 3)


def portraits(n: int, seed: int) -> np.ndarray:
    """Drawn faces in [-1, 1]."""
    pixels = faces(n, SIDE, seed).gather(np.arange(n))["real"]
    return pixels.astype(np.float32) / 127.5 - 1


def face_gan(augment: Augment | None) -> Gan:
    """Two MLPs, D the stronger one and hardly held back."""
    return gan(
        mlp.generator(BOXED, width=64, tanh=True),
        mlp.discriminator(width=128),
        latent=latents.normal(16),
        penalty=penalties.r1(0.05),
        augment=augment,
        optimizers=adam("gen", "disc", rate=1e-3, steps=FACE_STEPS),
        ema=0.99,
    )


class Judged(NamedTuple):
    """A trained D on faces that it has seen, on others, and on fakes.

    Attributes:
      share: (E D(seen) - E D(unseen)) / (E D(seen) - E D(fake)), all three as they
        are: 0 if D takes unseen faces for real ones, 1 if it takes them for fakes.
      sure: E sign D(seen), the faces as D sees them in training.
      p: ADA's probability over the steps.
      fakes: 36 of them.
    """

    share: float
    sure: float
    p: np.ndarray
    fakes: np.ndarray


def judged(augment: Augment, seed: int) -> Judged:
    """One run on the few faces, all of them at every step."""
    model = face_gan(augment)
    seen, unseen = (jnp.asarray(portraits(n, s)) for n, s in ((FEW, 1), (512, 2)))
    state, info = scanned(
        Kernel(model.init, model.step), lambda key: {"real": seen}, FACE_STEPS, seed
    )
    z = jax.vmap(latents.normal(16))(jax.random.split(jax.random.key(9), 512))
    fake = jax.jit(model.sample)(state, z)
    disc = mlp.discriminator(width=128)
    own = state.stats["disc"]["network"]
    judge = jax.jit(
        lambda x: disc.apply(state.params["disc"], own, x, train=False)[0].mean()
    )
    of_seen, of_unseen, of_fake = (float(judge(x)) for x in (seen, unseen, fake))
    return Judged(
        (of_seen - of_unseen) / (of_seen - of_fake),
        sureness(info),
        np.asarray(info.get("disc/augment_p", np.zeros(FACE_STEPS))),
        np.asarray(fake[:36]),
    )


def sureness(info: Info) -> float:
    """E sign D(x) over the last quarter of a run, of whole intervals of four moves."""
    signs, moves = (np.asarray(info[f"disc/augment_{n}"]) for n in ("signs", "moves"))
    late = np.arange(FACE_STEPS) >= 0.75 * FACE_STEPS
    return float((signs / 4)[late & (moves == 4)].mean())


def counted(augment: Augment) -> Augment:
    """An augmentation without a memory that counts signs as ADA does, for its p."""
    watch = ada(batch=FEW, images=1)
    return watch._replace(
        apply=lambda memory, key, x: augment.apply({}, key, x),
    )


def run_few_images(seed: int = 0) -> Shown:
    """64 faces, once alone, once with DiffAugment, once with ADA."""
    runs = {
        name: judged(rule, seed)
        for name, rule in {
            "alone": counted(fixed(lambda key, x: x)),
            "DiffAugment": counted(diff_augment()),
            # From 0 to 1 in 500 steps: the runs are short.
            "ADA": ada(batch=FEW, images=500 * FEW),
        }.items()
    }
    alone, changed, followed = runs.values()
    every = [portraits(36, seed=1), *(run.fakes for run in runs.values())]
    pictures = [images.grid(x.repeat(2, 1).repeat(2, 2)) for x in every]
    steps = [float(i) for i in range(0, FACE_STEPS, 20)]
    series = {"p": (steps, [float(x) for x in followed.p[::20]])}
    curve = plot("ADA's p", series, size=(320, 206))
    told = "; ".join(
        f"{name} {run.share:.2f} and {run.sure:.2f}" for name, run in runs.items()
    )
    return Shown(
        alone.share > 0.4
        and changed.share < 0.7 * alone.share
        and alone.sure > 0.9
        and abs(followed.sure - 0.6) < 0.1,
        f"how far unseen faces lie towards fakes, and E sign D of seen ones: {told}; "
        f"ADA's p ended at {followed.p[-1]:.2f}",
        side_by_side(*pictures, curve),
    )


# --- LeCam --------------------------------------------------------------------------

WEIGHT = 0.5
APART = 1.5
LECAM_STEPS = 1500


def only_disc(regularized: bool, seed: int) -> tuple[State, Info]:
    """A Wasserstein D without any bound between N(1.5, 1) and N(0, 1)."""
    still = Network(
        lambda key, z: ({}, {}), lambda params, stats, /, *z, train: (z[0], stats)
    )
    game = adversarial(
        still,
        mlp.discriminator(width=32),
        loss=losses.wasserstein(),
        latent=latents.normal(1),
        regularizer=lecam(WEIGHT) if regularized else None,
    )
    rate = optimizers.exponential(5e-3, 1e-4, LECAM_STEPS)
    built = kernel(game, {"disc": optax.adam(rate)}, play=simultaneous("disc"))

    def batches(key: jax.Array) -> Batch:
        return {"real": APART + jax.random.normal(key, (1024, 1))}

    return scanned(built, batches, LECAM_STEPS, seed)


def run_lecam(seed: int = 0) -> Shown:
    """The gap that LeCam lets D reach, by a sum over the line, and by D."""
    x = np.linspace(-8, 10, 4001)
    p = np.exp(-((x - APART) ** 2) / 2) / np.sqrt(2 * np.pi)
    q = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    v = np.sum(p * (p - q) / (p + q)) * (x[1] - x[0])
    wanted = v / (WEIGHT * (1 + v))
    gaps = {}
    for held in (True, False):
        state, info = only_disc(held, seed)
        gap = -np.asarray(info["disc/loss"])
        gaps[held] = float(gap[-100:].mean())
        if held:
            curve, stats = state.params["disc"], state.stats["disc"]["network"]
    disc = mlp.discriminator(width=32)
    at = np.linspace(-2, 3.5, 111)
    logits, _ = disc.apply(curve, stats, jnp.asarray(at[:, None]), train=False)
    logits = np.asarray(logits) - np.asarray(logits).mean()
    share = (np.interp(at, x, p) - np.interp(at, x, q)) / np.interp(at, x, p + q)
    best = share * (1 / WEIGHT - wanted) / 2
    best -= best.mean()
    off = float(np.abs(logits - best).mean() / wanted)
    series = {
        "by the formula": (at.tolist(), best.tolist()),
        "D": (at.tolist(), logits.tolist()),
    }
    return Shown(
        abs(gaps[True] / wanted - 1) < 0.05 and off < 0.1 and gaps[False] > 20 * wanted,
        f"gap {gaps[True]:.4f}, by the formula {wanted:.4f}; D is off it by "
        f"{100 * off:.1f}% of the gap on average; without LeCam the gap is "
        f"{gaps[False]:.3g}",
        plot("D(x) between N(1.5, 1) and N(0, 1)", series, size=(480, 300), axis="x"),
    )


# --- consistency --------------------------------------------------------------------


def shaken(key: jax.Array, x: jax.Array) -> jax.Array:
    """A point moved by five standard deviations of a mode."""
    return x + 0.1 * jax.random.normal(key, x.shape)


def ring_gan(
    seed: int, steps: int, *, loss: Any = None, penalty: Any = None
) -> tuple[State, Info, np.ndarray]:
    """A run on the ring, with falling R1 and R2 by default, and 2,500 samples."""
    gamma = optimizers.exponential(1.0, 0.01, steps)
    model = gan(
        mlp.generator(2, width=64),
        mlp.discriminator(width=64),
        latent=latents.normal(16),
        loss=PAIRS if loss is None else loss,
        penalty=penalties.total(penalties.r1(gamma), penalties.r2(gamma))
        if penalty is None
        else penalty,
        optimizers=adam("gen", "disc", steps=steps),
        ema=0.99,
    )
    state, info = scanned(
        Kernel(model.init, model.step),
        points_of(RING, 256),
        steps,
        seed,
    )
    z = jax.vmap(latents.normal(16))(jax.random.split(jax.random.key(7), 2500))
    return state, info, np.asarray(jax.jit(model.sample)(state, z))


def run_consistency(seed: int = 0) -> Shown:
    """No penalty on slopes at all: once none whatever, once bCR under small moves."""
    keys = jax.random.split(jax.random.key(3), 2500)
    real = points_of(RING, 2500)(jax.random.key(4))["real"]
    changed = jax.vmap(shaken)(keys, real)
    told, steps, off, pictures = [], {}, {}, []
    disc = mlp.discriminator(width=64)
    for name, weight in (("alone", 0.0), ("bCR", 10.0)):
        rule = consistency(fixed(shaken), weight, weight)
        state, _, samples = ring_gan(seed, 2000, penalty=rule)
        theta, own = state.params["disc"], state.stats["disc"]
        before, after = (
            np.asarray(disc.apply(theta, own, points, train=False)[0])
            for points in (real, changed)
        )
        steps[name] = float(np.sqrt(np.square(before - after).mean()))
        off[name] = mixture_report(samples, RING).reverse_kl
        told.append(f"{name} {steps[name]:.3f}, reverse KL {off[name]:.3f}")
        pictures.append(images.scatter(samples, RING.modes, LIMITS))
    return Shown(
        steps["bCR"] < steps["alone"] / 10 and off["bCR"] < 0.05 and off["alone"] > 0.1,
        "a small move changes D's logit by " + "; ".join(told),
        side_by_side(*pictures),
    )


# --- top-k --------------------------------------------------------------------------


def run_top_k(seed: int = 0) -> Shown:
    """Everyone, the best at last half, and the same run for k = n."""
    steps = 2500

    def falling(step: jax.Array) -> Loss:
        share = optax.exponential_decay(1.0, 20, 0.99, end_value=0.5)
        return losses.top_k(PAIRS, share(step))

    runs = {
        "plain": ring_gan(seed, steps),
        "top-k": ring_gan(seed, steps, loss=falling),
    }
    same = [
        ring_gan(seed, 100, loss=loss)[2] for loss in (PAIRS, losses.top_k(PAIRS, 1.0))
    ]
    equal = bool(np.array_equal(same[0], same[1]))
    logits = jax.random.normal(jax.random.key(5), (256,))
    half = losses.top_k(PAIRS, 0.5)
    pull = np.asarray(jax.grad(lambda f: half.gen(jnp.zeros(256), f))(logits))
    best = np.sort(np.argsort(-np.asarray(logits))[:128])
    reports = {name: mixture_report(run[2], RING) for name, run in runs.items()}
    told = ", ".join(
        f"{name} {100 * r.high_quality:.1f}% in {r.covered} modes, reverse KL "
        f"{r.reverse_kl:.4f}"
        for name, r in reports.items()
    )
    return Shown(
        equal
        and np.array_equal(np.flatnonzero(pull), best)
        and not np.array_equal(runs["plain"][2], runs["top-k"][2])
        and reports["plain"].covered == reports["top-k"].covered == 8
        and reports["top-k"].reverse_kl < 0.02,
        f"within 3 sd: {told}; k = n is the plain run bit for bit: {equal}",
        side_by_side(
            *(images.scatter(run[2], RING.modes, LIMITS) for run in runs.values())
        ),
    )


SYSTEMS = [
    System(
        "few_images",
        "augment.diff_augment, augment.ada",
        "64 drawn faces of 16 x 16, two MLPs",
        "DiffAugment: unseen faces less than 0.7 as far towards fakes; ADA: E sign D "
        "of seen ones 0.6 +- 0.1, where without any aid it is above 0.9",
        run_few_images,
    ),
    System(
        "lecam",
        "regularizers.lecam",
        "a Wasserstein D without a bound, between two Gaussians",
        "D's gap is the formula's within 5%, and grows without end otherwise",
        run_lecam,
    ),
    System(
        "bcr",
        "regularizers.consistency",
        "the ring without a penalty on slopes, and small moves",
        "a move changes D's logit ten times less; all modes alike, where alone they "
        "are not",
        run_consistency,
    ),
    System(
        "top_k",
        "losses.top_k",
        "the ring, k falling from n to n / 2",
        "k = n changes no bit; at n / 2 the better half alone has a gradient, and no "
        "mode is lost or favoured",
        run_top_k,
    ),
]
