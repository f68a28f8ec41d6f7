"""What a data set is here: a length, random access, and a name for its content."""

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

Sample = dict[str, Any]  # name -> np.ndarray


@runtime_checkable
class Source(Protocol):
    """A data set with random access; every call may come from any thread.

    `source[i]` is a dict with "real" (uint8 (h, w, c) or float32 (d,)) and, where the
    data set has them, "label" (int32 scalar) and "attributes" (int32 (k,)).

    A source may also have `gather(indices)`, which reads many samples at once, and
    `classes` and `attribute_names`, which name the labels and the attribute columns.

    Attributes:
      fingerprint: one line that names the content and its preprocessing. It is the key
        of the cache and a fact of the run's config: equal lines mean equal samples.
    """

    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class Arrays:
    """A data set in memory, or mapped from disk: a dict of arrays of equal length.

    Args:
      arrays: name -> array with one row a sample; "real" is required. Integer "label"
        and "attributes" become int32, the real data must be uint8 or float32.
      fingerprint: names the content; by default a SHA-256 of the arrays themselves.
      classes: names of the labels.
      attribute_names: names of the columns of "attributes".

    Raises:
      ValueError: for arrays of different lengths, no "real", or another type of data.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        fingerprint: str | None = None,
        *,
        classes: tuple[str, ...] | None = None,
        attribute_names: tuple[str, ...] | None = None,
    ) -> None:
        lengths = {name: len(array) for name, array in arrays.items()}
        if "real" not in arrays:
            raise ValueError(f"arrays are {sorted(arrays)}; one must be 'real'.")
        if len(set(lengths.values())) != 1 or not lengths["real"]:
            raise ValueError(
                f"arrays have lengths {lengths}; all must be equal and at least 1."
            )
        real = arrays["real"]
        points = real.dtype == np.float32 and real.ndim >= 2
        if not points and not (real.dtype == np.uint8 and real.ndim == 4):
            raise ValueError(
                f"'real' is {real.dtype} {real.shape}; give uint8 images "
                "(n, h, w, c) or float32 points (n, d)."
            )
        self.arrays = {name: _narrow(array) for name, array in arrays.items()}
        self.classes = classes
        self.attribute_names = attribute_names
        self._fingerprint = fingerprint

    def __len__(self) -> int:
        return len(self.arrays["real"])

    def __getitem__(self, index: int) -> Sample:
        i = checked(index, len(self))
        return {name: np.asarray(array[i]) for name, array in self.arrays.items()}

    def gather(self, indices: np.ndarray) -> Sample:
        """Reads many samples at once: name -> array with one row an index."""
        return {name: np.asarray(array[indices]) for name, array in self.arrays.items()}

    @property
    def fingerprint(self) -> str:
        if self._fingerprint is None:
            self._fingerprint = f"arrays sha256={content_digest(self.arrays)}"
        return self._fingerprint

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())


def _narrow(array: np.ndarray) -> np.ndarray:
    return array.astype(np.int32, copy=False) if array.dtype.kind in "bi" else array


def classed(labels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as int32 from 0 without a gap, and what each stands for.

    >>> classed(np.array([7, -1, 7]))
    (array([1, 0, 1], dtype=int32), ('-1', '7'))
    """
    values, codes = np.unique(labels, return_inverse=True)
    return codes.astype(np.int32), tuple(map(str, values.tolist()))


def checked(index: int, length: int) -> int:
    """Turns an index into a plain int of a sequence's range.

    Raises:
      IndexError: outside of 0 … length − 1 (which also ends a plain for loop).
    """
    if not 0 <= index < length:
        raise IndexError(f"index {index} is outside of 0 … {length - 1}.")
    return int(index)


def content_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over the names, types, shapes and bytes of arrays, read in pieces."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        rows = max(1, 2**24 // max(1, array[:1].nbytes))
        for start in range(0, len(array), rows):
            digest.update(np.ascontiguousarray(array[start : start + rows]).data)
    return digest.hexdigest()
