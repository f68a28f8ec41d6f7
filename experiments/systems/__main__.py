"""Every system on its smallest honest task, one row each.

    python -m experiments.systems                all of them, a quarter of an hour
    python -m experiments.systems --only ogan    one, and its picture
    python -m experiments.systems --list         their names

A row says which system, what it was put to, what it must show, what it showed, and how
long that took. The status is 1 if a row does not hold. ``runs/systems`` holds a picture
for each system, ``table.json`` and ``table.md``.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.rows import check_names, command_line
from experiments.rows import markdown as table_of
from experiments.systems.system import System
from gan_jax.images import save_png

# The files that rows stand in, in the order of docs/systems.md.
FAMILIES = (
    "one_loss",
    "divergences",
    "ratios",
    "transport",
    "slopes",
    "robust",
    "bigan_qp",
    "energy",
    "energy_gan",
    "encoders",
    "encoded_faces",
    "identities",
    "architecture",
    "dynamics",
    "rings",
    "aids",
    "codes",
)


def every_system() -> dict[str, System]:
    """All systems by their names."""
    files = [importlib.import_module(f"experiments.systems.{f}") for f in FAMILIES]
    return {system.name: system for file in files for system in file.SYSTEMS}


def row(system: System, directory: Path) -> dict[str, Any]:
    """Run one system, keep its picture, and say what it showed."""
    begun = time.perf_counter()
    shown = system.run()
    seconds = time.perf_counter() - begun
    save_png(directory / f"{system.name}.png", shown.picture)
    return {
        "system": system.name,
        "where": system.where,
        "task": system.task,
        "must": system.must,
        "showed": shown.text,
        "holds": bool(shown.holds),  # a NumPy truth is not JSON's
        "seconds": round(seconds, 1),
    }


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as the README's table has them."""
    body = []
    for r in rows:
        cell = {name: str(value).replace("|", "\\|") for name, value in r.items()}
        cell["task"] += ": " + cell["must"]
        if not r["holds"]:
            cell["showed"] += " **does not hold**"
        where, seconds = f"`{cell['where']}`", f"{r['seconds']:.0f}"
        body.append([cell["system"], where, cell["task"], cell["showed"], seconds])
    return table_of(["system", "where", "must show", "showed", "s"], body)


def main() -> None:
    """Run what the command line asks for."""
    parser = command_line("systems", __doc__, "system")
    options = parser.parse_args()
    systems = every_system()
    if options.list:
        print("\n".join(systems))
        return
    check_names(parser, "system", options.only or (), systems)
    options.directory.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in options.only or systems:
        rows.append(done := row(systems[name], options.directory))
        mark = "holds" if done["holds"] else "DOES NOT HOLD"
        print(
            f"{mark:13} {name:24} {done['seconds']:6.1f} s  {done['task']}\n"
            f"{'':14}must show: {done['must']}\n{'':14}showed:    {done['showed']}",
            flush=True,
        )
    held = sum(r["holds"] for r in rows)
    total = sum(r["seconds"] for r in rows)
    print(f"{held} of {len(rows)} hold, {total:.0f} s; see {options.directory}")
    if not options.only:
        about = {
            "jax": jax.__version__,
            "device": jax.devices()[0].device_kind,
            "cores": len(os.sched_getaffinity(0)),
        }
        table = options.directory / "table.json"
        table.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
        (options.directory / "table.md").write_text(markdown(rows))
    if held < len(rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
