"""Orbax: all that is known of it, and how arrays lie in what it keeps.

Orbax makes a step visible whole or not at all, keeps as many as are wanted, and clears
away what was begun and not finished. The arrays are files of plain bytes: Orbax's own
format is made for arrays whose parts many processes write, and costs more processor
time than all else that a save does. Checkpoints in that format, of before, are read.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

STATE, FACTS = "state", "facts"  # the parts of a checkpoint
PLAIN = 3  # the first format whose arrays are plain files


def manager(directory: Path, keep_last: int, keep_every: int | None) -> Any:
    """Writes, lists and reads the checkpoints in ``directory``, in the first process.

    Args:
      directory: is made if it does not exist.
      keep_last: how many of the newest stay.
      keep_every: those whose step is a multiple of this one stay, too.
    """
    import orbax.checkpoint as ocp
    from orbax.checkpoint import checkpoint_managers as policies

    class Manager(ocp.CheckpointManager):
        def reached_preemption(self, step: int) -> bool:
            # The loop asks, in every process and with the same numbers. A question
            # from this thread, in between, would make them miss each other.
            return False

    directory.mkdir(parents=True, exist_ok=True)
    keep: list[Any] = [policies.LatestN(keep_last)]
    if keep_every:
        keep.append(policies.EveryNSteps(keep_every))
    options = ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy(keep),
        cleanup_tmp_directories=True,
        enable_async_checkpointing=False,  # the thread is ours: the digest is in it
        create=False,
        # The first process alone: without this, Orbax would wait for the others.
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=0, active_processes={0}, barrier_sync_key_prefix="gan_jax"
        ),
    )
    return Manager(directory, options=options, handler_registry=_handlers())


def save(
    manager: Any, step: int, facts: dict[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
      manager: of the directory.
      step: of the checkpoint.
      facts: of JSON's types.
      arrays: by name; whoever reads them gives the names in the same order.
    """
    import orbax.checkpoint as ocp

    items = {
        STATE: _plain().save(list(arrays.values())),
        FACTS: ocp.args.JsonSave(facts),
    }
    if not manager.save(step, args=ocp.args.Composite(**items), force=True):
        raise RuntimeError("orbax declined to save it")


def read_facts(manager: Any, step: int) -> Any:
    """What stands beside the arrays."""
    import orbax.checkpoint as ocp

    return _read(manager, step, FACTS, ocp.args.JsonRestore())


def read_arrays(
    manager: Any, step: int, names: Sequence[str], form: int
) -> Mapping[str, np.ndarray]:
    """The arrays by name; from format 3 on the bytes of each, whatever they mean.

    Args:
      manager: of the directory.
      step: of the checkpoint.
      names: of all arrays, in the order in which they were saved.
      form: the format, as the facts have it.
    """
    import orbax.checkpoint as ocp

    if form >= PLAIN:
        arrays = _read(manager, step, STATE, _plain().restore(len(names)))
        return dict(zip(names, arrays, strict=True))
    as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
    ask = ocp.args.PyTreeRestore(
        dict.fromkeys(names, np.zeros(())), restore_args=dict.fromkeys(names, as_numpy)
    )
    return _read(manager, step, STATE, ask)


def _read(manager: Any, step: int, part: str, ask: Any) -> Any:
    import orbax.checkpoint as ocp

    return manager.restore(step, args=ocp.args.Composite(**{part: ask}))[part]


class _Plain(NamedTuple):
    """What Orbax is asked for, and who does it: arrays as files of plain bytes."""

    save: Any
    restore: Any
    handler: Any


@functools.cache  # Orbax is imported when it is needed, and knows kinds by their class
def _plain() -> _Plain:
    import orbax.checkpoint as ocp

    @dataclasses.dataclass
    class Save(ocp.args.CheckpointArgs):
        arrays: Sequence[np.ndarray]

    @dataclasses.dataclass
    class Restore(ocp.args.CheckpointArgs):
        count: int

    class Handler(ocp.CheckpointHandler):
        def save(self, directory: Any, args: Save) -> None:
            for number, array in enumerate(args.arrays):
                with open(directory / str(number), "wb") as file:
                    np.ascontiguousarray(array).tofile(file)
                    os.fsync(file.fileno())

        def restore(self, directory: Any, args: Restore) -> list[np.ndarray]:
            files = [directory / str(number) for number in range(args.count)]
            return [np.fromfile(file, np.uint8) for file in files]

    return _Plain(Save, Restore, Handler())


def _handlers() -> Any:
    """Who reads and writes which part."""
    import orbax.checkpoint as ocp

    files, tree = _plain(), ocp.handlers.PyTreeCheckpointHandler()
    facts = ocp.handlers.JsonCheckpointHandler()
    known = ocp.handlers.DefaultCheckpointHandlerRegistry()
    known.add(STATE, files.save, files.handler)
    known.add(STATE, files.restore, files.handler)
    known.add(STATE, ocp.args.PyTreeRestore, tree)
    known.add(FACTS, ocp.args.JsonSave, facts)
    known.add(FACTS, ocp.args.JsonRestore, facts)
    return known
