"""The IDX format of MNIST and Fashion-MNIST, plain or gzipped."""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from gan_jax.data.source import Arrays, classed, content_digest

MAX_BYTES = 4 * 2**30
_DEFLATE_RATIO = 1032  # deflate cannot expand more than this (zlib's documentation)


def idx_images(
    images: str | os.PathLike[str], labels: str | os.PathLike[str] | None = None
) -> Arrays:
    """Reads grey images (n, h, w, 1), and labels if there are any.

    Args:
      images: an idx3-ubyte file, plain or .gz.
      labels: an idx1-ubyte file; by default the one beside the images whose name says
        "labels" and "idx1" where theirs says "images" and "idx3", if it is there.

    Returns:
      A source in memory. Its labels are counted from 0 in their order; ``classes``
      names what they were.

    Raises:
      ValueError: for a wrong magic number, a size that does not fit, or labels that are
        not as many as the images.
    """
    file = Path(images)
    arrays, classes = {"real": read_idx(file, 3)[..., None]}, None
    beside = file.with_name(
        file.name.replace("images", "labels").replace("idx3", "idx1")
    )
    found = Path(labels) if labels is not None else beside
    if labels is not None or (beside != file and beside.exists()):
        arrays["label"] = read_idx(found, 1).astype(np.int32)
        if len(arrays["label"]) != len(arrays["real"]):
            raise ValueError(
                f"{found}: {len(arrays['label'])} labels for {len(arrays['real'])} "
                f"images in {file.name}; give the two files of one split."
            )
        arrays["label"], classes = classed(arrays["label"])
    return Arrays(arrays, f"idx sha256={content_digest(arrays)}", classes=classes)


def read_idx(path: str | os.PathLike[str], ndim: int) -> UInt8[np.ndarray, "..."]:
    """Reads one IDX file of unsigned bytes.

    Args:
      path: the file, plain or gzipped (told by its first bytes).
      ndim: 3 for images, 1 for labels; the magic number must say the same.

    Returns:
      The array.

    Raises:
      ValueError: naming the file, if it is no such file, is cut short, has bytes left
        over, or announces more than it can hold.
    """
    file = Path(path)
    with open(file, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    packed = file.stat().st_size
    try:
        with gzip.open(file) if zipped else open(file, "rb") as stream:
            magic = stream.read(4)
            if magic != bytes((0, 0, 8, ndim)):
                raise ValueError(
                    f"magic number 0x{magic.hex()}, wanted 0x000008{ndim:02x} "
                    f"(unsigned bytes in {ndim} dimensions)"
                )
            shape = struct.unpack(f">{ndim}I", stream.read(4 * ndim))
            count = math.prod(shape)
            if count > MAX_BYTES or count > packed * (_DEFLATE_RATIO if zipped else 1):
                raise ValueError(
                    f"announces {shape}, more than {packed} bytes can hold"
                )
            data = stream.read(count)
            if len(data) != count or stream.read(1):
                raise ValueError(f"the bytes do not fit the shape {shape}")
    except (ValueError, OSError, EOFError, struct.error, zlib.error) as error:
        raise ValueError(
            f"{file}: not a whole IDX file with {ndim} dimensions: {error}."
        ) from error
    return np.frombuffer(data, np.uint8).reshape(shape)
