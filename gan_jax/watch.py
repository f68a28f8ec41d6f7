"""Whoever looks at a run without touching it: logs, samples, evaluation, checkpoints.

Everything here happens between two compiled calls, with the state as it is then.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from gan_jax import images
from gan_jax.calls import Infos, unpacked
from gan_jax.checkpoint import Checkpoints
from gan_jax.digest import path_name
from gan_jax.kernel import State
from gan_jax.record import Recorder, Window, read_log

Sample = Callable[[State], Any]
Evaluate = Callable[[State], Mapping[str, float]]


class Diverged(FloatingPointError):  # noqa: N818  as the field says it
    """Too many steps in a row were not finite. None of them was applied."""


class Call(NamedTuple):
    """A call that was dispatched.

    Attributes:
      first: its first step, counted from 0.
      infos: those of all its steps, on the device and perhaps not yet computed.
    """

    first: int
    infos: Infos


class Events(NamedTuple):
    """What happens how often: the number of steps between, or None for never.

    At the last step everything but what is never wanted happens once more.
    """

    steps: int
    log: int | None = None
    sample: int | None = None
    checkpoint: int | None = None
    evaluate: int | None = None

    def every(self) -> dict[str, int]:
        """Those that happen, and how often."""
        fields = self._asdict()
        return {k: v for k, v in fields.items() if k != "steps" and v is not None}

    def due(self, step: int) -> set[str]:
        """What happens when ``step`` steps are taken."""
        last = step == self.steps
        return {name for name, n in self.every().items() if last or step % n == 0}


class Watch:
    """Does what is due, in this order: evaluation, the log's line, samples, checkpoint.

    The checkpoint comes last, so that whatever belongs to its step is on the disk
    before it. With it goes the part of the log's means that is not written yet: a run
    that is taken up there writes the very lines that it would have written.

    Args:
      events: when.
      directory: of the run; None keeps nothing.
      recorder, checkpoints, sample, evaluate: with what; see `gan_jax.train.fit`.
      stop_after_bad: how many steps in a row may not be finite before `Diverged`.
      window: what the log's next line has seen already.
    """

    def __init__(
        self,
        events: Events,
        directory: Path | None,
        *,
        recorder: Recorder,
        checkpoints: Checkpoints | None,
        sample: Sample | None,
        evaluate: Evaluate | None,
        stop_after_bad: int | None,
        window: Window,
    ) -> None:
        self._events, self._directory = events, directory
        self._recorder, self._checkpoints = recorder, checkpoints
        self._sample, self._evaluate = sample, evaluate
        self._stop_after_bad, self._window = stop_after_bad, window

    def start(self, step: int) -> None:
        """Begin at ``step``: samples beyond it are of a future that was given up."""
        if self._directory is None or jax.process_index() > 0:
            return
        for drawn, file in _samples(self._directory):
            if drawn > step:
                file.unlink()

    def see(self, call: Call, state: State) -> None:
        """Take in the infos of a call; ``state`` lends its leaves' names.

        Raises:
          Diverged: naming the step and the first leaf that went bad.
        """
        for step, info in enumerate(unpacked(call.infos), call.first):
            self._window.add(info)
            bad = info.get("bad", 0)
            if self._stop_after_bad is not None and bad >= self._stop_after_bad:
                kept = self._checkpoints is not None
                raise Diverged(_diagnosis(step, info, state, kept))

    def act(self, state: State, step: int) -> None:
        """Do what is due when ``step`` steps are taken."""
        due = self._events.due(step)
        row: dict[str, Any] = {}
        if "log" in due:
            row = self._window.numbers()
            # A last line out of turn does not end the interval: the run may yet be
            # given more steps.
            if step % self._events.every()["log"] == 0:
                self._window.clear()
        if "evaluate" in due and self._evaluate is not None:
            with jax.transfer_guard("allow"):  # what is not ours does as it likes
                scores = self._evaluate(state)
                row |= {f"eval/{name}": float(x) for name, x in scores.items()}
        if row:
            self._recorder.write(step, row)
        if "sample" in due:
            self.draw(state, step)
        if "checkpoint" in due:
            self.save(state, step)

    def draw(self, state: State, step: int) -> None:
        """Draw samples, if that is wanted."""
        if self._sample is None or self._directory is None:
            return
        with jax.transfer_guard("allow"):
            picture = np.asarray(self._sample(state))
        if jax.process_index() == 0:
            name = f"step_{step:08d}.png"
            images.save_png(self._directory / "samples" / name, picture)

    def save(self, state: State, step: int) -> None:
        """Begin to write a checkpoint, if that is wanted."""
        if self._checkpoints is not None:
            extra = {"window": self._window.kept()}
            self._checkpoints.save(step, state, extra=extra)

    def draw_run(self) -> None:
        """Draw ``run.png``: samples over time and the curves of the log."""
        if self._directory is None or jax.process_index() > 0:
            return
        samples = [(s, images.load_png(f)) for s, f in _samples(self._directory)]
        picture = images.run_picture(samples, read_log(self._directory))
        images.save_png(self._directory / "run.png", picture)


def _samples(directory: Path) -> list[tuple[int, Path]]:
    """The pictures of samples with their steps, in order, and no others."""
    named = {
        f.stem.removeprefix("step_"): f
        for f in (directory / "samples").glob("step_*.png")
    }
    return sorted((int(step), f) for step, f in named.items() if step.isdecimal())


def _diagnosis(
    step: int, info: Mapping[str, float | int], state: State, kept: bool
) -> str:
    paths = [path_name(path) for path, _ in jax.tree.leaves_with_path(state)]
    leaf = int(info.get("nonfinite_leaf", -1))
    where = f"{paths[leaf]} or its gradient" if leaf >= 0 else "an unknown leaf"
    good = "Checkpoints, if there are any, are good. " if kept else ""
    return (
        f"{info['bad']} steps in a row, up to step {step}, were not finite; none of "
        f"them was applied. The first value gone bad is in {where}. {good}"
        "Look at the data, or try a lower learning rate or a stronger penalty."
    )
