"""Weights whose outputs do not repeat each other: two ways to ask for it.

`orthogonal_penalty` asks it of the weights, `self_orthogonality` of what they answer on
data. The first is a function of a player's parameters alone, so its gradient is added
by an optimizer (`add_orthogonal_gradient`), and no game or kernel knows of it.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from gan_jax.numerics import nonzero

Scalar = Float[Array, ""]


def orthogonal_penalty(
    params: PyTree[Float[Array, "..."]], beta: float = 1e-4
) -> Scalar:
    """β Σ ‖WᵀW ⊙ (1 − I)‖²_F over the weights: their columns shall be orthogonal.

    A weight of two axes or more is a matrix W (all other axes, outputs), as linen's
    kernels lie; others cost nothing. Lengths of columns cost nothing either.

    Args:
      params: a player's parameters, or those of its parts that are meant.
      beta: β; 1e-4 in the paper.

    Returns:
      A scalar.

    Reference: Brock et al., "Large Scale GAN Training for High Fidelity Natural Image
    Synthesis", 2018, arXiv:1809.11096, section 3.1.

    >>> import jax.numpy as jnp
    >>> float(orthogonal_penalty({"kernel": jnp.ones((3, 2))}, beta=1.0))
    18.0
    """
    weights = [w for w in jax.tree.leaves(params) if w.ndim > 1]
    costs = [jnp.square(_off_diagonal(_matrix(w))).sum() for w in weights]
    return beta * sum(costs, start=jnp.zeros(()))


def add_orthogonal_gradient(beta: float = 1e-4) -> optax.GradientTransformation:
    """Adds the gradient of `orthogonal_penalty`, 4β W (WᵀW ⊙ (1 − I)), to a player's.

    To be put before what it shall be part of, as in
    ``optax.chain(add_orthogonal_gradient(), optax.adam(2e-4))``; behind Adam and before
    the rate it is decoupled, as AdamW's decay is. Weights are chosen by `optax.masked`.
    An alternation of moves is kept: a player who does not move is not regularised.

    The BigGAN authors' PyTorch code adds half of it, 2β W (WᵀW ⊙ (1 − I)): for its
    strength take half of its β.

    Reference: Brock et al., 2018, arXiv:1809.11096, section 3.1.
    """

    def added(gradient: Array, w: Array) -> Array:
        if w.ndim < 2:
            return gradient
        matrix = _matrix(w)
        cost = 4 * beta * _exact(matrix, _off_diagonal(matrix))
        return gradient + cost.reshape(w.shape).astype(gradient.dtype)

    def update(updates: optax.Updates, params: optax.Params | None) -> optax.Updates:
        if params is None:
            raise ValueError(
                "add_orthogonal_gradient needs the parameters: call update(gradients, "
                "state, params)."
            )
        return jax.tree.map(added, updates, params)

    return optax.stateless(update)


def self_orthogonality(
    features: Float[Array, "n d"],
    weight: Float[Array, "d k"],
    *,
    gamma: float = 10.0,
    sum_weight: float = 100.0,
    square_weight: float = 1.0,
    axis_name: str | None = None,
) -> Scalar:
    """SOM: R = λ₁ (Σ_{i≠j} Θ_ij)² + λ₂ Σ_{i≠j} Θ_ij², with Θ the cosines of answers.

    Θ = YᵀY for Y = tanh(γ X W) with columns of length 1 over the batch. For features
    that prefer no direction and a steep tanh, Θ_ij = 1 − 2θ/π with θ the angle between
    two weights: R is small where the weights stand at right angles on average and two
    by two. What it knows is the data's angle: correlated features count less.

    Args:
      features: X, what the layer is given; one row a sample.
      weight: W, one filter a column.
      gamma: γ, how steep.
      sum_weight, square_weight: λ₁ and λ₂.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which the
        cosines are taken, for they couple the batch. Not for `jit`.

    Returns:
      A scalar.

    Reference: Zhang et al., "Self-Orthogonality Module: A Network Architecture Plug-in
    for Learning Orthogonal Filters", 2020, arXiv:2001.01275; Su Jianlin, 2020,
    kexue.fm/archives/7169.
    """
    answers = jnp.tanh(gamma * _exact(features, weight))
    products = _exact(answers.T, answers)
    if axis_name is not None:
        products = jax.lax.psum(products, axis_name)
    squared = jnp.diagonal(products)
    length = jnp.sqrt(nonzero(squared))  # of a silent filter: 1
    cosines = products / (length[:, None] * length[None])
    others = cosines * (1 - jnp.eye(len(cosines), dtype=cosines.dtype))
    return (
        sum_weight * jnp.square(others.sum()) + square_weight * jnp.square(others).sum()
    )


def _exact(a: Array, b: Array) -> Array:
    """a b; TPUs would round its factors, and differences of them be noise."""
    return jnp.matmul(a, b, precision="highest")


def _matrix(w: Array) -> Array:
    return w.reshape(-1, w.shape[-1])


def _off_diagonal(w: Array) -> Array:
    """WᵀW without its diagonal."""
    return _exact(w.T, w) * (1 - jnp.eye(w.shape[1], dtype=w.dtype))
