"""The host's loop: what interrupts or observes a run does not change it."""

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import images, train
from gan_jax import kernel as compose
from gan_jax.checkpoint import Checkpoints
from gan_jax.data.feed import Feed
from gan_jax.devices import data_mesh, pmapped, sharded
from gan_jax.digest import digest
from gan_jax.directory import lock, read_config
from gan_jax.interrupt import Interrupt
from gan_jax.kernel import Kernel, Objective, alternating
from gan_jax.train import Diverged, fit

N = 8


def game(poison: Callable[[Any], Any] | None = None) -> Objective:
    """Two numbers each; the discriminator's scores are inner products."""

    def init(key: Any, batch: Any) -> Any:
        a, b = jax.random.normal(key, (2, 2))
        stats = {"gen": {}, "disc": {"seen": jnp.zeros(())}}
        return {"gen": {"w": a}, "disc": {"w": b}}, stats

    def loss(params: Any, stats: Any, batch: Any, keys: Any, step: Any) -> Any:
        stop = jax.lax.stop_gradient
        z = jax.vmap(lambda k: jax.random.normal(k, (2,)))(keys)
        fake, w = z * params["gen"]["w"][None], params["disc"]["w"]
        real = batch["real"] @ w
        disc = jnp.mean(jax.nn.softplus(stop(fake) @ w) + jax.nn.softplus(-real))
        gen = jnp.mean(jax.nn.softplus(-(fake @ stop(w))))
        disc = disc + 0.1 * jnp.sum(w**2)
        if poison is not None:
            disc = disc * poison(step)
        seen = stats["disc"]["seen"] + jnp.sum(batch["real"])
        info = {"disc/loss": disc, "gen/loss": gen}
        return disc + gen, ({"gen": {}, "disc": {"seen": seen}}, info)

    return Objective(init, loss)


@functools.cache
def kernel(axis_name: str | None = None, **options: Any) -> Kernel:
    optimizers = {"gen": optax.adam(1e-2), "disc": optax.sgd(1e-2)}
    play = alternating("disc", "gen")
    return compose(
        game(**options), optimizers, play=play, ema={"gen": 0.9}, axis_name=axis_name
    )


def gather(arrays: Any, got: Any) -> Any:
    return {"real": arrays[got["index"]]}


def feed(n: int = N) -> Feed:
    data = np.random.default_rng(0).normal(2, 1, (64, 2)).astype(np.float32)

    def get(step: int) -> Any:
        rows = np.random.default_rng(step).integers(0, 64, n)
        return {"index": rows.astype(np.int32)}

    return Feed(get, data, gather, n, "64 points", lambda: None)


ONE = sharded(data_mesh(jax.devices()[:1]))


def run(directory: Path | None, steps: int = 12, **options: Any) -> train.Result:
    settings: dict[str, Any] = {
        "parallel": ONE,
        "log_every": 4,
        "checkpoint_every": 2,
        "console": False,
        "key": jax.random.key(3),
    }
    which = options.pop("kernel", None) or kernel()
    feeding = options.pop("feed", None) or feed()
    return fit(which, feeding, steps=steps, directory=directory, **settings | options)


def lines(directory: Path) -> list[dict[str, Any]]:
    rows = [json.loads(x) for x in (directory / "log.jsonl").read_text().splitlines()]
    machine = ("time", "images_per_second", "memory_bytes")
    return [{k: v for k, v in row.items() if k not in machine} for row in rows]


class Stop(Interrupt):
    """A signal that comes when a given number of calls is made."""

    at = 0
    asked = -1

    def reached(self) -> bool:
        self.asked += 1
        return self.asked >= Stop.at


def stop_after(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    monkeypatch.setattr(Stop, "at", calls)
    monkeypatch.setattr(train, "Interrupt", Stop)


@pytest.mark.parametrize("per_call", [1, 3])
def test_resume_from_every_call_is_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, per_call: int
) -> None:
    cadence = {"steps_per_call": per_call, "log_every": 3, "checkpoint_every": 3}
    whole = run(tmp_path / "whole", steps=6, **cadence)
    for calls in range(6 // per_call):
        directory = tmp_path / str(calls)
        with monkeypatch.context() as patch:
            stop_after(patch, calls)
            part = run(directory, steps=6, **cadence)
            assert (part.interrupted, part.step) == (True, calls * per_call)
        rest = run(directory, steps=6, **cadence)
        assert (rest.interrupted, rest.step) == (False, 6)
        assert digest(rest.state) == digest(whole.state)
        assert lines(directory) == lines(tmp_path / "whole")
        assert [row["step"] for row in lines(directory)] == [3, 6]


def test_a_run_may_be_given_more_steps(tmp_path: Path) -> None:
    run(tmp_path / "a", steps=12)
    run(tmp_path / "b", steps=6)  # 6 is no multiple of log_every: a line out of turn
    again = run(tmp_path / "b", steps=6)
    assert (again.step, again.interrupted) == (6, False)
    with pytest.raises(ValueError, match=r"steps is 4, but the run .* taken 6"):
        run(tmp_path / "b", steps=4)
    more = run(tmp_path / "b", steps=12)
    assert digest(more.state) == digest(run(tmp_path / "a", steps=12).state)
    assert [row["step"] for row in lines(tmp_path / "b")] == [4, 6, 8, 12]
    assert lines(tmp_path / "b")[2:] == lines(tmp_path / "a")[1:]


def test_samples_of_a_future_that_was_given_up_are_gone(tmp_path: Path) -> None:
    def picture(state: Any) -> np.ndarray:
        return np.full((8, 8, 3), int(state.step), np.uint8)

    def names() -> list[str]:
        return sorted(p.name for p in (tmp_path / "samples").iterdir())

    drawing: dict[str, Any] = {"sample": picture, "sample_every": 3}
    former = tmp_path / "samples" / "step_00000007.png"  # of a run that saved nothing
    images.save_png(former, np.zeros((8, 8, 3), np.uint8))
    mine = tmp_path / "samples" / "step_best.png"
    images.save_png(mine, np.zeros((8, 8, 3), np.uint8))
    run(tmp_path, steps=6, **drawing)
    mine.unlink()
    assert names() == [f"step_{i:08d}.png" for i in (0, 3, 6)]
    images.save_png(former, np.zeros((8, 8, 3), np.uint8))
    run(tmp_path, steps=8, **drawing)
    assert names() == [f"step_{i:08d}.png" for i in (0, 3, 6, 8)]


def test_observers_do_not_change_a_bit(tmp_path: Path) -> None:
    def evaluate(state: Any) -> dict[str, float]:
        return {"norm": float(jnp.linalg.norm(state.params["gen"]["w"]))}

    def sample(state: Any) -> np.ndarray:
        return np.full((8, 8, 3), int(state.step), np.uint8)

    silent = run(None, log_every=12)
    watched = run(
        tmp_path,
        log_every=1,
        evaluate=evaluate,
        evaluate_every=3,
        sample=sample,
        sample_every=5,
        checkpoint_every=1,
        tensorboard=True,
        config={"lr": 1},
    )
    assert digest(silent.state) == digest(watched.state)
    rows = lines(tmp_path)
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert [row["step"] for row in rows if "eval/norm" in row] == [3, 6, 9, 12]
    pictures = sorted(p.name for p in (tmp_path / "samples").iterdir())
    assert pictures == [f"step_{i:08d}.png" for i in (0, 5, 10, 12)]
    assert (tmp_path / "run.png").stat().st_size > 1000
    assert json.loads((tmp_path / "config.json").read_text()) == {"lr": 1}
    kept = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert kept == ["10", "11", "12"]
    assert list((tmp_path / "tensorboard").iterdir())


def test_calls_of_several_steps_give_the_same_numbers(tmp_path: Path) -> None:
    one = run(tmp_path / "1")
    four = run(tmp_path / "4", steps_per_call=4, checkpoint_every=4)
    last = run(tmp_path / "5", steps_per_call=5, checkpoint_every=5, log_every=5)
    for other in (four, last):
        for a, b in zip(
            jax.tree.leaves(one.state.params),
            jax.tree.leaves(other.state.params),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert [row["step"] for row in lines(tmp_path / "5")] == [5, 10, 12]
    for a, b in zip(lines(tmp_path / "1"), lines(tmp_path / "4"), strict=True):
        assert a == pytest.approx(b, rel=1e-4)


def test_means_of_the_log_are_those_of_its_steps(tmp_path: Path) -> None:
    run(tmp_path / "1", log_every=1)
    run(tmp_path / "4", log_every=4)
    each = [row["disc/loss"] for row in lines(tmp_path / "1")]
    means = [row["disc/loss"] for row in lines(tmp_path / "4")]
    assert means == pytest.approx(np.reshape(each, (3, 4)).mean(1).tolist(), rel=1e-12)


def test_infos_are_fetched_a_call_later(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, int]] = []
    see, call = train.Watch.see, train.Calls.__call__

    def seen(self: Any, before: Any, state: Any) -> None:
        events.append(("see", before.first))
        see(self, before, state)

    def called(self: Any, state: Any, step: int, got: Any) -> Any:
        events.append(("call", step))
        return call(self, state, step, got)

    monkeypatch.setattr(train.Watch, "see", seen)
    monkeypatch.setattr(train.Calls, "__call__", called)
    run(None, steps=4)
    names = "call 0, call 1, see 0, call 2, see 1, call 3, see 2, see 3"
    assert ", ".join(f"{name} {step}" for name, step in events) == names


def test_one_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []
    base = kernel()

    def step(state: Any, batch: Any) -> Any:
        traced.append(1)
        return base.step(state, batch)

    run(None, kernel=Kernel(base.init, step), steps=9, steps_per_call=1)
    assert len(traced) == 1


def test_devices_agree(tmp_path: Path) -> None:
    one = run(None)
    for parallel in (sharded(), pmapped()):
        directory = tmp_path / str(parallel.axis_name)
        which = {"kernel": kernel(parallel.axis_name), "feed": feed(2 * N)}
        many = run(directory, parallel=parallel, **which)
        base = run(None, feed=feed(2 * N))
        for a, b in zip(
            jax.tree.leaves(base.state.params),
            jax.tree.leaves(many.state.params),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        # Taken up on one device where it was left on eight.
        more = run(directory, steps=14, feed=feed(2 * N))
        assert more.step == 14
    assert digest(one.state) != digest(base.state)


def test_nan_in_a_row_ends_the_run_and_names_the_leaf(tmp_path: Path) -> None:
    bad = kernel(poison=lambda step: jnp.where(step >= 5, jnp.nan, 1.0))
    with pytest.raises(Diverged) as error:
        run(tmp_path, kernel=bad, stop_after_bad=3)
    assert "3 steps in a row, up to step 7" in str(error.value)
    assert "params/disc/w" in str(error.value)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest() in (4, 6)
        like = jax.eval_shape(lambda: bad.init(jax.random.key(0), {"real": 0}))
        state, _ = checkpoints.restore(like)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))
    once = kernel(poison=lambda step: jnp.where(step == 5, jnp.inf, 1.0))
    result = run(None, kernel=once, stop_after_bad=3)
    assert (int(result.state.skipped), int(result.state.bad)) == (1, 0)


def test_a_feed_of_another_share_of_the_batch_is_refused() -> None:
    half = feed(N)._replace(get=feed(N // 2).get)
    with pytest.raises(ValueError, match=r"batch is of 8 .* get\(0\) has \[4\]"):
        run(None, feed=half)


def test_a_run_that_is_refused_leaves_the_configuration(tmp_path: Path) -> None:
    run(tmp_path, steps=12, config={"steps": 12})
    with pytest.raises(ValueError, match="has taken 12 already"):
        run(tmp_path, steps=4, config={"steps": 4}, may_change=["steps"])
    assert read_config(tmp_path) == {"steps": 12}


def test_wrong_numbers_are_refused_before_any_work(tmp_path: Path) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("steps is 0", {"steps": 0}),
        ("steps_per_call is 0", {"steps_per_call": 0}),
        (
            r"log_every is 4, .* multiple of steps_per_call, 3.*3 or 6",
            {"steps_per_call": 3},
        ),
        ("checkpoint_every is 0", {"checkpoint_every": 0}),
        ("stop_after_bad is 0; .* None for never", {"stop_after_bad": 0}),
        (
            "batch of 6 cannot be split .* 8 devices",
            {"feed": feed(6), "parallel": sharded()},
        ),
    ]
    for message, options in cases:
        with pytest.raises(ValueError, match=message):
            run(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_another_configuration_or_process_is_refused(tmp_path: Path) -> None:
    run(tmp_path, config={"lr": 0.1, "steps": 12})
    with pytest.raises(ValueError, match=r"lr: 0.1 in the directory, 0.2 given"):
        run(tmp_path, config={"lr": 0.2, "steps": 12})
    assert run(tmp_path, steps=14, config={"lr": 0.1, "steps": 14}).step == 14
    with lock(tmp_path), pytest.raises(BlockingIOError, match=str(os.getpid())):
        run(tmp_path)


def test_the_feed_is_closed_whatever_happens(tmp_path: Path) -> None:
    closed = []
    run(None, feed=feed()._replace(close=lambda: closed.append(1)))
    with pytest.raises(ValueError):
        run(None, feed=feed()._replace(close=lambda: closed.append(2)), steps=0)
    assert closed == [1, 2]
