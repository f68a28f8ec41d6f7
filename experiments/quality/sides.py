"""What both sides of a comparison are told, what they leave, and how they are started.

Each side is a module that is run as a process of its own:

    python -m experiments.quality.SIDE '{"folder": ..., "seed": ..., ...}'

It trains on FOLDER/train.npy, draws its samples and leaves them in FOLDER/SIDE.npz. Its
seconds count from before the process was there until it is ready to draw: they hold all
imports, and whatever it compiles. Drawing comes after, and is not counted.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What a side is to do.

    Attributes:
      folder: with train.npy, uint8 images (n, h, w, c); the samples go there, too.
      seed: of the parameters, the noise and the order of the images.
      recipe: of JSON's types; whatever the side knows to read.
      samples: how many are drawn.
      begun: when the process was started, by the clock that all processes share.
      steps: after which training ends; None for no such limit.
      seconds: likewise, since ``begun``.
    """

    folder: str
    seed: int
    recipe: dict[str, Any]
    samples: int
    begun: float
    steps: int | None = None
    seconds: float | None = None

    def images(self) -> np.ndarray:
        """To train on."""
        return np.load(Path(self.folder) / "train.npy")

    def spent(self) -> float:
        """Seconds since the process was started."""
        return time.monotonic() - self.begun

    def over(self, steps: int) -> bool:
        """Whether training ends after so many steps."""
        if self.steps is not None and steps >= self.steps:
            return True
        return self.seconds is not None and self.spent() >= self.seconds


class Left(NamedTuple):
    """What a side leaves.

    Attributes:
      images: uint8 (samples, h, w, c).
      steps: that it trained.
      seconds: that this took, from the start of the process.
    """

    images: np.ndarray
    steps: int
    seconds: float


def asked() -> Asked:
    """What this process was started for."""
    return Asked(**json.loads(sys.argv[1]))


def leave(side: str, asked: Asked, left: Left) -> None:
    """Hand over to the process that waits."""
    np.savez(Path(asked.folder) / f"{side}.npz", **left._asdict())


def trained(
    side: str, recipe: dict[str, Any], environment: Mapping[str, str], **told: Any
) -> Left:
    """Start a side, and wait for its samples.

    Args:
      side: whose module it is.
      recipe: its own.
      environment: besides this process's.
      told: the rest of `Asked`, but for ``begun``.

    Raises:
      RuntimeError: if it ended otherwise, with what it said last.
    """
    ask = Asked(recipe=recipe, begun=time.monotonic(), **told)
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            f"experiments.quality.{side}",
            json.dumps(dataclasses.asdict(ask)),
        ],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(
            f"{side} ended with status {ended.returncode}:\n{ended.stdout[-2000:]}"
        )
    with np.load(Path(ask.folder) / f"{side}.npz") as left:
        return Left(left["images"], int(left["steps"]), float(left["seconds"]))
