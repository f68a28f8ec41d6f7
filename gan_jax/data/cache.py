"""Decoded images on disk: decoded once, mapped into memory ever after.

An entry is a directory named by the fingerprint's SHA-256, with one .npy per array and
facts.json, which holds a digest of every array. It is written under another name and
renamed when whole, so a reader never sees half of it. What fails its digest is rebuilt.
"""

import contextlib
import glob
import hashlib
import itertools
import json
import os
import platform
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from gan_jax.data.source import Arrays, Sample, Source, content_digest

_VERSION = 1  # of the layout; part of the key
_CHUNK = 64  # samples decoded by one thread at a time
_SPARE_BYTES = 64 * 2**20  # left free on the disk
_QUIET_SECONDS = 2.0  # no progress line before this, and one per this


def cache_directory() -> Path:
    """$XDG_CACHE_HOME/gan_jax or ~/.cache/gan_jax: inside the user's own directory."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "gan_jax"


def cached(
    source: Source, directory: str | os.PathLike[str] | None = None, threads: int = 8
) -> Arrays:
    """Decodes every sample of a source once, and maps the result from disk.

    Args:
      source: samples of one shape; its fingerprint is the key.
      directory: where entries lie; by default `cache_directory()`. Made with mode 0700.
      threads: how many decode at once.

    Returns:
      A memory-mapped source with the same samples, classes and fingerprint.

    Raises:
      OSError: if the disk has too little room, saying how much is wanted.
      ValueError: naming the file of the first sample that cannot be read.
    """
    root = Path(directory) if directory is not None else cache_directory()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    words = f"{_VERSION} {source.fingerprint}"
    entry = root / hashlib.sha256(words.encode()).hexdigest()[:40]
    with _locked(root / f"{entry.name}.lock"):
        arrays = _trusted(entry, source.fingerprint)
        if arrays is None:
            _build(source, entry, threads)
            arrays = _trusted(entry, source.fingerprint)
    if arrays is None:
        raise OSError(
            f"{entry}: what was just written does not read back equal. Check the disk, "
            "or choose another cache directory."
        )
    return Arrays(
        arrays,
        source.fingerprint,
        classes=getattr(source, "classes", None),
        attribute_names=getattr(source, "attribute_names", None),
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One builder at a time on this host; a dead process loses its lock."""
    import fcntl

    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _trusted(entry: Path, fingerprint: str) -> dict[str, np.ndarray] | None:
    """Maps an entry whose arrays have the digests in its facts; None for any other."""
    if not entry.exists():
        return None
    try:
        facts = json.loads((entry / "facts.json").read_text())
        arrays = {
            name: np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in facts["arrays"]
        }
        found = {name: content_digest({name: arrays[name]}) for name in arrays}
        if (facts["fingerprint"], facts["arrays"]) == (fingerprint, found):
            return arrays
        reason = "its digest is not the one written down"
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        reason = f"{type(error).__name__}: {error}"
    warnings.warn(f"{entry}: damaged cache ({reason}); it is rebuilt.", stacklevel=3)
    shutil.rmtree(entry, ignore_errors=True)
    return None


def _build(source: Source, entry: Path, threads: int) -> None:
    own = f"{entry.name}.tmp-{platform.node()}@"
    for left in entry.parent.glob(f"{glob.escape(own)}*"):
        # Of a build that was killed: while this host's lock is ours no other is at it.
        shutil.rmtree(left, ignore_errors=True)
    first = {name: np.asarray(value) for name, value in source[0].items()}
    wanted = len(source) * sum(value.nbytes for value in first.values())
    free = shutil.disk_usage(entry.parent).free
    if free < wanted + _SPARE_BYTES:
        raise OSError(
            f"{entry.parent}: the decoded data needs {wanted / 2**30:.2f} GiB and "
            f"{free / 2**30:.2f} GiB are free. Free some, choose another cache "
            "directory (XDG_CACHE_HOME), or stream without a cache."
        )
    draft = Path(tempfile.mkdtemp(prefix=own, dir=entry.parent))
    try:
        digests = _write(source, first, draft, threads)
        facts = {"fingerprint": source.fingerprint, "arrays": digests}
        (draft / "facts.json").write_text(json.dumps(facts, indent=1))
        try:
            os.rename(draft, entry)
        except OSError:  # another host's process was first, on a shared disk
            if not entry.exists():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(source: Source, first: Sample, draft: Path, threads: int) -> dict[str, str]:
    """Streams all samples into .npy files; returns the digest of each array.

    Plain writes, not a writable map: on a full disk they raise where a map kills.
    """
    n, digests = len(source), {}
    with contextlib.ExitStack() as stack:
        files: dict[str, Any] = {}
        for name, value in first.items():
            file = stack.enter_context(open(draft / f"{name}.npy", "wb"))
            shape = (n, *value.shape)
            descr = np.lib.format.dtype_to_descr(value.dtype)
            header = {"descr": descr, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            start = f"{name} {value.dtype.str} {shape}\n"  # as content_digest begins
            files[name], digests[name] = file, hashlib.sha256(start.encode())
        for rows in _decoded(source, first, threads):
            for name in files:
                block = np.ascontiguousarray(rows[name])
                files[name].write(block)
                digests[name].update(block.data)
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _decoded(source: Source, first: Sample, threads: int) -> Iterator[Sample]:
    """Yields blocks of decoded samples in order, a few blocks ahead of the reader."""
    n = len(source)
    starts = iter(range(0, n, _CHUNK))
    began = told = time.monotonic()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="gan_jax-cache")
    try:

        def submit(start: int) -> Any:
            return pool.submit(
                read, source, range(start, min(start + _CHUNK, n)), first
            )

        ahead = [submit(start) for start in itertools.islice(starts, 2 * threads)]
        done = 0
        while ahead:
            rows = ahead.pop(0).result()
            ahead += [submit(start) for start in itertools.islice(starts, 1)]
            yield rows
            done += len(rows["real"])
            now = time.monotonic()
            if now - told > _QUIET_SECONDS:
                told, rate = now, done / (now - began)
                line = f"caching {done:,} of {n:,} samples ({rate:,.0f}/s)"
                print(line, file=sys.stderr, flush=True)
    finally:
        pool.shutdown(cancel_futures=True)


def read(source: Source, indices: Any, like: Sample) -> Sample:
    """Reads samples into fresh arrays, all at once where the source can gather.

    Args:
      source: where from.
      indices: which, a sequence of ints.
      like: a sample, for the names, shapes and types that all must have.

    Returns:
      name -> array with one row an index.

    Raises:
      ValueError: if a sample has other names, shapes or types than `like`.
    """
    indices = np.asarray(indices)
    if hasattr(source, "gather"):
        return source.gather(indices)
    out = {
        name: np.empty((len(indices), *np.shape(value)), np.asarray(value).dtype)
        for name, value in like.items()
    }
    for row, index in enumerate(indices.tolist()):
        sample = source[index]
        found = {name: (np.shape(v), np.asarray(v).dtype) for name, v in sample.items()}
        wanted = {name: (value.shape[1:], value.dtype) for name, value in out.items()}
        if found != wanted:
            raise ValueError(
                f"sample {index} is {found}, the first one {wanted}; all samples of a "
                "source must have the same names, shapes and types."
            )
        for name, value in sample.items():
            out[name][row] = value
    return out
