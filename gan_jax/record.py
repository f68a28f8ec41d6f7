"""Numbers that leave the device: a file of lines, TensorBoard, a line on the screen.

``log.jsonl`` holds one JSON object per logged step, so that any tool reads it:

    {"step": 1000, "time": 1.7e9, "images_per_second": 5120.0, "memory_bytes": ...,
     "disc/loss": 1.31, "gen/loss": 0.74, "skipped": 0, ...}

A number that is not finite is written as null. When a run is resumed the lines beyond
the restored step are cut away, so that no step is there twice and none is missing.
"""

import json
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

LOG = "log.jsonl"


class Recorder:
    """Where the numbers of a run go. In processes other than the first, nowhere.

    Args:
      directory: of the run; None writes no file.
      steps: how many steps the run is to take, for the progress and the time left.
      batch_size: samples per step, for the samples per second.
      tensorboard: also write TensorBoard's files.
      console: also show the progress: as a bar on a terminal, else as lines.

    Raises:
      ModuleNotFoundError: if TensorBoard's files are wanted but tensorboardX is not
        installed.
      ValueError: if they are wanted without a directory.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None,
        *,
        steps: int,
        batch_size: int,
        tensorboard: bool = False,
        console: bool = True,
    ) -> None:
        first = jax.process_index() == 0
        if tensorboard and directory is None:
            raise ValueError("TensorBoard's files need a directory; give one")
        self.path = Path(directory) / LOG if directory is not None and first else None
        self._steps, self._batch_size = steps, batch_size
        self._board = None
        self._board_wanted = tensorboard and first
        if tensorboard:
            _tensorboard_writer()  # refuse now, not after the first hour
        self._console = console and first
        self._bar: Any = None
        self._mark = (0, time.monotonic())
        self._rate = math.nan

    def start(self, step: int) -> None:
        """Begin at ``step``: lines beyond it are of a future that was given up."""
        if self.path is not None:
            _cut(self.path, step)
        if self._board_wanted and self.path is not None:
            writer = _tensorboard_writer()
            self._board = writer(
                str(self.path.parent / "tensorboard"), purge_step=step + 1
            )
        if self._console and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self._steps, initial=step, unit="step")
        self.clock(step)

    def clock(self, step: int) -> None:
        """Count time from here on, leaving out what came before, as compilation."""
        self._mark = (step, time.monotonic())

    def write(self, step: int, numbers: Mapping[str, float | int]) -> None:
        """Log ``numbers`` as those of ``step``."""
        before, since = self._mark
        now = time.monotonic()
        if step > before:
            self._rate = (step - before) / max(now - since, 1e-9)
        self._mark = (step, now)
        row: dict[str, Any] = {
            "step": step,
            "time": round(time.time(), 3),
            "images_per_second": round(self._rate * self._batch_size, 3),
            "memory_bytes": memory_bytes(),
            **numbers,
        }
        row = {name: _plain(value) for name, value in row.items()}
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        if self._board is not None:
            for name, value in row.items():
                if value is not None and name not in ("step", "time"):
                    self._board.add_scalar(name, value, step)
            self._board.flush()
        self._show(step, row)

    def say(self, text: str) -> None:
        """Show a sentence to whoever watches."""
        if self._bar is not None:
            self._bar.write(text)
        elif self._console:
            print(text, flush=True)

    def close(self) -> None:
        """End the bar and close the files."""
        if self._bar is not None:
            self._bar.close()
        if self._board is not None:
            self._board.close()
        self._bar = self._board = None

    def _show(self, step: int, row: Mapping[str, Any]) -> None:
        if self._bar is not None:
            self._bar.update(step - self._bar.n)
            self._bar.set_postfix_str(" ".join(_parts(row)))
        elif self._console:
            left = (self._steps - step) / self._rate if self._rate > 0 else math.nan
            head = [
                f"step {step:,}/{self._steps:,}",
                f"{duration(left)} left" if step < self._steps else "done",
            ]
            print(" | ".join([*head, *_parts(row)]), flush=True)


class Window:
    """The numbers of the steps since the last line of the log.

    Floats are averaged over those steps on which they are finite; whole numbers are
    counters, of which the last one counts.

    Args:
      kept: what `kept` of a former window gave: it goes on where that one was.
    """

    def __init__(self, kept: Mapping[str, Any] | None = None) -> None:
        kept = kept or {"sums": {}, "counters": {}}
        self._sums: dict[str, tuple[float, int]] = {
            name: (total, n) for name, (total, n) in kept["sums"].items()
        }
        self._counters: dict[str, int] = dict(kept["counters"])

    def add(self, info: Mapping[str, float | int]) -> None:
        """Take in the numbers of one step."""
        for name, value in info.items():
            if isinstance(value, int):
                self._counters[name] = value
            else:
                total, n = self._sums.get(name, (0.0, 0))
                good = math.isfinite(value)
                self._sums[name] = (total + value, n + 1) if good else (total, n)

    def numbers(self) -> dict[str, float | int]:
        """The means and the counters; NaN where no step was finite."""
        means = {
            k: total / n if n else math.nan for k, (total, n) in self._sums.items()
        }
        return {**means, **self._counters}

    def kept(self) -> dict[str, Any]:
        """What it holds, of JSON's types."""
        sums = {name: list(pair) for name, pair in self._sums.items()}
        return {"sums": sums, "counters": dict(self._counters)}

    def clear(self) -> None:
        """Begin anew."""
        self._sums, self._counters = {}, {}


def read_log(directory: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of ``log.jsonl`` in order, without one that was cut short by a kill."""
    path = Path(directory) / LOG
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:  # only the last can be: each is written at one stroke
            break
    return rows


def memory_bytes() -> int:
    """Memory in use: on the fullest device if it tells, else of this process."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    used = [s["bytes_in_use"] for s in stats if s and "bytes_in_use" in s]
    if used:
        return max(used)
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no such file there: the peak is what every Unix tells
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(42.0), duration(187.0), duration(7500.0), duration(2e5)
    ('42s', '3m 07s', '2h 05m', '2d 07h')
    """
    if not math.isfinite(seconds):
        return "unknown time"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole // 60 % 60:02d}m"
    return f"{whole // 86400}d {whole // 3600 % 24:02d}h"


def _parts(row: Mapping[str, Any]) -> list[str]:
    """What a line shows: speed, memory, each player's loss, accuracies, trouble."""
    parts = [f"{row['memory_bytes'] / 2**30:.2f} GiB"]
    if (rate := row["images_per_second"]) is not None:  # none before a second call
        parts.insert(0, f"{rate:,.0f} images/s")
    for name, value in row.items():
        if name.endswith(("loss", "accuracy")) or name.startswith("eval/"):
            shown = "not finite" if value is None else f"{value:.4g}"
            parts.append(f"{name.removeprefix('eval/').replace('/', ' ')} {shown}")
    if row.get("skipped"):
        parts.append(f"{row['skipped']} steps skipped: not finite")
    return parts


def _plain(value: float | int) -> float | int | None:
    if isinstance(value, int):
        return value
    return float(value) if math.isfinite(value) else None


def _cut(path: Path, step: int) -> None:
    """Drop the lines beyond ``step`` and any that is not whole."""
    rows = read_log(path.parent)
    kept = "".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step)
    half = path.with_name(path.name + ".part")
    half.write_text(kept)
    half.replace(path)


def _tensorboard_writer() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "tensorboard=True needs tensorboardX: pip install 'gan_jax[tensorboard]'"
        ) from error
    return SummaryWriter
