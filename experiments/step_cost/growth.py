"""How a step grows: with the batch, the width, the resolution and the devices."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import image
from experiments.compile_tpu.exchanges import KINDS
from experiments.step_cost.table import Row, Table, alternately, median
from gan_jax.devices import data_mesh, sharded
from gan_jax.gan import Gan


def config(size: int, width: int, batch: int) -> image.Images:
    """A DCGAN with R1, as the experiments have it."""
    return image.Images(size=size, width=width, batch_size=batch, latent=64)


def compiled(model: Gan, batch: dict[str, Any], devices: int = 1) -> tuple[Any, Any]:
    """One step for the first devices, and its first state and batch there."""
    parallel = sharded(data_mesh(jax.devices()[:devices]))
    state = parallel.replicate(jax.jit(model.init)(jax.random.key(0), batch))
    call: Any = parallel.compile(lambda state, _, got: model.step(state, got), 0)
    arguments = state, (), parallel.put(batch, 0)
    return call.lower(*arguments).compile(), arguments


def grown(cfgs: dict[str, image.Images]) -> list[Row]:
    """A row for each configuration, their times taken in turns."""
    steps: dict[str, Callable[[], Any]] = {}
    rows: dict[str, Row] = {}
    for name, cfg in cfgs.items():
        shape = (cfg.batch_size, cfg.size, cfg.size, cfg.channels)
        batch = {"real": np.zeros(shape, np.uint8)}
        program, arguments = compiled(image.model(cfg), batch)
        steps[name] = Step(program, arguments)
        cost, memory = program.cost_analysis(), program.memory_analysis()
        rows[name] = {
            "step": name,
            "GFLOP": cost["flops"] / 1e9,
            "GB accessed": cost["bytes accessed"] / 1e9,
            "MiB temporary": memory.temp_size_in_bytes / 2**20,
        }
    for name, times in alternately(steps, 5).items():
        took = median(times)
        rows[name] |= {"ms": took * 1e3, "GFLOP/s": rows[name]["GFLOP"] / took}
    return list(rows.values())


class Step:
    """A compiled step that goes on from its own last state."""

    def __init__(self, program: Any, arguments: Any) -> None:
        self._program, (self._state, *self._rest) = program, arguments

    def __call__(self) -> Any:
        self._state, info = self._program(self._state, *self._rest)
        return info


def batches() -> Table:
    """8 to 128 images."""
    rows = grown({f"batch {n}": config(32, 16, n) for n in (8, 32, 128)})
    return Table(
        "a step by its batch (DCGAN, 32x32, width 16)",
        "",
        "operations and temporary memory as the batch, but for what is done once a "
        "step (Adam, the guard); time less than that while the cores are not full.",
        rows,
        None,
    )


def widths() -> Table:
    """8 to 64 channels."""
    rows = grown({f"width {w}": config(32, w, 16) for w in (8, 16, 32, 64)})
    return Table(
        "a step by its width (DCGAN, 32x32, batch 16)",
        "",
        "operations by four for each doubling, memory by two where images are what "
        "fills it and by four where weights are; time less, as wide products are fast.",
        rows,
        None,
    )


def resolutions() -> Table:
    """16 to 64 pixels."""
    rows = grown({f"{s}x{s}": config(s, 16, 16) for s in (16, 32, 64)})
    return Table(
        "a step by its resolution (DCGAN, width 16, batch 16)",
        "",
        "each doubling adds a level, with as many operations as the level before and "
        "four times the pixels at its first width: by about four.",
        rows,
        None,
    )


def collectives(text: str) -> dict[str, int]:
    """How many collectives of each kind an HLO program holds.

    >>> collectives("x = f32[2] all-reduce(y), a = (f32[2]) all-reduce-start(b)")
    {'all-reduce': 2}
    """
    found = {kind: len(re.findall(rf"\b{kind}(?:-start)?\(", text)) for kind in KINDS}
    return {kind: count for kind, count in found.items() if count}


def on_devices() -> Table:
    """1 to 8 devices that share a batch of 64."""
    jax.config.update("jax_num_cpu_devices", 8)
    model = image.model(config(16, 16, 64))
    batch = {"real": jnp.zeros((64, 16, 16, 3), jnp.uint8)}
    rows: list[Row] = []
    for count in (1, 2, 4, 8):
        program, _ = compiled(model, batch, count)
        cost, memory = program.cost_analysis(), program.memory_analysis()
        rows.append(
            {
                "devices": count,
                "GFLOP each": cost["flops"] / 1e9,
                "of one": cost["flops"] / rows[0]["GFLOP each"] / 1e9 if rows else 1.0,
                "MiB temporary each": memory.temp_size_in_bytes / 2**20,
                "collectives": ", ".join(
                    f"{n} {kind}" for kind, n in collectives(program.as_text()).items()
                )
                or "none",
            }
        )
    fair = all(row["of one"] <= 1.15 / row["devices"] for row in rows)
    return Table(
        "a step of 64 images by the devices that share it (DCGAN, 16x16, width 16; "
        "fake devices on this machine, so that time says nothing)",
        "operations of each at most 1.15 / devices",
        "1 / devices, and the optimizer's passes over all weights, which every device "
        "does for itself.",
        rows,
        fair,
    )


TABLES = {
    "batches": batches,
    "widths": widths,
    "resolutions": resolutions,
    "devices": on_devices,
}
