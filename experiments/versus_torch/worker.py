"""One row in a process of its own: it waits for its turns and says how long they took.

    python -m experiments.versus_torch.worker ROW

ROW is a row in JSON. The worker speaks in lines of JSON: one when it has built,
compiled and run its first steps, then one for each line "n" that it reads, after n
steps.
"""

import json
import os
import sys
import time
from typing import Any

from experiments.versus_torch.cases import Row, row_of
from experiments.versus_torch.work import Work

WARM_STEPS = 3
SLOW = 1.0  # seconds a step, beyond which it needs no warming up


def memory(name: str) -> int:
    """A line of /proc/self/status in bytes: VmRSS is held now, VmHWM at most."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def work_of(row: Row) -> tuple[Work, int, float]:
    """The work, the memory held when all was imported, and the time building began."""
    if row.side == "torch":
        from experiments.versus_torch import theirs

        imported, begun = memory("VmRSS"), time.perf_counter()
        return theirs.work(row), imported, begun
    from experiments.versus_torch import ours

    imported, begun = memory("VmRSS"), time.perf_counter()
    ours.check_device(row.case)
    kind = ours.machine if row.side == "machine" else ours.work
    return kind(row), imported, begun


def timed(work: Work, steps: int) -> float:
    """Seconds a step."""
    begun = time.perf_counter()
    work.run(steps)
    return (time.perf_counter() - begun) / steps


def main() -> None:
    """Serve the row named on the command line until there are no more turns."""
    # What a library prints must not come between our lines.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(**facts: Any) -> None:
        print(json.dumps(facts), file=answers)

    row = row_of(json.loads(sys.argv[1]))
    work, imported, begun = work_of(row)
    work.run(1)
    cold = time.perf_counter() - begun
    step = timed(work, 1)
    if step < SLOW:
        work.run(WARM_STEPS)
        step = timed(work, WARM_STEPS)
    say(cold=cold, step=step, imported=imported, about=dict(work.about))
    for line in sys.stdin:
        # The first step finds the threads asleep and the caches full of others' data.
        if step < SLOW:
            work.run(1)
        steps = int(line)
        say(seconds=timed(work, steps), peak=work.peak() or memory("VmHWM"))


if __name__ == "__main__":
    main()
