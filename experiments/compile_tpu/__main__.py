"""The steps of the face experiments by the TPU compiler, without a TPU.

    python -m experiments.compile_tpu                        all tables
    python -m experiments.compile_tpu --tables steps --only celeba64
    python -m experiments.compile_tpu --tables batches       the largest batches

Needs the extra ``tpu``. On two cores a step takes half a minute to compile at 64 pixels
and two minutes at 128; all tables take some fifty steps, more than an hour. A step is
compiled from abstract state for devices that are not there, as ``--parallel pmap`` runs
it. Three tables are made of what the compiler says:

* steps: operations, memory traffic, memory, and what devices exchange, for each
  experiment, way of writing the gradient, and slice;
* savings: operations of alternating players, the merged loss and one backward pass, and
  memory traffic in float32 and bfloat16, of the 64-pixel network on eight v5e;
* batches: the largest batch that a chip holds, a power of two.

**Times are a bound, and not a measurement.** They assume that every operation runs at
the peak rate of bfloat16 and that every byte between a chip and its memory moves at the
full published rate, both at once; what travels between chips is left out. Two counts of
bytes are shown. Those *accessed* are the compiler's, which has what stays on the chip
among them; those *moved* are read from the program, where each array has its place, and
they alone make the bound.

The status is 1 if a step does not fit the chip's memory, if the gradients of a move
travel in more exchanges than the compiler's own limit of 120 MiB asks for, if a saving
is smaller than it must be, or if the compiler fails. Rows are written as they come, to
``runs/compile_tpu/table.json`` and ``table.md``. A row whose program has not changed is
taken from there, so a run that was stopped goes on. What libtpu says of hosts that it
cannot find does no harm.
"""

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from experiments import celeba
from experiments.compile_tpu import tables
from experiments.compile_tpu.apart import apart, without_tpu
from experiments.compile_tpu.batches import largest
from experiments.compile_tpu.chips import chip_of, slice_devices
from experiments.compile_tpu.steps import Row, Step, compiler, row, row_of_failure
from experiments.image import Images
from experiments.run import main
from gan_jax.objectives.adversarial import Gradient

PRESETS = ("celeba64", "celeba128", "r3")
GRADIENTS: tuple[Gradient, ...] = ("merged", "one_backward")
# Slices of eight chips, and one pod slice of 256.
TOPOLOGIES = ("v5e:2x4", "v4:2x2x2", "v6e:2x4", "v5e:16x16")
# The presets' batches are those of eight chips. A larger slice gets as many a chip.
CHIPS = 8


def on(cfg: Images, topology: str, per_chip: int | None = None) -> Images:
    """The experiment with the batch of a whole slice."""
    per_chip = cfg.batch_size // CHIPS if per_chip is None else per_chip
    size = per_chip * len(slice_devices(topology))
    return dataclasses.replace(cfg, batch_size=size)


def steps(options: argparse.Namespace) -> Iterator[Step]:
    """Every experiment in every way on every slice."""
    for name, gradient, topology in itertools.product(
        options.only, options.gradients, options.topologies
    ):
        cfg = dataclasses.replace(celeba.PRESETS[name], gradient=gradient)
        yield Step("steps", name, on(cfg, topology), topology, options.way)


def savings() -> Iterator[Step]:
    """One network in several ways. A move has as many samples in all of them.

    With 128 images a chip: with fewer, the work on the state hides that on images.
    """
    plain = on(celeba.PRESETS["celeba64"], "v5e:2x4", per_chip=128)
    single = dataclasses.replace(plain, bfloat16=False)
    free = dataclasses.replace(single, gamma=(0.0, 0.0))
    for cfg in (
        dataclasses.replace(free, play="alternating", batch_size=2 * free.batch_size),
        dataclasses.replace(free, gradient="merged"),
        free,
        dataclasses.replace(single, play="alternating", batch_size=2 * free.batch_size),
        single,
        plain,
    ):
        yield Step("savings", "celeba64", cfg, "v5e:2x4")


def search(name: str, topology: str, compiled: Callable[[Step], Row]) -> Iterator[Row]:
    """The row of the largest batch that fits, if any does."""
    cfg = celeba.PRESETS[name]
    tried: dict[int, Row] = {}

    def needed(per_chip: int) -> int | None:
        step = Step("search", name, on(cfg, topology, per_chip), topology)
        tried[per_chip] = compiled(step)
        return tried[per_chip]["cost"].get("memory_bytes")

    most = largest(needed, cfg.batch_size // CHIPS, chip_of(topology).memory)
    if most:
        yield tried[most] | {"table": "batches"}


def run(options: argparse.Namespace) -> None:
    """Compile what the command line asks for."""
    without_tpu()
    chips: dict[str, str] = {}
    for topology in options.topologies:
        slice_devices(topology)  # a mistake shows before minutes have passed
        chips.setdefault(topology.split(":")[0], topology)
    rows = tables.kept(options.directory / "table.json", compiler())
    wrong: list[str] = []

    def add(new: Row) -> None:
        nonlocal rows
        rows = tables.joined(rows, new)
        tables.write(options.directory, rows)

    def compiled(step: Step) -> Row:
        print(f"{step.table:8} {step.name:9} ", end="", flush=True)
        add(new := apart(row, step, rows) or row_of_failure(step))
        print(tables.line(new), flush=True)
        return new

    if "steps" in options.tables:
        for step in steps(options):
            wrong += tables.faults(compiled(step))
    if "savings" in options.tables:
        for step in savings():
            wrong += tables.faults(compiled(step))
        for name, share, limit in tables.savings(rows):
            print(f"{name}: {share:.3f}", flush=True)
            if share > limit:
                wrong.append(f"{name}: {share:.3f}, but must be at most {limit}")
    if "batches" in options.tables:
        for name, topology in itertools.product(options.only, chips.values()):
            found = list(search(name, topology, compiled))
            for new in found:
                add(new)
                wrong += tables.faults(new)
            if not found:
                wrong.append(f"{name} on {topology}: not even 1 image a chip fits")
    if wrong:
        sys.exit("\n".join(wrong))


def command(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.compile_tpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for name, offered in (
        ("--tables", tables.TABLES),
        ("--only", PRESETS),
        ("--gradients", GRADIENTS),
    ):
        parser.add_argument(name, nargs="+", choices=offered, default=list(offered))
    parser.add_argument("--topologies", nargs="+", default=list(TOPOLOGIES))
    parser.add_argument("--way", choices=["map", "jit"], default="map")
    parser.add_argument("--directory", type=Path, default=Path("runs/compile_tpu"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(run, command())
