"""Fully connected networks, for points in the plane and for small images."""

from math import prod

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from gan_jax.kernel import Network
from gan_jax.networks.adapters import from_linen
from gan_jax.networks.cascade import Cascade, checked_heads
from gan_jax.networks.layers import (
    Dense,
    Projection,
    checked_label,
    checked_latent,
    leaky_relu,
)
from gan_jax.numerics import full, rows

# He's variance for LeakyReLU with slope 0.2: 2 / (1 + 0.2²).
KERNEL_INIT = nn.initializers.variance_scaling(2 / 1.04, "fan_in", "normal")


def generator(
    shape: int | tuple[int, ...],
    width: int = 128,
    depth: int = 2,
    *,
    tanh: bool = False,
    classes: int = 0,
    dtype: DTypeLike | None = None,
) -> Network:
    """A generator of ``depth`` hidden LeakyReLU layers.

    A label enters as a one-hot vector beside z.

    Args:
      shape: of one sample; ``2`` or ``(2,)`` for points in the plane.
      width: units of each hidden layer.
      depth: hidden layers.
      tanh: whether samples end in (-1, 1), as images do.
      classes: 0, or the number of classes.
      dtype: to compute in; parameters and samples are float32.

    Returns:
      A network ``(z, [label]) -> samples (n, *shape)``.
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return from_linen(Generator(shape, width, depth, tanh, classes, dtype))


def discriminator(
    width: int = 128,
    depth: int = 2,
    *,
    classes: int = 0,
    spectral: bool = False,
    cascade: int = 0,
    dtype: DTypeLike | None = None,
) -> Network:
    """A discriminator of ``depth`` hidden LeakyReLU layers.

    A label enters by projection of the last hidden layer.

    Args:
      width: units of each hidden layer.
      depth: hidden layers.
      classes: 0, or the number of classes.
      spectral: whether every weight is spectrally normalised.
      cascade: 0 for one logit, or the logits of a cascading rejection; no labels then.
      dtype: to compute in; parameters and logits are float32.

    Returns:
      A network ``(x (n, ...), [label]) -> logits (n,)``, or (n, cascade).

    Raises:
      ValueError: for a cascade with classes.
    """
    checked_heads(cascade, classes)
    return from_linen(Discriminator(width, depth, classes, spectral, dtype, cascade))


class Generator(nn.Module):
    shape: tuple[int, ...]
    width: int
    depth: int
    tanh: bool
    classes: int
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, z: Array, label: Array | None = None, *, train: bool) -> Array:
        checked_latent(z)
        checked_label(label, self.classes, len(z))
        h = z
        if label is not None:
            h = jnp.concatenate([z, rows(jnp.eye(self.classes), label)], -1)
        for _ in range(self.depth):
            h = Dense(self.width, kernel_init=KERNEL_INIT, dtype=self.dtype)(h)
            h = leaky_relu(h)
        x = full(Dense(prod(self.shape), dtype=self.dtype)(h))
        x = x.reshape(len(z), *self.shape)
        return jnp.tanh(x) if self.tanh else x


class Discriminator(nn.Module):
    width: int
    depth: int
    classes: int
    spectral: bool
    dtype: DTypeLike | None
    cascade: int

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool) -> Array:
        checked_label(label, self.classes, len(x))
        h = x.reshape(len(x), -1)
        for _ in range(self.depth):
            h = Dense(
                self.width,
                spectral=self.spectral,
                kernel_init=KERNEL_INIT,
                dtype=self.dtype,
            )(h, train)
            h = leaky_relu(h)
        h = full(h)
        if self.cascade:
            return Cascade(self.cascade, self.spectral)(h)
        logits = Dense(1, spectral=self.spectral)(h, train)[:, 0]
        if label is not None:
            logits = logits + Projection(self.classes, self.spectral)(h, label, train)
        return logits
