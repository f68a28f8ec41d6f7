"""Images in a folder or a zip file, sorted by name; sub-folders are classes."""

import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from gan_jax.data.pixels import MAX_FILE_BYTES, decode, fit, preprocessing
from gan_jax.data.source import Sample, checked

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")


class ImageFiles:
    """Encoded images by name: what a folder and a zip file have in common.

    Args:
      names: paths relative to the root, with "/", sorted.
      read: path -> bytes; called from many threads.
      origin: what errors put before a path.
      content: digest of the names and of what stands behind them.
      size: side of the images, in pixels.
      crop: side of the centre square, in pixels of the file; None for the largest.
      channels: 1 or 3.
    """

    def __init__(
        self,
        names: Sequence[str],
        read: Callable[[str], bytes],
        origin: str,
        content: str,
        size: int,
        crop: int | None,
        channels: int,
    ) -> None:
        words = preprocessing(size, crop, channels)
        self.names, self.classes = tuple(names), classes_of(names)
        self.fingerprint = f"images n={len(names)} sha256={content} {words}"
        self._read, self._origin = read, origin
        self._size, self._crop, self._channels = size, crop, channels
        self._labels = _labels(names, self.classes)

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> "Image":
        """As the file holds it, neither cut nor resized nor converted."""
        name = self.names[checked(index, len(self))]
        return decode(self._read(name), f"{self._origin}/{name}")

    def __getitem__(self, index: int) -> Sample:
        return self.fitted(index, self.image(index))

    def fitted(self, index: int, image: "Image") -> Sample:
        """The sample at ``index``, of an ``image`` that was read before."""
        i = checked(index, len(self))
        name = f"{self._origin}/{self.names[i]}"
        sample = {"real": fit(image, self._size, self._crop, self._channels, name)}
        if self._labels is None:
            return sample
        return sample | {"label": self._labels[i]}


def image_folder(
    path: str | os.PathLike[str], size: int, crop: int | None = None, channels: int = 3
) -> ImageFiles:
    """Reads the JPEG, PNG and WebP files below a folder.

    Args:
      path: the folder. If all images lie in two or more sub-folders, these are classes.
      size: side of the images, in pixels.
      crop: side of the centre square, in pixels of the file; None for the largest.
      channels: 1 (grey) or 3 (RGB).

    Returns:
      A source whose fingerprint covers names, sizes and times of change of the files.

    Raises:
      ValueError: for no images, or a link that leads out of the folder.
      PermissionError: for a folder in it that may not be read.
    """
    root = Path(path).resolve(strict=True)
    found = dict(sorted(_walk(root)))
    if not found:
        raise ValueError(
            f"{path}: no image found; give a folder with {', '.join(SUFFIXES)} files, "
            "directly or in one sub-folder per class."
        )
    digest = hashlib.sha256()
    for name, facts in found.items():
        digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())

    def read(name: str) -> bytes:
        file = root / name
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"{file}: larger than {MAX_FILE_BYTES} bytes.")
        return file.read_bytes()

    content = digest.hexdigest()
    return ImageFiles(list(found), read, str(path), content, size, crop, channels)


def image_zip(
    path: str | os.PathLike[str], size: int, crop: int | None = None, channels: int = 3
) -> ImageFiles:
    """Reads the JPEG, PNG and WebP files inside a zip file, in place.

    Args:
      path: the zip file; folders in it are classes as in `image_folder`.
      size: side of the images, in pixels.
      crop: side of the centre square, in pixels of the file; None for the largest.
      channels: 1 (grey) or 3 (RGB).

    Returns:
      A source whose fingerprint covers names, sizes and checksums of the members.

    Raises:
      ValueError: for no images, a file that is no zip, or a member that is a link, is
        encrypted, is too large, or whose name leads out of the archive.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{path}: not a zip file, or a damaged one: {error}"
        ) from error
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if not info.is_dir() and _is_image(info.filename):
            _check_member(info, str(path))
            members[info.filename] = info
    if not members:
        raise ValueError(f"{path}: no {', '.join(SUFFIXES)} file inside.")
    members = dict(sorted(members.items()))
    digest = hashlib.sha256()
    for name, info in members.items():
        digest.update(f"{name}\0{info.file_size}\0{info.CRC:08x}\n".encode())

    def read(name: str) -> bytes:
        try:  # ZipFile locks its file around each read: threads may share it
            return archive.read(members[name])
        except (
            zipfile.BadZipFile,
            zlib.error,
            OSError,
            EOFError,
            NotImplementedError,
        ) as error:
            raise ValueError(f"{path}/{name}: damaged member: {error}") from error

    content = digest.hexdigest()
    return ImageFiles(list(members), read, str(path), content, size, crop, channels)


def classes_of(names: Sequence[str]) -> tuple[str, ...] | None:
    """Names of the folders right below the deepest folder that all names share.

    Returns:
      Sorted class names; None if there are fewer than two or an image lies beside them.
    """
    parts = [PurePosixPath(name).parts for name in names]
    depth = _shared(parts)
    if any(len(part) == depth + 1 for part in parts):
        return None
    classes = sorted({part[depth] for part in parts})
    return tuple(classes) if len(classes) > 1 else None


def _shared(parts: Sequence[tuple[str, ...]]) -> int:
    """Number of leading folders that all paths have in common."""
    first, last = min(part[:-1] for part in parts), max(part[:-1] for part in parts)
    same = [a == b for a, b in zip(first, last, strict=False)]
    return same.index(False) if False in same else len(same)


def _labels(names: Sequence[str], classes: tuple[str, ...] | None) -> np.ndarray | None:
    if classes is None:
        return None
    parts = [PurePosixPath(name).parts for name in names]
    depth, number = _shared(parts), {name: i for i, name in enumerate(classes)}
    return np.array([number[part[depth]] for part in parts], np.int32)


def _is_image(name: str) -> bool:
    parts = name.split("/")
    hidden = any(p.startswith(".") and p not in (".", "..") for p in parts)
    return name.lower().endswith(SUFFIXES) and not hidden and "__MACOSX" not in parts


def _walk(root: Path) -> list[tuple[str, os.stat_result]]:
    """Image files below `root`; links to files inside are read, all others refused."""
    found = []

    def refuse(error: OSError) -> None:
        raise error  # what cannot be read is not silently left out

    for directory, folders, files in os.walk(root, onerror=refuse, followlinks=False):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in folders:
            if os.path.islink(os.path.join(directory, name)):
                raise ValueError(
                    f"{Path(directory) / name}: a link to a folder is not followed. "
                    "Move the folder here, or remove the link."
                )
        for name in files:
            file = Path(directory) / name
            relative = file.relative_to(root).as_posix()
            if not _is_image(relative):
                continue
            if file.is_symlink() and not file.resolve().is_relative_to(root):
                raise ValueError(
                    f"{file}: a link that leads out of {root} is not followed. "
                    "Copy the file here, or remove the link."
                )
            facts = file.stat()
            if not stat.S_ISREG(facts.st_mode):
                raise ValueError(f"{file}: not a regular file; remove it.")
            found.append((relative, facts))
    return found


def _check_member(info: zipfile.ZipInfo, path: str) -> None:
    name = info.filename
    outside = name.startswith("/") or "\\" in name or ":" in name.split("/")[0]
    if outside or ".." in name.split("/") or "\0" in info.orig_filename:
        raise ValueError(f"{path}: the name {name!r} leads out of the archive.")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ValueError(f"{path}/{name}: a link; archives may hold files only.")
    if info.flag_bits & 1:
        raise ValueError(f"{path}/{name}: encrypted; decrypt the archive first.")
    if info.file_size > MAX_FILE_BYTES:
        raise ValueError(f"{path}/{name}: larger than {MAX_FILE_BYTES} bytes.")
