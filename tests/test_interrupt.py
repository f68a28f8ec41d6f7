"""Signals: the first is a request, the second is obeyed at once."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from gan_jax.interrupt import Interrupt

NOTED = """
import signal, sys, time
from gan_jax.interrupt import Interrupt
with Interrupt() as interrupt:
    print("ready", flush=True)
    while not interrupt.reached():
        time.sleep(0.01)
    print("noted", interrupt.signal.name, flush=True)
    if "stay" in sys.argv:
        time.sleep(60)
"""


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_is_noted_and_handlers_return(number: signal.Signals) -> None:
    former = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with Interrupt() as interrupt:
        assert not interrupt.reached()
        assert signal.getsignal(number) not in former
        send(number)
        assert interrupt.reached()
        assert interrupt.signal == number
        # Already: a second signal does what it always did.
        assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == former
    with Interrupt() as interrupt:
        assert not interrupt.reached()
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == former


def test_second_ctrl_c_is_a_keyboard_interrupt() -> None:
    with Interrupt():
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_an_ignored_signal_stays_ignored() -> None:
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            send(signal.SIGINT)
            assert not interrupt.reached()
    finally:
        signal.signal(signal.SIGINT, former)


def test_notes_nothing_in_another_thread() -> None:
    seen = []

    def run() -> None:
        with Interrupt() as interrupt:
            seen.append(interrupt.reached())

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("stay", [False, True])
def test_in_a_process_of_its_own(stay: bool) -> None:
    arguments = [sys.executable, "-c", NOTED, *(["stay"] if stay else [])]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "noted SIGTERM\n"
        if stay:
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == -signal.SIGTERM
            assert time.monotonic() - began < 2
        else:
            assert process.wait(timeout=10) == 0
