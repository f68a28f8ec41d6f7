"""The host's loop around the compiled step: the one order of events.

    lock the directory, compare its configuration, take up the newest checkpoint or init
    repeat, one call (k steps) at a time:
        dispatch the call                      the device works from here on
        get the host's part of the next call   while it does
        look at the infos of the call before   they are there: nobody waits
        if something is due at this step       (a multiple of k, or the last step)
            look at this call's infos, too     the device has come to rest
            evaluate, write the log's line, draw samples, save a checkpoint
        if a signal has come: stop
    save, draw the picture of the run, say the digest of the state

Calls begin at multiples of k and checkpoints lie between calls, so a run that is
stopped, by a signal or by kill -9, and taken up again gives the same bits and the same
log as one that is not. Whatever looks at a run (`gan_jax.watch`) does so from outside
of the compiled call and cannot change a bit of it.
"""

import contextlib
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax import Array

from gan_jax.calls import Calls, Trainable
from gan_jax.checkpoint import Checkpoints
from gan_jax.data.feed import Feed
from gan_jax.devices import Parallel, check_divisible, sharded
from gan_jax.digest import digest
from gan_jax.directory import check_config, lock, read_config, write_config
from gan_jax.host_memory import settle_memory
from gan_jax.interrupt import Interrupt
from gan_jax.kernel import State
from gan_jax.record import Recorder, Window, duration
from gan_jax.watch import Call, Diverged, Evaluate, Events, Sample, Watch

__all__ = ["MAY_CHANGE", "Diverged", "Result", "fit"]

# What may differ when a run is taken up again: none of it changes a step's numbers.
MAY_CHANGE = (
    "checkpoint_every",
    "console",
    "directory",
    "evaluate_every",
    "keep_every",
    "keep_last",
    "log_every",
    "sample_every",
    "steps",
    "stop_after_bad",
    "tensorboard",
)


class Result(NamedTuple):
    """What `fit` returns.

    Attributes:
      state: the last state.
      step: how many steps it has taken.
      interrupted: whether a signal ended the run before its time.
    """

    state: State
    step: int
    interrupted: bool


def fit(
    kernel: Trainable,
    feed: Feed,
    *,
    key: Array,
    steps: int,
    directory: str | Path | None = None,
    parallel: Parallel | None = None,
    steps_per_call: int = 1,
    log_every: int = 100,
    sample_every: int | None = 1000,
    checkpoint_every: int | None = 1000,
    evaluate_every: int | None = None,
    sample: Sample | None = None,
    evaluate: Evaluate | None = None,
    keep_last: int = 3,
    keep_every: int | None = None,
    stop_after_bad: int | None = 20,
    config: Mapping[str, Any] | None = None,
    may_change: Collection[str] = MAY_CHANGE,
    tensorboard: bool = False,
    console: bool = True,
) -> Result:
    """Train, or go on training, until ``steps`` steps are taken.

    Args:
      kernel: a `Kernel` or a `Gan`.
      feed: the data; it is closed at the end.
      key: a typed key; from it comes the initial state.
      steps: how many in all, those of a run taken up again included.
      directory: of the run, see `gan_jax.directory`. If it holds a checkpoint the run
        is taken up there. None keeps nothing.
      parallel: how the step runs on the devices; by default `devices.sharded()`.
      steps_per_call: k, the steps of one compiled call. More are faster for small
        networks. What happens every so many steps must do so at multiples of k.
      log_every: steps between two lines of the log; a line holds means over them.
      sample_every, checkpoint_every, evaluate_every: steps between two such events;
        None for never, but that a run with a directory is saved when it ends. All
        others happen at the last step, too.
      sample: state -> picture, (h, w, 3) uint8, as `images.grid` makes it.
      evaluate: state -> numbers, logged as ``eval/<name>``.
      keep_last, keep_every: which checkpoints stay, see `Checkpoints`.
      stop_after_bad: end the run when so many steps in a row were not finite; None
        for never.
      config: what the run was asked to do, of JSON's types. It is kept with the run,
        which is taken up again under the same configuration only.
      may_change: fields of ``config`` that may differ then.
      tensorboard, console: see `Recorder`.

    Returns:
      The last state, its step, and whether a signal came before the end.

    Raises:
      ValueError: for numbers that do not fit, before any work is done, or a directory
        that holds another run.
      BlockingIOError: if another process is at work in the directory.
      Diverged: see ``stop_after_bad``.
    """
    parallel = sharded() if parallel is None else parallel
    path = None if directory is None else Path(directory)
    events = Events(
        steps,
        log=log_every,
        sample=sample_every if sample and path else None,
        checkpoint=checkpoint_every if path else None,
        evaluate=evaluate_every if evaluate else None,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(feed.close)
        _check(events, steps_per_call, feed, parallel, stop_after_bad)
        checkpoints = None
        if path is not None:
            if jax.process_index() == 0:
                stack.enter_context(lock(path))
            checkpoints = stack.enter_context(
                Checkpoints(
                    path / "checkpoints",
                    keep_last=keep_last,
                    keep_every=keep_every,
                    config=config,
                )
            )
            _claim(path, checkpoints, config, may_change)
        recorder = Recorder(
            path,
            steps=steps,
            batch_size=feed.batch_size,
            tensorboard=tensorboard,
            console=console,
        )
        stack.callback(recorder.close)
        interrupt = stack.enter_context(Interrupt())
        recorder.say(f"{feed.describe}; {parallel.devices} device(s)")
        calls = Calls(kernel, feed, parallel, steps_per_call, steps)
        state, step, window = _begin(calls, key, checkpoints, recorder)
        if path is not None and config is not None and jax.process_index() == 0:
            write_config(path, config)
        watch = Watch(
            events,
            path,
            recorder=recorder,
            checkpoints=checkpoints,
            sample=sample if events.sample else None,
            evaluate=evaluate,
            stop_after_bad=stop_after_bad,
            window=window,
        )
        # Nothing comes from or goes to the devices unnoticed, but that pmap takes
        # its part of the batch from the host itself.
        guard = "disallow" if parallel.axis_name is None else "allow"
        with jax.transfer_guard(guard):
            result = _loop(state, step, calls, watch, events, interrupt, recorder)
        return _end(result, watch, checkpoints, recorder, interrupt)


def _loop(
    state: State,
    step: int,
    calls: Calls,
    watch: Watch,
    events: Events,
    interrupt: Interrupt,
    recorder: Recorder,
) -> Result:
    began, first = time.monotonic(), step
    before: Call | None = None
    watch.start(step)
    if step == 0:
        watch.draw(state, step)
    block = calls.get(step)
    stop = interrupt.reached()
    while step < events.steps and not stop:
        state, infos = calls(state, step, block)
        if step == first:
            jax.block_until_ready(infos)
            settle_memory()
            recorder.say(f"compiled in {duration(time.monotonic() - began)}")
            recorder.clock(calls.end(step))
        block = calls.get(calls.end(step))
        if before is not None:
            watch.see(before, state)
        before = Call(step, infos)
        step = calls.end(step)
        if events.due(step):
            watch.see(before, state)
            before = None
            watch.act(state, step)
        stop = interrupt.reached()
    if before is not None:
        watch.see(before, state)
    return Result(state, step, step < events.steps)


def _begin(
    calls: Calls, key: Array, checkpoints: Checkpoints | None, recorder: Recorder
) -> tuple[State, int, Window]:
    """The state of the newest checkpoint, or the initial one; its step; the log's."""
    if checkpoints is None or checkpoints.empty():
        recorder.start(0)
        return calls.init(key), 0, Window()
    state, step = checkpoints.restore(calls.like(key))
    if step > calls.steps:
        raise ValueError(
            f"steps is {calls.steps}, but the run in {checkpoints.directory} has taken "
            f"{step} already. Ask for at least as many, or give another directory."
        )
    recorder.start(step)
    recorder.say(f"taken up at step {step:,}, digest {digest(state)[:16]}")
    if jax.process_index() > 0:  # only the first one keeps a log
        return state, step, Window()
    return state, step, Window(checkpoints.facts(step)["extra"].get("window"))


def _end(
    result: Result,
    watch: Watch,
    checkpoints: Checkpoints | None,
    recorder: Recorder,
    interrupt: Interrupt,
) -> Result:
    """Save, draw the picture of the run, say how it ended."""
    watch.save(result.state, result.step)
    if not result.interrupted:
        watch.draw_run()
    if checkpoints is not None:
        checkpoints.wait()
    cause = interrupt.signal.name if interrupt.signal else "preemption"
    how = f"stopped by {cause}" if result.interrupted else "done"
    kept = f", saved in {checkpoints.directory}" if checkpoints is not None else ""
    recorder.say(
        f"{how} at step {result.step:,}, digest {digest(result.state)[:16]}{kept}"
    )
    return result


def _claim(
    directory: Path,
    checkpoints: Checkpoints,
    config: Mapping[str, Any] | None,
    may_change: Collection[str],
) -> None:
    """Make sure that the directory is of this run."""
    new = checkpoints.empty()
    if config is None or jax.process_index() > 0:
        return
    stored = read_config(directory)
    if stored is not None and not new:
        check_config(stored, config, may_change)


def _check(
    events: Events, k: int, feed: Feed, parallel: Parallel, stop_after_bad: int | None
) -> None:
    """Refuse numbers that do not fit together."""
    if events.steps < 1:
        raise ValueError(f"steps is {events.steps}; a run takes at least 1")
    if k < 1:
        raise ValueError(f"steps_per_call is {k}; a call takes at least 1 step")
    if stop_after_bad is not None and stop_after_bad < 1:
        raise ValueError(
            f"stop_after_bad is {stop_after_bad}; give at least 1, None for never"
        )
    for name, every in events.every().items():
        if every < 1:
            raise ValueError(
                f"{name}_every is {every}; give at least 1, None for never"
            )
        if every % k:
            above = -(-every // k) * k
            nearest = f"{every // k * k} or {above}" if every > k else f"{above}"
            raise ValueError(
                f"{name}_every is {every}, which is not a multiple of steps_per_call, "
                f"{k}: the host sees the state between calls only. Give {nearest}."
            )
    check_divisible(feed.batch_size, parallel.devices)
