"""What `fit` adds to the bare step: the loop, the feed, and everything that looks on.

The bare step is the very program that `fit` runs, called again and again with a batch
that is on the device already. Windows of both take turns in one process: `fit` is made
to stop for an evaluation, and the evaluation is a window of bare steps.
"""

import dataclasses
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import digits, image, toy
from experiments.step_cost.table import Table, median, spread
from experiments.versus_torch.cases import BETAS, CPU_CASES, RATE
from gan_jax import data
from gan_jax.calls import stacked, steps_in_one_call, whole_calls
from gan_jax.data import Feed, Order, cached, resident, streaming
from gan_jax.devices import data_mesh, sharded
from gan_jax.gan import Gan
from gan_jax.kernel import State
from gan_jax.train import fit

DIGITS = digits.Config()
RING = toy.Config()


def beside(
    model: Gan,
    bare: Gan,
    feed: Feed,
    *,
    k: int,
    window: int,
    rounds: int,
    **options: Any,
) -> list[float]:
    """Time of ``window`` bare steps by that of as many steps of `fit`, round by round.

    Args:
      model: what `fit` trains.
      bare: whose steps are called without `fit`.
      feed: of both.
      k: steps a call.
      window, rounds: how many steps in a turn, and how many turns count.
      options: of `fit`.
    """
    parallel = sharded(data_mesh(jax.devices()[:1]))
    call = parallel.compile(steps_in_one_call(bare.step, feed.gather, k), 1)
    arrays = parallel.replicate(feed.arrays)
    block = parallel.put(stacked(feed.get, 0, whole_calls(feed.together, k)), 1)
    one = feed.gather(arrays, parallel.put(feed.get(0), 0))
    state = parallel.replicate(jax.jit(bare.init)(jax.random.key(0), one))

    def bare_seconds() -> float:
        nonlocal state
        begun = time.perf_counter()
        for _ in range(window // k):
            state, _ = call(state, arrays, block)
        jax.block_until_ready(state)
        return time.perf_counter() - begun

    bare_seconds()
    ratios: list[float] = []
    resumed: list[float] = []

    def between(_: Any) -> dict[str, float]:
        took = time.perf_counter() - resumed[-1] if resumed else None
        alone = bare_seconds()
        if took is not None:  # not the first window, which compiles
            ratios.append(alone / took)
        resumed.append(time.perf_counter())
        return {}

    fit(
        model,
        feed,
        key=jax.random.key(0),
        steps=window * (rounds + 1),
        parallel=parallel,
        steps_per_call=k,
        evaluate_every=window,
        evaluate=between,
        console=False,
        **{"log_every": window} | options,
    )
    return ratios


def loop() -> Table:
    """`fit` with the data on the device, and streamed."""
    rows = []
    ring = data.mixture_points(toy.mixture(RING), RING.points, 0)
    order = Order(len(ring), RING.batch_size, 0)
    model = toy.model(RING)
    points = resident(ring, order, flip=False)
    ratios = beside(model, model, points, k=100, window=2000, rounds=5)
    rows.append(_row("ring, resident, 100 steps a call", ratios, 0.98))
    images = data.digits(DIGITS.size, DIGITS.channels)
    order = Order(len(images), DIGITS.batch_size, 0)
    model = image.model(DIGITS)
    here = data.feed(images, order, flip=False)
    ratios = beside(model, model, here, k=1, window=150, rounds=7)
    rows.append(_row("digits, resident, 1 step a call", ratios, 0.98))
    with tempfile.TemporaryDirectory() as folder:
        stream = streaming(cached(images, folder), order, flip=False)
        ratios = beside(model, model, stream, k=1, window=150, rounds=7)
    rows.append(_row("digits, streamed from a warm cache", ratios, 0.95))
    return Table(
        "images/s of `fit` by those of the bare step",
        "0.98 resident, 0.95 streamed",
        "a call costs the host 0.13 ms beyond its dispatch (infos, and a share in 64 "
        "steps' order and transfer), which a CPU that is also the device can hide if "
        "one core has as much to spare: 0.99 or more for digits (10 ms a step).",
        rows,
        all(row["holds"] for row in rows),
    )


class Served(NamedTuple):
    """A GAN that is looked at while it trains.

    Attributes:
      name: in the table.
      config: of its model.
      source: what it trains on.
      window: steps of a turn, where nothing comes every 500 of them.
      rounds: how many turns count.
    """

    name: str
    config: image.Images
    source: data.Source
    window: int
    rounds: int


def digits_gan() -> Served:
    """The digits' GAN, whose step is short: the hardest case."""
    source = data.digits(DIGITS.size, DIGITS.channels)
    return Served("digits", DIGITS, source, 500, 7)


def dcgan_gan() -> Served:
    """The GAN of `experiments.versus_torch`'s first case."""
    case = CPU_CASES[0]
    config = image.Images(
        size=case.size,
        channels=case.channels,
        width=case.width,
        latent=case.latent,
        batch_size=case.batch,
        gamma=(0.0, 0.0),
        rate_gen=(RATE, RATE),
        rate_disc=(RATE, RATE),
        b1=BETAS[0],
        b2=(BETAS[1], BETAS[1]),
    )
    shape = (1000, case.size, case.size, case.channels)
    levels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return Served(case.name, config, data.Arrays({"real": levels}), 100, 3)


def everything() -> Table:
    """All that looks at a run, together."""
    each = [list(_rows(served)) for served in (digits_gan(), dcgan_gan())]
    return Table(
        "the bare step without an average, by `fit` with more and more",
        "all together cost at most 3 %",
        "the average is one more pass over G's weights in some hundred; a checkpoint "
        "is a copy, a SHA-256 and a write, on the core that the step leaves idle at "
        "times; a grid is G on 1,064 images in 500 steps, a thousand of them for its "
        "statistics.",
        [row for rows in each for row in rows],
        all(rows[-1]["holds"] for rows in each),
    )


def _rows(served: Served) -> Iterator[dict[str, Any]]:
    cfg: Any = served.config
    order = Order(len(served.source), cfg.batch_size, 0)
    model = image.model(cfg)
    without = image.model(dataclasses.replace(cfg, ema=None))

    def draw(state: State) -> np.ndarray:
        return image.picture(image.fixed_samples(cfg, model, state))

    never = {"checkpoint_every": None}
    whole = {"checkpoint_every": 50, "sample_every": 500, "sample": draw}
    for name, which, options, window in (
        ("a line of the log every 50 steps", without, never, served.window),
        ("and the average of G", model, never, served.window),
        ("and checkpoints every 50, a grid every 500", model, whole, 500),
    ):
        with tempfile.TemporaryDirectory() as folder:
            ratios = beside(
                which,
                without,
                data.feed(served.source, order, flip=False),
                k=1,
                window=window,
                rounds=served.rounds,
                directory=Path(folder),
                log_every=50,
                **options,
            )
        yield _row(f"{served.name}: {name}", ratios, 0.97)


def _row(what: str, ratios: list[float], goal: float) -> dict[str, Any]:
    return {
        "what": what,
        "bare / fit": median(ratios),
        "range": spread(ratios),
        "goal": goal,
        "holds": median(ratios) >= goal,
    }


TABLES = {"loop": loop, "service": everything}
