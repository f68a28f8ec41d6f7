"""The laws that every game obeys, and what a game shows to be put under them.

A `Case` is a small game: its objective, and beside it each player's loss *the long way
round*: a function of that player's own parameters in which everything else is a plain
constant, so that it needs no stopped gradient. Adding a case to a list in
``tests/cases`` puts its game under all the laws of ``tests/test_protocol.py``.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_jax import kernel
from gan_jax.kernel import Batch, Kernel, Objective, Params, Stats

Apart = Callable[
    [Params, Stats, Batch, jax.Array, jax.Array],
    Mapping[str, Callable[[Any], jax.Array]],
]


class Case(NamedTuple):
    """A small game under the laws.

    Attributes:
      name: of the game.
      objective: ``axis_name -> the game``.
      apart: ``(params, stats, batch, keys, step) -> {player: loss}``, each player's own
        loss as a function of that player's parameters, the long way round.
      batch: ``() -> a batch of 8 samples``, in the precision of the moment.
      exact: how far gradients may differ, relative, in float64.
      smooth: whether the same answer on more devices is asked for. False only for a
        game with a choice that rounding can turn, such as a nearest neighbour.
    """

    name: str
    objective: Callable[[str | None], Objective]
    apart: Apart
    batch: Callable[[], Batch]
    exact: float = 1e-12
    smooth: bool = True


def gradients(case: Case) -> tuple[Params, Params, Params]:
    """Each player's gradient: of the merged loss, of it when the player moves alone,
    and of the player's own loss."""
    batch = case.batch()
    objective = case.objective(None)
    step = jnp.asarray(2)

    @jax.jit  # one program: compiling is what takes the time here
    def all_three() -> tuple[Params, Params, Params]:
        params, stats = objective.init(jax.random.key(0), batch)
        keys = jax.random.split(jax.random.key(2), len(jax.tree.leaves(batch)[0]))

        def merged(moving: Params) -> jax.Array:
            return objective.loss({**params, **moving}, stats, batch, keys, step)[0]

        alone = {p: jax.grad(merged)({p: params[p]})[p] for p in params}
        apart = case.apart(params, stats, batch, keys, step)
        own = {p: jax.grad(apart[p])(params[p]) for p in params}
        return jax.grad(merged)(params), alone, own

    return all_three()


def trained(case: Case, axis_name: str | None = None) -> Kernel:
    """The case's kernel: all players at once, by Adam.

    A game may leave a parameter without a gradient (a relativistic loss does D's last
    bias): a large epsilon keeps Adam from blowing rounding up to a full step there.
    """
    objective = case.objective(axis_name)
    like = jax.eval_shape(objective.init, jax.random.key(0), case.batch())[0]
    return kernel(
        objective,
        {player: optax.adam(1e-2, eps=1e-3) for player in like},
        axis_name=axis_name,
    )


def comparable(state: Any) -> list[np.ndarray]:
    """A state's arrays, keys as numbers."""
    plain = state._replace(key=jax.random.key_data(state.key))
    return [np.asarray(x) for x in jax.tree.leaves(plain)]


def poisoned(batch: Batch) -> Batch:
    """The batch with a NaN in its first sample."""
    real = jnp.asarray(batch["real"])
    return {**batch, "real": real.at[0].set(jnp.nan)}
