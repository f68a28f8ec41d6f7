"""Norms whose scale and shift a vector chooses: an embedded label, a style, or z.

They are y = γ(c) · x̂ + β(c) per channel, with one vector c a sample, and differ in what
x̂ has mean 0 and variance 1 over: the channels of a position (`ConditionalLayerNorm`),
the positions of a channel of one sample (`AdaIN`), or those of a whole batch
(`SelfModulatedNorm`). At the start γ = 1 and β = 0 whatever c is: until the heads are
trained each is its plain norm, bit for bit. `layers.BatchNorm` is their kin for labels.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from gan_jax.networks.layers import BatchNorm, Dense, batch_normalised

HIDDEN = 32  # units between z and the scales: compare_gan's `num_hidden`


class Affine(nn.Module):
    """γ(c) · x + β(c), with γ = 1 + W_γ h, β = W_β h, where h = c or relu(W₁ c + b₁).

    W_γ and W_β are zero at the start. The ones in γ are the start of a learned bias, so
    that γ₀ + A c is what is learned. Computed in float32 at least.

    Attributes:
      hidden: units of the layer that γ and β share; 0 for none, and then h = c.
      dtype: of the outputs; None for that of x.
    """

    hidden: int = 0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Array, c: Array) -> Array:
        checked_vector(c, len(x))
        h = jax.nn.relu(Dense(self.hidden)(c)) if self.hidden else c

        def head(name: str, start: nn.initializers.Initializer) -> Array:
            zeros = nn.initializers.zeros
            dense = nn.Dense(x.shape[-1], kernel_init=zeros, bias_init=start, name=name)
            return jnp.expand_dims(dense(h), tuple(range(1, x.ndim - 1)))

        scale = head("scale", nn.initializers.ones)
        y = scale * x + head("bias", nn.initializers.zeros)
        return y.astype(x.dtype if self.dtype is None else self.dtype)


class ConditionalLayerNorm(nn.Module):
    """y = (γ₀ + A c) · x̂ + β₀ + B c, x̂ normalised over the channels of each position.

    A = B = 0 at the start. A sample's answer depends on that sample only.

    Attributes:
      dtype: of the outputs; statistics are float32.

    Reference: Ba et al., "Layer Normalization", 2016, arXiv:1607.06450; conditional by
    Su Jianlin, 2019, kexue.fm/archives/7124.
    """

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Array, c: Array) -> Array:
        exact = jnp.promote_types(x.dtype, jnp.float32)
        norm = nn.LayerNorm(use_scale=False, use_bias=False, dtype=exact)
        return Affine(dtype=self.dtype or x.dtype)(norm(x), c)


class AdaIN(nn.Module):
    """y = γ(c) · (x − μ) / σ + β(c), with μ and σ of each channel of each sample.

    A sample's answer depends on that sample only. With a constant input and a network
    from z to c it is the StyleGAN generator's norm.

    Attributes:
      dtype: of the outputs; statistics are float32.

    Raises:
      ValueError: for inputs with one position, whose variance is 0.

    Reference: Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive
    Instance Normalization", 2017, arXiv:1703.06868; Karras et al., "A Style-Based
    Generator Architecture for Generative Adversarial Networks", 2018, arXiv:1812.04948.
    """

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Array, c: Array) -> Array:
        if x.size == len(x) * x.shape[-1]:
            raise ValueError(
                f"AdaIN takes statistics over the positions of one sample, but inputs "
                f"of shape {x.shape} have a single one: nothing but β would be left. "
                "Give it images (n, h, w, channels), or take ConditionalLayerNorm."
            )
        exact = jnp.promote_types(x.dtype, jnp.float32)
        # Two passes: one pass loses small variances beside large means.
        norm = nn.InstanceNorm(
            epsilon=1e-5,
            use_scale=False,
            use_bias=False,
            dtype=exact,
            use_fast_variance=False,
        )
        return Affine(dtype=self.dtype or x.dtype)(norm(x), c)


class SelfModulatedNorm(nn.Module):
    """SELF-MOD: BatchNorm whose scale and shift a small network makes of z.

    y = γ(z) · x̂ + β(z) with h = relu(W₁ z + b₁), γ = W_γ h + b_γ, β = W_β h + b_β, and
    b_γ = 1, W_γ = W_β = 0 at the start (N(0, 0.02²) in the authors' code, where it is
    BatchNorm only nearly). z_i changes the scale and shift of sample i alone.

    Attributes:
      dtype: of the outputs; statistics are float32.
      axis_name: the mapped axis over which statistics are global, as in `BatchNorm`.

    Reference: Chen et al., "On Self Modulation for Generative Adversarial Networks",
    2018, arXiv:1810.01365.
    """

    dtype: DTypeLike | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, z: Array, *, train: bool) -> Array:
        exact = jnp.promote_types(x.dtype, jnp.float32)
        y = batch_normalised(x, False, exact, self.axis_name, train)
        return Affine(HIDDEN, self.dtype or x.dtype)(y, z)


def rectified(
    h: Array,
    label: Array | None,
    style: Array,
    *,
    norm: str | None,
    classes: int = 0,
    dtype: DTypeLike | None,
    axis_name: str | None,
    train: bool,
) -> Array:
    """relu(norm(h)), a generator's norm within the layer that calls, which is compact.

    Args:
      h: features.
      label: what chooses the scale and shift of "batch" if there are classes.
      style: what chooses those of "self".
      norm: "batch" (`BatchNorm`), "self" (`SelfModulatedNorm`) or None.
      classes, dtype, axis_name, train: see `BatchNorm`.
    """
    if norm == "self":
        h = SelfModulatedNorm(dtype, axis_name)(h, style, train=train)
    elif norm is not None:
        h = BatchNorm(classes, dtype, axis_name)(h, label, train=train)
    return jax.nn.relu(h)


class LabelledLatent(nn.Module):
    """z' = z + E(label) + E'(label) · z: the vector of a conditional SELF-MOD.

    E = E' = 0 at the start, and z' = z.

    Reference: Chen et al., 2018, arXiv:1810.01365.
    """

    classes: int

    @nn.compact
    def __call__(self, z: Array, label: Array) -> Array:
        shape = (self.classes, z.shape[-1])
        shift = self.param("shift", nn.initializers.zeros, shape)[label]
        scale = self.param("scale", nn.initializers.zeros, shape)[label]
        return z + shift + scale * z


def checked_vector(c: Array, n: int) -> None:
    """Raises ValueError unless ``c`` is (n, size) of floats."""
    if c.shape[:1] != (n,) or c.ndim != 2 or not jnp.issubdtype(c.dtype, jnp.floating):
        raise ValueError(
            f"the scale and shift are chosen by a floating array of shape ({n}, size), "
            f"one vector per sample; got {c.dtype} of shape {c.shape}. Embed labels."
        )
