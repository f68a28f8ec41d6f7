"""Compiled programs kept on disk, so that a run that begins again need not compile.

JAX keeps programs if it is told where (`jax_compilation_cache_dir`). It loads what it
finds there and runs it, so whoever may write there runs code as the user: the folder is
the user's own, of mode 0700, and one that is not is left alone, with the reason said.

Two things that JAX leaves open are closed here. Its name for a program leaves out how
many cores it was compiled for, and does not promise to hold what the processor can do:
each kind of machine has a folder of its own, for homes that several share. And JAX
writes in place and never again, so that what a kill cut short would be complained of
and compiled anew by every run to come: what is not whole is removed.
"""

import contextlib
import hashlib
import importlib
import os
import platform
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from gan_jax.data.cache import cache_directory

LARGEST = 2**30  # bytes of programs that are kept; the demo's take one megabyte
QUICK_SECONDS = 0.1  # what compiles faster is not worth a file
ENDING = "-cache"  # of a file that JAX wrote
SEAL = ".sha256"


@contextlib.contextmanager
def kept_programs(folder: str | os.PathLike[str] | None = None) -> Iterator[str]:
    """Keep the programs that are compiled in this context, and use those kept before.

    A folder that the user has given to JAX itself (JAX_COMPILATION_CACHE_DIR) stays.

    Args:
      folder: where; by default ``compiled`` in the user's own cache. Is made with mode
        0700 if it is not there. Each kind of machine has a folder in it.

    Yields:
      One line that says where programs are kept, or why not.
    """
    if theirs := jax.config.values["jax_compilation_cache_dir"]:
        yield f"compiled programs: {theirs}, as JAX was told"
        return
    place = Path(folder) if folder is not None else cache_directory() / "compiled"
    place = place.expanduser().absolute()
    try:
        own = place / machine()
        for level in (place.parent, place, own):
            level.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = danger(own)
        count = 0 if reason else mend(own)
    except OSError as error:
        reason = str(error)
    if reason:
        yield f"compiled programs are not kept: {reason}"
        return
    settings = {
        "jax_compilation_cache_dir": str(own),
        "jax_persistent_cache_min_compile_time_secs": QUICK_SECONDS,
    }
    before = {name: jax.config.values[name] for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    try:
        yield f"compiled programs: {own}, {count} kept"
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


def machine() -> str:
    """What a compiled program depends on and JAX's name for it leaves out."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = platform.processor()
    can = next((x for x in text.splitlines() if x.startswith(("flags", "Feat"))), text)
    try:
        cores: int | None = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        cores = os.cpu_count()
    digest = hashlib.sha256(can.encode()).hexdigest()[:8]
    return f"{platform.machine()}-{digest}-{cores}-cores"


def danger(folder: Path) -> str | None:
    """Why another user could put programs into ``folder``, or None."""
    if not hasattr(os, "geteuid"):
        return "this system does not tell whose a folder is"
    place = folder.resolve(strict=True)
    for at in (place, *place.parents):
        found = at.stat()
        if found.st_uid not in (os.geteuid(), 0):
            return f"{at} belongs to another user (uid {found.st_uid})"
        sticky = at != place and found.st_mode & stat.S_ISVTX
        if found.st_mode & 0o022 and not sticky:
            return f"{at} may be written by others; chmod go-w {at}"
    return None


def mend(folder: Path) -> int:
    """Remove what is not whole, and the oldest beyond `LARGEST`; say what is left.

    An entry found whole for the first time gets a seal, its SHA-256, which from then on
    it must match.
    """
    count = total = 0
    for entry in sorted(folder.glob(f"*{ENDING}"), key=_written, reverse=True):
        try:
            data = entry.read_bytes()
        except FileNotFoundError:  # removed by another run that has just begun
            continue
        total += len(data)
        if total <= LARGEST and _whole(data, _seal_of(entry)):
            count += 1
            continue
        entry.unlink(missing_ok=True)
        _seal_of(entry).unlink(missing_ok=True)
    return count


def _written(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _seal_of(entry: Path) -> Path:
    return entry.with_name(entry.name.removesuffix(ENDING) + SEAL)


def _whole(data: bytes, seal: Path) -> bool:
    digest = hashlib.sha256(data).hexdigest()
    if seal.exists():
        return seal.read_text() == digest
    try:
        _unpacked(data)
    except Exception:  # whatever it is that this library says of damaged data
        return False
    half = seal.with_name(f"{seal.name}.{os.getpid()}.part")
    half.write_text(digest)
    half.replace(seal)
    return True


def _unpacked(data: bytes) -> bytes:
    """As JAX does it: zstandard where it is installed, else zlib."""
    if not data.startswith(b"\x28\xb5\x2f\xfd"):
        return zlib.decompress(data)
    for name in ("compression.zstd", "zstandard"):
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(name).decompress(data)
    raise ModuleNotFoundError("no zstandard to unpack it with")
