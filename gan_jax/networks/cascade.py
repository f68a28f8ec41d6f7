"""Cascading rejection: several logits, each of what the one before did not look at."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from gan_jax.networks.layers import Initializer, biased
from gan_jax.numerics import nonzero


def cascading_rejection(
    features: Float[Array, "n d"], weights: Float[Array, "d k"]
) -> tuple[Float[Array, "n k"], Float[Array, "n d"]]:
    """The scores D_i = ⟨v_i, w_i⟩ with v₁ = v and v_{i+1} = v_i − D_i w_i / ‖w_i‖².

    v_{i+1} is orthogonal to w_i, and does not depend on its length. It need not be
    orthogonal to earlier weights. A weight of zero scores 0 and rejects nothing.

    Args:
      features: v, one row a sample.
      weights: w_i, one column each.

    Returns:
      The scores, and v_{k+1}, what is left.

    Reference: Shin et al., "A Simple yet Effective Way for Improving the Performance of
    GANs", 2019, arXiv:1911.10979; Su Jianlin, 2019, kexue.fm/archives/7105.

    >>> import jax.numpy as jnp
    >>> scores, left = cascading_rejection(jnp.array([[3.0, 4.0]]), jnp.eye(2))
    >>> scores.tolist(), left.tolist()
    ([[3.0, 4.0]], [[0.0, 0.0]])
    """
    left, scores = features, []
    for w in weights.T:
        scores.append(left @ w)
        squared = jnp.square(w).sum()
        share = scores[-1] / nonzero(squared)
        left = left - share[:, None] * w[None]
    return jnp.stack(scores, -1), left


class Cascade(nn.Module):
    """A head of ``heads`` logits (n, heads) by `cascading_rejection`, each with a bias.

    With one it is `Dense(1)`. Trained by `gan_jax.objectives.cascade`.

    Attributes:
      heads: how many.
      spectral: whether each weight is divided by its length, which is the spectral norm
        of a single row; no power iteration is needed.
    """

    heads: int
    spectral: bool = False
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, h: Array, train: bool = False) -> Array:
        kernel = self.param("kernel", self.kernel_init, (h.shape[-1], self.heads))
        if self.spectral:
            length = jnp.linalg.norm(kernel, axis=0, keepdims=True)
            kernel = kernel / jnp.maximum(length, 1e-12)
        scores, _ = cascading_rejection(h, kernel)
        return biased(self, scores)


def checked_heads(heads: int, classes: int) -> None:
    """Raises ValueError for a cascade of less than one logit, or one with labels."""
    if heads < 0 or (heads and classes):
        raise ValueError(
            f"cascade={heads} with classes={classes}: a cascade has 1 logit or more, "
            "and takes no labels, for which it has no projection. Take cascade=0 for "
            "the one logit of a plain or conditional discriminator."
        )
