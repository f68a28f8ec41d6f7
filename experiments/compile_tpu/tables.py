"""The rows: kept as they come, read aloud, judged, and as tables."""

import json
from collections.abc import Sequence
from pathlib import Path

from experiments.compile_tpu.steps import Row
from experiments.rows import markdown as table_of

TABLES = ("steps", "savings", "batches")
LABELS = ("table", "name", "play", "dtype", "penalty", "topology", "way")
SEARCHED = (*LABELS, "batch")

BOUND = (
    "By the TPU compiler, without a TPU. Times are a bound and not a measurement:\n"
    "every operation at the peak rate of bfloat16, every byte between a chip and its\n"
    "memory at the full rate, both at once, and nothing for what travels between chips."
)

# The compiler sends together what is ready together, up to this many bytes. Found by
# what it does with the 234 MiB of a ResNet's gradients, which travel in two parts.
LARGEST_EXCHANGE = 120 * 2**20


def kept(file: Path, compiler: str) -> list[Row]:
    """The rows of earlier runs by the same compiler."""
    if not file.exists():
        return []
    rows = json.loads(file.read_text())["rows"]
    return [row for row in rows if row["compiler"] == compiler]


def joined(rows: Sequence[Row], new: Row) -> list[Row]:
    """The rows with ``new``, in the place of the one that it renews."""

    def labels(row: Row) -> list[str]:
        named = SEARCHED if row["table"] == "search" else LABELS
        return [row[label] for label in named]

    place = [labels(row) for row in (*rows, new)].index(labels(new))
    return [*rows[:place], new, *rows[place + 1 :]]


def write(directory: Path, rows: Sequence[Row]) -> None:
    """``table.json`` and ``table.md``."""
    directory.mkdir(parents=True, exist_ok=True)
    about = {"times": "a bound by published rates, not a measurement"}
    text = json.dumps({"about": about, "rows": list(rows)}, indent=1) + "\n"
    for name, content in (("table.json", text), ("table.md", markdown(rows))):
        # Whole or not at all, also if the run is stopped here.
        (part := directory / f"{name}.part").write_text(content)
        part.replace(directory / name)


def line(row: Row) -> str:
    """A row, read aloud."""
    cost, label = row["cost"], f"{row['play']}, {row['dtype']}"
    begin = f"{row['topology']:9} {label:24} {row['way']:3} batch {row['batch']:6}: "
    if "failed" in cost:
        return begin + "the compiler itself FAILS"
    if "flops" not in cost:
        return begin + "the compiler gives up: it DOES NOT FIT the chip's memory"
    sent = ", ".join(
        f"{n} {kind} of {size / 1e6:.2f} MB"
        for kind, (n, size) in cost["exchanges"].items()
    )
    return (
        f"{begin}{cost['flops'] / 1e9:.1f} GFLOP, {cost['moved_bytes'] / 1e9:.3f} GB "
        f"moved, {cost['accessed_bytes'] / 1e9:.2f} GB accessed; "
        f"memory {cost['argument_bytes'] / 2**20:.0f} MiB of state and batch, "
        f"{cost['temporary_bytes'] / 2**20:.0f} MiB temporary; at least "
        f"{1e3 * cost['bound_seconds']:.2f} ms, by {cost['bound_by']}; at most "
        f"{rate(row):,.0f} images/s a chip; {sent}; compiled in "
        f"{cost['compile_seconds']:.0f} s{'' if cost['fits'] else '; DOES NOT FIT'}"
    )


def rate(row: Row) -> float:
    """Images a second and chip, at the bound."""
    return row["batch"] / row["chips"] / row["cost"]["bound_seconds"]


def faults(row: Row) -> list[str]:
    """What a row must not show."""
    cost, where = row["cost"], f"{row['name']}, {row['play']}, on {row['topology']}"
    if "failed" in cost:
        return [f"{where}: the compiler itself fails"]
    if not cost["fits"]:
        return [f"{where}: does not fit the chip's memory"]
    if row["way"] == "jit":
        return []  # there the compiler groups the gradients as it likes
    wrong = []
    most = row["moves"] + cost["gradient_bytes"] // LARGEST_EXCHANGE
    if (n := cost["gradient_exchanges"]) > most:
        wrong.append(
            f"{where}: gradients travel in {n} exchanges, not in {most}: one for each "
            f"move and {LARGEST_EXCHANGE // 2**20} MiB"
        )
    if (sent := cost["gradient_bytes"]) < (least := row["parameter_bytes"]):
        wrong.append(
            f"{where}: {sent:,} bytes of gradients travel, of parameters of {least:,}"
        )
    return wrong


# What is compared, and how much of the other may be left. On paper, with G and D of
# equal cost as here, the merged loss takes 10/12 of alternating players' operations and
# one backward pass 9/12. Bytes are those of the step as the experiment has it.
LIMITS = (
    ("flops", "merged", "float32", False, ("alternating", "float32"), 0.84),
    ("flops", "one_backward", "float32", False, ("alternating", "float32"), 0.76),
    (
        "moved_bytes",
        "one_backward",
        "bfloat16",
        True,
        ("one_backward", "float32"),
        0.75,
    ),
)


def savings(rows: Sequence[Row]) -> list[tuple[str, float, float]]:
    """``(what, its share, the share it may have)``, where both rows are there."""
    found = {
        (row["play"], row["dtype"], row["penalty"]): row["cost"]
        for row in rows
        if row["table"] == "savings" and "flops" in row["cost"]
    }
    shares = []
    for what, play, dtype, penalty, other, limit in LIMITS:
        one, base = found.get((play, dtype, penalty)), found.get((*other, penalty))
        if one and base:
            name = f"{what.replace('_', ' ')} of {play}, {dtype}, relative to "
            name += ", ".join(other)
            name += "" if penalty else ", both without penalty"
            shares.append((name, one[what] / base[what], limit))
    return shares


def markdown(rows: Sequence[Row]) -> str:
    """All tables, those of the README between its marks."""
    parts = [f"{BOUND}\n"]
    for table, write in (
        ("steps", steps_table),
        ("savings", savings_table),
        ("batches", batches_table),
    ):
        own = [row for row in rows if row["table"] == table]
        if own:
            parts.append(
                f"<!-- compile_tpu: {table}, written by "
                f"python -m experiments.compile_tpu -->\n{write(own)}<!-- end -->\n"
            )
    return "\n".join(parts)


def steps_table(rows: Sequence[Row]) -> str:
    """Every step, per chip."""
    head = ["step", "gradient", "slice", "images a chip", "GFLOP", "GB moved"]
    head += ["GB accessed", "MiB of state", "MiB temporary", "at least, ms", "by"]
    head += ["MB exchanged"]
    body = []
    for row in rows:
        cost = row["cost"]
        cells = [row["name"], row["play"], row["topology"]]
        cells += [str(row["batch"] // row["chips"])]
        if "flops" in cost:
            sizes = [size / 1e6 for _, size in cost["exchanges"].values()]
            count = sum(n for n, _ in cost["exchanges"].values())
            cells += [f"{cost['flops'] / 1e9:.1f}"]
            cells += [f"{cost['moved_bytes'] / 1e9:.3f}"]
            cells += [f"{cost['accessed_bytes'] / 1e9:.2f}"]
            cells += [f"{cost['argument_bytes'] / 2**20:.0f}"]
            cells += [f"{cost['temporary_bytes'] / 2**20:.0f}"]
            cells += [f"{1e3 * cost['bound_seconds']:.2f}", cost["bound_by"]]
            cells += [f"{sum(sizes):.1f} in {count}"]
        else:
            fault = "the compiler fails" if "failed" in cost else "does not fit"
            cells += [fault] + [""] * 7
        body.append(cells)
    return table_of(head, body)


def savings_table(rows: Sequence[Row]) -> str:
    """One network in several ways, per chip, and the shares."""
    head = ["way", "dtype", "penalty", "GFLOP", "GB moved", "GB accessed"]
    head += ["MiB temporary"]
    body = [
        [
            row["play"],
            row["dtype"],
            "R1" if row["penalty"] else "none",
            f"{row['cost']['flops'] / 1e9:.1f}",
            f"{row['cost']['moved_bytes'] / 1e9:.3f}",
            f"{row['cost']['accessed_bytes'] / 1e9:.2f}",
            f"{row['cost']['temporary_bytes'] / 2**20:.0f}",
        ]
        for row in rows
        if "flops" in row["cost"]
    ]
    shares = "".join(
        f"- {name}: {share:.3f} (at most {limit})\n"
        for name, share, limit in savings(rows)
    )
    return table_of(head, body) + (f"\n{shares}" if shares else "")


def batches_table(rows: Sequence[Row]) -> str:
    """The largest batches."""
    head = ["experiment", "chip", "largest batch a chip", "memory, GiB"]
    head += ["images/s a chip, at most", "bound by"]
    body = [
        [
            row["name"],
            row["topology"].split(":")[0],
            f"{row['batch'] // row['chips']:,}",
            f"{row['cost']['memory_bytes'] / 2**30:.1f}",
            f"{rate(row):,.0f}",
            row["cost"]["bound_by"],
        ]
        for row in rows
    ]
    return table_of(head, body)
