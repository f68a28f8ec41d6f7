"""What the first process knows, told to all the others of a program."""

from collections.abc import Sequence

import jax
import numpy as np

from gan_jax.digest import Leaf


def number_from_first(number: int) -> int:
    """The first process's number, in every process."""
    return int(from_first([np.asarray(number, np.int32)], [Leaf("", "int32", ())])[0])


def from_first(arrays: list[np.ndarray], found: Sequence[Leaf]) -> list[np.ndarray]:
    """The first process's arrays, in every process."""
    if jax.process_count() == 1:
        return arrays
    from jax.experimental import multihost_utils

    empty = [np.empty(leaf.shape, leaf.numbers) for leaf in found]
    here = arrays if jax.process_index() == 0 else empty
    # As bytes: what is sent is summed with zeros, which would make 0.0 of a -0.0.
    sent = np.concatenate([x.reshape(-1).view(np.uint8) for x in here])
    there = np.asarray(multihost_utils.broadcast_one_to_all(sent))
    parts = np.split(there, np.cumsum([x.nbytes for x in empty])[:-1])
    return [
        part.view(x.dtype).reshape(x.shape)
        for part, x in zip(parts, empty, strict=True)
    ]
