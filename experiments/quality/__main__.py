"""How good the samples are: each recipe's mean ± deviation over fresh seeds.

    python -m experiments.quality                     all tasks, every seed
    python -m experiments.quality --only ring grid    some of them
    python -m experiments.quality --quick             one seed each, shorter: it runs
    python -m experiments.quality --list              their names

A seed that was run is not run again: its numbers lie in runs/quality, by recipe and by
the versions of the libraries, and an interrupted command goes on where it was. The
table is printed, and lies in runs/quality/table.md with all numbers in table.json. The
seeds are fresh: recipes were chosen on others. The status is 1 if a goal was missed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.quality import mixtures, stacked
from experiments.quality.task import Task, markdown, measured, row
from gan_jax.facts import versions

TASKS: dict[str, Task] = {task.name: task for task in (*mixtures.TASKS, *stacked.TASKS)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these tasks only")
    parser.add_argument("--list", action="store_true", help="say the names, and end")
    parser.add_argument("--quick", action="store_true", help="one short seed of each")
    parser.add_argument("--directory", type=Path, default=Path("runs/quality"))
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(TASKS))
        return 0
    if unknown := set(options.only or ()) - set(TASKS):
        parser.error(
            f"there is no task {', '.join(sorted(unknown))}; there are "
            f"{', '.join(TASKS)}."
        )
    rows, kept, missed = [], {}, False
    for name in options.only or TASKS:
        task = TASKS[name]
        numbers = []
        for seed in task.seeds[: task.quick_seeds] if options.quick else task.seeds:
            numbers.append(measured(task, seed, options.quick, options.directory))
            told = ", ".join(f"{k} {v:.4g}" for k, v in numbers[-1].items())
            print(f"{name}, seed {seed}: {told}", flush=True)
        rows.append(row(task, numbers, options.quick))
        kept[name] = {"recipe": task.recipe, "numbers": numbers}
        missed |= not options.quick and not task.met(numbers)
    print("\n" + markdown(rows))
    options.directory.mkdir(parents=True, exist_ok=True)
    whole = {"versions": versions(), "quick": options.quick, "tasks": kept}
    (options.directory / "table.json").write_text(json.dumps(whole, indent=1) + "\n")
    (options.directory / "table.md").write_text(markdown(rows))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
