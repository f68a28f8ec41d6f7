"""Scores generated images against real ones, each figure beside its floor.

    python -m experiments.evaluate REAL SCORED
    python -m experiments.evaluate digits runs/digits --size 16
    python -m experiments.evaluate TEST-IMAGES runs/fashion --size 32 --n 2000
    python -m experiments.evaluate real.npz fake.npz --features pca64 classifier
    python -m experiments.evaluate photos/ runs/faces --size 64 --features inception

Either side is a run's directory (samples of the average of its generator), a folder or
.zip of images, a .npz or .npy of uint8 images or of features (n, d), IDX files,
tfds:NAME:SPLIT, faces:N:SIZE:SEED or digits. Prints a table and writes evaluation.json
and table.md.

The floor is the same measure between two halves of the real samples: what a perfect
generator would have. A figure says something only where it lies apart from it, and
only beside figures of the same features, N and resizing. MS-SSIM and CS look at one
set; their floor is that of real samples. What each measure is blind to stands in
docs/evaluation.md. A figure is called FID, KID or IS with Inception's weights only,
which --inception-weights names.

2,000 images of 28 x 28 a side, in pca64 and in the features of a classifier that was
there already, took 22 seconds on two busy cores.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from experiments.evaluate.measures import (
    MEASURES,
    SLOW_ABOVE,
    Figure,
    Kind,
    Measure,
    known,
)
from experiments.evaluate.sides import Side, side
from experiments.evaluate.spaces import (
    MOST_TRAINED_ON,
    Labelled,
    real_features,
    record,
    space,
)
from experiments.run import main, programs, say
from gan_jax.data import cache_directory
from gan_jax.data.source import content_digest
from gan_jax.evaluate.features import pixels
from gan_jax.evaluate.measurement import (
    INCEPTION_NAMES,
    FeatureSpace,
    Measurement,
    table,
    to_json,
)

MOST = 10_000  # samples a side, if nothing is said
FEW_LABELLED = 1000  # images; with fewer left over, the compared ones are trained on


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What to score, and how."""

    real: Annotated[str, tyro.conf.Positional]
    """The reference."""
    scored: Annotated[str, tyro.conf.Positional]
    """What is scored against it."""
    n: int | None = None
    """Samples on each side; by default as many as both have, at most 10,000."""
    size: int | None = None
    """Bring all images to so many pixels a side; by default they stay as they are."""
    features: tuple[str, ...] = ("pca64",)
    """pixels, pca64, classifier, inception, or the .npz file of a classifier."""
    inception_weights: Path | None = None
    """A .npz or .safetensors file; see docs/inception.md."""
    measures: tuple[str, ...] = ()
    """fd, fd-infinity, kd, precision-recall, density-coverage, prd, 1-nn, sw2, swd,
    ms-ssim, cs; by default all that fit the samples and are cheap."""
    weights: Literal["ema", "raw"] = "ema"
    """Which of a run's weights draw its samples."""
    seed: int = 0
    """Of the samples and of the measures' own draws."""
    cache: str = "auto"
    """Folder of real features and classifiers; auto for the user's own cache, none."""
    out: Path | None = None
    """Where the figures go; by default runs/evaluation."""


@dataclasses.dataclass(frozen=True)
class Sets:
    """What a measure compares, and what its floor compares.

    Attributes:
      real, fake: the two sides, of one length.
      halves: two sets of real samples, of one length.
      record: the features.
    """

    real: np.ndarray
    fake: np.ndarray
    halves: tuple[np.ndarray, np.ndarray]
    record: FeatureSpace


def evaluate(options: Options) -> list[Measurement]:
    """Score as ``options`` say; print and keep the table."""
    chosen = known(options.measures or tuple(MEASURES))
    sides = [
        side(w, options.size, options.weights) for w in (options.real, options.scored)
    ]
    n, drawn = counts(options, *sides)
    real = sides[0].take(drawn, options.seed)["real"]
    fake = sides[1].take(n, options.seed + 1)["real"]
    check(real, fake, sides)
    say(f"real: {sides[0].name}; scored: {sides[1].name}; {n:,} samples of each")
    for each in sides:
        if each.labels:
            say(f"{each.name} draws each of its {each.labels} labels equally often")
    if sides[0].fingerprint == sides[1].fingerprint and sides[0].total is not None:
        say("both are the same samples: copies look better than any others can")
    if drawn < 2 * n:
        say(
            f"floors: between two halves of {drawn // 2:,} real samples, for there are "
            f"no more; --n {drawn // 2} compares as many"
        )
    found = [
        measurement
        for kind, sets in compared(options, sides[0], resize_of(*sides), real, fake)
        for measurement in measured(options, chosen, kind, sets, sides)
    ]
    if not found:
        raise ValueError(
            f"--measures {' '.join(options.measures)} are of none of the features "
            f"{' '.join(options.features)}; give others of either."
        )
    keep(options.out or Path("runs/evaluation"), found, sides)
    return found


def counts(options: Options, real: Side, fake: Side) -> tuple[int, int]:
    """How many samples each side has, and how many real ones are drawn in all."""
    there = [s.total for s in (real, fake) if s.total is not None]
    n = min([*there, MOST]) if options.n is None else options.n
    if n < 2 or n > min(there, default=n):
        raise ValueError(
            f"--n is {n}, but there are {real.total or 'any number of'} real samples "
            f"and {fake.total or 'any number of'} to score; give 2 to "
            f"{min(there, default=MOST)}."
        )
    return n, 2 * n if real.total is None else min(2 * n, real.total)


def check(real: np.ndarray, fake: np.ndarray, sides: list[Side]) -> None:
    """Refuse to compare what is not alike."""
    if real.shape[1:] == fake.shape[1:] and real.dtype == fake.dtype:
        return
    shapes = [
        f"{s.name} has {x.dtype} {'x'.join(map(str, x.shape[1:]))}"
        for s, x in zip(sides, (real, fake), strict=True)
    ]
    if 2 in (real.ndim, fake.ndim):
        way = "Features are compared with features of the same function only."
    elif real.shape[-1] != fake.shape[-1]:
        way = "Grey and colour images are not compared; convert one of them."
    else:
        way = f"Give --size, as --size {min(real.shape[1], fake.shape[1])}."
    raise ValueError(f"{' and '.join(shapes)}. {way}")


def resize_of(real: Side, fake: Side) -> str:
    """One word for both sides; what was of that size already was left alone."""
    return next((s.resize for s in (fake, real) if s.resize != "none"), "none")


def compared(
    options: Options, side: Side, resize: str, real: np.ndarray, fake: np.ndarray
) -> Iterator[tuple[Kind, Sets]]:
    """What there is to compare, kind by kind: images, features, logits."""
    n, half = len(fake), min(len(fake), len(real) // 2)

    def sets(x: np.ndarray, y: np.ndarray, record: FeatureSpace) -> Sets:
        return Sets(x[:n], y, (x[:half], x[half : 2 * half]), record)

    if real.ndim == 2:
        yield "features", sets(real, fake, given(real))
        return
    yield "images", sets(real, fake, record(pixels(real.shape[1:]), resize))
    cache = folder(options.cache)

    def labelled() -> Labelled:
        return to_train_on(side, len(real), options.seed)

    for word in options.features:
        found = space(
            word,
            real[:n],
            resize,
            labelled=labelled,
            cache=cache,
            weights=options.inception_weights,
        )
        x = real_features(found, real, side.fingerprint, cache)
        y = found.features(fake)
        yield "features", sets(x, y, found.record)
        if found.features.head is not None:
            logits = found.features.logits
            yield "logits", sets(logits(x), logits(y), found.record)


def given(features: np.ndarray) -> FeatureSpace:
    """Of features that were computed elsewhere nothing is known."""
    return FeatureSpace(
        name="given",
        digest="",
        dimension=features.shape[1],
        resize="unknown",
        quantisation="unknown",
    )


def to_train_on(side: Side, used: int, seed: int) -> Labelled:
    """Labelled real images: others than those compared, if there are enough."""
    count = used if side.total is None else min(side.total, used + MOST_TRAINED_ON)
    arrays = side.take(count, seed)
    if "label" not in arrays:
        raise ValueError(
            f"--features classifier wants labels to learn from, but {side.name} has "
            "none. Give the .npz file of a trained classifier, or pca64."
        )
    start = used if count - used >= FEW_LABELLED else 0
    if not start:
        say("the classifier learns from the very images that are compared")
    learnt = {name: arrays[name][start:] for name in ("real", "label")}
    fingerprint = f"{side.fingerprint} {side.resize} content={content_digest(learnt)}"
    return Labelled(learnt["real"], learnt["label"], fingerprint)


def folder(cache: str) -> Path | None:
    """Where real features and classifiers are kept: the user's own folder."""
    if cache == "none":
        return None
    place = cache_directory() / "evaluate" if cache == "auto" else Path(cache)
    place = place.expanduser()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def measured(
    options: Options,
    chosen: dict[str, Measure],
    kind: Kind,
    sets: Sets,
    sides: list[Side],
) -> Iterator[Measurement]:
    """The chosen measures of one kind, each beside its floor."""
    for name, measure in chosen.items():
        if measure.of != kind:
            continue
        slow = sets.record.dimension > SLOW_ABOVE.get(name, sets.record.dimension)
        if slow and not options.measures:
            say(f"{name} of {sets.record} is left out: it is slow; --measures asks")
            continue
        try:
            figures = measure.figures(sets.real, sets.fake, options.seed)
            floors = measure.figures(*sets.halves, options.seed)
        except ValueError as error:
            if options.measures:
                raise
            say(f"{name} of {sets.record} is left out: {error}")
            continue
        for figure, floor in zip(figures, floors, strict=True):
            yield of_figure(options, sets, sides, figure, floor)


def of_figure(
    options: Options, sets: Sets, sides: list[Side], figure: Figure, floor: Figure
) -> Measurement:
    """A figure with all that it depends on."""
    return Measurement(
        measure=called(figure.name, sets.record),
        value=figure.value,
        features=sets.record,
        real_count=len(sets.real),
        fake_count=len(sets.fake),
        split=sides[0].name,
        weights=sides[1].weights,
        seed=options.seed,
        deviation=figure.deviation,
        floor=floor.value,
        floor_count=len(sets.halves[0]),
        floor_measure=(
            None if floor.name == figure.name else called(floor.name, sets.record)
        ),
    )


def called(name: str, of: FeatureSpace) -> str:
    """A measure's name, which is another one in features of the Inception network."""
    if of.inception:
        for theirs, ours in INCEPTION_NAMES.items():
            if name.startswith(ours):
                return theirs + name[len(ours) :]
    return name


def keep(out: Path, found: list[Measurement], sides: list[Side]) -> None:
    """Print the table, and write it beside the records."""
    described = {
        role: {"name": s.name, "fingerprint": s.fingerprint}
        for role, s in zip(("real", "scored"), sides, strict=True)
    }
    records = [{**described, "measurement": json.loads(to_json(m))} for m in found]
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(records, indent=1) + "\n")
    text = table(found)
    (out / "table.md").write_text(text + "\n")
    say(text)
    say(f"kept in {out}")


def run(options: Options) -> None:
    """Evaluate, with the compiled programs kept for the next time."""
    with programs("auto"):
        evaluate(options)


if __name__ == "__main__":
    main(
        run,
        tyro.cli(Options, prog="python -m experiments.evaluate", description=__doc__),
    )
