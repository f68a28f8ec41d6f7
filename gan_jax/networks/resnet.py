"""The residual networks of SNGAN.

Reference: Miyato et al., "Spectral Normalization for Generative Adversarial Networks",
2018, arXiv:1802.05957, appendix B.4 (sizes 32 and 128; 64 is 128 less its coarsest
stage, as the field has it), and Miyato and Koyama, 2018, arXiv:1802.05637 (labels).
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from gan_jax.kernel import Network
from gan_jax.networks.adapters import from_linen
from gan_jax.networks.cascade import Cascade, checked_heads
from gan_jax.networks.conditioning import LabelledLatent, rectified
from gan_jax.networks.layers import (
    Conv,
    Dense,
    Projection,
    checked_choice,
    checked_images,
    checked_label,
    checked_latent,
)
from gan_jax.numerics import full
from gan_jax.ops.pool import halved

# Channels as multiples of `width`. The generator: of the 4x4 start, then of each block,
# all of which double the image. The discriminator: of each block and whether it halves.
GEN_BLOCKS = {
    32: (4, 4, 4, 4),
    64: (16, 8, 4, 2, 1),
    128: (16, 16, 8, 4, 2, 1),
}
DISC_BLOCKS = {
    32: ((2, True), (2, True), (2, False), (2, False)),
    64: ((1, True), (2, True), (4, True), (8, True), (16, True)),
    128: ((1, True), (2, True), (4, True), (8, True), (16, True), (16, False)),
}
SIZES = tuple(GEN_BLOCKS)

GLOROT = nn.initializers.glorot_uniform()
GLOROT_ROOT2 = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")  # gain √2


def generator(
    size: int = 32,
    channels: int = 3,
    width: int = 64,
    norm: Literal["batch", "self"] | None = "batch",
    classes: int = 0,
    dtype: DTypeLike | None = None,
    axis_name: str | None = None,
    *,
    residual: float = 1.0,
) -> Network:
    """Dense to 4x4, residual blocks that each double the image, norm, ReLU, 3x3, tanh.

    Width 64 gives the published networks: 256 channels throughout at size 32, 1024
    falling to 64 at sizes 64 and 128. Labels choose scale and shift of the norms in the
    blocks; with ``norm="self"`` z, or z with its label, chooses those of all norms.

    Args:
      size: of the image in pixels: 32, 64 or 128.
      channels: of the image.
      width: the channels that all others are multiples of.
      norm: "batch", "self" (SELF-MOD) or None.
      classes: 0, or the number of classes; needs a norm.
      dtype: to compute in; parameters, norm statistics and images are float32.
      axis_name: mapped axis over which BatchNorm's statistics are global.
      residual: α in shortcut + α · residual; 1 as published, 0.1 with Su Jianlin.

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
    return from_linen(
        Generator(size, channels, width, norm, classes, dtype, axis_name, residual)
    )


def discriminator(
    size: int = 32,
    width: int = 64,
    norm: Literal["spectral"] | None = "spectral",
    classes: int = 0,
    dtype: DTypeLike | None = None,
    *,
    cascade: int = 0,
    residual: float = 1.0,
) -> Network:
    """Residual blocks, ReLU, a sum over space, dense to one logit; per sample.

    Width 64 gives the published networks: 128 channels throughout at size 32, 64 rising
    to 1024 at sizes 64 and 128. A label adds ⟨e_y, h⟩, with h the features summed over
    space.

    Args:
      size: of the image in pixels: 32, 64 or 128.
      width: the channels that all others are multiples of.
      norm: "spectral" (all weights, the embedding's too) or None.
      classes: 0, or the number of classes.
      dtype: to compute in; parameters, stats and logits are float32.
      cascade: 0 for one logit, or the logits of a cascading rejection; no labels then.
      residual: α in shortcut + α · residual.

    Returns:
      A network ``(images (n, size, size, channels), [label]) -> logits (n,)``, or
      (n, cascade).

    Raises:
      ValueError: for a size or norm not offered, or a cascade with classes.
    """
    checked_heads(cascade, classes)
    checked_choice("size", size, SIZES)
    checked_choice("norm", norm, ("spectral", None))
    spectral = norm == "spectral"
    return from_linen(
        Discriminator(size, width, spectral, classes, dtype, cascade, residual)
    )


class Generator(nn.Module):
    size: int
    channels: int
    width: int
    norm: str | None
    classes: int
    dtype: DTypeLike | None
    axis_name: str | None
    residual: float

    @nn.compact
    def __call__(self, z: Array, label: Array | None = None, *, train: bool) -> Array:
        checked_latent(z)
        checked_label(label, self.classes, len(z))
        style = z
        if self.norm == "self" and label is not None:
            style = LabelledLatent(self.classes)(z, label)
        first, *widths = (self.width * m for m in GEN_BLOCKS[self.size])
        h = Dense(16 * first, kernel_init=GLOROT, dtype=self.dtype)(z)
        h = h.reshape(len(z), 4, 4, first)
        for width in widths:
            block = UpBlock(
                width,
                self.norm,
                self.classes,
                self.dtype,
                self.axis_name,
                self.residual,
            )
            h = block(h, label, style, train=train)
        h = rectified(
            h,
            None,  # the last norm knows no label
            style,
            norm=self.norm,
            dtype=self.dtype,
            axis_name=self.axis_name,
            train=train,
        )
        out = Conv(self.channels, kernel_init=GLOROT, dtype=self.dtype)
        return jnp.tanh(full(out(h)))


class UpBlock(nn.Module):
    """α · [norm, ReLU, double, 3x3, norm, ReLU, 3x3] + [double, 1x1]."""

    features: int
    norm: str | None
    classes: int
    dtype: DTypeLike | None
    axis_name: str | None
    residual: float

    @nn.compact
    def __call__(
        self, x: Array, label: Array | None, style: Array, *, train: bool
    ) -> Array:
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

        def conv(size: int, init: nn.initializers.Initializer) -> Conv:
            return Conv(self.features, size, kernel_init=init, dtype=self.dtype)

        h = conv(3, GLOROT_ROOT2)(doubled(normed(x)))
        h = conv(3, GLOROT_ROOT2)(normed(h))
        # A 1x1 convolution and nearest doubling commute: a quarter of the work.
        return self.residual * h + doubled(conv(1, GLOROT)(x))


class Discriminator(nn.Module):
    size: int
    width: int
    spectral: bool
    classes: int
    dtype: DTypeLike | None
    cascade: int
    residual: float

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool) -> Array:
        checked_images(x, self.size)
        checked_label(label, self.classes, len(x))
        h = x
        for i, (multiple, halve) in enumerate(DISC_BLOCKS[self.size]):
            h = DownBlock(
                self.width * multiple,
                halve,
                i == 0,
                self.spectral,
                self.dtype,
                self.residual,
            )(h, train)
        h = full(jax.nn.relu(h)).sum((1, 2))
        if self.cascade:
            return Cascade(self.cascade, self.spectral, kernel_init=GLOROT)(h)
        head = Dense(1, spectral=self.spectral, kernel_init=GLOROT)
        logits = head(h, train)[:, 0]
        if label is not None:
            projection = Projection(self.classes, self.spectral, GLOROT)
            logits = logits + projection(h, label, train)
        return logits


class DownBlock(nn.Module):
    """α · [ReLU, 3x3, ReLU, 3x3, halve] + [1x1, halve]; the first has no ReLU in front.

    The shortcut is the identity where neither channels nor size change.
    """

    features: int
    halve: bool
    first: bool
    spectral: bool
    dtype: DTypeLike | None
    residual: float

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        def conv(features: int, size: int, init: nn.initializers.Initializer) -> Conv:
            return Conv(
                features,
                size,
                spectral=self.spectral,
                kernel_init=init,
                dtype=self.dtype,
            )

        hidden = self.features if self.first else x.shape[-1]
        h = conv(hidden, 3, GLOROT_ROOT2)(x if self.first else jax.nn.relu(x), train)
        h = conv(self.features, 3, GLOROT_ROOT2)(jax.nn.relu(h), train)
        if self.halve or x.shape[-1] != self.features:
            # Averaging first commutes with a 1x1 convolution: a quarter of the work.
            x = halved(x) if self.halve else x
            x = conv(self.features, 1, GLOROT)(x, train)
        return self.residual * (halved(h) if self.halve else h) + x


def doubled(x: Array) -> Array:
    """Every pixel as 2x2 pixels."""
    return x.repeat(2, 1).repeat(2, 2)
