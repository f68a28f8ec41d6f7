"""DCGAN: 4x4 convolutions of stride 2 from 4x4 pixels to the image and back.

Reference: Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep
Convolutional Generative Adversarial Networks", 2015, arXiv:1511.06434.
"""

from functools import partial
from math import log2
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from gan_jax.kernel import Network
from gan_jax.networks.adapters import from_linen
from gan_jax.networks.cascade import Cascade, checked_heads
from gan_jax.networks.conditioning import LabelledLatent, rectified
from gan_jax.networks.layers import (
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    Projection,
    checked_choice,
    checked_images,
    checked_label,
    checked_latent,
    leaky_relu,
)
from gan_jax.networks.minibatch import minibatch_stddev
from gan_jax.numerics import full

SIZES = (16, 32, 64, 128)
KERNEL_INIT = nn.initializers.normal(0.02)  # section 4 of the paper


def generator(
    size: int = 64,
    channels: int = 3,
    width: int = 64,
    norm: Literal["batch", "self"] | None = "batch",
    classes: int = 0,
    dtype: DTypeLike | None = None,
    axis_name: str | None = None,
) -> Network:
    """Dense to 4x4, then transposed convolutions that each double the image.

    Width 32 at size 64: dense 4x4x256, then 128, 64, 32 and ``channels`` channels, with
    norm and ReLU between and tanh at the end. Labels choose scale and shift of the
    norms (conditional BatchNorm); with ``norm="self"`` z does, or z with its label.

    Args:
      size: of the image in pixels: 16, 32, 64 or 128.
      channels: of the image.
      width: channels at half the size of the image; they double as the size halves.
      norm: "batch", "self" (SELF-MOD) or None.
      classes: 0, or the number of classes; needs a norm.
      dtype: to compute in; parameters, norm statistics and images are float32.
      axis_name: mapped axis over which BatchNorm's statistics are global.

    Returns:
      A network ``(z (n, latent), [label]) -> images (n, size, size, channels)`` in
      (-1, 1).

    Raises:
      ValueError: for a size or norm not offered, or classes without a norm.
    """
    checked_choice("size", size, SIZES)
    checked_choice("norm", norm, ("batch", "self", None))
    if classes and norm is None:
        raise ValueError(
            f"classes={classes} with norm=None: labels enter this generator through "
            'its norms; take norm="batch", or classes=0.'
        )
    return from_linen(Generator(size, channels, width, norm, classes, dtype, axis_name))


def discriminator(
    size: int = 64,
    width: int = 64,
    norm: Literal["batch", "spectral"] | None = None,
    classes: int = 0,
    dtype: DTypeLike | None = None,
    axis_name: str | None = None,
    *,
    cascade: int = 0,
    stddev: bool = False,
) -> Network:
    """Convolutions that each halve the image, LeakyReLU, then dense to one logit.

    Width 32 at size 64: 32, 64, 128 and 256 channels. With ``norm`` None or "spectral"
    a logit depends on its own image only; with "batch" (all layers but the first) the
    samples of a batch are coupled. A label adds ⟨e_y, h⟩, with h the last features
    summed over space.

    Args:
      size: of the image in pixels: 16, 32, 64 or 128.
      width: channels at half the size of the image; they double as the size halves.
      norm: None, "batch" or "spectral".
      classes: 0, or the number of classes.
      dtype: to compute in; parameters, norm statistics and logits are float32.
      axis_name: mapped axis over which statistics of the batch are global.
      cascade: 0 for one logit, or the logits of a cascading rejection; no labels then.
      stddev: whether the last features have a channel with their standard deviation
        over the batch, which couples its samples, too.

    Returns:
      A network ``(images (n, size, size, channels), [label]) -> logits (n,)``, or
      (n, cascade).

    Raises:
      ValueError: for a size or norm not offered, or a cascade with classes.
    """
    checked_heads(cascade, classes)
    checked_choice("size", size, SIZES)
    checked_choice("norm", norm, (None, "batch", "spectral"))
    return from_linen(
        Discriminator(size, width, norm, classes, dtype, axis_name, cascade, stddev)
    )


class Generator(nn.Module):
    size: int
    channels: int
    width: int
    norm: str | None
    classes: int
    dtype: DTypeLike | None
    axis_name: str | None

    @nn.compact
    def __call__(self, z: Array, label: Array | None = None, *, train: bool) -> Array:
        checked_latent(z)
        checked_label(label, self.classes, len(z))
        free = self.norm is None  # a norm has a bias of its own
        style = z
        if self.norm == "self" and label is not None:
            style = LabelledLatent(self.classes)(z, label)
        widths = [self.width * 2**i for i in reversed(range(doublings(self.size)))]

        normed = partial(
            rectified,
            label=label,
            style=style,
            norm=self.norm,
            classes=self.classes,
            dtype=self.dtype,
            axis_name=self.axis_name,
            train=train,
        )

        dense = Dense(16 * widths[0], free, kernel_init=KERNEL_INIT, dtype=self.dtype)
        h = normed(dense(z).reshape(len(z), 4, 4, widths[0]))
        for width in widths[1:]:
            up = ConvTranspose(
                width, use_bias=free, kernel_init=KERNEL_INIT, dtype=self.dtype
            )
            h = normed(up(h))
        out = ConvTranspose(self.channels, kernel_init=KERNEL_INIT, dtype=self.dtype)
        return jnp.tanh(full(out(h)))


class Discriminator(nn.Module):
    size: int
    width: int
    norm: str | None
    classes: int
    dtype: DTypeLike | None
    axis_name: str | None
    cascade: int
    stddev: bool

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool) -> Array:
        checked_images(x, self.size)
        checked_label(label, self.classes, len(x))
        spectral = self.norm == "spectral"
        h = x
        for i in range(doublings(self.size)):
            normed = self.norm == "batch" and i > 0
            h = Conv(
                self.width * 2**i,
                size=4,
                stride=2,
                use_bias=not normed,
                spectral=spectral,
                kernel_init=KERNEL_INIT,
                dtype=self.dtype,
            )(h, train)
            if normed:
                norm = BatchNorm(dtype=self.dtype, axis_name=self.axis_name)
                h = norm(h, train=train)
            h = leaky_relu(h)
        h = full(h)
        if self.stddev:
            # As BatchNorm: only in training is there a mapped axis.
            h = minibatch_stddev(h, axis_name=self.axis_name if train else None)
        if self.cascade:
            cascade = Cascade(self.cascade, spectral, kernel_init=KERNEL_INIT)
            return cascade(h.reshape(len(h), -1))
        head = Dense(1, spectral=spectral, kernel_init=KERNEL_INIT)
        logits = head(h.reshape(len(h), -1), train)[:, 0]
        if label is not None:
            projection = Projection(self.classes, spectral, KERNEL_INIT)
            logits = logits + projection(h.sum((1, 2)), label, train)
        return logits


def doublings(size: int) -> int:
    """How often 4 pixels double to ``size``."""
    return int(log2(size // 4))
