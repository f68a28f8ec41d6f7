"""How players move: the vector field of a game, and steps that do not spiral away.

With w the parameters of all players, v(w) holds each player's gradient of its own loss,
all taken at one point. v is no gradient of anything: players who follow -v circle each
other, and steps of finite length spiral outwards. Three remedies are here:

* `consensus` adds gamma/2 ||v||^2 to every player's loss: it pulls all of them to where
  nobody wants to move;
* `optimistic_sgd` and `optimistic_adam` step along 2 g_t - g_(t-1), a guess at the next
  gradient;
* `extragradient` looks one step ahead, and moves by the gradient found there.

The first is a game made of a game, the others are optimizers; the kernel knows none of
them. Slow averages (``ema``), several moves of one player and two learning rates are
the kernel's own. What a play converges to is told by `gan_jax.convergence`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gan_jax.kernel import (
    Batch,
    Info,
    Objective,
    Params,
    Schedule,
    Stats,
    Weight,
    at,
)
from gan_jax.optimizers import as_schedule
from gan_jax.parts import averaged, own_gradient

Field = Callable[[Params, Stats, Batch, Array, Array | int], Params]


def field(objective: Objective, *, axis_name: str | None = None) -> Field:
    """The players' vector field v: every player's own gradient, all at one point.

    v(w)[player] = d L_player / d w[player], the gradient of the merged loss.

    Where the objective holds things fixed by `gan_jax.stop`, derivatives of v are those
    of the field: `jax.jvp`, `jax.jacfwd` and `jax.grad` around it see how one player's
    gradient depends on the others' parameters.

    Args:
      objective: the game.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which v is
        averaged. Not for `jit`.

    Returns:
      ``(params, stats, batch, keys, step) -> v``, a pytree like ``params``.
    """

    def velocity(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array | int
    ) -> Params:
        def loss(params: Params) -> tuple[Array, Any]:
            return objective.loss(params, stats, batch, keys, jnp.asarray(step))

        v, _ = own_gradient(loss, axis_name)(params)
        return averaged(v, axis_name)

    return velocity


def consensus(
    objective: Objective, gamma: Weight, *, axis_name: str | None = None
) -> Objective:
    """The same game, in which every player also minimises gamma/2 ||v||^2.

    L' = L + gamma/2 ||v(w)||^2, whose gradient is v + gamma J^T v with J = dv/dw.

    v is the field of all players, whoever moves, so that any play may be used. One step
    costs about three of the plain game. The batch couples: ||v||^2 of a batch is not
    the mean of its parts', so ``accumulate`` plays another game.

    Args:
      objective: a game that holds things fixed by `gan_jax.stop`. Under
        `jax.lax.stop_gradient` the cross derivatives in J would be missing;
        `gan_jax.convergence.jacobian` refuses such a game.
      gamma: the weight, or a schedule of it; 10 in the paper.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which v is
        averaged before it is squared. Not for `jit`.

    Returns:
      The game. Its info is the game's own, and ``"field_norm"``, which is ||v||.

    Reference: Mescheder et al., "The Numerics of GANs", 2017, arXiv:1705.10461.
    """
    velocity = field(objective, axis_name=axis_name)

    def loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        scalar, (stats_after, info) = objective.loss(params, stats, batch, keys, step)
        # The same noise as above, which is meant; the compiler finds the same program.
        again = jax.random.clone(keys)
        v = velocity(params, stats, batch, again, step)
        square = sum(jnp.vdot(x, x) for x in jax.tree.leaves(v))
        weight = at(gamma, step)
        info = info | {"field_norm": jnp.sqrt(square)}
        return scalar + weight / 2 * square, (stats_after, info)

    return Objective(objective.init, loss)


def optimistic_sgd(rate: float | Schedule) -> optax.GradientTransformation:
    """Optimistic mirror descent: w <- w - 2 rate g_t + rate g_(t-1).

    The first step, which has no gradient before it, is an ordinary one.

    Args:
      rate: the learning rate, or a schedule; the kernel's info reports it.

    Reference: Daskalakis et al., "Training GANs with Optimism", 2017, arXiv:1711.00141.
    """
    scheduled = optax.inject_hyperparams(
        optax.optimistic_gradient_descent, static_args=("alpha", "beta")
    )
    return scheduled(learning_rate=as_schedule(rate), alpha=1.0, beta=1.0)


def optimistic_adam(
    rate: float | Schedule = 1e-4,
    b1: float = 0.5,
    b2: float = 0.9,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """Optimistic Adam: w <- w - 2 rate u_t + rate u_(t-1), with Adam's direction u.

    `optax.optimistic_adam_v2` has Nesterov's momentum on by default, which the paper's
    algorithm does not have; it is off here.

    Args:
      rate: the learning rate, or a schedule; the kernel's info reports it.
      b1, b2: the decays of the mean gradient and of its square; the paper's values.
      eps: added to the root.

    Reference: Daskalakis et al., "Training GANs with Optimism", 2017, arXiv:1711.00141,
    algorithm 1.
    """
    static = ("alpha", "beta", "b1", "b2", "eps", "eps_root", "mu_dtype", "nesterov")
    scheduled = optax.inject_hyperparams(optax.optimistic_adam_v2, static_args=static)
    return scheduled(
        learning_rate=as_schedule(rate), b1=b1, b2=b2, eps=eps, nesterov=False
    )


class Extragradient(NamedTuple):
    """What `extragradient` keeps.

    Attributes:
      inner: the wrapped optimizer's state.
      start: where the extrapolation began.
      ahead: whether the parameters are now the extrapolated ones.
    """

    inner: Any
    start: Any
    ahead: Array


def extragradient(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """Look one step ahead, then move from here by the gradient found there.

    Odd updates extrapolate, w' = w + u(g(w)); even ones move from the stored point by
    the gradient at the extrapolated one, w <- w + u(g(w')). So one iteration is **two
    steps of the kernel**, each with its own batch, and u is the wrapped optimizer's
    update: that of SGD gives extragradient, that of Adam extra-Adam, whose moments and
    bias corrections advance at both updates, as in the paper.

    Every player wants it, and as many moves as the others. Schedules count both
    updates. After an odd number of steps the parameters are the extrapolated ones, and
    an average (``ema``) takes in every point, extrapolated ones too: judge and save
    after even numbers of steps.

    Args:
      optimizer: what makes an update of a gradient.

    Returns:
      An optimizer whose state is an `Extragradient`.

    Raises:
      ValueError: at an update that is not given the parameters.

    Reference: Korpelevich, 1976; Gidel et al., "A Variational Inequality Perspective on
    Generative Adversarial Networks", 2018, arXiv:1802.10551, algorithm 4.
    """

    def init(params: Any) -> Extragradient:
        # Copies: a donated state must not hold one buffer twice.
        start = jax.tree.map(jnp.copy, params)
        return Extragradient(optimizer.init(params), start, jnp.zeros((), bool))

    def update(
        grads: Any, state: Extragradient, params: Any = None
    ) -> tuple[Any, Extragradient]:
        if params is None:
            raise ValueError(
                "extragradient moves from a stored point, but update was not given "
                "the parameters. Call update(grads, state, params)."
            )
        moves, inner = optimizer.update(grads, state.inner, params)
        updates = jax.tree.map(
            lambda u, w, at: jnp.where(state.ahead, w + u - at, u),
            moves,
            state.start,
            params,
        )
        start = jax.tree.map(
            lambda w, at: jnp.where(state.ahead, w, at), state.start, params
        )
        return updates, Extragradient(inner, start, ~state.ahead)

    return optax.GradientTransformation(init, update)
