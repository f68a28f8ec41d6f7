"""Fashion-MNIST at 32x32: our recipe beside a PyTorch twin at equal time.

Either side trains in a process of its own, one after the other, on all cores. Ours does
a number of steps, and its whole process is timed from the start until it is ready to
draw; the twin then trains as many seconds, its own start included. Each draws 10,000
images, and both are compared with the 10,000 test images, which neither has seen: by
the measures of docs/evaluation.md in the first 64 principal components, and by FD in
the features of a classifier of the training images.

The floor of a measure is its mean over draws of 10,000 real training images. A side's
distance is that of its value from the floor, to either side: a density above the
floor's is as far off as one below it. A draw of real images is some way off, too, so a
distance within twice the draws' standard deviation counts as 0. Ours is at least as
good by a measure if its distance is not larger than the twin's.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.evaluate.faults import Options, looked_at
from experiments.evaluate.spaces import Labelled
from experiments.evaluate.spaces import trained as classifier_of
from experiments.quality.fashion_jax import config
from experiments.quality.floors import FLOOR, NOISE, floor, floors, with_floors
from experiments.quality.sides import Left, trained
from experiments.quality.task import Given, Numbers, Task, spread
from experiments.rows import markdown
from experiments.run import plain
from gan_jax.data import Resized, Source, idx_images
from gan_jax.data.cache import read
from gan_jax.evaluate import classifier_test
from gan_jax.evaluate.features import Features, pca
from gan_jax.gan import SETTLING
from gan_jax.host_memory import ALLOCATOR_VARIABLES
from gan_jax.images import grid, save_png

SIZE, SAMPLES, QUICK_SAMPLES = 32, 10_000, 1000
DRAWS = 5  # of real training images, for the floors
BEYOND = 2.0  # standard deviations of these draws, within which a distance is 0
MEASURES = ("fd", "kd", "precision-recall", "density-coverage", "1-nn", "sw2")
SHARE = 0.5  # of the twin's FD[classifier] is the most that ours may have
FD, TWIN = "FD [classifier]", " twin"
FILES = tuple(
    f"fashion-mnist/{split}-{kind}-ubyte.gz"
    for split in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)

QUICK_MINUTES = 1 / 3
RECIPE: dict[str, Any] = {"width": 32, "batch_size": 64, "penalty_every": 4}
# At equal time, in so far as it was tried, width 32 was better for it than 64.
TWIN_RECIPE: dict[str, Any] = {
    "width": 32,
    "latent": 100,
    "batch_size": 64,
    "norm_of_disc": True,
    "joined": False,
}


class Images(NamedTuple):
    """Uint8 (n, 32, 32, 1): to train on with their labels, and held out."""

    train: np.ndarray
    labels: np.ndarray
    test: np.ndarray


@functools.cache
def images(data: Path) -> Images:
    """The official split, enlarged."""
    train, test = (
        idx_images(data / "fashion-mnist" / f"{name}-images-idx3-ubyte.gz")
        for name in ("train", "t10k")
    )
    return Images(enlarged(train), train.arrays["label"], enlarged(test))


def enlarged(source: Source) -> np.ndarray:
    """All images at 32x32."""
    resized = Resized(source, SIZE, channels=1)
    return read(resized, range(len(resized)), resized[0])["real"]


class Judge:
    """All measures of samples against held-out images, and their floors.

    Args:
      of: the features are fitted to the training images, and samples are compared with
        the held-out ones.
      cache: where the classifier is kept; None for nowhere.
      samples: how many are compared with as many held-out images.
    """

    def __init__(self, of: Images, cache: Path | None, samples: int) -> None:
        facts = hashlib.sha256(of.train.tobytes() + of.labels.tobytes())
        labelled = Labelled(of.train, of.labels, facts.hexdigest())
        self.held_out = of.test[:samples]
        self.components = pca(of.train, 64)
        self.classifier = classifier_of(labelled, cache).features()
        self.test = classifier_test()
        order = np.random.default_rng(0).permutation(len(of.train))
        draws = [
            self.values(of.train[order[i * samples : (i + 1) * samples]])
            for i in range(min(DRAWS, len(order) // samples))
        ]
        self.floors = floors(draws)

    def values(self, fake: np.ndarray) -> Numbers:
        """Every measure of as many samples, by its name."""
        x, y = (jnp.asarray(self.components(a)) for a in (self.held_out, fake))
        told_apart = self.test(jax.random.key(0), x, y).accuracy
        return (
            self.by(("fd",), {"classifier": self.classifier}, fake)
            | self.by(MEASURES, {"pca64": self.components}, fake)
            | {"C2ST [pca64]": float(told_apart)}
        )

    def by(
        self, measures: tuple[str, ...], spaces: dict[str, Features], fake: np.ndarray
    ) -> Numbers:
        """Measures of `experiments.evaluate`, but for parts of other ones."""
        options = Options(measures=measures)
        found = looked_at(options, spaces, self.held_out, fake)
        parts = ("1-NN real", "1-NN fake")
        return {k: v.value for k, v in found.items() if not k.startswith(parts)}


@functools.cache
def judge(data: Path, cache: Path, samples: int) -> Judge:
    """One for all seeds."""
    cache.mkdir(parents=True, exist_ok=True)
    return Judge(images(data), cache, samples)


class Standing(NamedTuple):
    """How both sides stand by one measure; distances are from the floor."""

    name: str
    ours: float
    twin: float

    @property
    def as_good(self) -> bool:
        """Whether ours is no farther off."""
        return self.ours <= self.twin


def standings(found: Numbers) -> list[Standing]:
    """One for each measure of one seed's numbers.

    >>> names = ("density", "density twin", "density floor", "density floor's sd")
    >>> standings(dict(zip(names, (1.25, 0.75, 1.0, 0.125))))
    [Standing(name='density', ours=0.0, twin=0.0)]
    >>> standings(dict(zip(names, (1.5, 0.75, 1.0, 0.0625))))[0].as_good
    False
    """

    def away(name: str, side: str) -> float:
        distance = abs(found[name + side] - found[name + FLOOR])
        return distance if distance > BEYOND * found[name + NOISE] else 0.0

    return [
        Standing(name, away(name, ""), away(name, TWIN)) for name in with_floors(found)
    ]


def met(found: Numbers) -> bool:
    """Whether one seed reaches the goal."""
    half = found[FD] <= SHARE * found[FD + TWIN]
    return half and all(standing.as_good for standing in standings(found))


def details(numbers: Sequence[Numbers]) -> str:
    """Every measure: the floor, both sides, and in how many seeds ours is as good."""

    def over_seeds(name: str) -> str:
        return spread([found[name] for found in numbers])

    body = []
    for place, standing in enumerate(standings(numbers[0])):
        name = standing.name
        good = sum(standings(found)[place].as_good for found in numbers)
        sides = over_seeds(name), over_seeds(name + TWIN)
        body.append(
            [name, floor(numbers[0], name), *sides, f"{good} of {len(numbers)}"]
        )
    for name in ("steps", "training seconds"):
        body.append([name, "", over_seeds(name), over_seeds(name + TWIN), ""])
    head = ["", "floor ± sd", "ours", "twin", "ours is at least as good"]
    return markdown(head, body)


class Side(NamedTuple):
    """A module to start, its recipe, and its environment besides ours."""

    module: str
    recipe: dict[str, Any]
    environment: dict[str, str]


# Both on the cores, whatever else there is.
CORES = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
SIDES = (
    Side("fashion_jax", RECIPE, CORES),
    Side("fashion_torch", TWIN_RECIPE, ALLOCATOR_VARIABLES | CORES),
)


def both(train: np.ndarray, seed: int, steps: int, samples: int) -> tuple[Left, Left]:
    """What ours leaves after so many steps, and the twin after as many seconds."""
    ours, twin = SIDES
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "train.npy", train)
        told: dict[str, Any] = {"folder": folder, "seed": seed, "samples": samples}
        first = trained(*ours, **told, steps=steps)
        return first, trained(*twin, **told, seconds=first.seconds)


def picture(sides: Sequence[Left]) -> np.ndarray:
    """Sixty-four samples of each side by side, ours at the left, enlarged twice."""
    grids = [grid(side.images[:64].repeat(2, 1).repeat(2, 2), 8) for side in sides]
    between = np.full((len(grids[0]), 16, *grids[0].shape[2:]), 255, np.uint8)
    return np.concatenate([grids[0], between, grids[1]], axis=1)


def run(given: Given, seed: int, quick: bool) -> Numbers:
    """One seed: train both, keep a picture, measure."""
    assert given.data is not None
    minutes = min(given.minutes, QUICK_MINUTES) if quick else given.minutes
    samples = QUICK_SAMPLES if quick else SAMPLES
    steps = steps_in(minutes, given.steps_a_minute)
    sides = both(images(given.data).train, seed, steps, samples)
    place = given.directory / "fashion"
    quickly = "-quick" if quick else ""
    name = f"seed{seed}-{given.minutes:g}min{quickly}.png"
    save_png(place / name, picture(sides))
    judged = judge(given.data, place, samples)
    found: Numbers = {}
    for side, left in zip(("", TWIN), sides, strict=True):
        found |= {name + side: v for name, v in judged.values(left.images).items()}
        found["steps" + side] = float(left.steps)
        found["training seconds" + side] = left.seconds
    return found | judged.floors


def steps_in(minutes: float, a_minute: int) -> int:
    """Of ours."""
    return max(1, round(minutes * a_minute))


def lacks(data: Path | None) -> str:
    """What is missing here, and what to do about it."""
    missing = [] if data is None else [f for f in FILES if not (data / f).exists()]
    if data is None or missing:
        told = f"{data} lacks {', '.join(missing)}" if missing else "no data"
        return (
            f"{told}. Give --data DIR, where DIR/fashion-mnist holds the four official "
            "files, gzipped."
        )
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed. Install the extra bench."
    return ""


def task(given: Given) -> Task:
    """The task on what the command line gives."""
    lacking = lacks(given.data)
    steps = steps_in(given.minutes, given.steps_a_minute)
    recipe: dict[str, Any] = {
        "ours": plain("fashion", config(RECIPE, steps, SIZE)),
        "twin": TWIN_RECIPE,
        "minutes": given.minutes,
        "samples": SAMPLES,
        "draws": DRAWS,
        "statistics": list(SETTLING),
    }
    if given.data is not None and not lacking:
        recipe["torch"] = importlib.metadata.version("torch")
        recipe["data"] = {
            name: hashlib.sha256((given.data / name).read_bytes()).hexdigest()
            for name in FILES
        }
    return Task(
        name="fashion",
        title=f"Fashion-MNIST, 32x32, {given.minutes:g} minutes a side",
        published="nobody; the twin is DCGAN in PyTorch, trained as long",
        goal="FD[classifier] ≤ half the twin's, and by every measure no farther from "
        "the floor, in every seed",
        met=met,
        recipe=recipe,
        run=functools.partial(run, given),
        seeds=(2000, 2001, 2002),
        on=task,
        lacks=lacking,
        shown=(FD, FD + TWIN, FD + FLOOR, "training seconds"),
        details=details,
    )


TASKS = (task(Given(None, 30, Path("runs/quality"))),)
