"""Weights on disk: arrays by name, from files that hold no code to run.

Pickles (.pth, .pt, .pkl) are programs: reading one runs it. They are refused here.
"""

import hashlib
import json
import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

MAX_HEADER = 100 * 2**20  # bytes; the limit of the safetensors format itself
_DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "U8": np.uint8,
}


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads a .safetensors or an .npz file.

    Args:
      path: the file; its ending says which of the two it is.

    Returns:
      The arrays by name.

    Raises:
      ValueError: for another ending, and for a file that is damaged or cut short.
    """
    file = Path(path)
    if file.suffix == ".safetensors":
        return _safetensors(file)
    if file.suffix == ".npz":
        return _npz(file)
    raise ValueError(
        f"{file} is neither .safetensors nor .npz. A .pth or .pkl is a pickle, which "
        "runs whatever it holds when it is read: convert it once with the program that "
        "wrote it, as docs/inception.md shows for PyTorch."
    )


def checked_shapes(
    arrays: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...]],
    source: str,
) -> None:
    """Raises ValueError unless there are just the named arrays, of those shapes."""
    lines = [
        f"  {name}: {_shape_of(arrays, name)} there, {shapes.get(name, 'absent')} here"
        for name in {**shapes, **arrays}
        if _shape_of(arrays, name) != shapes.get(name, "absent")
    ]
    if lines:
        shown = "\n".join(lines[:8])
        raise ValueError(
            f"{source} does not hold the weights that are wanted: {len(lines)} arrays "
            f"differ. The first are\n{shown}"
        )


def _shape_of(arrays: Mapping[str, np.ndarray], name: str) -> tuple[int, ...] | str:
    return tuple(arrays[name].shape) if name in arrays else "absent"


def _npz(file: Path) -> dict[str, np.ndarray]:
    try:
        # Opened here: np.load leaves a file open in which it finds no archive.
        with open(file, "rb") as raw, np.load(raw, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"{file} is not a whole .npz file of arrays: {error}"
        ) from error


def _safetensors(file: Path) -> dict[str, np.ndarray]:
    """Eight bytes of length, a JSON header, and the arrays' bytes one after another.

    Reference: the format's description in the safetensors repository of Hugging Face.
    """
    data = file.read_bytes()
    try:
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > min(MAX_HEADER, len(data) - 8):
            raise ValueError(f"the header is said to have {length} bytes")
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        body = memoryview(data)[8 + length :]
        arrays, end = {}, 0
        for name, entry in sorted(
            header.items(), key=lambda item: item[1]["data_offsets"]
        ):
            arrays[name], end = _array(body, entry, end), entry["data_offsets"][1]
        if end != len(body):
            raise ValueError(f"{len(body) - end} bytes belong to no array")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{file} is not a whole .safetensors file: {error!r}"
        ) from error
    return arrays


def _array(body: memoryview, entry: Mapping[str, Any], begin: int) -> np.ndarray:
    dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
    start, stop = entry["data_offsets"]
    size = math.prod(shape) * dtype.itemsize
    if start != begin or stop - start != size or stop > len(body):
        raise ValueError(f"{entry} does not fit at byte {begin} of {len(body)}")
    return np.frombuffer(body[start:stop], dtype).reshape(shape)
