"""Minibatch standard deviation: D is shown how much the samples of a batch differ."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.numerics import full
from gan_jax.parts import averaged, per_sample


def minibatch_stddev(
    h: Float[Array, "n *shape channels"],
    group: int | None = None,
    axis_name: str | None = None,
) -> Float[Array, "n *shape channels_1"]:
    """``h`` with one channel more: the mean over places of the deviation over samples.

    s = mean over positions and channels of √(variance over samples + 1e-8), one number
    for all samples of a group. A generator that makes always the same image has s ≈ 0.
    It couples samples, so that "one_backward" refuses a discriminator that has it.

    Args:
      h: features (n, ..., channels); float32, or taken as such for the statistic.
      group: how many neighbouring samples share a statistic, or None for all. Groups
        lie within a device if it holds a multiple of them, and the answer does then not
        depend on the number of devices.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which the
        statistic of all samples is taken. Not for `jit`, nor for groups.

    Raises:
      ValueError: for groups that do not divide the samples, or a group with an axis.

    Reference: Karras et al., "Progressive Growing of GANs for Improved Quality,
    Stability, and Variation", 2017, arXiv:1710.10196, section 3; groups from the
    authors' code, where they are every (n / group)-th sample.
    """
    n = len(h)
    if group is not None and (group < 1 or n % group or axis_name is not None):
        raise ValueError(
            f"group is {group} for {n} samples and axis_name={axis_name!r}: groups "
            "divide the samples of a device and need no axis. Give group=None for the "
            "statistic of all samples."
        )
    x = full(h).reshape(-1, group or n, *h.shape[1:])

    def mean(x: Array) -> Array:
        return averaged(x.mean(1, keepdims=True), axis_name)

    deviation = jnp.sqrt(mean(jnp.square(x - mean(x))) + 1e-8)
    s = deviation.mean(tuple(range(1, x.ndim))).repeat(group or n)
    column = per_sample(s, h).astype(h.dtype)
    return jnp.concatenate([h, jnp.broadcast_to(column, (*h.shape[:-1], 1))], -1)
