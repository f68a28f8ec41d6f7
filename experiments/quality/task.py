"""What a task of quality is, how its seeds are run, and how they make a row."""

import dataclasses
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gan_jax.facts import versions

Numbers = dict[str, float]

# Of Fashion-MNIST's, on two cores of an AMD EPYC with 450 GFLOP/s for matrix products.
STEPS_A_MINUTE = 1_800


class Given(NamedTuple):
    """What the command line says beside names.

    Attributes:
      data: a folder with the data sets' folders, fashion-mnist and so on; or None.
      minutes: of training, where a task is of equal time.
      directory: where files go.
      steps_a_minute: that ours takes on this machine, likewise.
    """

    data: Path | None
    minutes: float
    directory: Path
    steps_a_minute: int = STEPS_A_MINUTE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A recipe, the seeds it is judged by, and what it is to reach.

    Attributes:
      name: on the command line.
      title: in the table.
      published: what others reached, and where that stands.
      goal: what to reach, in words.
      met: whether one seed's numbers reach it; all of them must.
      recipe: all that the numbers depend on besides the seed, of JSON's types. Other
        recipes are other results; none is taken from an earlier one's file.
      run: ``(seed, quick) -> numbers``.
      seeds: on which nothing was chosen.
      quick_seeds: how many of them ``--quick`` runs.
      on: the same task with what the command line gives it.
      lacks: what is missing to run it here, and what to do about it; "" if nothing is.
      shown: the numbers that stand in the row; all of them if none are named.
      details: a table of its own, of all seeds' numbers.
    """

    name: str
    title: str
    published: str
    goal: str
    met: Callable[[Numbers], bool]
    recipe: dict[str, Any]
    run: Callable[[int, bool], Numbers]
    seeds: tuple[int, ...]
    quick_seeds: int = 1
    on: "Callable[[Given], Task] | None" = None
    lacks: str = ""
    shown: tuple[str, ...] = ()
    details: Callable[[Sequence[Numbers]], str] | None = None

    def reached(self, numbers: Sequence[Numbers]) -> bool:
        """Whether every seed reaches the goal."""
        return all(self.met(n) for n in numbers)


def measured(task: Task, seed: int, quick: bool, directory: Path) -> Numbers:
    """The numbers of one seed, from disk if this recipe's are there."""
    return remembered(task.name, task.recipe, task.run, seed, quick, directory)


def remembered(
    name: str,
    recipe: Mapping[str, Any],
    run: Callable[[int, bool], Numbers],
    seed: int,
    quick: bool,
    directory: Path,
) -> Numbers:
    """``run(seed, quick)``, or what it was when all that it depends on was the same.

    Args:
      name: of the folder below ``directory``.
      recipe: all that the numbers depend on besides the seed, of JSON's types.
      run: ``(seed, quick) -> numbers``.
      seed, quick: of it.
      directory: where the numbers are kept.
    """
    known = {"task": name, "recipe": recipe, "seed": seed, "quick": quick}
    known["versions"] = versions()
    file = directory / name / f"seed{seed}-{digest_of(known)}.json"
    if file.exists():
        return dict(json.loads(file.read_text())["numbers"])
    begun = time.monotonic()
    numbers = run(seed, quick) | {"seconds": time.monotonic() - begun}
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".part")
    draft.write_text(json.dumps(known | {"numbers": numbers}, indent=1) + "\n")
    draft.replace(file)
    return numbers


def digest_of(facts: Mapping[str, Any]) -> str:
    """A few letters that tell one set of facts, of JSON's types, from another."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def row(task: Task, numbers: Sequence[Numbers], quick: bool) -> dict[str, str]:
    """One line of the table: mean ± deviation, and the worst seed where it counts."""
    reached = ", ".join(
        f"{name} {spread([n[name] for n in numbers])}"
        for name in task.shown or numbers[0]
    )
    if quick:
        verdict = "not judged (quick)"
    else:
        verdict = "reached" if task.reached(numbers) else "**missed**"
    return {
        "task": task.title,
        "published": task.published,
        "to reach": task.goal,
        "seeds": str(len(numbers)),
        "mean ± deviation over seeds": reached,
        "": verdict,
    }


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation, with as many digits as count.

    >>> spread([1.0, 2.0, 3.0])
    '2 ± 1'
    """
    mean = statistics.fmean(values)
    if len(values) == 1:
        return f"{mean:.4g}"
    return f"{mean:.4g} ± {statistics.stdev(values):.2g}"
