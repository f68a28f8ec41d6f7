"""A thousand modes: three handwritten digits as the three colours of an image.

scikit-learn's 8x8 digits (extra ``digits``). The generator learns from stacks of 1,437
of them. A classifier of the same 1,437 tells the classes of what it draws; it and real
stacks of the other 360 digits, which neither has seen, say what the classifier's errors
and the digits' own uneven classes do to the figures.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.quality.play import sampled, trained
from experiments.quality.recipe import Recipe, facts
from experiments.quality.task import Numbers, Task
from gan_jax.data import digits
from gan_jax.evaluate import stacked_report
from gan_jax.evaluate.features import classifier
from gan_jax.evaluate.modes import StackedReport
from gan_jax.gan import latents
from gan_jax.images import to_uint8
from gan_jax.networks import mlp

SAMPLES = 26_000  # as in the published tables
TRAINED_ON = 1_437  # digits; the other 360 are held out
QUICK_STEPS = 1000
RECIPE = Recipe(
    steps=12_000,
    batch_size=256,
    signs=0,
    normal=32,
    gamma=(0.1, 0.01),
    rate=(2e-3, 2e-5),
    width=256,
)


@functools.cache
def halves() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images and labels to train on, and the others."""
    source = digits(8)
    order = np.random.default_rng(0).permutation(len(source))
    rows = [source[int(i)] for i in order]
    images = np.stack([row["real"] for row in rows])
    labels = np.stack([row["label"] for row in rows])
    n = TRAINED_ON
    return images[:n], labels[:n], images[n:], labels[n:]


@functools.cache
def reader() -> Callable[[np.ndarray], np.ndarray]:
    """``uint8 digits (n, 8, 8, 1) -> classes (n,)``."""
    images, labels, *_ = halves()
    features = classifier(
        images, labels, name="digits8", classes=[10], epochs=20
    ).features()
    return lambda x: features.logits(features(x)).argmax(-1)


def report(stacks: np.ndarray) -> StackedReport:
    """Modes of uint8 stacks (n, 8, 8, 3)."""
    colours = [np.ascontiguousarray(stacks[..., i : i + 1]) for i in range(3)]
    return stacked_report(np.stack([reader()(x) for x in colours], axis=1))


def numbers(recipe: Recipe, seed: int) -> Numbers:
    """Train one seed, and look at its samples beside real stacks."""
    images, _, others, other_labels = halves()
    model = recipe.gan(
        mlp.generator((8, 8, 3), recipe.width, tanh=True),
        mlp.discriminator(recipe.width),
    )
    pixels = jnp.asarray(images[..., 0], jnp.float32) / 127.5 - 1

    def draw(key: Array) -> Array:
        chosen = jax.random.randint(key, (recipe.batch_size, 3), 0, len(pixels))
        return jnp.moveaxis(pixels[chosen], 1, -1)

    state = trained(model, draw, recipe.steps, seed)
    z = latents(recipe.latent(), jax.random.key(2**31 + seed), SAMPLES)
    found = report(to_uint8(sampled(model, state, z)))
    random = np.random.default_rng(seed)
    chosen = random.integers(0, len(others), (SAMPLES, 3))
    real = report(np.moveaxis(others[chosen][..., 0], 1, -1))
    return {
        "modes": float(found.covered),
        "reverse KL": found.reverse_kl,
        "modes of held-out stacks": float(real.covered),
        "reverse KL of held-out stacks": real.reverse_kl,
        "classifier on held-out digits %": 100
        * float(np.mean(reader()(others) == other_labels)),
    }


def run(seed: int, quick: bool) -> Numbers:
    """One seed."""
    return numbers(RECIPE.shortened(QUICK_STEPS) if quick else RECIPE, seed)


def met(found: Numbers) -> bool:
    """Whether one seed reaches the goal."""
    return found["modes"] >= 999 and found["reverse KL"] <= 0.06


TASKS = (
    Task(
        name="stacked_digits",
        title="stacked 8x8 digits, 1,000 modes",
        published="on MNIST: DCGAN 99 modes, PacDCGAN2 1,000, KL 0.06 "
        "([PacGAN, table 2](https://arxiv.org/abs/1712.04086))",
        goal="≥ 999 modes, KL ≤ 0.06, in every seed",
        met=met,
        recipe=facts(RECIPE)
        | {"samples": SAMPLES, "trained_on": TRAINED_ON, "players": "MLP"},
        run=run,
        seeds=tuple(range(2000, 2005)),
    ),
)
