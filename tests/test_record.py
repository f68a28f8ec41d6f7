"""What leaves the device: every logged step once, in numbers that any tool reads."""

import json
import math
import mmap
import sys
from pathlib import Path
from typing import Any

import pytest

from gan_jax.record import Recorder, Window, memory_bytes, read_log


def recorder(directory: Path | None, **options: Any) -> Recorder:
    return Recorder(directory, **{"steps": 1000, "batch_size": 64, **options})


def test_lines_are_strict_json(tmp_path: Path) -> None:
    record = recorder(tmp_path, console=False)
    record.start(0)
    record.write(10, {"disc/loss": 0.5, "gen/loss": math.nan, "skipped": 2})
    text = (tmp_path / "log.jsonl").read_text()
    (row,) = [json.loads(x, parse_constant=pytest.fail) for x in text.splitlines()]
    assert (row["step"], row["disc/loss"], row["gen/loss"]) == (10, 0.5, None)
    assert row["skipped"] == 2
    assert row["images_per_second"] > 0
    assert row["memory_bytes"] > 2**20


def test_resuming_cuts_what_lies_beyond_and_a_torn_line(tmp_path: Path) -> None:
    record = recorder(tmp_path, console=False)
    record.start(0)
    for step in (10, 20, 30):
        record.write(step, {"x": step})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 40, "x"')
    assert [row["step"] for row in read_log(tmp_path)] == [10, 20, 30]
    record = recorder(tmp_path, console=False)
    record.start(20)
    record.write(30, {"x": 31})
    assert [(row["step"], row["x"]) for row in read_log(tmp_path)] == [
        (10, 10),
        (20, 20),
        (30, 31),
    ]
    assert read_log(tmp_path / "nothing here") == []


def test_window_averages_floats_and_keeps_counters() -> None:
    window = Window()
    for loss, skipped in ((1.0, 0), (math.nan, 1), (3.0, 1)):
        window.add({"loss": loss, "never": math.inf, "skipped": skipped})
    numbers = window.numbers()
    assert (numbers["loss"], numbers["skipped"]) == (2.0, 1)
    assert math.isnan(numbers["never"])
    window.clear()
    assert window.numbers() == {}


def test_window_goes_on_where_it_was() -> None:
    values = [0.1 * i for i in range(20)]
    whole, first = Window(), Window()
    for value in values:
        whole.add({"loss": value, "n": 1})
    for value in values[:7]:
        first.add({"loss": value, "n": 1})
    rest = Window(json.loads(json.dumps(first.kept())))
    for value in values[7:]:
        rest.add({"loss": value, "n": 1})
    assert rest.numbers() == whole.numbers()


def test_plain_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = recorder(None)
    record.start(0)
    record.write(100, {"disc/loss": 1.25, "disc/real_accuracy": 0.75, "gen/lr": 3.0})
    record.write(200, {"disc/loss": math.nan, "skipped": 3, "eval/fid": 12.5})
    record.write(1000, {})
    record.close()
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("step 100/1,000 | ")
    assert "s left | " in first
    assert " images/s | " in first
    assert first.endswith("disc loss 1.25 | disc real_accuracy 0.75")
    assert "disc loss not finite | fid 12.5 | 3 steps skipped" in second
    assert last.startswith("step 1,000/1,000 | done | ")


def test_a_bar_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    record = recorder(None)
    record.start(100)
    record.write(500, {"disc/loss": 1.25})
    record.say("a word")
    record.close()
    captured = capsys.readouterr()
    assert "500/1000" in captured.err
    assert "disc loss 1.25" in captured.err
    assert "a word" in captured.out + captured.err


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    record = recorder(None, console=False)
    record.start(0)
    record.write(1, {"x": 1.0})
    record.say("nothing")
    record.close()
    assert capsys.readouterr() == ("", "")


def test_tensorboard_files_by_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = recorder(tmp_path, console=False, tensorboard=True)
    record.start(0)
    record.write(10, {"disc/loss": 1.25, "gen/loss": math.nan})
    record.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert b"disc/loss" in file.read_bytes()
    with pytest.raises(ValueError, match="need a directory"):
        recorder(None, tensorboard=True)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match=r"gan_jax\[tensorboard\]"):
        recorder(tmp_path, tensorboard=True)


def test_memory_is_measured() -> None:
    before = memory_bytes()
    # From the system: the heap may hold as much that earlier tests gave back.
    with mmap.mmap(-1, 200 * 2**20) as block:
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
        assert memory_bytes() > before + 150 * 2**20
