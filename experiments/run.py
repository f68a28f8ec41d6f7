"""What all experiments share: the command line, the devices, and the run itself.

An experiment is a frozen dataclass that extends `Run`, and two functions of it: one
opens the data, the other builds the model. `train` does the rest.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from gan_jax import devices
from gan_jax.compiled import kept_programs
from gan_jax.data import Order, Source, feed
from gan_jax.gan import Gan
from gan_jax.host_memory import keep_memory
from gan_jax.kernel import State
from gan_jax.train import MAY_CHANGE, Diverged, Result, fit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """The part of a configuration that every experiment has."""

    directory: Path | None = None
    """Of the run; by default runs/NAME, or runs/NAME-PRESET. A run found there is
    taken up again."""
    seed: int = 0
    """Of the parameters, the noise and the order of the data."""
    steps: int = 1000
    """How many in all."""
    batch_size: int = 64
    """Samples of a step, over all devices and moves."""
    steps_per_call: int = 1
    """Steps of one compiled call, by scan; the numbers below must be multiples of it.
    More than 1 pays for small networks and on accelerators. Not for convolutions on a
    CPU, which are many times slower inside a scan."""
    accumulate: int = 1
    """Parts into which a batch is split to save memory."""
    log_every: int = 100
    sample_every: int = 1000
    checkpoint_every: int = 1000
    evaluate_every: int | None = None
    """Steps between two evaluations; None for the end only."""
    keep_last: int = 3
    keep_every: int | None = None
    """Keep every checkpoint whose step is a multiple of this one, too."""
    parallel: Literal["jit", "pmap"] = "jit"
    """How the step runs on several devices."""
    distributed: Literal["auto", "yes", "no"] = "auto"
    """Join the other processes of a cluster; auto: if the environment shows one."""
    stop_after_bad: int | None = 20
    """End the run after so many steps in a row that were not finite; None for never."""
    tensorboard: bool = False
    compile_cache: str = "auto"
    """Folder of compiled programs, used by later runs; auto for the user's own cache,
    none to compile anew."""
    dry_run: bool = False
    """Compile one step on abstract data, say what it costs, and end."""


Config = TypeVar("Config", bound=Run)

# Where and how a run is carried out; none of it is kept with the run.
CIRCUMSTANCES = (
    "compile_cache",
    "data_dir",
    "directory",
    "distributed",
    "dry_run",
    "tensorboard",
)


class Task(NamedTuple):
    """What an experiment trains, and how it looks at it.

    Attributes:
      source: opens the data; not called in a dry run.
      example: one batch of abstract data, as the source's, of any size.
      model: ``axis_name -> Gan``.
      picture: ``(model, state) -> uint8 image`` of fixed latents.
      evaluate: ``(model, source) -> (state -> numbers)``.
      flip: whether images are mirrored at random.
    """

    source: Callable[[], Source]
    example: Callable[[int], dict[str, jax.ShapeDtypeStruct]]
    model: Callable[[str | None], Gan]
    picture: Callable[[Gan, State], np.ndarray]
    evaluate: Callable[[Gan, Source], Callable[[State], Mapping[str, float]]]
    flip: bool = False


def command(
    name: str,
    config: type[Config],
    presets: Mapping[str, Config],
    description: str | None,
) -> Config:
    """The configuration that the command line asks for, starting from a preset.

    Each preset but the first has a directory of its own.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    default = next(iter(presets))
    first.add_argument("--preset", choices=list(presets), default=default)
    chosen, rest = first.parse_known_args()
    about = f"{description}\n\n--preset {{{','.join(presets)}}}: where to start from "
    about += f"(default: {default}); all other options change it."
    preset = presets[chosen.preset]
    prog = f"python -m experiments.{name}"
    cfg = tyro.cli(config, prog=prog, default=preset, args=rest, description=about)
    if cfg.directory is None and chosen.preset != default:
        own = Path("runs") / f"{name}-{chosen.preset}"
        cfg = dataclasses.replace(cfg, directory=own)
    return cfg


def train(name: str, cfg: Run, task: Task) -> Result | None:
    """Train as ``cfg`` says, in the one way that all experiments share."""
    if not 0 <= cfg.seed < 2**32:
        raise ValueError(f"--seed is {cfg.seed}; give a number from 0 to 2^32 - 1.")
    if cfg.steps_per_call < 1:
        raise ValueError(f"--steps-per-call is {cfg.steps_per_call}; give at least 1.")
    initialize(cfg.distributed)
    if jax.default_backend() == "cpu":
        keep_memory()
    parallel = devices.pmapped() if cfg.parallel == "pmap" else devices.sharded()
    devices.check_divisible(cfg.batch_size, parallel.devices)
    model = task.model(parallel.axis_name)
    if cfg.dry_run:
        dry_run(model, task.example(cfg.batch_size), parallel)
        return None
    with programs(cfg.compile_cache):
        return trained(name, cfg, task, model, parallel)


@contextlib.contextmanager
def programs(compile_cache: str) -> Iterator[None]:
    """Keep compiled programs as ``--compile-cache`` says."""
    if compile_cache == "none":
        yield
        return
    with kept_programs(None if compile_cache == "auto" else compile_cache) as told:
        say(told)
        yield


def trained(
    name: str, cfg: Run, task: Task, model: Gan, parallel: devices.Parallel
) -> Result:
    """The run itself: open the data, and train on it."""
    source = task.source()
    order = Order(
        len(source),
        cfg.batch_size,
        cfg.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    directory = directory_of(name, cfg)
    say(f"{name}: {directory}, seed {cfg.seed}, {describe_devices()}")
    return fit(
        model,
        feed(
            source,
            order,
            flip=task.flip,
            memory_limit_bytes=devices.memory_for_data(),
        ),
        key=jax.random.key(cfg.seed),
        steps=cfg.steps,
        directory=directory,
        parallel=parallel,
        steps_per_call=cfg.steps_per_call,
        log_every=cfg.log_every,
        sample_every=cfg.sample_every,
        checkpoint_every=cfg.checkpoint_every,
        # None: the first multiple of a call that is not before the end.
        evaluate_every=-(-cfg.steps // cfg.steps_per_call) * cfg.steps_per_call
        if cfg.evaluate_every is None
        else cfg.evaluate_every,
        sample=lambda state: task.picture(model, state),
        evaluate=task.evaluate(model, source),
        keep_last=cfg.keep_last,
        keep_every=cfg.keep_every,
        stop_after_bad=cfg.stop_after_bad,
        config=plain(name, cfg) | {"source": source.fingerprint},
        # The schedules stretch over all steps, so their number is not free to change.
        # What counts of the data is what it is known by, "source", not its place.
        # Runs begun before it had a name have no field "evaluate".
        may_change=[field for field in MAY_CHANGE if field != "steps"]
        + ["data", "evaluate"],
        tensorboard=cfg.tensorboard,
    )


def main(run: Callable[[Any], Any], cfg: Any) -> None:
    """Run, and turn what a user can mend into one line and a status of its own."""
    try:
        run(cfg)
    except Diverged as error:
        sys.exit(f"diverged: {error}")
    except (ImportError, OSError, ValueError) as error:
        if os.environ.get("GAN_JAX_TRACEBACK"):
            raise
        sys.exit(f"error: {error}\n(GAN_JAX_TRACEBACK=1 shows where.)")


def directory_of(name: str, cfg: Run) -> Path:
    """Where the run lies."""
    return cfg.directory or Path("runs") / name


def plain(name: str, cfg: Run) -> dict[str, Any]:
    """The configuration as it is kept with the run: JSON's types only."""
    fields = dataclasses.asdict(cfg)
    kept = {
        k: str(v) if isinstance(v, Path) else v
        for k, v in fields.items()
        if k not in CIRCUMSTANCES
    }
    return {"experiment": name} | kept


def initialize(distributed: str) -> None:
    """Join the cluster's other processes, if there are any to join.

    A coordinator named by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID
    is taken as it is; on TPU VMs and under Slurm JAX finds the others by itself.
    """
    env = os.environ
    if distributed == "no" or jax.distributed.is_initialized():
        return
    if "JAX_COORDINATOR_ADDRESS" in env:
        if missing := {"JAX_NUM_PROCESSES", "JAX_PROCESS_ID"} - set(env):
            raise ValueError(
                f"JAX_COORDINATOR_ADDRESS is set, but not {' and '.join(missing)}. Set "
                "all three for each process, or none."
            )
        jax.distributed.initialize(
            env["JAX_COORDINATOR_ADDRESS"],
            int(env["JAX_NUM_PROCESSES"]),
            int(env["JAX_PROCESS_ID"]),
        )
    elif distributed == "yes" or (
        # The shell of an allocation knows of tasks, too; srun's own know their step.
        int(env.get("SLURM_NTASKS", "1")) > 1 and "SLURM_STEP_NODELIST" in env
    ):
        try:
            jax.distributed.initialize()
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"no cluster could be joined ({error}). Start every process by srun or "
                "with JAX_COORDINATOR_ADDRESS, or give --distributed no."
            ) from error
    elif on_tpu_vm():
        try:
            jax.distributed.initialize()
        except (RuntimeError, ValueError) as error:
            print(f"going on as one process, for no cluster was found: {error}")


def on_tpu_vm() -> bool:
    """Whether this host has TPU chips and the library for them."""
    chips = [*Path("/dev").glob("accel[0-9]*"), *Path("/dev/vfio").glob("[0-9]*")]
    return bool(chips) and importlib.util.find_spec("libtpu") is not None


def dry_run(
    model: Gan, example: dict[str, jax.ShapeDtypeStruct], parallel: devices.Parallel
) -> None:
    """Compile one step for the devices at hand and say what it takes."""
    state = jax.eval_shape(model.init, jax.random.key(0), example)
    for player, params in state.params.items():
        count = sum(x.size for x in jax.tree.leaves(params))
        say(f"{player}: {count:,} parameters")
    call: Any = parallel.compile(lambda state, arrays, got: model.step(state, got), 0)
    if parallel.axis_name is not None:
        say("costs are those of the same step under jit; see --parallel jit")
        return
    compiled = call.lower(state, (), example).compile()
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    say(f"devices: {describe_devices()}")
    say(f"a step, per device: {cost['flops'] / 1e9:,.2f} GFLOP")
    if "bytes accessed" in cost:
        say(f"a step, per device: {cost['bytes accessed'] / 1e9:,.2f} GB accessed")
    if memory is not None:
        say(
            f"memory, per device: {memory.argument_size_in_bytes / 2**20:,.1f} MiB of "
            f"state and batch, {memory.temp_size_in_bytes / 2**20:,.1f} MiB temporary"
        )


def describe_devices() -> str:
    """How many devices of which kind, over how many processes."""
    kind = jax.devices()[0].device_kind
    processes = f" over {n} processes" if (n := jax.process_count()) > 1 else ""
    return f"{jax.device_count()} x {kind}{processes}"


def say(line: str) -> None:
    """One line for the user, from the first process only."""
    if jax.process_index() == 0:
        print(line, flush=True)


def images(n: int, size: int, channels: int, labels: bool) -> dict[str, Any]:
    """An abstract batch of images."""
    batch = {"real": jax.ShapeDtypeStruct((n, size, size, channels), jnp.uint8)}
    if labels:
        batch["label"] = jax.ShapeDtypeStruct((n,), jnp.int32)
    return batch
