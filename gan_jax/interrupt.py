"""Ending well when asked to: SIGTERM, Ctrl-C and the preemption of a machine.

The first signal is a request. It is noted, and the loop that asks `Interrupt.reached`
between two calls finishes the one under way, saves, and returns. The second signal does
what it would have done without us, at once: as soon as the first arrives, the former
handlers are back in place.

Where `jax.distributed` runs, all processes must stop at one and the same call. JAX
listens for SIGTERM itself then and agrees with the other processes on the call; a
handler of Python's set after its own would silence it, so none is set. Ctrl-C is taken
where there is one process only; several are stopped by SIGTERM.
"""

import itertools
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import jax

SIGNALS = (signal.SIGTERM, signal.SIGINT)

# How often this process has asked whether to stop. JAX wants the number, and agrees on
# one that is 1 above the largest it has seen, which is 0 before anybody asked: a count
# that began where a run is taken up would have passed it by, and the signal were lost.
_ASKED = itertools.count(1)


class Interrupt:
    """A context in which SIGTERM and SIGINT are noted instead of obeyed.

    Outside the main thread, where Python allows no handlers, it notes nothing. A signal
    that is ignored (as by nohup) stays so. A signal that arrives while XLA compiles is
    noted when the compilation returns.

    Attributes:
      signal: the signal that came, None until then.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupt":
        main = threading.current_thread() is threading.main_thread()
        if main:
            for number in _ours():
                # None: a handler that is not Python's, which we could not put back.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._former[number] = signal.signal(number, self._note)
        return self

    def reached(self) -> bool:
        """Whether to stop here. In several processes all must ask equally often."""
        if jax.distributed.is_initialized():
            from jax.experimental import multihost_utils

            if multihost_utils.reached_preemption_sync_point(next(_ASKED)):
                return True
        return self.signal is not None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}


def _ours() -> tuple[signal.Signals, ...]:
    """The signals to take: what JAX does not take, and what no peer waits for."""
    if not jax.distributed.is_initialized():
        return SIGNALS
    return (signal.SIGINT,) if jax.process_count() == 1 else ()
