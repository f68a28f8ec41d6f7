"""Arrays from .npy and .npz files, never through pickle, headers checked first."""

import os
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from gan_jax.data.source import Arrays, classed, content_digest

MAX_ARCHIVE_BYTES = 4 * 2**30  # unpacked .npz; a .npy is mapped and has no such limit
_REAL_NAMES = ("real", "images", "x", "arr_0")
_LABEL_NAMES = ("label", "labels", "y")


def numpy_arrays(path: str | os.PathLike[str]) -> Arrays:
    """Reads images or points from a .npy file (memory-mapped) or an .npz file.

    Args:
      path: uint8 images (n, h, w) or (n, h, w, c), or floating-point points (n, d). In
        an .npz under the name real, images, x or arr_0; labels (n,) under label, labels
        or y, any integers; attributes (n, k) under attributes.

    Returns:
      A source. Its labels are counted from 0 in their order; ``classes`` names what
      they were. The fingerprint of a .npy holds its size, its time of change and a
      digest of some of its rows, that of an .npz a digest of its content.

    Raises:
      ValueError: for pickled objects, another shape or type, a damaged file, or an .npz
        that unpacks to more than 4 GiB.
    """
    file = Path(path)
    if file.suffix.lower() == ".npz":
        arrays = _read_archive(file)
        real = _as_real(arrays.pop("real"), file)
        arrays = {"real": real} | arrays
        classes = None
        if "label" in arrays:
            arrays["label"], classes = classed(arrays["label"])
        fingerprint = f"npz sha256={content_digest(arrays)}"
        return Arrays(arrays, fingerprint, classes=classes)
    with open(file, "rb") as stream:
        shape, dtype = _header(stream, f"{file}")
        expected, facts = stream.tell() + _nbytes(shape, dtype), file.stat()
    if facts.st_size < expected:
        raise ValueError(
            f"{file}: the header announces {dtype} {shape}, {expected} bytes, but the "
            f"file has {facts.st_size}. Write it again."
        )
    real = _as_real(np.load(file, mmap_mode="r", allow_pickle=False), file)
    # Times are often equal: archives give files theirs, some to two seconds only.
    some = content_digest({"real": real[:: max(1, len(real) // 64)]})[:16]
    words = f"bytes={facts.st_size} time={facts.st_mtime_ns} rows={some}"
    return Arrays({"real": real}, f"npy {dtype} {shape} {words}")


def _read_archive(file: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = [i.filename for i in archive.infolist()]
            _check_archive(archive, file)
        with np.load(file, allow_pickle=False) as archive:
            return _pick(archive, [n.removesuffix(".npy") for n in names], file)
    # RuntimeError is zipfile's for what is encrypted.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ValueError(f"{file}: not an .npz file, or damaged: {error}") from error


def _check_archive(archive: zipfile.ZipFile, file: Path) -> None:
    """Compares what each member announces with its size, before unpacking any."""
    total = sum(info.file_size for info in archive.infolist())
    if total > MAX_ARCHIVE_BYTES:
        raise ValueError(
            f"{file}: unpacks to {total} bytes; at most {MAX_ARCHIVE_BYTES} are read. "
            "Save the images as .npy: it is mapped, whatever its size."
        )
    for info in archive.infolist():
        with archive.open(info) as stream:
            shape, dtype = _header(stream, f"{file}/{info.filename}")
            expected = stream.tell() + _nbytes(shape, dtype)
        if expected > info.file_size:
            raise ValueError(
                f"{file}/{info.filename}: the header announces {dtype} {shape}, more "
                f"than the {info.file_size} bytes there. Write the file again."
            )


def _pick(archive: np.lib.npyio.NpzFile, names: list[str], file: Path) -> dict:
    real = next((name for name in _REAL_NAMES if name in names), None)
    label = next((name for name in _LABEL_NAMES if name in names), None)
    if real is None:
        raise ValueError(
            f"{file}: holds {names}; the images or points must be named one of "
            f"{', '.join(_REAL_NAMES)}."
        )
    arrays = {"real": archive[real]}
    if label is not None:
        arrays["label"] = _integers(archive[label], 1, f"{file}/{label}")
    if "attributes" in names:
        where = f"{file}/attributes"
        arrays["attributes"] = _integers(archive["attributes"], 2, where)
    return arrays


def _integers(array: np.ndarray, ndim: int, where: str) -> np.ndarray:
    if array.dtype.kind not in "biu" or array.ndim != ndim:
        raise ValueError(
            f"{where} is {array.dtype} {array.shape}; give {ndim}-d integers, one row "
            "a sample."
        )
    return array.astype(np.int32)


def _as_real(array: np.ndarray, file: Path) -> np.ndarray:
    if array.dtype == np.uint8 and array.ndim in (3, 4):
        return array[..., None] if array.ndim == 3 else array
    if array.dtype.kind == "f" and array.ndim == 2:
        return array.astype(np.float32, copy=False)
    raise ValueError(
        f"{file}: the data is {array.dtype} {array.shape}; give uint8 images (n, h, w) "
        "or (n, h, w, c), or floating-point points (n, d)."
    )


def _header(
    stream: IO[bytes] | zipfile.ZipExtFile, where: str
) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"format version {version}")
    except (ValueError, EOFError) as error:
        raise ValueError(f"{where}: not a .npy array ({error}).") from error
    if dtype.hasobject:
        raise ValueError(
            f"{where}: holds pickled objects, which are never loaded. Save a plain "
            "array of uint8 or float32."
        )
    return shape, dtype


def _nbytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    total = dtype.itemsize
    for length in shape:  # Python ints do not overflow
        total *= length if length >= 0 else 2**64
    return total
