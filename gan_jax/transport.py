"""Optimal transport between samples: what it costs to move one onto the other.

For a cost matrix C the entropic plan is

    P = argmin_P <P, C> - H(P) / lambda,  H(P) = -sum_ij P_ij log P_ij,

over all P >= 0 whose rows sum to 1/n and columns to 1/m. `sinkhorn` finds it.

How a player differentiates it: the minimum F(C) = <P, C> - H(P) / lambda has the
gradient P (envelope theorem: P is optimal, so how it changes does not matter). Hence a
player holds the plan fixed and differentiates <P, C> by C. That is exactly the gradient
of F, and of the value <P, C> up to a term that vanishes as lambda grows.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.distances import Distance

Scalar = Float[Array, ""]

# W(X, Y) + W(X, Y') + W(X', Y) + W(X', Y') - 2 W(X, X') - 2 W(Y, Y').
WEIGHTS = (1.0, 1.0, 1.0, 1.0, -2.0, -2.0)


def sinkhorn(
    cost: Float[Array, "n m"], sharpness: float = 500.0, iterations: int = 500
) -> Float[Array, "n m"]:
    """The entropic plan P_ij = exp(lambda (u_i + v_j - C_ij)), of mass 1.

    Columns and rows are scaled in turn, by log-sum-exps of the potentials u and v, so
    that nothing overflows in float32 and one round's rounding is not carried to the
    next. Rows come last: they sum to 1/n whatever ``iterations`` is, the columns to 1/m
    once the iteration has converged (`column_gap` says how far off they are).

    At full sharpness a round moves potentials by some 1 / lambda only. So the sharpness
    grows, geometrically and over the first half of the rounds, from 1 / max C.

    Args:
      cost: C.
      sharpness: lambda, in 1 / the cost's units. As it grows the plan turns into the
        best matching, and needs more iterations.
      iterations: rounds of scaling.

    Returns:
      The plan.

    Raises:
      ValueError: for no sharpness or no iterations.

    References: Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal
    Transport", 2013, arXiv:1306.0895; Kosowsky and Yuille, "The invisible hand
    algorithm", 1994, for the growing sharpness.

    >>> import jax.numpy as jnp
    >>> plan = sinkhorn(jnp.array([[0.0, 9.0], [9.0, 0.0]]), 5.0, 10)
    >>> plan.round(3).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    if sharpness <= 0 or iterations < 1:
        raise ValueError(
            f"sharpness is {sharpness} and iterations is {iterations}, but both must "
            "be positive: plans are sought for a finite temperature, by iteration."
        )
    # The plan is that of any C + a_i + b_j. Of these the one with a 0 in each row and
    # column has the least to lose to rounding, which lambda multiplies.
    cost = cost - cost.min(axis=1, keepdims=True)
    cost = cost - cost.min(axis=0, keepdims=True)
    log_n, log_m = (math.log(size) for size in cost.shape)
    # How fast the iteration goes is nobody's variable.
    first = jnp.minimum(sharpness, 1 / jax.lax.stop_gradient(cost).max())

    def rows_of(
        columns: Float[Array, " m"], sharp: Scalar | float
    ) -> Float[Array, " n"]:
        return (
            -(jax.nn.logsumexp(sharp * (columns[None] - cost), axis=1) + log_n) / sharp
        )

    def columns_of(
        rows: Float[Array, " n"], sharp: Scalar | float
    ) -> Float[Array, " m"]:
        return (
            -(jax.nn.logsumexp(sharp * (rows[:, None] - cost), axis=0) + log_m) / sharp
        )

    def scaled(number: Array, columns: Float[Array, " m"]) -> Float[Array, " m"]:
        grown = jnp.minimum(1.0, 2 * number / iterations)
        sharp = first * (sharpness / first) ** grown
        return columns_of(rows_of(columns, sharp), sharp)

    columns = jax.lax.fori_loop(1, iterations + 1, scaled, 0 * cost[0])
    rows = rows_of(columns, sharpness)
    return jnp.exp(sharpness * (rows[:, None] + columns[None] - cost))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def held_plan(
    cost: Float[Array, "n m"], sharpness: float = 500.0, iterations: int = 500
) -> Float[Array, "n m"]:
    """`sinkhorn`, held fixed by whoever differentiates through it.

    As with `gan_jax.stop`, derivatives around the first one see how the plan changes.
    Stopping the plan as a whole, not the cost that goes into it, keeps the iteration
    out of the gradient's program.
    """
    return sinkhorn(cost, sharpness, iterations)


def _found(
    cost: Float[Array, "n m"], sharpness: float, iterations: int
) -> tuple[Float[Array, "n m"], None]:
    return sinkhorn(cost, sharpness, iterations), None


def _no_gradient(
    sharpness: float, iterations: int, residual: None, cotangent: Array
) -> tuple[None]:
    return (None,)


held_plan.defvjp(_found, _no_gradient)


def transport_cost(
    cost: Float[Array, "n m"], sharpness: float = 500.0, iterations: int = 500
) -> Scalar:
    """W = <P, C> with the entropic plan P, which the gradient holds fixed.

    Args:
      cost: C.
      sharpness, iterations: see `sinkhorn`.

    Returns:
      The cost, at most log(min(n, m)) / lambda above that of the best plan.
    """
    return (held_plan(cost, sharpness, iterations) * cost).sum()


def column_gap(plan: Float[Array, "n m"]) -> Scalar:
    """sum_j |sum_i P_ij - 1/m|: 0 once the plan has converged, below 2 always."""
    return jnp.abs(plan.sum(axis=0) - 1 / plan.shape[1]).sum()


def half_batch_costs(
    distance: Distance, real: Float[Array, "n d"], fake: Float[Array, "n d"]
) -> Float[Array, "6 half half"]:
    """The cost matrices of `WEIGHTS`' six terms, in that order.

    X and X' are the even and the odd ones of the real samples, Y and Y' those of the
    fake ones: the same ones however many devices a batch was gathered from.

    Args:
      distance: the cost of moving one point onto another.
      real, fake: features of two equally large batches.

    Raises:
      ValueError: for batches that have no equal halves.
    """
    if len(real) != len(fake) or len(real) % 2:
        raise ValueError(
            f"the batches have {len(real)} real and {len(fake)} fake samples, but each "
            "is split into two halves of one size. Give equally many, an even number."
        )
    (x, x2), (y, y2) = ((b[0::2], b[1::2]) for b in (real, fake))
    pairs = ((x, y), (x, y2), (x2, y), (x2, y2), (x, x2), (y, y2))
    return jnp.stack([distance(a, b) for a, b in pairs])


def energy(
    costs: Float[Array, "6 half half"], plans: Float[Array, "6 half half"]
) -> Scalar:
    """The minibatch energy distance <P, C> of six terms, weighed by `WEIGHTS`.

    Its mean is twice 2 E W(X, Y) - E W(X, X') - E W(Y, Y'), and 0 for p = q. W(X, Y)
    alone has no such zero: two samples of one distribution are some way apart, and a
    generator would be paid for shrinking. The last two terms take that off again.

    Args:
      costs: from `half_batch_costs`.
      plans: one for each of them.

    Reference: Salimans et al., "Improving GANs Using Optimal Transport", 2018,
    arXiv:1803.05573.
    """
    each = (plans * costs).sum(axis=(1, 2))
    return (jnp.asarray(WEIGHTS, each.dtype) * each).sum()


def energy_distance(
    distance: Distance,
    real: Float[Array, "n d"],
    fake: Float[Array, "n d"],
    sharpness: float = 500.0,
    iterations: int = 500,
) -> Scalar:
    """`energy` of two batches, each split into two halves.

    Args:
      distance: the cost of moving one point onto another.
      real, fake: features of two equally large batches of even size.
      sharpness, iterations: see `sinkhorn`.
    """
    costs = half_batch_costs(distance, real, fake)
    return energy(costs, held_plans(costs, sharpness, iterations))


def held_plans(
    costs: Float[Array, "k n m"], sharpness: float = 500.0, iterations: int = 500
) -> Float[Array, "k n m"]:
    """`held_plan` of each cost matrix, all in one loop."""
    return jax.vmap(lambda cost: held_plan(cost, sharpness, iterations))(costs)
