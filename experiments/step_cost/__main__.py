"""What a step costs, what is added to it, and how both grow.

    python -m experiments.step_cost                    all tables, half an hour or more
    python -m experiments.step_cost --only ring        one
    python -m experiments.step_cost --list             their names

Each table is measured in a process of its own. What is compared is measured in turns
in one run; figures are medians, and ratios say more than times, which other work on
the machine changes. ``runs/step_cost`` holds ``table.json`` and ``table.md``. A goal
that is missed is said to be; the status is 0 all the same: it depends on the machine.
"""

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.rows import check_names, command_line
from experiments.step_cost.table import Table, machine, markdown

FILES = ("service", "ring", "startup", "growth", "samples")


def every_table() -> dict[str, Callable[[], Table]]:
    """All tables by their names."""
    files = [importlib.import_module(f"experiments.step_cost.{f}") for f in FILES]
    return {name: table for file in files for name, table in file.TABLES.items()}


def measured(name: str, place: Path) -> dict[str, Any]:
    """One table, measured by a process of its own, which leaves it in ``place``."""
    file = place / f"{name}.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "experiments.step_cost", "--here", name]
    subprocess.run([*command, "--directory", str(place)], check=True)
    return dict(json.loads(file.read_text()))


def measure(name: str, place: Path) -> None:
    """One table, measured by this process."""
    begun = machine()
    table = every_table()[name]()
    text = json.dumps(table._asdict() | {"machine": begun}, indent=1)
    (place / f"{name}.json").write_text(text + "\n")
    print(markdown(table), flush=True)


def main() -> None:
    """Measure what the command line asks for."""
    parser = command_line("step_cost", __doc__, "table")
    parser.add_argument("--here", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = list(every_table())
    if options.list:
        print("\n".join(names))
        return
    check_names(
        parser, "table", [*(options.only or ()), options.here or names[0]], names
    )
    options.directory.mkdir(parents=True, exist_ok=True)
    if options.here:
        measure(options.here, options.directory)
        return
    where = machine()
    print(
        f"{where['cores']} cores of {where['processor']}, load {where['load']}; "
        + ", ".join(f"{name} {version}" for name, version in where["versions"].items()),
        flush=True,
    )
    tables = {name: measured(name, options.directory) for name in options.only or names}
    whole = {"machine": where, "tables": tables}
    (options.directory / "table.json").write_text(json.dumps(whole, indent=1) + "\n")
    texts = []
    for table in tables.values():
        table.pop("machine")
        texts.append(markdown(Table(**table)))
    (options.directory / "table.md").write_text("\n".join(texts))


if __name__ == "__main__":
    main()
