"""One door for every kind of image data on disk."""

import os
from pathlib import Path

import numpy as np

from gan_jax.data.folder import image_folder, image_zip
from gan_jax.data.idx import idx_images
from gan_jax.data.numpy_files import numpy_arrays
from gan_jax.data.resized import Resized
from gan_jax.data.source import Source

ACCEPTED = (
    "a folder or .zip of .jpg, .png and .webp files (sub-folders are classes), a .npy "
    "or .npz of uint8 images (n, h, w[, c]), or an IDX file (idx3-ubyte, plain or .gz)"
)


def open_images(
    path: str | os.PathLike[str], size: int, crop: int | None = None, channels: int = 3
) -> Source:
    """Opens images as squares of one size, by what lies at the path.

    Args:
      path: a folder or .zip of images, a .npy or .npz, or an IDX file.
      size: side of the images, in pixels.
      crop: side of the centre square, in pixels of the file; None for the largest.
      channels: 1 (grey) or 3 (RGB).

    Returns:
      A source of uint8 images (size, size, channels), with labels where there are any.

    Raises:
      FileNotFoundError: if nothing is there.
      ValueError: for anything else than the above, saying what is accepted.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{path}: nothing is there. Give {ACCEPTED}.")
    if file.is_dir():
        if (file / "dataset_info.json").exists():
            raise ValueError(
                f"{path}: a directory of tensorflow-datasets; open it with "
                "tfds_images(name, data_dir=…), not as a folder of images."
            )
        return image_folder(file, size, crop, channels)
    if file.suffix.lower() == ".zip":
        return image_zip(file, size, crop, channels)
    if file.suffix.lower() in (".npy", ".npz"):
        source = numpy_arrays(file)
        if source.arrays["real"].dtype != np.uint8:
            raise ValueError(
                f"{path}: holds points, not images; open it with numpy_arrays(path)."
            )
    elif "idx3" in file.name or _begins_like_idx(file):
        source = idx_images(file)
    else:
        raise ValueError(f"{path}: not a kind of data known here. Give {ACCEPTED}.")
    if crop is None and source.arrays["real"].shape[1:] == (size, size, channels):
        return source
    return Resized(source, size, crop, channels)


def _begins_like_idx(file: Path) -> bool:
    with open(file, "rb") as stream:
        return stream.read(4) == b"\0\0\x08\x03"
