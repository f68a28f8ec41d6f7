"""Schedules, step -> value: of learning rates, Adam's b2, penalties and averages.

Whatever this package lets change over a run takes one of these, or one of optax's, in
place of a number: ``adam(rate, b2=...)``, the weight of a penalty or of a term of a
game, the decay of an average in ``kernel(ema=...)``. An optimizer counts the moves of
its own player; everything else is given the number of the step. Where ``steps`` may be
an array, it may be an argument of the compiled program, which then serves any length.
"""

import jax.numpy as jnp
from jax import Array

from gan_jax.kernel import Schedule, Weight, at


def cosine(start: float, end: float, steps: int | Array) -> Schedule:
    """From ``start`` to ``end`` along half a cosine in ``steps`` steps, then constant.

    >>> float(cosine(2.0, 1.0, 10)(5))
    1.5
    """

    def value(step: Array | float | int) -> Array:
        share = jnp.clip(step / steps, 0.0, 1.0)
        return end + (start - end) * (1 + jnp.cos(jnp.pi * share)) / 2

    return value


def exponential(start: float, end: float, steps: int | Array) -> Schedule:
    """From ``start`` to ``end`` by equal factors in ``steps`` steps, then constant.

    >>> round(float(exponential(1.0, 0.01, 10)(5)), 6)
    0.1
    """

    if start <= 0 or end <= 0:
        raise ValueError(
            f"an exponential schedule from {start} to {end} is not possible: equal "
            "factors lead to and from positive numbers only. Give two of them."
        )

    def value(step: Array | float | int) -> Array:
        share = jnp.clip(step / steps, 0.0, 1.0)
        return start * (end / start) ** share

    return value


def in_images(schedule: Schedule, batch_size: int, moves: int = 1) -> Schedule:
    """``schedule`` by the number of images seen in place of the number of steps.

    step -> schedule(step * batch_size / moves).

    Args:
      schedule: images -> value, such as ``cosine(2e-4, 5e-5, 20_000_000)``.
      batch_size: samples of one move over all devices.
      moves: how often the player whose moves are counted moves in a step; 1 where steps
        are counted. A player with two moves in a step would else see twice the time.

    Returns:
      step (or move) -> value.

    Raises:
      ValueError: for a batch size or a number of moves below 1.

    >>> rate = in_images(cosine(2.0, 1.0, 1000), batch_size=50)
    >>> float(rate(10)), float(rate(20))
    (1.5, 1.0)
    """
    if batch_size < 1 or moves < 1:
        raise ValueError(
            f"batch_size is {batch_size} and moves is {moves}, but images are counted "
            "by batches and moves: both are at least 1."
        )
    # In floats, which do not overflow in a long run.
    return lambda step: schedule(step * (batch_size / moves))


def ema_decay(
    half_life: Weight, batch_size: int, *, ramp: float | None = None
) -> Schedule:
    """The decay of an average that forgets half of what it knew in so many images.

    decay = (1/2)^(B / h),  h = min(half_life, ramp * images seen so far).

    In images, a half-life means the same for any batch size; as a decay by step it does
    not. What `kernel` is given as a schedule it takes as it is: without a ramp, or a
    half-life that rises from 0, the first parameters stay in the average for long.

    Args:
      half_life: in images: a number, or step -> images. At 0 the average is the
        parameters themselves.
      batch_size: B, samples of one step of the player.
      ramp: the largest half-life as a share of the images seen: 0.05 in StyleGAN2's
        code. None for no ramp.

    Returns:
      step -> decay, for ``kernel(ema={player: ...})`` and ``gan(ema=...)``.

    Raises:
      ValueError: for a batch size below 1, or a half-life or a ramp below 0.

    Reference: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN",
    2020, arXiv:1912.04958, and its code for the ramp.

    >>> decay = ema_decay(1000.0, batch_size=500)
    >>> round(float(decay(7)) ** 2, 6)  # two steps are one half-life
    0.5
    """
    if batch_size < 1:
        raise ValueError(
            f"batch_size is {batch_size}, but a half-life counts images: a step brings "
            "at least 1."
        )
    fixed = 0.0 if callable(half_life) else half_life
    if fixed < 0 or (ramp is not None and ramp < 0):
        raise ValueError(
            f"half_life is {half_life} and ramp is {ramp}, but nothing is forgotten in "
            "less than no time: both are at least 0."
        )

    def decay(step: Array | float | int) -> Array:
        images = jnp.asarray(at(half_life, jnp.asarray(step)))
        if ramp is not None:
            images = jnp.minimum(images, ramp * batch_size * step)
        return 0.5 ** (batch_size / jnp.maximum(images, 1e-8))

    return decay
