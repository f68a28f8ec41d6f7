"""Two processes over gloo, through the real entry point, as one process of two devices.

Process 1 is given a directory of its own: nothing may appear there.
"""

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.commands import closing, end, rows, start, wait_for

STEPS = 40
OPTIONS = (
    *("--steps", str(STEPS), "--batch-size", "16", "--steps-per-call", "2"),
    *("--width", "4", "--latent", "4", "--gradient", "merged"),
    *("--log-every", "2", "--sample-every", "2", "--checkpoint-every", "20"),
    *("--evaluate-every", "40", "--evaluate-images", "20"),
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("caches")
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # to compile in less time
        "XDG_CACHE_HOME": str(folder / "data"),
    }


def pair(directory: Path, cache: dict[str, str]) -> list[subprocess.Popen[str]]:
    """Both processes of a cluster."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return [
        start(
            "digits",
            directory if number == 0 else directory.with_name("of_process_1"),
            *OPTIONS,
            **cache,
            JAX_COORDINATOR_ADDRESS=f"localhost:{port}",
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(number),
            JAX_NUM_CPU_DEVICES="1",
        )
        for number in (0, 1)
    ]


def both(running: list[subprocess.Popen[str]]) -> str:
    """What process 0 said; both must end well, and process 1 silently."""
    said = [end(each) for each in running]
    jaxs = ("[Gloo]", "preemption_notifier")
    assert not [x for x in said[1].splitlines() if not any(y in x for y in jaxs)]
    return said[0]


def halted(running: list[subprocess.Popen[str]]) -> tuple[int, str]:
    """Where both stopped, and the digest."""
    said = closing(both(running))
    assert said.startswith("stopped by preemption at step ")
    step, digest = said.split("at step ")[1].split(", digest ")
    return int(step), digest


@pytest.fixture(scope="module")
def two(
    tmp_path_factory: pytest.TempPathFactory, cache: dict[str, str]
) -> tuple[Path, str]:
    """A run of two processes that nobody disturbs, and how it ended."""
    directory = tmp_path_factory.mktemp("two") / "run"
    return directory, closing(both(pair(directory, cache)))


def test_only_process_0_writes(two: tuple[Path, str]) -> None:
    directory, ended = two
    assert ended.startswith(f"done at step {STEPS}, digest ")
    assert not directory.with_name("of_process_1").exists()
    assert [row["step"] for row in rows(directory)] == list(range(2, STEPS + 1, 2))
    assert {path.name for path in (directory / "checkpoints").iterdir()} == {"20", "40"}
    assert (directory / "run.png").exists()


def test_equals_one_process_of_two_devices(
    two: tuple[Path, str], tmp_path: Path, cache: dict[str, str]
) -> None:
    one = start("digits", tmp_path, *OPTIONS, **cache, JAX_NUM_CPU_DEVICES="2")
    assert f"done at step {STEPS}" in end(one)
    for theirs, ours in zip(rows(two[0]), rows(tmp_path), strict=True):
        assert theirs == pytest.approx(ours, rel=1e-4, abs=1e-5)
    # The first steps' losses are those of the same samples and the same noise.
    first = [rows(directory)[0]["disc/loss"] for directory in (two[0], tmp_path)]
    assert first[0] == pytest.approx(first[1], rel=1e-6)


def test_a_signal_to_one_stops_both_and_they_go_on(
    two: tuple[Path, str], tmp_path: Path, cache: dict[str, str]
) -> None:
    directory = tmp_path / "run"
    running = pair(directory, cache)
    wait_for(running[0], "step 2/")
    running[1].send_signal(signal.SIGTERM)  # to one of them only
    step, _ = halted(running)
    assert 2 <= step < STEPS
    # Before the first call of a run that is taken up: that signal is heard, too.
    running = pair(directory, cache)
    wait_for(running[0], "digits: ")  # both are there; the data is yet to be read
    running[1].send_signal(signal.SIGTERM)
    later, digest = halted(running)
    assert step <= later < STEPS
    out = both(pair(directory, cache))
    assert f"taken up at step {later}, digest {digest}" in out
    assert closing(out) == two[1]
    assert rows(directory) == rows(two[0])
    assert not directory.with_name("of_process_1").exists()
