"""Players for stacks of digits, which see each colour by the same convolutions.

The three colours of a stack are three digits, and what tells a digit from a blot is the
same in each. So there is one set of convolutions for all colours, which learns from
three digits a sample. Which digits come together is left to the dense layers, which
have all colours before them: nothing here makes the colours independent.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from gan_jax.kernel import Network
from gan_jax.networks.adapters import from_linen
from gan_jax.networks.layers import BatchNorm, Conv, ConvTranspose, Dense, leaky_relu
from gan_jax.networks.mlp import KERNEL_INIT


def generator(
    size: int, colours: int, width: int, units: Sequence[int], code: int
) -> Network:
    """Dense layers to a code for each colour; from there one DCGAN for all of them.

    BatchNorm and LeakyReLU follow every layer but the last, which ends in tanh. The
    norms of the convolutions take the colours as so many more samples.

    Args:
      size: pixels of a side, a multiple of 4.
      colours: of a sample.
      width: channels at half the size; there are twice as many at a quarter.
      units: of the dense layers that all colours share.
      code: numbers from which a colour is drawn.

    Returns:
      A network ``z (n, latent) -> images (n, size, size, colours)`` in (-1, 1).
    """
    return from_linen(Generator(size, colours, width, tuple(units), code))


def discriminator(width: int, units: Sequence[int], code: int) -> Network:
    """Two convolutions that halve the image, dense to a code, and a logit from all.

    LeakyReLU follows every layer but the last. There are no norms: a logit depends on
    its own sample only.

    Args:
      width: channels at half the size; there are twice as many at a quarter.
      units: of the dense layers that see the codes of all colours.
      code: numbers by which a colour is seen.

    Returns:
      A network ``images (n, size, size, colours) -> logits (n,)``.
    """
    return from_linen(Discriminator(width, tuple(units), code))


class Generator(nn.Module):
    size: int
    colours: int
    width: int
    units: tuple[int, ...]
    code: int

    @nn.compact
    def __call__(self, z: Array, *, train: bool) -> Array:
        def normed(h: Array) -> Array:
            return leaky_relu(BatchNorm()(h, train=train))

        def dense(h: Array, features: int) -> Array:
            return normed(Dense(features, False, kernel_init=KERNEL_INIT)(h))

        n, side, width = len(z), self.size // 4, self.width
        h = z
        for units in self.units:
            h = dense(h, units)
        h = dense(h, self.colours * self.code).reshape(n * self.colours, self.code)
        h = dense(h, side * side * 2 * width).reshape(len(h), side, side, 2 * width)
        h = normed(ConvTranspose(width, use_bias=False, kernel_init=KERNEL_INIT)(h))
        grey = ConvTranspose(1)(h).reshape(n, self.colours, self.size, self.size)
        return jnp.tanh(jnp.moveaxis(grey, 1, -1))


class Discriminator(nn.Module):
    width: int
    units: tuple[int, ...]
    code: int

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        n, *sides, colours = x.shape
        h = jnp.moveaxis(x, -1, 1).reshape(n * colours, *sides, 1)
        for channels in (self.width, 2 * self.width):
            conv = Conv(channels, size=4, stride=2, kernel_init=KERNEL_INIT)
            h = leaky_relu(conv(h))
        code = Dense(self.code, kernel_init=KERNEL_INIT)
        h = leaky_relu(code(h.reshape(len(h), -1))).reshape(n, -1)
        for units in self.units:
            h = leaky_relu(Dense(units, kernel_init=KERNEL_INIT)(h))
        return Dense(1)(h)[:, 0]
