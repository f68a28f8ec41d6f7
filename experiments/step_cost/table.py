"""What a table is, and how two things are timed side by side."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments.rows import markdown as table_of
from gan_jax.facts import versions

Row = dict[str, Any]


class Table(NamedTuple):
    """Measurements of one kind.

    Attributes:
      title: what was measured.
      goal: what it should be; "" if it is there to be seen.
      expected: what was predicted, and from what.
      rows: of JSON's types, all with the same names.
      holds: whether the goal is met; None without a goal.
    """

    title: str
    goal: str
    expected: str
    rows: list[Row]
    holds: bool | None


def markdown(table: Table) -> str:
    """The table as text."""
    names = list(table.rows[0])
    lines = [f"### {table.title}", ""]
    if table.goal:
        verdict = "met" if table.holds else "**missed**"
        lines += [f"Goal: {table.goal}: {verdict}."]
    lines += [f"Predicted: {table.expected}", ""]
    body = [[shown(row[name]) for name in names] for row in table.rows]
    return "\n".join(lines) + "\n" + table_of(names, body)


def shown(value: Any) -> str:
    """A number with three digits that count, or a text as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f}"


def machine() -> dict[str, Any]:
    """Where this is measured, and how busy it is with other work."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [x.split(":")[1].strip() for x in lines if x.startswith("model name")]
    cores = os.cpu_count()
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": cores,
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "versions": versions(),
    }


def seconds(work: Callable[[], Any]) -> float:
    """How long ``work`` takes, until what it returns is there."""
    begun = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - begun


def alternately(
    works: Mapping[str, Callable[[], Any]], rounds: int
) -> dict[str, list[float]]:
    """Times of each work, taken in turns after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            took = seconds(work)
            if turn:
                times[name].append(took)
    return times


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """From the least to the largest."""
    return f"{min(values):.3f} to {max(values):.3f}"
