"""gan_jax against PyTorch: seconds a training step, memory, and the machine's share.

    python -m experiments.versus_torch                     all cases on the CPU
    python -m experiments.versus_torch --only dcgan64      one of them
    python -m experiments.versus_torch --quick             a first impression
    python -m experiments.versus_torch --device cuda       the cases of an NVIDIA GPU

It needs the extra `bench` (PyTorch). Every row is a process of its own. They take turns
of half a second, in an order that rotates, so that whatever else the machine does meets
all of them; a ratio is the median of the ratios within a round. After that the best row
of either side has a second match, in which each also runs with glibc told to keep its
memory. Whatever either side compiled is on disk by then, and is not compiled again: as
in every run of our experiments but the first. The ratio that counts is that of the
better ones there. The tables are printed, and lie with all figures in
runs/versus_torch.
"""

import contextlib
import dataclasses
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from experiments.rows import check_names, command_line
from experiments.step_cost.table import machine as machine_and_versions
from experiments.versus_torch.cases import CPU_CASES, GPU_CASES, Case, Row, rows
from experiments.versus_torch.figures import (
    Timed,
    best,
    disturbance,
    sentences,
    table,
    verdict,
)
from gan_jax.host_memory import ALLOCATOR_VARIABLES

TURN = 0.5  # seconds of one row's turn
PAUSE = 0.05  # after a turn: the threads of the last row stop waiting for more work


class Worker:
    """A row's process, from here."""

    def __init__(self, row: Row, caches: str) -> None:
        self.row = row
        self.rounds: dict[int, float] = {}
        self.spent = 0.0
        self.facts: dict[str, Any] = {}
        self.errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        environment = dict(
            os.environ,
            TORCHINDUCTOR_CACHE_DIR=caches,
            JAX_COMPILATION_CACHE_DIR=caches,
            JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
        )
        if row.case.device == "cpu":
            environment |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
        else:  # the finalists share the GPU's memory
            environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
            environment["JAX_PLATFORMS"] = "cuda,cpu"
        if row.kept and row.side == "torch":  # ours asks for it itself
            environment |= ALLOCATOR_VARIABLES
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "experiments.versus_torch.worker",
                json.dumps(dataclasses.asdict(row)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment,
            text=True,
        )
        self.facts = self.answer()

    def answer(self) -> dict[str, Any]:
        """The worker's next line; why there is none, if it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.process.wait()
        self.errors.seek(0)
        said = [text.strip() for text in self.errors if text.strip()]
        reason = said[-1] if said else f"ended with {self.process.returncode}"
        return {"failed": reason[:200]}

    def turn(self, number: int) -> None:
        """Run for about `TURN` seconds in a round, and keep the seconds a step."""
        begun = time.perf_counter()
        assert self.process.stdin is not None
        steps = max(1, round(TURN / self.facts["step"]))
        with contextlib.suppress(BrokenPipeError):
            print(steps, file=self.process.stdin, flush=True)
        said = self.answer()
        if "seconds" in said:
            self.rounds[number] = said["seconds"]
            self.facts["peak"] = said["peak"]
        else:
            self.facts, self.rounds = said, {}
        self.spent += time.perf_counter() - begun
        time.sleep(PAUSE)

    @property
    def alive(self) -> bool:
        """Whether it can take turns."""
        return "failed" not in self.facts

    def timed(self) -> Timed:
        """What it has reported since the last time it was asked."""
        rounds, self.rounds, self.spent = self.rounds, {}, 0.0
        return Timed(self.row, rounds, dict(self.facts))

    def end(self) -> None:
        """Let it go."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


@contextlib.contextmanager
def crew() -> Iterator[dict[Row, Worker]]:
    """Workers by row, all of them ended in the end."""
    workers: dict[Row, Worker] = {}
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.end()


def match(
    chosen: Sequence[Row], workers: dict[Row, Worker], caches: str, seconds: float
) -> tuple[list[Timed], float]:
    """``seconds`` of each row, in turns; workers that are missing are started.

    Returns:
      The rows' times, and how many cores others kept busy meanwhile.
    """
    for row in chosen:
        if row not in workers:
            workers[row] = Worker(row, caches)
            facts = workers[row].facts
            done = (
                f"ready after {facts['cold']:.0f} s, {1e3 * facts['step']:.0f} ms"
                if "cold" in facts
                else f"failed: {facts['failed']}"
            )
            print(f"  {row}: {done}", flush=True)
    used: dict[int, float] = {}

    def others() -> float:
        for worker in workers.values():  # one that has ended has done what it did
            process = worker.process.pid
            used[process] = max(used.get(process, 0.0), core_seconds(process))
        return core_seconds() - sum(used.values())

    begun, before = time.perf_counter(), others()
    for number in range(math.ceil(seconds / TURN)):
        first = number % len(chosen)
        for row in (*chosen[first:], *chosen[:first]):
            worker = workers[row]
            # Where a step takes seconds, three turns are enough.
            if worker.alive and (number < 3 or worker.spent < 2 * seconds):
                used[worker.process.pid] = core_seconds(worker.process.pid)
                worker.turn(number)
    busy = (others() - before) / (time.perf_counter() - begun)
    return [workers[row].timed() for row in chosen], max(0.0, busy)


def core_seconds(process: int | None = None) -> float:
    """Seconds of work that the cores have done, for one process or in all."""
    if process is None:
        fields = Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
        ticks = sum(map(int, fields)) - int(fields[3]) - int(fields[4])  # idle, waiting
    else:
        try:
            said = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return 0.0
        ticks = sum(map(int, said.rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def compare(case: Case, chosen: Sequence[Row], seconds: float) -> dict[str, Any]:
    """All rows in turns, then the best ones again; prints and returns what was seen."""
    print(f"\n{case}", flush=True)
    first: list[Timed] = []
    second: list[Timed] = []
    busy = later = 0.0
    together: list[Sequence[Row]] = [chosen]
    if case.device == "cuda":
        # Its memory does not hold all rows, and none gives back what it has had.
        together = [[row] for row in chosen]
    with tempfile.TemporaryDirectory() as caches:
        for own in together:
            with crew() as workers:
                timed, disturbed = match(own, workers, caches, seconds)
            first, busy = first + timed, max(busy, disturbed)
        print(f"\n{table(first)}\n\n{disturbance(busy)}", flush=True)
        finalists = [
            dataclasses.replace(found.row, kept=kept)
            for found in (best(first, "jax", "one_backward"), best(first, "torch"))
            if found is not None
            for kept in ((False, True) if case.device == "cpu" else (False,))
        ]
        if finalists:
            finalists += [t.row for t in first if t.row.side == "machine" and t.rounds]
            with crew() as workers:  # anew, so that none has compiled what it runs
                second, later = match(finalists, workers, caches, seconds)
    word = verdict(second)
    print(f"\n{table(second)}\n\n{disturbance(later)}{sentences(word)}", flush=True)
    return {
        "case": dataclasses.asdict(case),
        "rows": [entry(timed) for timed in first],
        "second_match": [entry(timed) for timed in second],
        "verdict": word,
        "cores_used_by_others": [busy, later],
        "failed": [str(t.row) for t in (*first, *second) if not t.rounds],
    }


def entry(timed: Timed) -> dict[str, Any]:
    """A row as JSON has it."""
    named = dataclasses.asdict(timed.row)
    del named["case"]
    return {
        "row": str(timed.row),
        **named,
        "seconds": dict(timed.rounds),
        **timed.facts,
    }


def machine(device: str) -> dict[str, Any]:
    """What the figures hold for."""
    here = machine_and_versions()
    if device == "cuda":
        import torch

        here["gpu"] = torch.cuda.get_device_name()
    versions = here.pop("versions") | {"torch": metadata.version("torch")}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return here | {"memory_gb": round(memory / 1e9)} | versions


def check(device: str) -> None:
    """Refuse what cannot be run here, and say what is missing."""
    if importlib.util.find_spec("torch") is None:
        raise SystemExit(
            "PyTorch is not installed, and it is the other side of this comparison. "
            "Install gan_jax with the extra `bench`: pip install -e '.[bench]'."
        )
    if device == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise SystemExit(
            f"--device cuda needs an NVIDIA GPU, and PyTorch {torch.__version__} finds "
            "none here. The cases are ready: on a machine with one, install "
            "'.[cuda,bench]' and run this command again."
        )


def main() -> None:
    """Run what the command line asks for."""
    parser = command_line("versus_torch", __doc__, "case")
    parser.add_argument(
        "--rows", nargs="+", metavar="WORD", help="rows whose names hold one of these"
    )
    parser.add_argument("--seconds", type=float, help="of each row; 8, quick 2")
    parser.add_argument(
        "--quick", action="store_true", help="nothing by torch.compile, shorter turns"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    cases = {c.name: c for c in (CPU_CASES if options.device == "cpu" else GPU_CASES)}
    check_names(parser, "case", options.only or (), cases)
    chosen = {
        cases[name]: [
            row
            for row in rows(cases[name])
            if not (options.quick and row.compiled)
            and (
                options.rows is None
                or row.side == "machine"
                or any(word in str(row) for word in options.rows)
            )
        ]
        for name in options.only or cases
    }
    if options.list:
        for case, own in chosen.items():
            print(case, *(f"  {row}" for row in own), sep="\n")
        return
    if all(row.side == "machine" for own in chosen.values() for row in own):
        parser.error(f"--rows {' '.join(options.rows)}: no row's name holds any of it.")
    seconds = options.seconds
    if seconds is None:
        seconds = 2.0 if options.quick else 8.0
    if not seconds > 0:
        parser.error(f"--seconds is {seconds:g}; give more than 0.")
    check(options.device)
    begun = time.perf_counter()
    about = machine(options.device)
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    options.directory.mkdir(parents=True, exist_ok=True)
    file = options.directory / f"{options.device}.json"
    seen: list[dict[str, Any]] = []
    for case, own in chosen.items():
        seen.append(compare(case, own, seconds))
        # After each case: the next one may not end.
        file.write_text(json.dumps({"about": about, "cases": seen}, indent=1) + "\n")
    print(f"\n{time.perf_counter() - begun:.0f} s; all figures are in {file}")
    if failed := [f"{s['case']['name']}: {row}" for s in seen for row in s["failed"]]:
        raise SystemExit("These rows failed: " + "; ".join(failed))


if __name__ == "__main__":
    main()
