"""Every system on its smallest honest task, one row each.

    python -m experiments.systems                all of them, a quarter of an hour
    python -m experiments.systems --only ogan    one, and its picture
    python -m experiments.systems --list         their names

A row says which system, what it was put to, what it must show, what it showed, and how
long that took. The status is 1 if a row does not hold. ``runs/systems`` holds a picture
for each system, ``table.json`` and ``table.md``.
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

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
    lines = ["| system | where | must show | showed | s |", "|---|---|---|---|---|"]
    for r in rows:
        cell = {name: str(value).replace("|", "\\|") for name, value in r.items()}
        cell["task"] += ": " + cell["must"]
        if not r["holds"]:
            cell["showed"] += " **does not hold**"
        lines.append(
            f"| {cell['system']} | `{cell['where']}` | {cell['task']} | "
            f"{cell['showed']} | {r['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.systems",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these systems only")
    parser.add_argument("--list", action="store_true", help="say the names, and end")
    parser.add_argument("--directory", type=Path, default=Path("runs/systems"))
    options = parser.parse_args()
    systems = every_system()
    if options.list:
        print("\n".join(systems))
        return
    if unknown := set(options.only or ()) - set(systems):
        parser.error(
            f"there is no system {', '.join(sorted(unknown))}; there are "
            f"{', '.join(systems)}."
        )
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
