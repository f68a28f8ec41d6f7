"""What an MLP is slow to learn, given to it: sines and cosines of its input."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from gan_jax.kernel import Network


def with_waves(disc: Network, size: int, waves: int, frequency: float = 1.0) -> Network:
    """``disc`` of x beside sin(x W) and cos(x W), with W (size, waves) fixed.

    W ~ N(0, frequency^2) in radians per unit of x, the same for every seed. An MLP
    learns slowly what changes fast over its input. To D that is where within a mode
    samples lie, for modes are small beside the distances between them; and what D does
    not see, G does not mend. Waves much shorter than these distances lose modes.

    Args:
      disc: a network of samples (n, size + 2 waves).
      size: of one sample, a vector.
      waves: how many; 0 leaves ``disc`` as it is.
      frequency: the deviation of W.

    Returns:
      A network of samples (n, size).

    Reference: Tancik et al., "Fourier Features Let Networks Learn High Frequency
    Functions in Low Dimensional Domains", 2020, arXiv:2006.10739.
    """
    if not waves:
        return disc
    random = np.random.default_rng(0)
    w = random.normal(0, frequency, (size, waves)).astype(np.float32)

    def seen(x: Array) -> Array:
        return jnp.concatenate([x, jnp.sin(x @ w), jnp.cos(x @ w)], axis=-1)

    def init(key: Array, x: Array) -> tuple[Any, Any]:
        return disc.init(key, seen(x))

    def apply(params: Any, stats: Any, /, *x: Any, train: bool) -> tuple[Any, Any]:
        return disc.apply(params, stats, seen(*x), train=train)

    return Network(init, apply)
