"""The leaves of a state as the few arrays that a checkpoint is written as.

To write an array costs more than the bytes of a small one. So small leaves lie end to
end in one array. Large ones stand alone, so that joining never copies much. Where each
leaf lies follows from the leaves alone.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from gan_jax.digest import Leaf

SMALL = 2**20  # bytes; a leaf of so many or more stands alone
PACKED = "small"


def together(
    found: Sequence[Leaf], arrays: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """The arrays to write: bytes of all small leaves, and every large leaf by name."""
    kept = {}
    small = []
    for leaf, array in zip(found, arrays, strict=True):
        if size(leaf) < SMALL:
            small.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        else:
            kept[f"large/{leaf.path}"] = array
    if sum(map(len, small)):  # Orbax refuses empty arrays
        kept[PACKED] = np.concatenate(small)
    return kept


def names(expected: Sequence[Leaf], form: int) -> list[str]:
    """What the arrays of a checkpoint of format ``form`` are called."""
    if form == 1:
        return [leaf.path for leaf in expected if size(leaf)]
    large = [f"large/{leaf.path}" for leaf in expected if size(leaf) >= SMALL]
    packed = any(0 < size(leaf) < SMALL for leaf in expected)
    return [*large, *([PACKED] if packed else [])]


def apart(
    read: Mapping[str, np.ndarray], expected: Sequence[Leaf], form: int
) -> list[np.ndarray]:
    """The arrays of the leaves, as they were before `together`.

    Raises:
      ValueError: if there are more or fewer bytes than the leaves have.
    """
    if form == 1:
        return [
            read.get(leaf.path, np.zeros(leaf.shape, leaf.numbers)) for leaf in expected
        ]
    packed = read.get(PACKED, np.zeros(0, np.uint8))
    small = [leaf for leaf in expected if size(leaf) < SMALL]
    if len(packed) != sum(map(size, small)):
        raise ValueError(
            f"there are {len(packed)} bytes of small leaves, which have "
            f"{sum(map(size, small))}"
        )
    ends = np.cumsum([size(leaf) for leaf in small], dtype=int)
    cut = {
        # A copy, for numbers want to begin at a multiple of their size.
        leaf.path: part.copy().view(leaf.numbers).reshape(leaf.shape)
        for leaf, part in zip(small, np.split(packed, ends)[:-1], strict=True)
    }
    return [
        cut[leaf.path]
        if leaf.path in cut
        else read[f"large/{leaf.path}"].view(leaf.numbers).reshape(leaf.shape)
        for leaf in expected
    ]


def size(leaf: Leaf) -> int:
    """Bytes of a leaf."""
    return int(np.prod(leaf.shape, dtype=int)) * np.dtype(leaf.numbers).itemsize
