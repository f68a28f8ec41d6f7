"""The residual networks of R3GAN: grouped convolutions and no normalisation at all.

Both networks mirror each other. A block is the identity at the start, because its last
convolution is zero; sizes change by the filter [1, 3, 3, 1] between the stages. Nothing
couples samples, so a paired loss (RpGAN) with R1 and R2 is all that they need.

Reference: Huang et al., "The GAN is dead; long live the GAN! A Modern GAN Baseline",
2024, arXiv:2501.05441, and the code released with it.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from gan_jax.kernel import Network
from gan_jax.networks.adapters import from_linen
from gan_jax.networks.layers import (
    Conv,
    biased,
    checked_choice,
    checked_images,
    checked_label,
    checked_latent,
    leaky_relu,
)
from gan_jax.numerics import full, rows

SIZES = (32, 64)
BLOCKS = 2  # a stage
# He's gain for LeakyReLU with slope 0.2.
GAIN = (2 / (1 + 0.2**2)) ** 0.5


def generator(
    size: int = 32,
    channels: int = 3,
    width: int = 768,
    classes: int = 0,
    group: int = 16,
    dtype: DTypeLike | None = None,
) -> Network:
    """A learned 4x4 basis ⊙ linear(z), then stages of two blocks, to RGB.

    ``width`` channels in every stage; at size 64 the last stage has half of them. A
    label enters as an embedding beside z, of the same length as z.

    Args:
      size: of the image in pixels: 32 or 64.
      channels: of the image.
      width: channels of a block; 768 as published.
      classes: 0, or the number of classes.
      group: channels of one group of the 3x3 convolutions; divides ``width``.
      dtype: to compute in; parameters and images are float32.

    Returns:
      A network ``(z (n, latent), [label]) -> images (n, size, size, channels)``. They
      are not bounded: there is no tanh.

    Raises:
      ValueError: for a size not offered, or a width that groups do not divide.
    """
    checked_widths(size, width, group)
    return from_linen(Generator(size, channels, width, classes, group, dtype))


def discriminator(
    size: int = 32,
    width: int = 768,
    classes: int = 0,
    group: int = 16,
    dtype: DTypeLike | None = None,
) -> Network:
    """From RGB, stages of two blocks, a 4x4 depth-wise convolution, linear; per sample.

    ``width`` channels in every stage; at size 64 the first stage has half of them. With
    classes the linear layer has ``width`` outputs h and the logit is ⟨e_y, h⟩.

    Args:
      size: of the image in pixels: 32 or 64.
      width: channels of a block; 768 as published.
      classes: 0, or the number of classes.
      group: channels of one group of the 3x3 convolutions; divides ``width``.
      dtype: to compute in; parameters and logits are float32.

    Returns:
      A network ``(images (n, size, size, channels), [label]) -> logits (n,)``.

    Raises:
      ValueError: for a size not offered, or a width that groups do not divide.
    """
    checked_widths(size, width, group)
    return from_linen(Discriminator(size, width, classes, group, dtype))


class Generator(nn.Module):
    size: int
    channels: int
    width: int
    classes: int
    group: int
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, z: Array, label: Array | None = None, *, train: bool) -> Array:
        checked_latent(z)
        checked_label(label, self.classes, len(z))
        if label is not None:
            shape = (self.classes, z.shape[-1])
            table = self.param("embedding", normal(shape[0]), shape)
            z = jnp.concatenate([z, rows(table, label)], -1)
        first, *finer = stage_widths(self.size, self.width)
        basis = self.param("basis", nn.initializers.normal(1.0), (4, 4, first))
        linear = self.param("linear", normal(z.shape[-1]), (z.shape[-1], first))
        h = basis[None] * (z @ linear)[:, None, None]
        if self.dtype is not None:
            h = h.astype(self.dtype)
        h = self.stage(h)
        for width in finer:
            h = self.stage(doubled(rewidthed(h, width, self.dtype)))
        return full(pointwise(self.channels, h.shape[-1], self.dtype)(h))

    def stage(self, h: Array) -> Array:
        return stage(h, total_blocks(self.size), self.group, self.dtype)


class Discriminator(nn.Module):
    size: int
    width: int
    classes: int
    group: int
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool) -> Array:
        checked_images(x, self.size)
        checked_label(label, self.classes, len(x))
        finest, *coarser = reversed(stage_widths(self.size, self.width))
        h = self.stage(pointwise(finest, x.shape[-1], self.dtype)(x))
        for width in coarser:
            h = self.stage(rewidthed(halved(h), width, self.dtype))
        h = full(h)
        basis = self.param("basis", normal(16), (4, 4, h.shape[-1]))
        h = (h * basis[None]).sum((1, 2))
        outputs = self.width if self.classes else 1
        linear = self.param("linear", normal(h.shape[-1]), (h.shape[-1], outputs))
        h = h @ linear
        if label is None:
            return h[:, 0]
        # A linear map of the one-hot label with gain 1/√width.
        init = normal(self.classes, self.width**-0.5)
        table = self.param("embedding", init, (self.classes, self.width))
        return (h * rows(table, label)).sum(-1)

    def stage(self, h: Array) -> Array:
        return stage(h, total_blocks(self.size), self.group, self.dtype)


class Block(nn.Module):
    """x + [1x1 (C to 2C), bias, LReLU, 3x3 grouped, bias, LReLU, 1x1 (2C to C), zero].

    The first two convolutions have the gain GAIN · L^(−1/4) for L blocks in all, which
    keeps the variance of the whole network at the start (Fixup with two such layers).
    """

    total: int
    group: int
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        features = x.shape[-1]
        gain = GAIN * self.total**-0.25
        h = pointwise(2 * features, features, self.dtype, gain)(x)
        h = Activation()(h)
        h = Conv(
            2 * features,
            size=3,
            groups=2 * features // self.group,
            use_bias=False,
            kernel_init=normal(9 * self.group, gain),
            dtype=self.dtype,
        )(h)
        h = Activation()(h)
        return x + pointwise(features, 2 * features, self.dtype, 0.0)(h)


class Activation(nn.Module):
    """A bias for each channel, then LeakyReLU."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return leaky_relu(biased(self, x))


def stage(h: Array, total: int, group: int, dtype: DTypeLike | None) -> Array:
    """Two blocks."""
    for _ in range(BLOCKS):
        h = Block(total, group, dtype)(h)
    return h


def pointwise(
    features: int, fan_in: int, dtype: DTypeLike | None, gain: float = 1.0
) -> Conv:
    """A 1x1 convolution without bias."""
    init = normal(fan_in, gain)
    return Conv(features, size=1, use_bias=False, kernel_init=init, dtype=dtype)


def rewidthed(h: Array, width: int, dtype: DTypeLike | None) -> Array:
    """``h`` with ``width`` channels: by a 1x1 convolution where it has others."""
    if h.shape[-1] == width:
        return h
    return pointwise(width, h.shape[-1], dtype)(h)


def normal(fan_in: int, gain: float = 1.0) -> nn.initializers.Initializer:
    """N(0, (gain / √fan_in)²)."""
    return nn.initializers.normal(gain / fan_in**0.5)


def doubled(x: Array) -> Array:
    """Twice the size: zeros between pixels, then the filter [1, 3, 3, 1] / 4."""
    for axis in (1, 2):
        before, after = neighbours(x, axis)
        pair = jnp.stack([3 * x + before, 3 * x + after], axis + 1) / 4
        x = pair.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])
    return x


def halved(x: Array) -> Array:
    """Half the size: the filter [1, 3, 3, 1] / 8 at every second pixel."""
    for axis in (1, 2):
        pairs = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
        even, odd = (jnp.take(pairs, i, axis + 1) for i in (0, 1))
        before, _ = neighbours(odd, axis)
        _, after = neighbours(even, axis)
        x = (before + 3 * even + 3 * odd + after) / 8
    return x


def neighbours(x: Array, axis: int) -> tuple[Array, Array]:
    """x[i − 1] and x[i + 1] along an axis, zero beyond the edges."""
    pads = [(0, 0)] * x.ndim
    pads[axis] = (1, 1)
    padded = jnp.pad(x, pads)
    size = x.shape[axis]
    return (
        jax.lax.slice_in_dim(padded, 0, size, axis=axis),
        jax.lax.slice_in_dim(padded, 2, size + 2, axis=axis),
    )


def stage_widths(size: int, width: int) -> list[int]:
    """Channels of each stage, from 4x4 pixels up."""
    return [width] * 4 if size == 32 else [width] * 4 + [width // 2]


def total_blocks(size: int) -> int:
    """Residual blocks in one network: L of the gain."""
    return BLOCKS * len(stage_widths(size, 1))


def checked_widths(size: int, width: int, group: int) -> None:
    """Raises ValueError unless every stage has whole groups."""
    checked_choice("size", size, SIZES)
    halves = 2 if size == 64 else 1
    if group < 1:
        raise ValueError(f"group={group}, but a group holds at least 1 channel.")
    if width < 1 or width % halves or (2 * width // halves) % group:
        step = group if halves == 1 else math.lcm(group, halves)
        raise ValueError(
            f"width={width} with group={group} at size {size}: 2·width"
            f"{'/2' if halves == 2 else ''} must be a multiple of group; take a width "
            f"such as {max(1, round(width / step)) * step}."
        )
