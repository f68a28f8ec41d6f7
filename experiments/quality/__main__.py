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

import json
import sys
from collections.abc import Sequence

from experiments.quality import mixtures, stacked
from experiments.quality.task import Task, measured, row
from experiments.rows import check_names, command_line, markdown
from gan_jax.facts import versions

TASKS: dict[str, Task] = {task.name: task for task in (*mixtures.TASKS, *stacked.TASKS)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; 1 if a goal was missed."""
    parser = command_line("quality", __doc__, "task")
    parser.add_argument("--quick", action="store_true", help="one short seed of each")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(TASKS))
        return 0
    check_names(parser, "task", options.only or (), TASKS)
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
        missed |= not options.quick and not task.reached(numbers)
    text = markdown(list(rows[0]), [list(row.values()) for row in rows])
    print("\n" + text)
    options.directory.mkdir(parents=True, exist_ok=True)
    whole = {"versions": versions(), "quick": options.quick, "tasks": kept}
    (options.directory / "table.json").write_text(json.dumps(whole, indent=1) + "\n")
    (options.directory / "table.md").write_text(text)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
