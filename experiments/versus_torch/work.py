"""What both sides are asked to do: run so many steps, from images in memory."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.versus_torch.cases import Case


class Work(NamedTuple):
    """A training run that waits for its turns.

    Attributes:
      run: ``n -> None``, trains n steps and returns when the last has ended.
      peak: the device's memory at its fullest, in bytes; None where it is the host's.
      about: facts that the table tells, such as versions.
    """

    run: Callable[[int], None]
    peak: Callable[[], int | None]
    about: Mapping[str, Any]


def real_images(case: Case, batches: int) -> list[np.ndarray]:
    """Float32 images (n, size, size, channels) in [-1, 1], the same for both sides."""
    random = np.random.default_rng(0)
    shape = (case.batch, case.size, case.size, case.channels)
    return [random.uniform(-1, 1, shape).astype(np.float32) for _ in range(batches)]
