"""A run's directory: who may write there, and which run it belongs to.

    run/config.json          what the run was asked to do
    run/log.jsonl            one line of numbers per logged step
    run/samples/             step_00001000.png
    run/checkpoints/         1000/, 2000/, ... and bad/, those set aside
    run/run.png              the picture of the run

Two processes that write into one directory overwrite each other without a word. So the
first holds a lock until it ends, however it ends; and a run that is taken up again must
be the same run, so its configuration is compared field by field.
"""

import contextlib
import json
import os
import socket
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

CONFIG = "config.json"
LOCK = ".lock"


@contextlib.contextmanager
def lock(directory: str | os.PathLike[str]) -> Iterator[None]:
    """Hold ``directory`` for this process while the context lasts.

    The lock belongs to an open file (`fcntl.flock`), so the system takes it back
    however the process ends, kill -9 included: no stale lock is left behind. Where
    files cannot be locked so, the pid in the file decides, and the file of a process
    of this host that is no more is taken over.

    Args:
      directory: is made if it does not exist.

    Raises:
      BlockingIOError: if another process holds it, by its pid and host.
    """
    path = Path(directory) / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _flock(file, path) and _alive(path):
            raise BlockingIOError(_refusal(path))
        os.ftruncate(file, 0)
        holder = {"pid": os.getpid(), "host": socket.gethostname()}
        os.pwrite(file, json.dumps(holder).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(file, 0)
    finally:
        os.close(file)


def check_config(
    stored: Mapping[str, Any], given: Mapping[str, Any], ignore: Collection[str] = ()
) -> None:
    """Refuse to go on with a run under another configuration.

    Args:
      stored: the configuration that the run began with.
      given: the one asked for now.
      ignore: the fields that may differ, since they do not change the numbers of a
        step: the number of steps, how often to log. A field of a field is written
        ``"data.path"``; ignoring a field ignores what is in it.

    Raises:
      ValueError: naming every field that differs, with both values.

    >>> check_config({"lr": 1e-4, "steps": 10}, {"lr": 1e-4, "steps": 20}, {"steps"})
    """
    before, now = _flat(plain(stored)), _flat(plain(given))
    names = {**before, **now}
    changed = [
        f"  {name}: {_shown(before, name)} in the directory, {_shown(now, name)} given"
        for name in names
        if before.get(name, _ABSENT) != now.get(name, _ABSENT)
        and not any(name == skip or name.startswith(skip + ".") for skip in ignore)
    ]
    if changed:
        raise ValueError(
            "the directory holds a run of another configuration:\n"
            + "\n".join(changed)
            + "\nGive the former values to go on with it, or another directory to "
            "start anew."
        )


def plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` as JSON gives it back: what is compared and what is written.

    Raises:
      TypeError: for a value that is not made of dicts, lists, strings and numbers.
    """
    return json.loads(json.dumps(config))


def write_config(directory: str | os.PathLike[str], config: Mapping[str, Any]) -> None:
    """Write ``config.json``, whole or not at all."""
    path = Path(directory) / CONFIG
    half = path.with_name(CONFIG + ".part")
    half.write_text(json.dumps(plain(config), indent=2) + "\n")
    half.replace(path)


def read_config(directory: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The configuration in ``directory``, None if there is none.

    Raises:
      ValueError: if the file is there but cannot be read.
    """
    path = Path(directory) / CONFIG
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(
            f"{path} is not JSON ({error}), so it cannot be told which run this "
            "directory belongs to. Mend the file, or give another directory."
        ) from error


_ABSENT = object()


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict) or not tree:
        return {prefix: tree} if prefix else {}
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return flat


def _shown(flat: Mapping[str, Any], name: str) -> str:
    return json.dumps(flat[name]) if name in flat else "absent"


def _flock(file: int, path: Path) -> bool:
    """Lock the open file; False where files cannot be locked."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(_refusal(path)) from error
    except (ImportError, OSError):  # not a POSIX system, or not such a file system
        return False
    return True


def _alive(path: Path) -> bool:
    """Whether the process named in the lock may still be running."""
    try:
        holder = json.loads(path.read_text())
    except ValueError:
        return False  # never written, or emptied by its holder's end
    if holder["host"] != socket.gethostname():
        return True  # cannot be asked from here
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _refusal(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
    except ValueError:  # it has just begun
        holder = {"pid": "unknown", "host": "an unknown host"}
    return (
        f"the directory {path.parent} is in use by process {holder['pid']} on "
        f"{holder['host']}. Wait for it, end it, or give another directory; if that "
        f"host is no more, remove {path}."
    )
