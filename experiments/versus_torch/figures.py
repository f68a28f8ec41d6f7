"""From the seconds of turns to medians, ratios and tables."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.versus_torch.cases import Row


class Timed(NamedTuple):
    """What a row's process reported.

    Attributes:
      rounds: seconds a step, by the number of the round; empty if the row failed.
      facts: what it said when it was ready (``cold``, ``imported``, ``about``), and its
        ``peak`` memory; or ``failed``, with the reason.
    """

    row: Row
    rounds: Mapping[int, float]
    facts: Mapping[str, Any]


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile.

    >>> quartiles([4.0, 1.0, 2.0, 3.0, 5.0])
    (2.0, 3.0, 4.0)
    """
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def median(timed: Timed) -> float:
    """The median seconds of a step; endless if the row failed."""
    return statistics.median(timed.rounds.values() or [float("inf")])


def ratio(ours: Mapping[int, float], theirs: Mapping[int, float]) -> float:
    """The median of the ratios within a round, which a slow round does not move.

    >>> ratio({0: 1.0, 1: 10.0, 2: 1.0}, {0: 2.0, 1: 20.0})
    0.5

    Raises:
      ValueError: for rows without a common round.
    """
    common = ours.keys() & theirs.keys()
    if not common:
        raise ValueError("These rows have no round in common, so no ratio.")
    return statistics.median(ours[n] / theirs[n] for n in common)


def best(timed: Sequence[Timed], side: str, way: str | None = None) -> Timed | None:
    """The row of a side (and way) with the lowest median; None if none ended."""
    ran = [
        t for t in timed if t.rounds and t.row.side == side and way in (None, t.row.way)
    ]
    return min(ran, key=median, default=None)


def table(timed: Sequence[Timed]) -> str:
    """The rows in markdown, in milliseconds a step and MB, the fastest first."""
    fastest = best(timed, "torch")
    lines = [
        "| row | ms | quartiles | images/s | to the best PyTorch | cold s "
        "| peak MB | after import |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ran = [t for t in timed if t.row.side != "machine"]
    for t in sorted(ran, key=median):
        if not t.rounds:
            lines.append(f"| {t.row} | failed: {t.facts['failed']} | | | | | | |")
            continue
        low, middle, high = quartiles([1e3 * x for x in t.rounds.values()])
        to_best = f"{ratio(t.rounds, fastest.rounds):.2f}" if fastest else ""
        lines.append(
            f"| {t.row} | {middle:.1f} | {low:.1f} to {high:.1f} "
            f"| {1e3 * t.row.case.batch / middle:.0f} | {to_best} "
            f"| {t.facts['cold']:.0f} | {t.facts['peak'] / 1e6:.0f} "
            f"| {t.facts['imported'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


def verdict(timed: Sequence[Timed]) -> dict[str, Any]:
    """The best of both sides, their ratio, and what the machine could have done.

    Only rows that ran in the same rounds may be given.
    """
    ours, theirs = best(timed, "jax", "one_backward"), best(timed, "torch")
    product = best(timed, "machine")
    found: dict[str, Any] = {}
    if ours and theirs:
        found["ours"], found["theirs"] = str(ours.row), str(theirs.row)
        found["ratio"] = ratio(ours.rounds, theirs.rounds)
        found["peak_ratio"] = ours.facts["peak"] / theirs.facts["peak"]
    if ours and product:
        about = product.facts["about"]
        rate = about["product_flops"] / median(product)
        step = median(ours)
        found["product_rate"] = rate
        for kind in ("direct", "executed"):
            flops = about[f"{kind}_flops"]
            found[f"{kind}_flops"] = flops
            # Both of one round, as in the ratio of rows.
            found[f"{kind}_share"] = (
                ratio(product.rounds, ours.rounds) * flops / about["product_flops"]
            )
        if "bytes_per_second" in about:
            by_compute = about["direct_flops"] / rate
            by_memory = about["bytes_accessed"] / about["bytes_per_second"]
            found["roofline"] = max(by_compute, by_memory) / step
            found["bound_by"] = "memory" if by_memory > by_compute else "compute"
    return found


def sentences(found: Mapping[str, Any]) -> str:
    """A verdict in words."""
    lines = []
    if "ratio" in found:
        lines.append(
            f"{found['ours']} takes {found['ratio']:.2f} of the best PyTorch step "
            f"({found['theirs']}), and {found['peak_ratio']:.2f} of its peak memory."
        )
    if "product_rate" in found:
        lines.append(
            f"A matrix product runs at {found['product_rate'] / 1e9:.0f} GFLOP/s in "
            "this run. With direct convolutions the step is "
            f"{found['direct_flops'] / 1e9:.2f} GFLOP, done at "
            f"{found['direct_share']:.0%} of that rate; XLA counts "
            f"{found['executed_flops'] / 1e9:.2f} GFLOP as executed "
            f"({found['executed_share']:.0%})."
        )
    if "roofline" in found:
        lines.append(
            f"{found['roofline']:.0%} of the roofline, which here is bound by "
            f"{found['bound_by']}."
        )
    return "\n".join(lines)


# PyTorch's threads wait for one another by spinning: beside a program that takes their
# cores its step was seen to last twenty times as long, and ours twice.
QUIET = 0.1


def disturbance(busy: float) -> str:
    """What is to be said if others kept ``busy`` cores at work meanwhile."""
    if busy <= QUIET:
        return ""
    return (
        f"**Others kept {busy:.1f} cores busy: these figures count for nothing.** Run "
        "it again on a quiet machine.\n"
    )
