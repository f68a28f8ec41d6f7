"""Which measure is blind to what: known faults of real images, measured.

    python -m experiments.evaluate.faults                             drawn faces
    python -m experiments.evaluate.faults --data fashion-mnist/ --n 2000

Real images are split at random into a reference and others; the others are damaged,
and every measure compares them with the reference. Its floor is the same without any
damage, over several splits. A fault is seen if its value lies beyond 4 standard
deviations of the floor's draws from their mean, on the side where worse values lie:

    seen      worse than the floor
    blind     among the floor's draws
    fooled    beyond them on the other side: the measure calls the fault an improvement

Prints the table as Markdown and writes faults.md and faults.json. With 2,000 images of
28 x 28 and 8 splits all measures but PRD and SWD took 100 seconds on two busy cores,
each of these two about as long; docs/evaluation.md has the result.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import tyro

from experiments.evaluate.damage import FAULTS, Pool
from experiments.evaluate.measures import Figure, known
from experiments.evaluate.sides import side
from experiments.evaluate.spaces import EPOCHS
from experiments.run import main, programs, say
from gan_jax.evaluate.features import Features, classifier, pca

BEYOND = 4.0  # standard deviations of the floor's draws
FIT = 5000  # images that features are fitted to; none of them is compared
Verdict = Literal["seen", "blind", "fooled"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is damaged, and by what it is looked at."""

    data: str | None = None
    """Real images, as experiments.evaluate takes them; by default drawn faces."""
    size: int | None = None
    """Bring them to so many pixels a side; by default they stay as they are."""
    n: int = 1000
    """Images on each side."""
    splits: int = 8
    """From which the floor's spread is known, at least 3."""
    features: tuple[Literal["pca64", "classifier"], ...] = ("pca64", "classifier")
    """The classifier is left out for images without labels."""
    measures: tuple[str, ...] = (
        "fd",
        "kd",
        "precision-recall",
        "density-coverage",
        "prd",
        "1-nn",
        "sw2",
        "swd",
        "ms-ssim",
        "cs",
    )
    seed: int = 0
    out: Path = Path("runs/evaluation")
    """Where the table goes."""


class Row(NamedTuple):
    """A measure's word on every fault.

    Attributes:
      measure: its name, with the features.
      floor: the mean of the floor's draws.
      spread: their standard deviation.
      values: fault -> value.
      verdicts: fault -> whether it was seen.
    """

    measure: str
    floor: float
    spread: float
    values: dict[str, float]
    verdicts: dict[str, Verdict]


def table(options: Options) -> list[Row]:
    """Every measure on every fault."""
    if options.splits < 3:
        raise ValueError(
            f"--splits is {options.splits}; a spread over fewer than 3 is no spread."
        )
    images, labels = drawn(options)
    fitted = min(FIT, len(images) // 3)
    spaces = dict(
        feature_spaces(
            options, images[:fitted], labels if labels is None else labels[:fitted]
        )
    )
    images, labels = images[fitted:], None if labels is None else labels[fitted:]
    if len(images) < 3 * options.n:
        raise ValueError(
            f"--n is {options.n}, but {len(images)} images are left beside the "
            f"{fitted} that features are fitted to; give at most {len(images) // 3}, "
            "a third for the reference, one to damage and one to fill up from."
        )
    floors: list[dict[str, Figure]] = []
    for split in range(options.splits):
        pool = split_pool(options, images, labels, split)
        floors.append(looked_at(options, spaces, pool.reference, pool.held_out))
        say(f"floor {split + 1} of {options.splits}")
    pool = split_pool(options, images, labels, 0)
    found: dict[str, dict[str, Figure]] = {}
    for number, (name, fault) in enumerate(FAULTS.items()):
        random = np.random.default_rng((options.seed, number))
        try:
            damaged = fault(pool, random)
        except ValueError as error:
            say(f"{name} is left out: {error}")
            continue
        found[name] = looked_at(options, spaces, pool.reference, damaged)
        say(f"{name}")
    return [row(measure, floors, found) for measure in floors[0]]


def drawn(options: Options) -> tuple[np.ndarray, np.ndarray | None]:
    """Real images in random order, as many as there is use for, and their labels."""
    most = FIT + 6 * options.n
    real = side(options.data or f"faces:{most}:32:{options.seed}", options.size)
    arrays = real.take(min(most, real.total or most), options.seed)
    say(f"{len(arrays['real']):,} images of {real.name}, N={options.n} a side")
    return arrays["real"], arrays.get("label")


def feature_spaces(
    options: Options, images: np.ndarray, labels: np.ndarray | None
) -> Iterator[tuple[str, Features]]:
    """The feature functions, fitted to images that are not compared."""
    if "pca64" in options.features:
        yield "pca64", pca(images, min(64, len(images) - 1))
    if "classifier" in options.features and labels is not None:
        network = classifier(images, labels, name="classifier", epochs=EPOCHS)
        yield "classifier", network.features()


def split_pool(
    options: Options, images: np.ndarray, labels: np.ndarray | None, split: int
) -> Pool:
    """A reference, as many others, and the rest."""
    order = np.random.default_rng((options.seed, split)).permutation(len(images))
    n = options.n
    reference, held_out, rest = order[:n], order[n : 2 * n], order[2 * n :]
    of = (lambda rows: None) if labels is None else (lambda rows: labels[rows])
    return Pool(
        images[held_out], images[rest], of(held_out), of(rest), images[reference]
    )


def looked_at(
    options: Options,
    spaces: dict[str, Features],
    real: np.ndarray,
    fake: np.ndarray,
) -> dict[str, Figure]:
    """Every figure by its name with the features'."""
    found = {}
    for measure in known(options.measures).values():
        if measure.of == "images":
            for figure in measure.figures(real, fake, options.seed):
                found[figure.name] = figure
    for name, space in spaces.items():
        x, y = space(real), space(fake)
        for measure in known(options.measures).values():
            figures: list[Figure] = []
            if measure.of == "features":
                figures = measure.figures(x, y, options.seed)
            elif measure.of == "logits" and space.head is not None:
                figures = measure.figures(
                    space.logits(x), space.logits(y), options.seed
                )
            found |= {f"{figure.name} [{name}]": figure for figure in figures}
    return found


def row(
    measure: str,
    floors: list[dict[str, Figure]],
    found: dict[str, dict[str, Figure]],
) -> Row:
    """A measure's values and verdicts."""
    draws = np.array([floor[measure].value for floor in floors])
    mean, spread = float(draws.mean()), float(draws.std(ddof=1))
    values = {fault: figures[measure].value for fault, figures in found.items()}
    worse = floors[0][measure].worse
    verdicts = {
        fault: verdict(value - mean, BEYOND * spread, worse)
        for fault, value in values.items()
    }
    return Row(measure, mean, spread, values, verdicts)


def verdict(away: float, beyond: float, worse: str) -> Verdict:
    """Whether a value so far away from the floor's mean shows the fault.

    >>> verdict(-3.0, 2.0, "above"), verdict(-3.0, 2.0, "aside")
    ('fooled', 'seen')
    """
    if abs(away) <= beyond:
        return "blind"
    if worse == "aside" or (away > 0) == (worse == "above"):
        return "seen"
    return "fooled"


def markdown(rows: list[Row]) -> str:
    """The table: what is seen in bold, what fools a measure in italics."""
    faults = list(rows[0].values)
    lines = [
        "| measure | floor ± sd | " + " | ".join(faults) + " |",
        "|---|---:|" + "---:|" * len(faults),
    ]
    marks: dict[Verdict, str] = {"seen": "**{}**", "blind": "{}", "fooled": "*{}* (!)"}
    for r in rows:
        cells = [
            marks[r.verdicts[fault]].format(f"{r.values[fault]:.3g}")
            for fault in faults
        ]
        start = f"| {r.measure} | {r.floor:.3g} ± {r.spread:.2g} | "
        lines.append(start + " | ".join(cells) + " |")
    return "\n".join(lines)


def run(options: Options) -> None:
    """Measure, print and keep."""
    with programs("auto"):
        rows = table(options)
    facts: dict[str, Any] = dataclasses.asdict(options) | {"out": str(options.out)}
    records = [r._asdict() for r in rows]
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"options": facts, "rows": records}, indent=1)
    (options.out / "faults.json").write_text(text + "\n")
    (options.out / "faults.md").write_text(markdown(rows) + "\n")
    say(markdown(rows))
    say(
        f"bold: seen, beyond {BEYOND:g} sd of {options.splits} floors; (!): fooled; "
        f"plain: blind. Kept in {options.out}"
    )


if __name__ == "__main__":
    main(
        run,
        tyro.cli(
            Options, prog="python -m experiments.evaluate.faults", description=__doc__
        ),
    )
