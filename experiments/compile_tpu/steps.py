"""One step of an experiment, compiled from abstract state, and what it costs."""

import dataclasses
import hashlib
import importlib.metadata
import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
from jax.sharding import Mesh

from experiments import image
from experiments.compile_tpu.chips import bound, chip_of, slice_devices
from experiments.compile_tpu.exchanges import by_kind, exchanges, of_gradients
from experiments.compile_tpu.traffic import traffic
from experiments.run import images
from gan_jax import devices
from gan_jax.kernel import Batch, State

Way = Literal["map", "jit"]
Row = dict[str, Any]


class Step(NamedTuple):
    """What is to be compiled.

    Attributes:
      table: where its row stands.
      name: what the row is called, beside what follows from ``cfg``.
      cfg: the experiment, with the batch of the whole slice.
      topology: the slice.
      way: "map" is `jax.shard_map`, in which the kernel takes the means; "jit" leaves
        that to the compiler.
    """

    table: str
    name: str
    cfg: image.Images
    topology: str
    way: Way = "map"


def abstract(cfg: image.Images) -> tuple[State, Batch]:
    """The shapes of a run's state and of its batches."""
    batch = images(cfg.batch_size, cfg.size, cfg.channels, cfg.classes > 0)
    # They do not depend on how gradients are written; this way needs no trial of D.
    plain = image.model(dataclasses.replace(cfg, gradient="merged"))
    return jax.eval_shape(plain.init, jax.random.key(0), batch), batch


def lowered(cfg: image.Images, mesh: Mesh, way: Way) -> Any:
    """A step for the devices of ``mesh``, ready to compile; its state is donated."""
    mapped = way == "map"
    model = image.model(cfg, devices.AXIS if mapped else None)
    step = devices.mapped_step(model.step, mesh) if mapped else model.step
    return devices.lowered(step, mesh, *abstract(cfg))


def parameter_bytes(cfg: image.Images) -> int:
    """Of all players: what the gradients of a step take at the least."""
    leaves = jax.tree.leaves(abstract(cfg)[0].params)
    return sum(x.size * x.dtype.itemsize for x in leaves)


def labels(step: Step) -> Row:
    """What is known of a step before it is compiled."""
    cfg = step.cfg
    return {
        "table": step.table,
        "name": step.name,
        "play": "alternating" if cfg.play == "alternating" else cfg.gradient,
        "dtype": "bfloat16" if cfg.bfloat16 else "float32",
        "penalty": any(cfg.gamma),
        "topology": step.topology,
        "way": step.way,
        "chips": len(slice_devices(step.topology)),
        "batch": cfg.batch_size,
        "moves": 1 + cfg.critic_steps if cfg.play == "alternating" else 1,
        "parameter_bytes": parameter_bytes(cfg),
        "compiler": compiler(),
    }


def row(step: Step, known: Sequence[Row]) -> Row:
    """What the compiler says of a step.

    Args:
      step: which.
      known: rows; one that was compiled from the same program is not compiled again.
    """
    mesh = devices.data_mesh(slice_devices(step.topology))
    program = lowered(step.cfg, mesh, step.way)
    own = digest(step, program.as_text())
    costs = [r["cost"] for r in known if r["program"] == own]
    found = costs[0] if costs else cost(program, step.topology)
    return labels(step) | {"program": own, "cost": found}


def row_of_failure(step: Step) -> Row:
    """What is left to say where the compiler itself fails."""
    return labels(step) | {"program": "", "cost": {"fits": False, "failed": True}}


def digest(step: Step, program: str) -> str:
    """Of all that the compiler's answer depends on."""
    text = "\n".join([compiler(), step.topology, program])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def compiler() -> str:
    """Which one it is, with its version."""
    return f"jax {jax.__version__}, libtpu {importlib.metadata.version('libtpu')}"


def cost(program: Any, topology: str) -> dict[str, Any]:
    """What one device does and needs in one step; ``"fits"`` alone if it does not."""
    begun = time.perf_counter()
    try:
        compiled = program.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return {"fits": False, "compile_seconds": time.perf_counter() - begun}
    seconds = time.perf_counter() - begun
    analysis, memory = compiled.cost_analysis(), compiled.memory_analysis()
    text = compiled.as_text()
    found, moved = exchanges(text), traffic(text)
    gradients = of_gradients(found)
    # A donated argument and the output in its place are one.
    needed = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
    least = bound(chip := chip_of(topology), analysis["flops"], moved)
    return {
        "fits": needed <= chip.memory,
        "flops": analysis["flops"],
        "accessed_bytes": analysis["bytes accessed"],
        "moved_bytes": moved,
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "memory_bytes": needed,
        "bound_seconds": least.seconds,
        "bound_by": least.by,
        "exchanges": by_kind(found),
        "gradient_exchanges": len(gradients),
        "gradient_bytes": sum(each.bytes for each in gradients),
        "compile_seconds": seconds,
    }
