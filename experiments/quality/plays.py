"""Who moves when, at equal time: merged, one-backward and alternating steps.

    python -m experiments.quality.plays                 both tasks, every seed
    python -m experiments.quality.plays --only ring     one of them
    python -m experiments.quality.plays --seconds 30    longer runs
    python -m experiments.quality.plays --quick         two seeds of a second: it runs

First the steps of all entries are timed in turns. Each entry then gets the steps that
fit into a task's seconds by its own time, and its schedules end with them: nobody is
cut off, and a cheaper step means more steps. A step is one move of each player, and
each move has a batch of its own of the same size: an alternating step sees twice the
data. Samples are drawn from the average of G, which in runs of up to 9,000 steps spans
about their last tenth. The tasks and entries are in `experiments.quality.contests`.

Times and seeds are kept as `experiments.quality` keeps seeds, so the command may be
interrupted. ``runs/quality`` gets plays.json with all numbers, plays.md with the
tables, and a picture of each task; the extra `notebooks` (matplotlib) draws it.
"""

import functools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.quality.contests import CONTESTS, WAYS, Contest, Entry, Scores
from experiments.quality.plays_figure import REAL, check_matplotlib, draw
from experiments.quality.task import Numbers, remembered, spread
from experiments.rows import check_names, command_line, markdown
from experiments.run import plain
from experiments.step_cost.table import alternately, machine, median
from gan_jax.gan import SETTLING
from gan_jax.kernel import State

SEEDS = tuple(range(3100, 3105))
QUICK_SEEDS, QUICK_SECONDS = 2, 1.0
ROUNDS, QUICK_ROUNDS = 15, 3  # in which steps are timed
LOOKS = 8  # at a run's samples, evenly spaced


class Place(NamedTuple):
    """Where numbers are kept, and of which kind of run."""

    directory: Path
    quick: bool


Run = Callable[[int, bool], Numbers]  # seed, quick -> numbers


class Program:
    """An entry's training, compiled once for all seeds and any number of steps."""

    def __init__(self, contest: Contest, entry: Entry) -> None:
        real = jnp.asarray(_data(contest))
        moves = 2 if WAYS[entry.way]["play"] == "alternating" else 1
        rows = contest.config.batch_size * moves

        def batch(key: Array) -> dict[str, Array]:
            index = jax.random.randint(key, (rows,), 0, len(real))
            return {"real": jnp.take(real, index, 0, mode="clip")}

        def init(key: Array) -> State:
            return contest.model(contest.of(entry, 1)).init(key, batch(key))

        def call(state: State, key: Array, steps: Array) -> State:
            # The schedules' end is an argument: what is timed is what will run.
            model = contest.model(contest.of(entry, steps))

            def step(state: State, _: None) -> tuple[State, None]:
                drawn = batch(jax.random.fold_in(key, state.step))
                return model.step(state, drawn)[0], None

            return jax.lax.scan(step, state, None, length=contest.steps_per_call)[0]

        key = jax.random.key(0)
        self._init = jax.jit(init)
        like = jax.eval_shape(init, key), key, jnp.int32(1)
        self._call = jax.jit(call, donate_argnums=0).lower(*like).compile()

    def start(self, seed: int, steps: int) -> None:
        """Begin a run."""
        start_key, self._key = jax.random.split(jax.random.key(seed))
        self.state, self._steps = self._init(start_key), jnp.int32(steps)

    def __call__(self) -> State:
        """Another call's steps."""
        self.state = self._call(self.state, self._key, self._steps)
        return self.state


@functools.cache
def compiled(contest: Contest, entry: Entry) -> Program:
    """An entry's program, the same one for its timing and for every seed."""
    return Program(contest, entry)


@functools.cache
def _data(contest: Contest) -> np.ndarray:
    return contest.data(contest.config)


@functools.cache
def _scores(contest: Contest) -> tuple[Scores, Scores]:
    return contest.look(contest.config), contest.scores(contest.config)


def step_seconds(contest: Contest, seed: int, quick: bool) -> Numbers:
    """How long a step of each entry takes: medians of times taken in turns."""
    programs = {entry: compiled(contest, entry) for entry in contest.entries()}
    for program in programs.values():
        program.start(seed, steps=1000)
    works = {entry.name: program for entry, program in programs.items()}
    times = alternately(works, QUICK_ROUNDS if quick else ROUNDS)
    each = contest.steps_per_call
    return {name: median(taken) / each for name, taken in times.items()}


def trained(
    contest: Contest, entry: Entry, steps: int, seed: int, quick: bool
) -> Numbers:
    """Train one seed: its numbers at the end, and at every look (name@look).

    "training" is in seconds, without compiling and without looking.
    """
    program, (look, scores) = compiled(contest, entry), _scores(contest)
    program.start(seed, steps)
    jax.block_until_ready(program.state)
    calls, spent = steps // contest.steps_per_call, 0.0
    seen: Numbers = {}
    for number in range(1, LOOKS + 1):
        begun = time.perf_counter()
        for _ in range(calls * (number - 1) // LOOKS, calls * number // LOOKS):
            program()
        jax.block_until_ready(program.state)
        spent += time.perf_counter() - begun
        found = look(program.state) | {"training": spent}
        seen |= {f"{k}@{number}": v for k, v in found.items() if not k.endswith(REAL)}
    skipped = float(program.state.skipped)
    return scores(program.state) | {"training": spent, "skipped": skipped} | seen


def kept(
    contest: Contest, part: str, recipe: Mapping[str, Any], run: Run, at: Place
) -> Callable[[int], Numbers]:
    """``seed -> numbers``: those on disk, or else what ``run`` measures."""
    name = f"plays-{contest.name}-{part}"
    return lambda seed: remembered(name, recipe, run, seed, at.quick, at.directory)


def compared(contest: Contest, seconds: float, at: Place) -> dict[str, Any]:
    """All entries of a task: the time of a step, the steps, every seed's numbers."""
    entries = contest.entries()
    here = machine()
    recipe = {
        "config": plain(contest.name, contest.config),
        "entries": [entry.name for entry in entries],
        "steps_per_call": contest.steps_per_call,
        "machine": [here["processor"], here["cores"]],
    }
    run = functools.partial(step_seconds, contest)
    times = kept(contest, "times", recipe, run, at)(0)
    steps = {e.name: contest.steps(seconds, times[e.name]) for e in entries}
    found: dict[str, list[Numbers]] = {entry.name: [] for entry in entries}
    # Seed by seed, so that what else the machine does meets all entries alike.
    for seed in SEEDS[:QUICK_SEEDS] if at.quick else SEEDS:
        for entry in entries:
            count = steps[entry.name]
            recipe = {
                "config": plain(contest.name, contest.of(entry, count)),
                "entry": entry.name,
                "looks": LOOKS,
                "statistics": list(SETTLING),
                "steps_per_call": contest.steps_per_call,
            }
            run = functools.partial(trained, contest, entry, count)
            numbers = kept(contest, "seeds", recipe, run, at)(seed)
            found[entry.name].append(numbers)
            told = ", ".join(f"{name} {numbers[name]:.4g}" for name in contest.measures)
            print(f"{contest.name}, {entry.name}, seed {seed}: {told}", flush=True)
    return {
        "seconds": seconds,
        "step seconds": {entry.name: times[entry.name] for entry in entries},
        "steps": steps,
        "numbers": found,
    }


def table(contest: Contest, result: Mapping[str, Any]) -> str:
    """A row an entry, as Markdown, and what a perfect generator would have."""
    body = []
    for entry in contest.entries():
        numbers = result["numbers"][entry.name]
        body.append(
            [
                *entry,
                f"{result['step seconds'][entry.name] * 1e3:.3f}",
                f"{result['steps'][entry.name]:,}",
                *(
                    spread([n[name] for n in numbers])
                    for name in ("training", *contest.measures)
                ),
            ]
        )
    real = [f"{numbers[0][name + REAL]:.4g}" for name in contest.measures]
    body.append(["real samples", "", "", "", "", "", *real])
    head = [*Entry._fields, "ms a step", "steps", "seconds taken", *contest.measures]
    title = f"### {contest.title}, {len(numbers)} seeds of {result['seconds']:g} s\n\n"
    return title + markdown(head, body)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare what the command line asks for."""
    parser = command_line("quality.plays", __doc__, "task")
    parser.set_defaults(directory=Path("runs") / "quality")
    parser.add_argument("--quick", action="store_true", help="two seeds of a second")
    parser.add_argument("--seconds", type=float, help="of a run; a task has its own")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(CONTESTS))
        return 0
    check_names(parser, "task", options.only or (), CONTESTS)
    if options.seconds is not None and not options.seconds > 0:
        parser.error(f"--seconds is {options.seconds:g}; give more than 0.")
    check_matplotlib()
    at = Place(options.directory, options.quick)
    results: dict[str, Any] = {}
    texts = []
    for name in options.only or CONTESTS:
        contest = CONTESTS[name]
        usual = QUICK_SECONDS if options.quick else contest.seconds
        results[name] = compared(contest, options.seconds or usual, at)
        texts.append(table(contest, results[name]))
        print("\n" + texts[-1], flush=True)
        found = {e: results[name]["numbers"][e.name] for e in contest.entries()}
        picture, seconds = at.directory / f"plays-{name}.png", results[name]["seconds"]
        draw(picture, contest.title, contest.panels, found, seconds)
    whole = {"machine": machine(), "quick": options.quick, "tasks": results}
    (options.directory / "plays.json").write_text(json.dumps(whole, indent=1) + "\n")
    (options.directory / "plays.md").write_text("\n".join(texts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
