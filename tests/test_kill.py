"""A run that is killed, stopped and taken up again is the run that was not.

The real entry point in processes of its own, which compile as users' do. All but the
first take their programs from a compilation cache, so these tests show, too, that a
cached program gives equal bits.
"""

import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import toy
from gan_jax import train
from gan_jax.interrupt import Interrupt
from tests.commands import closing, compiled_once, end, rows, start, wait_for

STEPS = 240
OPTIONS = {
    "steps": STEPS,
    "batch_size": 16,
    "width": 8,
    "latent": 4,
    "points": 200,
    "steps_per_call": 2,
    "log_every": 6,  # not in step with the checkpoints
    "sample_every": 80,
    "checkpoint_every": 4,
}


def flags(**options: object) -> list[str]:
    return [
        word
        for name, value in options.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


def begin(cache: Path, directory: Path, **options: object) -> subprocess.Popen[str]:
    return start(
        "toy",
        directory,
        *flags(**{**OPTIONS, **options}),
        JAX_COMPILATION_CACHE_DIR=str(cache),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
        JAX_DISABLE_MOST_OPTIMIZATIONS="false",
        XLA_FLAGS="",
    )


@pytest.fixture(scope="module")
def whole(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that nobody disturbs, and how it ended."""
    directory = tmp_path_factory.mktemp("whole")
    out = end(begin(cache, directory))
    assert f"done at step {STEPS}" in out
    return directory, closing(out)


def same_run(directory: Path, out: str, whole: tuple[Path, str]) -> None:
    assert closing(out) == whole[1]
    assert rows(directory) == rows(whole[0])
    # The picture is drawn from all samples and the whole log.
    assert (directory / "run.png").read_bytes() == (whole[0] / "run.png").read_bytes()
    kept = sorted(path.name for path in (directory / "checkpoints").iterdir())
    assert kept == sorted(str(STEPS - 4 * i) for i in range(3))


def test_killed_ten_times(cache: Path, tmp_path: Path, whole: tuple[Path, str]) -> None:
    random = np.random.default_rng(0)
    reached = [0]
    for kill in range(10):
        with begin(cache, tmp_path) as running:
            if kill % 5 == 0:  # wherever it may be: importing, compiling, restoring
                time.sleep(random.uniform(0.0, 3.0))
            else:
                seen = wait_for(running, "compiled in")
                if "taken up at step" in seen:
                    step = seen.split("taken up at step ")[1].split(",")[0]
                    reached.append(int(step))
                for _ in range(random.integers(0, 4)):  # measured in work, not in time
                    wait_for(running, "step ")
                time.sleep(random.uniform(0.0, 0.1))
            running.kill()
    assert reached == sorted(reached)  # no committed step was lost
    assert 0 < reached[-1] < STEPS
    same_run(tmp_path, end(begin(cache, tmp_path)), whole)


def test_sigterm_saves_within_seconds_and_the_run_goes_on(
    cache: Path, tmp_path: Path, whole: tuple[Path, str]
) -> None:
    running = begin(cache, tmp_path)
    wait_for(running, "step 12/")
    began = time.monotonic()
    running.send_signal(signal.SIGTERM)
    out = end(running)
    assert time.monotonic() - began < 5
    stopped = closing(out)
    assert stopped.startswith("stopped by SIGTERM at step ")
    step, digest = stopped.split("at step ")[1].split(", digest ")
    assert 12 <= int(step) < STEPS
    assert not (tmp_path / "run.png").exists()
    out = end(begin(cache, tmp_path))
    assert f"taken up at step {step}, digest {digest}" in out
    same_run(tmp_path, out, whole)


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    # One call of many seconds: the first signal waits for its end, the second does not.
    k = 60_000
    every = ("log_every", "sample_every", "checkpoint_every", "steps_per_call", "steps")
    running = begin(tmp_path / "compiled", tmp_path / "run", **dict.fromkeys(every, k))
    while not list((tmp_path / "compiled").glob("jit_many-*")):  # compiled by then
        assert running.poll() is None, end(running)
        time.sleep(0.1)
    time.sleep(0.5)
    running.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert running.poll() is None
    running.send_signal(signal.SIGTERM)
    began = time.monotonic()
    end(running, -signal.SIGTERM)
    assert time.monotonic() - began < 2


def test_another_run_is_refused(cache: Path, whole: tuple[Path, str]) -> None:
    def contents() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in whole[0].glob("[!.]*.*")}

    before = contents()
    out = end(begin(cache, whole[0], batch_size=32), 1)
    assert "batch_size: 16 in the directory, 32 given" in out
    assert "Traceback" not in out
    # Schedules end with the last step: with another one they would be others.
    out = end(begin(cache, whole[0], steps=2 * STEPS), 1)
    assert f"steps: {STEPS} in the directory, {2 * STEPS} given" in out
    assert contents() == before


def test_two_runs_in_one_directory(cache: Path, tmp_path: Path) -> None:
    with begin(cache, tmp_path) as first:
        wait_for(first, "resident:")  # said when the lock is held
        out = end(begin(cache, tmp_path), 1)
        assert f"in use by process {first.pid} on {socket.gethostname()}" in out
        assert "Traceback" not in out
        first.kill()
    # The lock of a process that was killed holds nobody up.
    with begin(cache, tmp_path) as second:
        wait_for(second, "compiled in")
        second.kill()


class Stop(Interrupt):
    """A signal that comes when a given number of calls is made."""

    at = 0
    asked = -1

    def reached(self) -> bool:
        self.asked += 1
        return self.asked >= Stop.at


def test_stopped_after_any_call_of_several_steps(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = {**OPTIONS, "steps": 10, "steps_per_call": 4, "log_every": 8}
    few |= {"sample_every": 8, "checkpoint_every": 8}

    def run(name: str) -> str:
        toy.run(toy.Config(directory=tmp_path / name, **few))
        return closing(capsys.readouterr().out)

    with compiled_once(tmp_path / "compiled"):
        # Calls of 4, 4 and 2 steps.
        whole = run("whole")
        assert whole.startswith("done at step 10")
        monkeypatch.setattr(train, "Interrupt", Stop)
        for calls, step in ((1, 4), (2, 8)):
            monkeypatch.setattr(Stop, "at", calls)
            assert run(f"{calls}").startswith(f"stopped by preemption at step {step}")
            monkeypatch.setattr(Stop, "at", 99)
            assert run(f"{calls}") == whole
            assert rows(tmp_path / f"{calls}") == rows(tmp_path / "whole")
