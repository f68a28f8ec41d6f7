"""Experiments as users start them: in processes of their own, with an end in sight."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

ROOT = Path(__file__).parents[1]
SECONDS = 90  # a run that takes longer hangs
MACHINE = ("time", "images_per_second", "memory_bytes")


def start(
    experiment: str, directory: Path, *options: str, **env: str
) -> subprocess.Popen[str]:
    """``python -m experiments.<experiment>``, with `env` besides our own."""
    command = [sys.executable, "-u", "-m", f"experiments.{experiment}"]
    return subprocess.Popen(
        [*command, "--directory", str(directory), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **env},
    )


def end(running: subprocess.Popen[str], code: int | None = 0) -> str:
    """What it has yet to say; it must end with `code`, or by itself if that is None."""
    try:
        out, _ = running.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        running.kill()
        raise AssertionError(f"it hangs:\n{running.communicate()[0]}") from None
    assert code is None or running.returncode == code, (running.returncode, out)
    return out


def wait_for(running: subprocess.Popen[str], *texts: str) -> str:
    """Read until a line holds one of the texts; all that was read."""
    assert running.stdout is not None
    seen = ""
    for line in running.stdout:
        seen += line
        if any(text in line for text in texts):
            return seen
    raise AssertionError(f"it ended before it said {texts}:\n{seen}")


def closing(out: str) -> str:
    """Where and with which digest the run ended."""
    (line,) = (x for x in out.splitlines() if x.startswith(("done at", "stopped by")))
    return line.split(", saved in")[0]


def rows(directory: Path) -> list[dict[str, Any]]:
    """The lines of the log, but for what depends on the machine."""
    lines = (directory / "log.jsonl").read_text().splitlines()
    every = [json.loads(line) for line in lines]
    return [{k: v for k, v in row.items() if k not in MACHINE} for row in every]


@contextlib.contextmanager
def compiled_once(folder: Path) -> Iterator[None]:
    """In this process: compile no program twice.

    For runs of a few steps, whose time goes into compiling.
    """
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: jax.config.values[name] for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
