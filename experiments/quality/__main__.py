"""How good the samples are: each recipe's mean ± deviation over fresh seeds.

    python -m experiments.quality                     all tasks, every seed
    python -m experiments.quality --only ring grid    some of them
    python -m experiments.quality --quick             one seed each, shorter: it runs
    python -m experiments.quality --data DIR          with those of data sets, too:
                                                      DIR holds fashion-mnist/
                                                      and mnist-t10k/
    python -m experiments.quality --list              their names

A seed that was run is not run again: its numbers lie in runs/quality, by recipe and by
the versions of the libraries, and an interrupted command goes on where it was. The
table is printed, and lies in runs/quality/table.md with all numbers in table.json. The
seeds are fresh: recipes were chosen on others. The status is 1 if a goal was missed,
and 2 if a seed could not be run to its end; the other tasks have their rows then, too.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.quality import faces, fashion, mixtures, stacked
from experiments.quality.task import (
    STEPS_A_MINUTE,
    Given,
    Numbers,
    Task,
    measured,
    row,
)
from experiments.rows import check_names, command_line, markdown
from gan_jax.facts import versions

TASKS: dict[str, Task] = {
    task.name: task
    for task in (*mixtures.TASKS, *stacked.TASKS, *faces.TASKS, *fashion.TASKS)
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; the status."""
    parser = command_line("quality", __doc__, "task")
    parser.add_argument("--quick", action="store_true", help="one short seed of each")
    parser.add_argument("--data", type=Path, help="a folder of data sets' folders")
    parser.add_argument(
        "--minutes", type=float, default=30, help="a side, in comparisons at equal time"
    )
    parser.add_argument(
        "--steps-a-minute",
        type=int,
        default=STEPS_A_MINUTE,
        help="there, of ours on this machine; the table says what seconds they took",
    )
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(TASKS))
        return 0
    rows, kept, details, missed, failed = [], {}, "", False, False
    for task in chosen(parser, options):
        name = task.name
        try:
            numbers = seeds_of(task, options.quick, options.directory)
        except (FloatingPointError, RuntimeError) as error:
            print(f"{name} has no row: {error}", file=sys.stderr, flush=True)
            failed = True
            continue
        rows.append(row(task, numbers, options.quick))
        kept[name] = {"recipe": task.recipe, "numbers": numbers}
        missed |= not options.quick and not task.reached(numbers)
        if task.details:
            details += f"\n{task.title}:\n\n{task.details(numbers)}"
    if not rows:
        return 2
    text = markdown(list(rows[0]), [list(row.values()) for row in rows]) + details
    print("\n" + text)
    options.directory.mkdir(parents=True, exist_ok=True)
    whole = {"versions": versions(), "quick": options.quick, "tasks": kept}
    (options.directory / "table.json").write_text(json.dumps(whole, indent=1) + "\n")
    (options.directory / "table.md").write_text(text)
    return 2 if failed else int(missed)


def seeds_of(task: Task, quick: bool, directory: Path) -> list[Numbers]:
    """The numbers of each of its seeds, which are printed as they come."""
    found = []
    for seed in task.seeds[: task.quick_seeds] if quick else task.seeds:
        found.append(last := measured(task, seed, quick, directory))
        told = ", ".join(f"{k} {last[k]:.4g}" for k in task.shown or last)
        print(f"{task.name}, seed {seed}: {told}", flush=True)
    return found


def chosen(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> Iterator[Task]:
    """The tasks to run, with what the command line gives them.

    One that was asked for by name must be possible here; others are left out.
    """
    check_names(parser, "task", options.only or (), TASKS)
    if not options.minutes > 0:
        parser.error(f"--minutes is {options.minutes:g}; give more than 0.")
    if options.steps_a_minute < 1:
        parser.error(f"--steps-a-minute is {options.steps_a_minute}; give 1 or more.")
    given = Given(
        options.data, options.minutes, options.directory, options.steps_a_minute
    )
    tasks = [TASKS[name] for name in options.only or TASKS]
    tasks = [task.on(given) if task.on else task for task in tasks]
    lacking = [f"{task.name}: {task.lacks}" for task in tasks if task.lacks]
    if lacking and options.only:
        parser.error(" ".join(lacking))
    print("".join(f"left out, {line}\n" for line in lacking), end="")
    return (task for task in tasks if not task.lacks)


if __name__ == "__main__":
    sys.exit(main())
