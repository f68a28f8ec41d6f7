"""Optimizers that say their learning rate, and schedules for rates and weights."""

import jax.numpy as jnp
import optax
from jax import Array

from gan_jax.kernel import Schedule


def adam(
    rate: float | Schedule = 2e-4,
    b1: float = 0.5,
    b2: float | Schedule = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """Adam with the field's defaults, whose rate the kernel's info reports.

    Args:
      rate: the learning rate, or a schedule, step of this player -> rate.
      b1: the decay of the mean gradient. GANs want less of it than the usual 0.9.
      b2: the decay of the mean square, or a schedule.
      eps: added to the root.

    Reference: Kingma and Ba, "Adam", 2014, arXiv:1412.6980; b1 = 0.5 from Radford et
    al., "DCGAN", 2015, arXiv:1511.06434.
    """
    # As schedules, also where they are constant: a number would become part of the
    # optimizer's state, and a run that is taken up again would keep its old one.
    rate, b2 = (x if callable(x) else optax.constant_schedule(x) for x in (rate, b2))
    scheduled = optax.inject_hyperparams(
        optax.adam, static_args=("b1", "eps", "eps_root", "mu_dtype", "nesterov")
    )
    return scheduled(learning_rate=rate, b1=b1, b2=b2, eps=eps)


def cosine(start: float, end: float, steps: int) -> Schedule:
    """From ``start`` to ``end`` along half a cosine in ``steps`` steps, then constant.

    >>> float(cosine(2.0, 1.0, 10)(5))
    1.5
    """

    def value(step: Array | int) -> Array:
        share = jnp.clip(step / steps, 0.0, 1.0)
        return end + (start - end) * (1 + jnp.cos(jnp.pi * share)) / 2

    return value


def exponential(start: float, end: float, steps: int) -> Schedule:
    """From ``start`` to ``end`` by equal factors in ``steps`` steps, then constant.

    >>> round(float(exponential(1.0, 0.01, 10)(5)), 6)
    0.1
    """

    if start <= 0 or end <= 0:
        raise ValueError(
            f"an exponential schedule from {start} to {end} is not possible: equal "
            "factors lead to and from positive numbers only. Give two of them."
        )

    def value(step: Array | int) -> Array:
        share = jnp.clip(step / steps, 0.0, 1.0)
        return start * (end / start) ** share

    return value
