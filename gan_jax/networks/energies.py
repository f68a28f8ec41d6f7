"""Energies made of other networks."""

from typing import Any

import jax.numpy as jnp

from gan_jax.kernel import Network
from gan_jax.numerics import root


def reconstruction(autoencoder: Network) -> Network:
    """A discriminator that judges a sample by how badly it is reconstructed.

    U(x) = ||x - A(x)||, logit = -U. The energy is never negative, which is what
    `gan_jax.losses.margin` needs. Its gradient is 0, not NaN, where A is exact. The
    released code takes the mean square instead of the norm.

    Args:
      autoencoder: ``x (n, ...) -> x (n, ...)``. It must not be able to copy
        everything: a narrow layer sees to that.

    Returns:
      A network ``x (n, ...) -> logits (n,)``, none above 0.

    Raises:
      ValueError: when applied, if A returns another shape than it is given.

    Reference: Zhao et al., "Energy-based generative adversarial network", 2017,
    arXiv:1609.03126.
    """

    def apply(params: Any, stats: Any, /, *inputs: Any, train: bool) -> tuple[Any, Any]:
        (x,) = inputs
        again, stats = autoencoder.apply(params, stats, x, train=train)
        if again.shape != x.shape:
            raise ValueError(
                f"the autoencoder was given samples of shape {x.shape} and returned "
                f"{again.shape}; give it a last layer of the samples' shape."
            )
        squared = jnp.square(x - again).sum(axis=tuple(range(1, x.ndim)))
        return -root(squared), stats

    return Network(autoencoder.init, apply)
