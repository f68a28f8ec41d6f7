"""The toy ring: a step so small that what is not a product counts."""

import time
from typing import Any

import jax
import jax.numpy as jnp

from experiments import toy
from experiments.step_cost.table import Table, alternately, median
from gan_jax import data
from gan_jax.calls import stacked, steps_in_one_call
from gan_jax.data import Order, resident

K = 200
RING = toy.Config()
# A step's large products: two hidden layers of 128, a batch of 256, R1 and R2. By the
# weights to the other layer's units, for G: forward and back; for D, on real and on
# fake samples: forward, the slope, the loss's way back, the penalty's way forward.
THROUGH = 2 + 2 * 4  # (256, 128) @ (128, 128)
# By the units to the weights' gradient. G: one; D: the loss's and the penalty's.
ACROSS = 1 + 2 * 2  # (128, 256) @ (256, 128)
FIRST = 2  # G's first layer, both ways, with 64 latents for 128 units
FLOP = 2 * 256 * 128 * (128 * (THROUGH + ACROSS) + 64 * FIRST)


def step() -> tuple[Any, list[Any]]:
    """K steps in one compiled call, and its arguments."""
    points = data.mixture_points(toy.mixture(RING), RING.points, 0)
    feed = resident(points, Order(len(points), RING.batch_size, 0), flip=False)
    model = toy.model(RING)
    state = jax.jit(model.init)(
        jax.random.key(0), {"real": jnp.asarray(points.arrays["real"][:256])}
    )
    got = jax.device_put(stacked(feed.get, 0, K))
    call = jax.jit(steps_in_one_call(model.step, feed.gather, K))
    arguments = [state, feed.arrays, got]
    return call.lower(*arguments).compile(), arguments


def products() -> tuple[Any, list[Any]]:
    """K times the step's large products, and nothing else."""
    keys = jax.random.split(jax.random.key(0), THROUGH + 2)
    square, _ = jnp.linalg.qr(jax.random.normal(keys[0], (128, 128)))
    rows = jax.random.normal(keys[1], (256, 128))

    def turn(last: Any, _: None) -> tuple[Any, None]:
        units = [x @ square for x in last[0]]  # orthogonal: they stay as large
        grads = [rows.T @ x for x in units[:ACROSS]]
        return (units, grads, [rows[:, :64].T @ x for x in units[-FIRST:]]), None

    units = [jax.random.normal(key, (256, 128)) for key in keys[2:]]
    start = units, [square] * ACROSS, [square[:64]] * FIRST
    call = jax.jit(lambda last: jax.lax.scan(turn, last, length=K)[0])
    return call.lower(start).compile(), [start]


def ring() -> Table:
    """Steps per second, beside the products alone."""
    begun = time.perf_counter()
    whole, arguments = step()
    compiling = time.perf_counter() - begun
    alone, inputs = products()
    times = alternately(
        {"step": lambda: whole(*arguments), "products": lambda: alone(*inputs)}, 9
    )
    rows = [
        {
            "what": what,
            "us": median(times[name]) / K * 1e6,
            "a second": K / median(times[name]),
            "MFLOP": flops / 1e6,
            "GFLOP/s": flops * K / median(times[name]) / 1e9,
        }
        for what, name, flops in (
            ("the whole step", "step", float(whole.cost_analysis()["flops"])),
            (
                f"its {THROUGH + ACROSS + FIRST} large products alone",
                "products",
                float(FLOP),
            ),
        )
    ]
    return Table(
        f"the ring: 2x128 MLPs, batch 256, R1 + R2, {K} steps a call "
        f"(compiled in {compiling:.1f} s)",
        "3,000 steps/s on two cores",
        f"{FLOP / 1e6:.0f} MFLOP in products: at the 460 GFLOP/s that large products "
        f"reach here, {FLOP / 460e3:.0f} us, so at most {460e9 / FLOP:,.0f} "
        "steps/s if nothing else cost anything. Some 300 small programs for Adam, "
        "norms, the guard and the noise come on top, half as much again.",
        rows,
        K / median(times["step"]) >= 3000,
    )


TABLES = {"ring": ring}
