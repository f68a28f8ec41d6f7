"""A run's directory: one process at a time, one configuration for ever."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gan_jax import directory
from gan_jax.directory import check_config, lock, read_config, write_config

HOLD = """
import sys, time
from gan_jax.directory import lock
with lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_refused_by_pid_and_a_killed_one_leaves_no_lock(
    tmp_path: Path,
) -> None:
    run = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(BlockingIOError, match=f"in use by process {first.pid} on "),
            lock(tmp_path),
        ):
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
        with lock(tmp_path):
            pass


def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with (
        lock(tmp_path),
        pytest.raises(BlockingIOError, match=str(os.getpid())),
        lock(tmp_path),
    ):
        pass
    with lock(tmp_path):
        pass


def test_without_file_locks_the_pid_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_flock", lambda file, path: False)
    with lock(tmp_path), pytest.raises(BlockingIOError), lock(tmp_path):
        pass
    with pytest.raises(KeyError), lock(tmp_path):  # it failed, and let go
        raise KeyError
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    holder = json.dumps({"pid": dead.pid, "host": directory.socket.gethostname()})
    (tmp_path / ".lock").write_text(holder)
    with lock(tmp_path):
        pass
    (tmp_path / ".lock").write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
    with pytest.raises(BlockingIOError, match="1 on elsewhere"), lock(tmp_path):
        pass


def test_every_changed_field_is_named() -> None:
    stored = {"lr": 1e-4, "data": {"name": "digits", "size": 8}, "steps": 5, "old": 1}
    given = {"lr": 2e-4, "data": {"name": "digits", "size": 16}, "steps": 9, "new": [2]}
    with pytest.raises(ValueError) as error:
        check_config(stored, given, ignore={"steps"})
    lines = str(error.value).splitlines()[1:-1]
    assert lines == [
        "  lr: 0.0001 in the directory, 0.0002 given",
        "  data.size: 8 in the directory, 16 given",
        "  old: 1 in the directory, absent given",
        "  new: absent in the directory, [2] given",
    ]
    check_config(stored, given, ignore={"lr", "data", "steps", "old", "new"})
    check_config({"a": (1, 2)}, {"a": [1, 2]})


def test_config_is_written_whole_and_read_back(tmp_path: Path) -> None:
    assert read_config(tmp_path) is None
    write_config(tmp_path, {"sizes": (1, 2)})
    assert read_config(tmp_path) == {"sizes": [1, 2]}
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        read_config(tmp_path)
    with pytest.raises(TypeError):
        write_config(tmp_path, {"path": tmp_path})
