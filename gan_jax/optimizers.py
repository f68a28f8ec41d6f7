"""Optimizers that say their learning rate or clip weights."""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gan_jax.kernel import Schedule
from gan_jax.schedules import cosine, exponential

__all__ = ["adam", "as_schedule", "clipped_weights", "cosine", "exponential"]


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
    scheduled = optax.inject_hyperparams(
        optax.adam, static_args=("b1", "eps", "eps_root", "mu_dtype", "nesterov")
    )
    return scheduled(
        learning_rate=as_schedule(rate), b1=b1, b2=as_schedule(b2), eps=eps
    )


def as_schedule(value: float | Schedule) -> Schedule:
    """What `optax.inject_hyperparams` is to be given, also where it is constant.

    A number would become part of the optimizer's state, and a run that is taken up
    again would keep its old one.
    """
    return value if callable(value) else optax.constant_schedule(value)


def clipped_weights(
    optimizer: optax.GradientTransformation, bound: float = 0.01
) -> optax.GradientTransformation:
    """``optimizer``, after each of whose steps all weights lie in [-bound, bound].

    w <- clip(w + update, -bound, bound): the nearest weights of the box, biases and the
    scales of norms among them, as in the authors' code. For `losses.wasserstein` it
    keeps D's slope bounded, by a constant that depends on D's shape; a linear D then
    measures bound * ||E x_r - E x_f||_1.

    Args:
      optimizer: whose steps are cut short; its state and its rate stay as they are. The
        paper takes RMSProp, 5e-5, for D and G.
      bound: the largest absolute value of a weight, above 0.

    Raises:
      ValueError: for a bound that is not above 0.

    Reference: Arjovsky et al., "Wasserstein GAN", 2017, arXiv:1701.07875.

    >>> import optax
    >>> optimizer = clipped_weights(optax.sgd(1.0), bound=0.5)
    >>> params = {"w": jnp.array([0.25, 0.0])}
    >>> grads = {"w": jnp.array([-9.0, 0.125])}
    >>> updates, _ = optimizer.update(grads, optimizer.init(params), params)
    >>> optax.apply_updates(params, updates)["w"].tolist()
    [0.5, -0.125]
    """
    if bound <= 0:
        raise ValueError(
            f"bound is {bound}, but weights are clipped to [-bound, bound]: give a "
            "number above 0. The paper's is 0.01."
        )

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
    ) -> tuple[optax.Updates, optax.OptState]:
        if params is None:
            raise ValueError(
                "weights are clipped where they lie: call update(grads, state, params)."
            )
        updates, state = optimizer.update(updates, state, params)
        moved = optax.apply_updates(params, updates)
        return jax.tree.map(into_box, params, moved), state

    def into_box(start: Array, end: Array) -> Array:
        way = jnp.clip(end, -bound, bound) - start
        # start + way is rounded, and may not lie outside by that.
        landed = start + way
        inward = jnp.nextafter(way, -jnp.sign(landed) * jnp.inf)
        return jnp.where(jnp.abs(landed) > bound, inward, way)

    return optax.GradientTransformation(optimizer.init, update)
