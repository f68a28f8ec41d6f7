"""Checkpoints that are whole, or are known not to be.

A checkpoint is the state of a run and nothing else; beside it stand the facts about it:
configuration, versions of the libraries, and a digest of every number in it. Orbax
writes both (`gan_jax.store`), atomically: a step is listed when it is complete. What
Orbax does not promise is added here:

* A flipped bit is found. The digest is checked when a checkpoint is read; one that
  fails is moved to ``bad/`` with a warning, and the one before it is taken.
* A step can be saved again after going back to an earlier one: the abandoned
  checkpoints from there on are moved to ``bad/`` first.
* A checkpoint of another structure is refused, by leaf and shape, before it is read.
* The training loop waits for the copy to the host only. Digest and writing happen in
  a thread; an error there comes out at the next `save`, `wait` or `close`.

In a program of several processes only the first one touches the disk; what it restores
is sent to the others. So the state must be replicated, and no shared disk is needed.
"""

import contextlib
import errno
import itertools
import os
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gan_jax import store
from gan_jax.digest import (
    Leaf,
    check_structure,
    digest,
    digest_of,
    finite_leaves,
    leaves,
    on_host,
    placed,
)
from gan_jax.directory import plain
from gan_jax.facts import leaves_of, opened, sealed
from gan_jax.packing import apart, names, together
from gan_jax.processes import from_first, number_from_first

__all__ = ["Checkpoints", "digest"]

BAD = "bad"


class Checkpoints(contextlib.AbstractContextManager["Checkpoints"]):
    """The checkpoints of one run.

    Args:
      directory: where they are; is made if it does not exist.
      keep_last: how many of the newest to keep.
      keep_every: keep those whose step is a multiple of this, too.
      config: what the run was asked to do, of JSON's types; kept with each of them.

    Raises:
      ValueError: for numbers below 1.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep_last: int = 3,
        keep_every: int | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        if keep_last < 1 or (keep_every is not None and keep_every < 1):
            raise ValueError(
                f"keep_last is {keep_last} and keep_every is {keep_every}; both count "
                "checkpoints or steps and begin at 1 (None: keep none for good)"
            )
        self.directory = Path(directory).absolute()
        self._config = plain(config or {})
        self._writes = jax.process_index() == 0
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None
        # Leaves that were finite when last seen: they must not be saved otherwise.
        self._finite: set[str] = set()
        if self._writes:
            self._manager = store.manager(self.directory, keep_last, keep_every)

    def latest(self) -> int | None:
        """The newest step that a complete checkpoint is listed of, if any."""
        self.wait()
        steps = self._manager.all_steps() if self._writes else []
        newest = number_from_first(max(steps, default=-1))
        return None if newest < 0 else newest

    def empty(self) -> bool:
        """Whether nothing was ever saved: no checkpoint, nor one set aside."""
        aside = number_from_first(len(self._aside()) if self._writes else 0)
        return self.latest() is None and aside == 0

    def save(
        self, step: int, state: Any, *, extra: Mapping[str, Any] | None = None
    ) -> None:
        """Write ``state``, in the background, as the checkpoint of ``step``.

        Returns when the state is copied to the host; it may be donated then. Whatever
        checkpoints there are from ``step`` on belong to a future that was given up
        and are moved to ``bad/``, except one that is equal already.

        Args:
          step: the number of steps taken.
          state: a pytree of arrays, equal in all processes.
          extra: further facts to keep with it, of JSON's types.

        Raises:
          OSError: if this or the former checkpoint could not be written.
          FloatingPointError: if a leaf is not finite any more that was when it was
            last saved or restored. Nothing is written then.
        """
        self.wait()
        if self._writes:
            found, arrays = leaves(state), on_host(state)
            self._pending = self._pool.submit(
                self._write, int(step), found, arrays, plain(extra or {})
            )

    def restore(self, like: Any) -> tuple[Any, int]:
        """Read the newest checkpoint that is whole.

        Args:
          like: a state, or its shapes with shardings (`jax.ShapeDtypeStruct`). Each
            array is put where the one of ``like`` is (or is said to be), on however
            many devices that may be.

        Returns:
          The state and its step.

        Raises:
          ValueError: if ``like`` has another structure than what was saved.
          FileNotFoundError: if there is no checkpoint.
          OSError: if there were some but none of them is whole. To start anew is
            for the caller to decide, in another directory.
        """
        self.wait()
        expected = leaves(like)
        step, arrays = self._newest(expected) if self._writes else (0, [])
        step = number_from_first(step)
        return placed(like, from_first(arrays, expected)), step

    def facts(self, step: int) -> dict[str, Any]:
        """What is kept beside the state: config, versions, digest, leaves, extra.

        For the first process only.

        Raises:
          ValueError: if it was altered.
        """
        self.wait()
        return self._facts(step)

    def wait(self) -> None:
        """Return when nothing is being written; raise what went wrong in writing."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Finish writing and let go of the directory's files."""
        try:
            self.wait()
        finally:
            self._pool.shutdown()
            if self._writes:
                self._manager.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing: in the thread, where no device is touched.

    def _write(
        self,
        step: int,
        found: list[Leaf],
        arrays: list[np.ndarray],
        extra: dict[str, Any],
    ) -> None:
        finite = finite_leaves(found, arrays)
        if lost := sorted(self._finite - finite):
            raise FloatingPointError(
                f"not saved: at step {step} the state is no longer finite in "
                f"{', '.join(lost[:5])}{' and more' if len(lost) > 5 else ''}"
            )
        self._finite = finite
        total = digest_of(found, arrays)
        if not self._make_way(step, total):
            return
        facts = sealed(step, found, total, self._config, extra)
        try:
            store.save(self._manager, step, facts, together(found, arrays))
        except Exception as error:
            raise OSError(
                f"the checkpoint of step {step} could not be written to "
                f"{self.directory}: {error}"
            ) from error

    def _make_way(self, step: int, total: str) -> bool:
        """Set later checkpoints aside; False if the very same one is there already."""
        later = [there for there in self._manager.all_steps() if there >= step]
        if later == [step] and self._has(step, total):
            return False
        for abandoned in later:
            self._set_aside(abandoned)
        return True

    def _has(self, step: int, total: str) -> bool:
        try:
            return self._facts(step)["digest"] == total
        except Exception:  # unreadable, whatever the reason: not the same
            return False

    def _set_aside(self, step: int) -> Path:
        aside = self.directory / BAD
        aside.mkdir(exist_ok=True)
        places = (aside / f"{step}{f'-{i}' if i else ''}" for i in itertools.count())
        place = next(place for place in places if not place.exists())
        (self.directory / str(step)).rename(place)
        self._manager.reload()
        return place

    # Reading.

    def _newest(self, expected: list[Leaf]) -> tuple[int, list[np.ndarray]]:
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                facts = self._facts(step)
            except Exception as error:
                if _of_the_machine(error):
                    raise
                self._give_up(step, error)
                continue
            name = f"the checkpoint of step {step}"
            check_structure(leaves_of(facts), expected, name)
            try:
                arrays = self._arrays(step, expected, facts["format"])
                if digest_of(expected, arrays) != facts["digest"]:
                    raise ValueError("its numbers do not match its digest")
            except Exception as error:
                if _of_the_machine(error):
                    raise
                self._give_up(step, error)
                continue
            self._finite = finite_leaves(expected, arrays)
            return step, arrays
        if not steps and not self._aside():
            raise FileNotFoundError(f"there is no checkpoint in {self.directory}")
        raise OSError(
            f"no checkpoint in {self.directory} can be read; those that failed are in "
            f"{self.directory / BAD}. Move one back if you can mend it, or start anew "
            "in another directory."
        )

    def _facts(self, step: int) -> dict[str, Any]:
        return opened(store.read_facts(self._manager, step), step)

    def _arrays(self, step: int, expected: list[Leaf], form: int) -> list[np.ndarray]:
        stored = names(expected, form)
        read = store.read_arrays(self._manager, step, stored, form)
        return apart(read, expected, form)

    def _give_up(self, step: int, error: Exception) -> None:
        place = self._set_aside(step)
        reason = str(error).strip().split("\n")[0][:300] or type(error).__name__
        warnings.warn(
            f"the checkpoint of step {step} is not whole and is not used: {reason}. It "
            f"was moved to {place}; the one before it is tried.",
            RuntimeWarning,
            stacklevel=4,
        )

    def _aside(self) -> list[Path]:
        return sorted((self.directory / BAD).glob("*"))


_MOMENTARY = {
    getattr(errno, name)
    for name in ("EMFILE", "ENFILE", "ENOMEM", "ESTALE", "ETIMEDOUT", "EHOSTDOWN")
    if hasattr(errno, name)
}


def _of_the_machine(error: BaseException | None) -> bool:
    """Whether this machine failed at this moment, and not the checkpoint."""
    while error is not None:
        if isinstance(error, MemoryError | PermissionError):
            return True
        if isinstance(error, OSError) and error.errno in _MOMENTARY:
            return True
        error = error.__cause__
    return False
