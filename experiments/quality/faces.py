"""Drawn faces at 64x64: is every attribute there, and as often as it should be?

A run of `experiments.celeba` on drawn faces, longer and larger than its demo, and taken
up again where it was stopped. What 10,000 of its samples show is read by a classifier
of drawn faces (`gan_jax.evaluate.attributes`), since the truth is known: each value of
each attribute with its probability, all attributes independent. Beside that stand
precision, recall, density and coverage in the first 64 principal components, against
10,000 faces that were not trained on. Floors are of as many other drawn faces, read and
compared in the same way.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import celeba, image
from experiments.evaluate.faults import Options, looked_at
from experiments.quality.floors import FLOOR, floor, floors, with_floors
from experiments.quality.play import sampled
from experiments.quality.task import Given, Numbers, Task, digest_of, spread
from experiments.rows import markdown
from experiments.run import plain, train
from gan_jax.calls import steps_in_one_call
from gan_jax.evaluate.attributes import FaceReader, drawn, face_reader, reader_of
from gan_jax.evaluate.features import load, pca
from gan_jax.facts import versions
from gan_jax.gan import SETTLING, latents
from gan_jax.images import grid, save_png, to_uint8
from gan_jax.kernel import State
from gan_jax.latents import normal

SAMPLES, QUICK_SAMPLES = 10_000, 500
TRAINED_ON, HELD_OUT = 0, 11  # seeds of faces; those of floors follow the latter
DRAWS = 3  # of faces, for the floors
AT_ONCE = 250  # samples
MEASURES = ("fd", "precision-recall", "density-coverage")
COVERED = 95.0  # percent of the attributes' values
ENOUGH = 0.5  # of a value's true frequency covers it
ATTRIBUTES, PAIRS = "attribute coverage %", "coverage of pairs %"
RECALL, DENSITY = "recall k=3 [pca64]", "density k=5 [pca64]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How the classifier that reads faces is trained; see `face_reader`."""

    n: int = 40_000
    epochs: int = 6
    width: int = 32


# What differs from the demo of `experiments.celeba`.
RECIPE: dict[str, Any] = {
    "size": 64,
    "batch_size": 32,
    "steps": 6_000,
    "penalty_every": 4,
    "ema": 0.999,
    "evaluate": "none",
    "log_every": 500,
    "sample_every": 2_000,
}
# One that can be trained in a minute, to see that it runs.
QUICK: dict[str, Any] = {"size": 32, "steps": 50, "width": 8, "faces": 2_000}
QUICK_READING = Reading(n=1_000, epochs=1, width=8)


def config(recipe: dict[str, Any], seed: int = 0) -> celeba.Config:
    """The demo of `experiments.celeba`, changed as the recipe says."""
    return dataclasses.replace(celeba.PRESETS["demo"], **recipe, seed=seed)


class Judge:
    """What samples are held against.

    Args:
      size: of the faces.
      samples: how many are compared with as many held-out faces.
      reading: how their reader is trained, if it is not there.
      place: where it is kept.
    """

    def __init__(self, size: int, samples: int, reading: Reading, place: Path) -> None:
        self.reader = reader(size, reading, place)
        self.held_out, _ = drawn(samples, size, HELD_OUT)
        self.components = pca(drawn(samples, size, TRAINED_ON)[0], 64)
        draws = [
            self.values(drawn(samples, size, HELD_OUT + 1 + i)[0]) for i in range(DRAWS)
        ]
        self.floors = floors(draws)

    def values(self, faces: np.ndarray) -> Numbers:
        """Every measure of as many faces, by its name."""
        report = self.reader.report(faces, ENOUGH)
        spaces = {"pca64": self.components}
        seen = looked_at(Options(measures=MEASURES), spaces, self.held_out, faces)
        return {
            ATTRIBUTES: 100 * report.values.enough,
            PAIRS: 100 * report.pairs.enough,
            "largest gap of an attribute": report.gap,
        } | {name: figure.value for name, figure in seen.items()}


def reader(size: int, reading: Reading, place: Path) -> FaceReader:
    """The reader in ``place``, trained if it is not there."""
    facts = dataclasses.asdict(reading)
    file = place / f"reader{size}-{digest_of(facts | {'versions': versions()})}.npz"
    if file.exists():
        return reader_of(load(file))
    made = face_reader(size, **facts)
    place.mkdir(parents=True, exist_ok=True)
    made.classifier.save(file)
    return made


@functools.cache
def judge(size: int, samples: int, reading: Reading, place: Path) -> Judge:
    """One for all seeds."""
    return Judge(size, samples, reading, place)


def trained(cfg: celeba.Config, place: Path) -> State:
    """The last state of the run in ``place``, which is begun or taken up there.

    Raises:
      KeyboardInterrupt: if it was stopped before its end.
    """
    cfg = dataclasses.replace(cfg, directory=place)
    run = image.task(cfg, lambda: celeba.source(cfg))
    result = train("celeba", cfg, run)
    assert result is not None  # it is no dry run
    if result.interrupted:
        raise KeyboardInterrupt
    if skipped := int(result.state.skipped):
        raise FloatingPointError(f"{skipped} of {cfg.steps} steps were not finite.")
    return result.state


def numbers(
    cfg: celeba.Config, samples: int, reading: Reading, directory: Path
) -> Numbers:
    """Train one seed, keep a picture, and look at its samples."""
    known = {"config": plain("celeba", cfg), "versions": versions()}
    place = directory / f"run-seed{cfg.seed}-{digest_of(known)}"
    state = trained(cfg, place)
    steps_in_one_call.cache_clear()  # of no use to the next seed, and large
    model = image.model(cfg)
    z = latents(normal(cfg.latent), jax.random.key(2**31 + cfg.seed), samples)
    state = image.settled(cfg, model, state)
    faces = to_uint8(sampled(model, state, z, AT_ONCE))
    save_png(place.with_suffix(".png"), grid(faces[:64], 8))
    judged = judge(cfg.size, samples, reading, directory)
    return judged.values(faces) | judged.floors


def run(given: Given, seed: int, quick: bool) -> Numbers:
    """One seed."""
    place = given.directory / "faces"
    if quick:
        cfg = config(RECIPE | QUICK, seed)
        return numbers(cfg, QUICK_SAMPLES, QUICK_READING, place / "quick")
    return numbers(config(RECIPE, seed), SAMPLES, Reading(), place)


def met(found: Numbers) -> bool:
    """Whether one seed reaches the goal."""
    return found[ATTRIBUTES] >= COVERED


def details(found: Sequence[Numbers]) -> str:
    """Every measure beside its floor."""
    body = [
        [name, floor(found[0], name), spread([one[name] for one in found])]
        for name in with_floors(found[0])
    ]
    return markdown(["", "floor ± sd", "mean ± deviation over seeds"], body)


def task(given: Given) -> Task:
    """The task, with its files where the command line says."""
    recipe = plain("celeba", config(RECIPE))
    del recipe["seed"]
    return Task(
        name="faces",
        title="drawn faces, 64x64",
        published="nobody; their truth is known",
        goal=f"attribute coverage ≥ {COVERED:g} %, in every seed",
        met=met,
        recipe=recipe
        | {
            "samples": SAMPLES,
            "enough": ENOUGH,
            "draws": DRAWS,
            "statistics": list(SETTLING),
            "reading": dataclasses.asdict(Reading()),
        },
        run=functools.partial(run, given),
        seeds=(5000, 5001, 5002),
        on=task,
        shown=(
            ATTRIBUTES,
            PAIRS,
            *(name + end for name in (RECALL, DENSITY) for end in ("", FLOOR)),
        ),
        details=details,
    )


TASKS = (task(Given(None, 0.0, Path("runs/quality"))),)
