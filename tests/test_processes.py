"""Runs in processes of their own: killed, asked to stop, and two at once."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gan_jax.checkpoint import Checkpoints
from tests.test_train import lines

SCRIPT = """
import importlib.util, sys, time
root, file, directory, steps, pause, port, process = sys.argv[1:]
sys.path.insert(0, root)
import jax
jax.config.update("jax_num_cpu_devices", 1)
if int(port):
    jax.distributed.initialize(
        f"127.0.0.1:{port}", 2, int(process), heartbeat_timeout_seconds=10
    )
spec = importlib.util.spec_from_file_location("here", file)
here = importlib.util.module_from_spec(spec)
spec.loader.exec_module(here)
base, count, me = here.feed(), jax.process_count(), jax.process_index()
def get(step):
    time.sleep(float(pause))
    share = here.N // count
    return {"index": base.get(step)["index"][me * share : (me + 1) * share]}
result = here.run(
    directory, steps=int(steps), feed=base._replace(get=get), console=True,
    parallel=here.sharded(), checkpoint_every=6, log_every=12,
    steps_per_call=2 if count == 2 else 1,
)
print("RESULT", result.step, result.interrupted, here.digest(result.state), flush=True)
"""


def process(
    directory: Path, steps: int, pause: float, port: int = 0, number: int = 0
) -> subprocess.Popen[str]:
    root = Path(__file__).parents[1]
    file = root / "tests" / "test_train.py"
    arguments = [root, file, directory, steps, pause, port, number]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )


def outcome(running: subprocess.Popen[str]) -> str:
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 0, out
    (line,) = (x for x in out.splitlines() if x.startswith("RESULT"))
    return line


def wait_for(running: subprocess.Popen[str], text: str) -> None:
    assert running.stdout is not None
    seen = []
    for line in running.stdout:
        seen.append(line)
        if text in line:
            return
    raise AssertionError(f"the run ended before it said {text!r}:\n{''.join(seen)}")


def test_kill_9_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    whole = outcome(process(tmp_path / "whole", 60, 0.0))
    moments = np.random.default_rng(time.time_ns()).uniform(0.0, 0.4, 3)
    for moment in moments:
        with process(tmp_path / "killed", 60, 0.01) as running:
            wait_for(running, "compiled in")
            time.sleep(moment)
            running.kill()
    assert outcome(process(tmp_path / "killed", 60, 0.0)) == whole, moments
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")
    names = sorted(p.name for p in (tmp_path / "killed" / "checkpoints").iterdir())
    assert names == ["48", "54", "60"]


@pytest.mark.parametrize("moment", ["64 points", "step 12/"])  # compiling, training
def test_sigterm_saves_and_ends_well(tmp_path: Path, moment: str) -> None:
    with process(tmp_path, 100_000, 0.01) as running:
        wait_for(running, moment)
        began = time.monotonic()
        running.send_signal(signal.SIGTERM)
        _, step, interrupted, state = outcome(running).split()
        assert time.monotonic() - began < 10
    assert interrupted == "True"
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest() == int(step)
        assert checkpoints.facts(int(step))["digest"] == state


def test_two_processes_stop_at_one_step_and_go_on(tmp_path: Path) -> None:
    def pair(steps: int, pause: float) -> list[subprocess.Popen[str]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return [process(tmp_path, steps, pause, port, number) for number in (0, 1)]

    first, second = pair(100_000, 0.01)
    wait_for(first, "step 12/")
    second.send_signal(signal.SIGTERM)  # to one of them only
    results = [outcome(first), outcome(second)]
    assert results[0] == results[1]
    step = int(results[0].split()[1])
    assert results[0].split()[2] == "True"
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest() == step
    more = (step // 12 + 2) * 12
    first, second = pair(more, 0.0)
    # The state that came to both is the one that was saved.
    wait_for(first, f"taken up at step {step}, digest {results[0].split()[3][:16]}")
    results = [outcome(first), outcome(second)]
    assert results[0] == results[1]
    assert results[0].startswith(f"RESULT {more} False")
    logged = [row["step"] for row in lines(tmp_path)]
    assert logged == list(range(12, more + 1, 12))
