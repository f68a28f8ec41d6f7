"""A thousand modes: three handwritten digits as the three colours of an image.

The generator learns from stacks of most digits. A classifier trained on the same ones
tells the classes of what it draws. It and real stacks of the held-out digits, which
neither has seen, say what the classifier's errors and the digits' own uneven classes do
to the figures. There are two kinds of digits: scikit-learn's of 8x8 pixels (extra
``digits``), and those of MNIST's test set, of 28x28, whose players are convolutional.
"""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.quality import colours
from experiments.quality.play import sampled, trained
from experiments.quality.recipe import Recipe, facts
from experiments.quality.task import Given, Numbers, Task
from gan_jax import data
from gan_jax.data.cache import read
from gan_jax.evaluate import stacked_report
from gan_jax.evaluate.features import classifier
from gan_jax.evaluate.modes import StackedReport
from gan_jax.gan import SETTLING, latents
from gan_jax.images import to_uint8
from gan_jax.kernel import Network
from gan_jax.networks import mlp

SAMPLES = 26_000  # as in the published tables
QUICK_STEPS = 1000
# Dense layers of the convolutional players, and numbers for one colour between.
GEN_UNITS, DISC_UNITS, CODE = (512,), (256,), 128
MNIST = Path("mnist-t10k") / "t10k-images-idx3-ubyte.gz"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Digits:
    """Digits, divided, and a recipe for their stacks.

    Attributes:
      name: of the digits, in their classifier's name.
      source: grey images with labels.
      trained_on: how many the generator and the classifier learn from; the others are
        held out.
      epochs: passes of the classifier over them.
      size: pixels of a side.
      recipe: of the GAN.
      players: ``(recipe, size) -> (generator, discriminator)``.
      described: the players, in the facts of the task.
    """

    name: str
    source: Callable[[], data.Source]
    trained_on: int
    epochs: int
    size: int
    recipe: Recipe
    players: Callable[[Recipe, int], tuple[Network, Network]]
    described: str


def connected(recipe: Recipe, size: int) -> tuple[Network, Network]:
    """MLPs."""
    units = recipe.width, recipe.depth
    gen = mlp.generator((size, size, 3), *units, tanh=True)
    return gen, mlp.discriminator(*units)


def convolved(recipe: Recipe, size: int) -> tuple[Network, Network]:
    """One set of convolutions for all colours, and dense layers over all of them."""
    gen = colours.generator(size, 3, recipe.width, GEN_UNITS, CODE)
    return gen, colours.discriminator(recipe.width, DISC_UNITS, CODE)


SMALL = Digits(
    name="digits8",
    source=lambda: data.digits(8),
    trained_on=1_437,
    epochs=20,
    size=8,
    recipe=Recipe(
        steps=12_000,
        batch_size=256,
        signs=0,
        normal=32,
        gamma=(0.1, 0.01),
        rate=(2e-3, 2e-5),
        width=256,
    ),
    players=connected,
    described="MLP",
)
MNIST_RECIPE = Recipe(
    steps=6_000,
    batch_size=64,
    signs=0,
    normal=32,
    gamma=(4.0, 2.5),
    rate=(1e-3, 2e-5),
    ema=0.9995,
    width=16,
    penalty_every=4,
)


@functools.cache
def mnist(file: Path) -> Digits:
    """The test digits of MNIST in an IDX file, their labels beside it."""
    return Digits(
        name="mnist-t10k",
        source=lambda: data.idx_images(file),
        trained_on=8_000,
        epochs=15,
        size=28,
        recipe=MNIST_RECIPE,
        players=convolved,
        described=f"convolutions, dense {GEN_UNITS} and {DISC_UNITS}, code {CODE}",
    )


@functools.cache
def halves(kind: Digits) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images and labels to train on, and the others."""
    source = kind.source()
    order = np.random.default_rng(0).permutation(len(source))
    rows = read(source, order, source[0])
    images, labels, n = rows["real"], rows["label"], kind.trained_on
    return images[:n], labels[:n], images[n:], labels[n:]


@functools.cache
def reader(kind: Digits) -> Callable[[np.ndarray], np.ndarray]:
    """``uint8 digits (n, h, w, 1) -> classes (n,)``."""
    images, labels, *_ = halves(kind)
    features = classifier(
        images, labels, name=kind.name, classes=[10], epochs=kind.epochs
    ).features()
    return lambda x: features.logits(features(x)).argmax(-1)


def report(kind: Digits, stacks: np.ndarray) -> StackedReport:
    """Modes of uint8 stacks (n, h, w, 3)."""
    grey = [np.ascontiguousarray(stacks[..., i : i + 1]) for i in range(3)]
    return stacked_report(np.stack([reader(kind)(x) for x in grey], axis=1))


def numbers(kind: Digits, recipe: Recipe, seed: int) -> Numbers:
    """Train one seed, and look at its samples beside real stacks."""
    images, _, others, other_labels = halves(kind)
    model = recipe.gan(*kind.players(recipe, kind.size))
    pixels = jnp.asarray(images[..., 0])

    def draw(key: Array) -> Array:
        chosen = jax.random.randint(key, (recipe.batch_size, 3), 0, len(pixels))
        return jnp.moveaxis(pixels[chosen], 1, -1)

    z_key = jax.random.key(2**31 + seed)
    state = trained(model, draw, recipe.steps, seed)
    state = jax.jit(model.settled)(state, jax.random.fold_in(z_key, 1))
    z = latents(recipe.latent(), z_key, SAMPLES)
    found = report(kind, to_uint8(sampled(model, state, z)))
    random = np.random.default_rng(seed)
    chosen = random.integers(0, len(others), (SAMPLES, 3))
    real = report(kind, np.moveaxis(others[chosen][..., 0], 1, -1))
    return {
        "modes": float(found.covered),
        "reverse KL": found.reverse_kl,
        "modes of held-out stacks": float(real.covered),
        "reverse KL of held-out stacks": real.reverse_kl,
        "classifier on held-out digits %": 100
        * float(np.mean(reader(kind)(others) == other_labels)),
    }


def met(found: Numbers) -> bool:
    """Whether one seed reaches the goal."""
    return found["modes"] >= 999 and found["reverse KL"] <= 0.06


def task(kind: Digits, name: str, title: str, first_seed: int) -> Task:
    """The stacks of one kind of digits."""

    def run(seed: int, quick: bool) -> Numbers:
        own = kind.recipe.shortened(QUICK_STEPS) if quick else kind.recipe
        return numbers(kind, own, seed)

    return Task(
        name=name,
        title=title,
        published="on MNIST: DCGAN 99 modes, PacDCGAN2 1,000, KL 0.06 "
        "([PacGAN, table 2](https://arxiv.org/abs/1712.04086))",
        goal="≥ 999 modes, KL ≤ 0.06, in every seed",
        met=met,
        recipe=facts(kind.recipe)
        | {
            "samples": SAMPLES,
            "trained_on": kind.trained_on,
            "players": kind.described,
            "classifier_epochs": kind.epochs,
        },
        run=run,
        seeds=tuple(range(first_seed, first_seed + 5)),
    )


def mnist_task(given: Given) -> Task:
    """The stacks of MNIST's test digits, if they are there."""
    file = (given.data or Path()) / MNIST
    lacks = ""
    if given.data is None or not file.exists():
        lacks = f"{file} is not there; give --data DIR, a folder that holds {MNIST}"
        lacks += " and its labels."
    title = "stacked MNIST (10,000 test digits), 1,000 modes"
    made = task(mnist(file), "stacked_mnist", title, 3000)
    recipe = made.recipe | {"statistics": list(SETTLING)}
    if not lacks:
        recipe["data"] = data.idx_images(file).fingerprint
    return dataclasses.replace(made, recipe=recipe, on=mnist_task, lacks=lacks)


def small_task() -> Task:
    """The stacks of scikit-learn's digits, if it is there."""
    made = task(SMALL, "stacked_digits", "stacked 8x8 digits, 1,000 modes", 2000)
    if importlib.util.find_spec("sklearn") is not None:
        return made
    lacks = "scikit-learn is not installed. Install the extra digits."
    return dataclasses.replace(made, lacks=lacks)


TASKS = (small_task(), mnist_task(Given(None, 0.0, Path())))
