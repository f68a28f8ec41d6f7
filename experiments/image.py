"""What the image experiments share: networks, recipe, pictures and the distances.

The recipe is R3GAN's where it can be had cheaply: a relativistic or non-saturating loss
with R1 (and R2), rates and weights that fall over the run, an average of the generator.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments.evaluate.training import Watched, watched
from experiments.run import Run, Task, images, say, train
from gan_jax import devices, losses, penalties
from gan_jax.data import Source
from gan_jax.data.cache import read
from gan_jax.evaluate import sliced_wasserstein
from gan_jax.gan import Gan, gan, latents
from gan_jax.images import grid
from gan_jax.kernel import Network, State, alternating, simultaneous
from gan_jax.latents import normal
from gan_jax.networks import dcgan, r3, resnet
from gan_jax.objectives.adversarial import Gradient
from gan_jax.optimizers import adam, cosine, exponential

LOSSES = {
    "nonsaturating": losses.nonsaturating,
    "hinge": losses.hinge,
    "least_squares": losses.least_squares,
    "relativistic": losses.relativistic_pairing,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images(Run):
    """Options of a GAN of images."""

    size: int = 64
    """Height and width in pixels."""
    channels: int = 3
    network: Literal["dcgan", "resnet", "r3"] = "dcgan"
    width: int = 64
    """Channels of the networks' first level; the rest follows from it."""
    latent: int = 128
    classes: int = 0
    """Train on the labels of so many classes; 0 for no labels."""
    loss: Literal["nonsaturating", "hinge", "least_squares", "relativistic"] = (
        "nonsaturating"
    )
    gradient: Gradient = "one_backward"
    """How both gradients come from one loss; they are the same in all three ways."""
    play: Literal["simultaneous", "alternating"] = "simultaneous"
    critic_steps: int = 1
    """Steps of D for one of G, in alternating play; a batch is shared out over them."""
    gamma: tuple[float, float] = (2.0, 0.2)
    """Weight of R1 at the beginning and at the end; 0 0 for none."""
    penalise_fakes: bool = False
    """R2 with the weight of R1, too."""
    penalty_every: int = 1
    """Steps between two penalties, each so many times as strong."""
    rate_gen: tuple[float, float] = (2e-4, 5e-5)
    """G's learning rate at the beginning and at the end."""
    rate_disc: tuple[float, float] = (2e-4, 5e-5)
    """D's learning rate at the beginning and at the end."""
    b1: float = 0.0
    b2: tuple[float, float] = (0.9, 0.99)
    """Adam's second decay at the beginning and at the end."""
    ema: float = 0.999
    bfloat16: bool = False
    """Compute in bfloat16; parameters, statistics and losses stay in float32."""
    flip: bool = True
    """Mirror images at random."""
    evaluate: Literal["quick", "distance", "none"] = "quick"
    """What is measured every --evaluate-every steps: the distance of pixels alone, or
    quick: with FD, recall and coverage of 64 principal components."""
    evaluate_images: int = 1000
    """Images on each side of these distances."""


def networks(cfg: Images, axis_name: str | None) -> tuple[Network, Network]:
    """The generator and the discriminator."""
    dtype = jnp.bfloat16 if cfg.bfloat16 else None
    shared: dict[str, Any] = {"classes": cfg.classes, "dtype": dtype}
    size = (cfg.size, cfg.channels, cfg.width)
    if cfg.network == "r3":
        return (
            r3.generator(*size, **shared),
            r3.discriminator(cfg.size, cfg.width, **shared),
        )
    if cfg.network == "resnet":
        return (
            resnet.generator(*size, axis_name=axis_name, **shared),
            resnet.discriminator(cfg.size, cfg.width, **shared),
        )
    return (
        dcgan.generator(*size, axis_name=axis_name, **shared),
        dcgan.discriminator(cfg.size, cfg.width, axis_name=axis_name, **shared),
    )


def model(cfg: Images, axis_name: str | None = None) -> Gan:
    """The GAN that ``cfg`` describes."""
    check(cfg)
    gen, disc = networks(cfg, axis_name)
    penalty = None
    if any(cfg.gamma):
        gamma = exponential(*cfg.gamma, cfg.steps)
        penalty = penalties.r1(gamma)
        if cfg.penalise_fakes:
            penalty = penalties.total(penalty, penalties.r2(gamma))
        penalty = penalties.lazy(penalty, cfg.penalty_every)
    # An optimizer counts the moves of its own player.
    disc_moves = cfg.steps * cfg.critic_steps
    return gan(
        gen,
        disc,
        loss=LOSSES[cfg.loss](),
        penalty=penalty,
        gradient=cfg.gradient,
        latent=normal(cfg.latent),
        conditional=cfg.classes > 0,
        optimizers={
            player: adam(cosine(*rate, moves), cfg.b1, cosine(*cfg.b2, moves))
            for player, rate, moves in (
                ("gen", cfg.rate_gen, cfg.steps),
                ("disc", cfg.rate_disc, disc_moves),
            )
        },
        play=simultaneous("gen", "disc")
        if cfg.play == "simultaneous"
        else alternating("disc", "gen", first=cfg.critic_steps),
        ema=cfg.ema,
        accumulate=cfg.accumulate,
        axis_name=axis_name,
    )


def check(cfg: Images) -> None:
    """Refuse options that contradict each other, before any work is done."""
    if cfg.critic_steps != 1 and cfg.play != "alternating":
        raise ValueError(
            f"--critic-steps {cfg.critic_steps} wants --play alternating: players who "
            "move at once move equally often."
        )
    for name in ("critic_steps", "penalty_every", "evaluate_images"):
        if getattr(cfg, name) < 1:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is {getattr(cfg, name)}; give at least 1.")


def task(cfg: Images, source: Callable[[], Source]) -> Task:
    """What `train` needs to know."""
    evaluate: Any = functools.cache(lambda gan, data: distances(cfg, gan, data))
    return Task(
        source=functools.cache(lambda: checked(cfg, source())),
        example=lambda n: images(n, cfg.size, cfg.channels, cfg.classes > 0),
        model=functools.cache(lambda axis_name: model(cfg, axis_name)),
        picture=lambda gan, state: picture(fixed_samples(cfg, gan, state)),
        evaluate=evaluate,
        flip=cfg.flip,
    )


def checked(cfg: Images, source: Source) -> Source:
    """The source, if it has the labels that a conditional model needs."""
    classes = getattr(source, "classes", None) or ()
    if cfg.classes and cfg.classes != len(classes):
        raise ValueError(
            f"--classes is {cfg.classes}, but the data has {len(classes)} classes; "
            f"give --classes {len(classes)}."
        )
    return source


def settled(
    cfg: Images, model: Gan, state: State, frequencies: Any | None = None
) -> State:
    """The state to draw from: G's statistics are those of what is drawn.

    Args:
      cfg, model, state: as trained. The training goes on without this.
      frequencies: how often each label is drawn, (classes,); by default all alike.
    """
    if cfg.classes and frequencies is None:
        frequencies = jnp.ones(cfg.classes)
    key = jax.random.key(0)  # at every step: what differs is the generator
    return jax.jit(model.settled)(state, key, frequencies)


def fixed_samples(cfg: Images, model: Gan, state: State, n: int = 64) -> np.ndarray:
    """The same ``n`` latents' images at every step, (n, size, size, channels)."""
    z = latents(normal(cfg.latent), jax.random.key(cfg.seed + 1), n)
    labels = (jnp.arange(n) % cfg.classes,) if cfg.classes else ()
    return np.asarray(jax.jit(model.sample)(settled(cfg, model, state), z, *labels))


def picture(samples: np.ndarray) -> np.ndarray:
    """A grid of eight columns; images below 64 pixels are enlarged to be seen."""
    times = max(1, 64 // samples.shape[1])
    return grid(samples.repeat(times, 1).repeat(times, 2), 8)


Distances = Callable[[State], Mapping[str, float]]


def distances(cfg: Images, model: Gan, source: Source) -> Distances:
    """How far samples lie from the data, each number beside its floor.

    "distance" is the sliced Wasserstein distance of pixels, the others are those of
    `experiments.evaluate.training`. A floor is the same number between two disjoint
    halves of as many real images. Nothing here goes back into the training.
    """
    if cfg.evaluate == "none":
        return lambda state: {}
    n = min(cfg.evaluate_images, len(source) // 2)
    if not n:
        raise ValueError(
            "an evaluation compares two halves of the data, which is a single image. "
            "Give --evaluate none, or more images."
        )
    chosen = np.random.default_rng(0).permutation(len(source))[: 2 * n]
    samples = read(source, chosen, source[0])
    levels = samples["real"]
    quick = Watched({}, lambda fake: {})
    if cfg.evaluate == "quick":
        quick = watched(levels[:n], levels[n:])
    real = jnp.asarray(levels.reshape(2 * n, -1)) / 127.5 - 1
    key, z_key = jax.random.split(jax.random.key(0))
    floor = float(sliced_wasserstein(real[:n], real[n:], key))
    z = latents(normal(cfg.latent), z_key, n)
    labels = (samples["label"][:n],) if cfg.classes else ()
    frequencies = None
    if cfg.classes:
        counted = np.bincount(samples["label"], minlength=cfg.classes)
        frequencies = jnp.asarray(counted, jnp.float32)
    draw = jax.jit(model.sample)

    def scores(state: State) -> Mapping[str, float]:
        state = settled(cfg, model, state, frequencies)
        parts = range(0, n, 100)
        fake = [
            draw(state, z[i : i + 100], *(y[i : i + 100] for y in labels))
            for i in parts
        ]
        # As the real ones: the 256 levels that a file can hold.
        fakes = jnp.clip(jnp.concatenate(fake).reshape(n, -1), -1, 1)
        fakes = jnp.round((fakes + 1) * 127.5)
        drawn = np.asarray(fakes)
        found: Mapping[str, float] = dict.fromkeys(quick.names, math.nan)
        if np.isfinite(drawn).all():
            found = quick.scores(drawn.astype(np.uint8).reshape(n, *levels.shape[1:]))
        return {
            "distance": float(sliced_wasserstein(real[:n], fakes / 127.5 - 1, key)),
            "distance_floor": floor,
            **found,
            **quick.floors,
        }

    return scores


def run(name: str, cfg: Images, source: Callable[[], Source]) -> None:
    """Train; then say how far the samples lie from the data."""
    experiment = task(cfg, source)
    result = train(name, cfg, experiment)
    if result is None or result.interrupted or cfg.evaluate == "none":
        return
    trained = experiment.model(devices.AXIS if cfg.parallel == "pmap" else None)
    data = experiment.source()
    scores = experiment.evaluate(trained, data)
    untrained = jax.jit(trained.init)(
        jax.random.key(cfg.seed),
        {k: jnp.asarray(v)[None] for k, v in data[0].items() if k in ("real", "label")},
    )
    start, end = scores(untrained), scores(result.state)
    n = min(cfg.evaluate_images, len(data) // 2)
    say(
        f"distance to the data (sliced Wasserstein of pixels, {n:,} images): "
        f"{end['distance']:.4f}; untrained {start['distance']:.4f}; "
        f"between halves of the data {end['distance_floor']:.4f}"
    )
    for measure in end:
        if f"{measure}_floor" in end and measure != "distance":
            say(
                f"{measure} ({n:,} images): {end[measure]:.3f}; untrained "
                f"{start[measure]:.3f}; between halves {end[f'{measure}_floor']:.3f}"
            )
