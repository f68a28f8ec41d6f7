"""What the networks share: spectral norm, conditional BatchNorm, projection, checks.

A layer here is a pure function of parameters, stats and inputs. Parameters and stats
are float32; ``dtype`` is what the layer computes in (None: the inputs' own). Two
collections of stats exist: "batch_stats" (BatchNorm) and "spectral" (u and v).

Spectral norm is our own because `flax.linen.SpectralNorm` does one more power iteration
at every call that does not train and drops its result, so that a network evaluates
weights which are neither those of its last step nor those of any stored vector.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike

from gan_jax.numerics import rows
from gan_jax.ops.conv import conv, conv1x1, conv3x3, conv_transpose
from gan_jax.ops.grouped import grouped_conv
from gan_jax.stop import stop

Initializer = Callable[..., Any]


def leaky_relu(x: Array) -> Array:
    """LeakyReLU with the slope 0.2 of the GAN literature."""
    return jax.nn.leaky_relu(x, 0.2)


def spectral_norm(module: nn.Module, weight: Array, train: bool) -> Array:
    """W̄ = W / σ, with σ = uᵀWv for the vectors u, v that ``module`` carries.

    W is the weight as a matrix (all other axes, out). A call in training does exactly
    one power iteration, v ← Wᵀu / ‖Wᵀu‖, u ← Wv / ‖Wv‖, and stores both; any other call
    uses both as they are stored. Neither passes a gradient, so
    ∂L/∂W = (G − ⟨G, W̄⟩ uvᵀ) / σ with G = ∂L/∂W̄. A zero weight stays zero.

    Args:
      module: the layer that owns the weight; u and v lie in its collection "spectral".
      weight: float32, the outputs on the last axis.
      train: whether to iterate and store.

    Reference: Miyato et al., "Spectral Normalization for Generative Adversarial
    Networks", 2018, arXiv:1802.05957, algorithm 1.
    """
    matrix = weight.reshape(-1, weight.shape[-1])
    fixed = matrix.astype(jnp.float32)

    def start() -> Array:
        key = module.make_rng("params")
        return unit(jax.random.normal(key, fixed.shape[:1], jnp.float32))

    u_stored = module.variable("spectral", "u", start)
    v_stored = module.variable("spectral", "v", lambda: unit(u_stored.value @ fixed))
    u, v = u_stored.value, v_stored.value
    if train and not module.is_initializing():
        v = unit(u @ fixed)
        u = unit(fixed @ v)
        u_stored.value, v_stored.value = u, v
    u, v = stop((u, v))
    sigma = u @ matrix @ v
    return weight / jnp.where(sigma == 0, 1.0, sigma)


def unit(x: Array) -> Array:
    """x / ‖x‖; zero stays zero."""
    return x / jnp.maximum(jnp.linalg.norm(x), 1e-12)


class Conv(nn.Module):
    """A convolution, padding "SAME", whose kernel may be spectrally normalised.

    Its kernel is that of `flax.linen.Conv`: (k, k, in / groups, features).
    """

    features: int
    size: int = 3
    stride: int = 1
    groups: int = 1
    use_bias: bool = True
    spectral: bool = False
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        if self.spectral:
            kernel = spectral_norm(self, kernel, train)
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        even = self.size % 2 == x.shape[1] % 2 == x.shape[2] % 2 == 0
        # The same values by all ways, the first three faster on CPU.
        if self.stride == 2 and self.groups == 1 and even:
            y = conv(x, kernel)
        elif self.stride == 1 and self.groups == 1 and self.size == 3:
            y = conv3x3(x, kernel)
        elif self.stride == 1 and self.groups == 1 and self.size == 1:
            y = conv1x1(x, kernel)
        else:
            y = grouped_conv(x, kernel, self.groups, self.stride)
        return biased(self, y) if self.use_bias else y


class ConvTranspose(nn.Module):
    """A transposed convolution of stride 2, padding "SAME".

    Its parameters are those of ``flax.linen.ConvTranspose(features, (k, k), (2, 2))``;
    the convolution is `gan_jax.ops.conv.conv_transpose`.
    """

    features: int
    size: int = 4
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        y = conv_transpose(x, kernel)
        return biased(self, y) if self.use_bias else y


class Dense(nn.Module):
    """A dense layer whose kernel may be spectrally normalised."""

    features: int
    use_bias: bool = True
    spectral: bool = False
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        if self.spectral:
            kernel = spectral_norm(self, kernel, train)
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        y = x @ kernel
        return biased(self, y) if self.use_bias else y


def biased(layer: nn.Module, y: Array) -> Array:
    """y + b, with b the parameter "bias" of ``layer``, one number a channel."""
    bias = layer.param("bias", nn.initializers.zeros, (y.shape[-1],))
    return y + bias.astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))


class BatchNorm(nn.Module):
    """BatchNorm, its scale γ and shift β chosen by the label if there are classes.

    y = γ(label) · (x − mean) / √(var + 1e-5) + β(label), per channel, with γ = 1 and
    β = 0 at the start: until trained it is plain BatchNorm bit for bit. The averages
    kept for evaluation move by a tenth a call, as in the DCGAN code.

    Attributes:
      classes: number of classes; 0 for plain BatchNorm.
      dtype: of the outputs; statistics are float32.
      axis_name: the mapped axis over which statistics are global, under pmap or
        shard_map. Under jit with shardings they are global without it.

    Reference: de Vries et al., "Modulating early visual processing by language", 2017,
    arXiv:1707.00683, and Dumoulin et al., 2017, arXiv:1610.07629.
    """

    classes: int = 0
    dtype: DTypeLike | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool) -> Array:
        if self.classes == 0:
            return batch_normalised(x, True, self.dtype, self.axis_name, train)
        # A conditional affine map is applied in float32, as the plain one is within
        # flax: in bfloat16, rounding before it would differ from rounding after it.
        exact = jnp.promote_types(x.dtype, jnp.float32)
        y = batch_normalised(x, False, exact, self.axis_name, train)
        shape = (self.classes, x.shape[-1])
        scale = self.param("scale", nn.initializers.ones, shape)[label]
        bias = self.param("bias", nn.initializers.zeros, shape)[label]
        between = tuple(range(1, x.ndim - 1))
        y = y * jnp.expand_dims(scale, between) + jnp.expand_dims(bias, between)
        return y.astype(x.dtype if self.dtype is None else self.dtype)


def batch_normalised(
    x: Array, affine: bool, dtype: DTypeLike | None, axis_name: str | None, train: bool
) -> Array:
    """flax's BatchNorm as the part "norm" of the layer that calls, which is compact."""
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        use_scale=affine,
        use_bias=affine,
        dtype=dtype,
        axis_name=axis_name,
        name="norm",
    )(x)


class Projection(nn.Module):
    """⟨e_y, h⟩: what a label adds to the logit of a projection discriminator.

    Reference: Miyato and Koyama, "cGANs with Projection Discriminator", 2018,
    arXiv:1802.05637.
    """

    classes: int
    spectral: bool = False
    embedding_init: Initializer = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(self, h: Array, label: Array, train: bool = False) -> Array:
        # NaN for a label of no class, so that no step is taken. Norms index their own:
        # with `rows` they would begin with other last digits than without classes.
        shape = (self.classes, h.shape[-1])
        table = self.param("embedding", self.embedding_init, shape)
        if self.spectral:
            table = spectral_norm(self, table, train)
        return (rows(table, label) * h).sum(-1)


def checked_label(label: Array | None, classes: int, n: int) -> None:
    """Raises ValueError unless a label of shape (n,) is given exactly where wanted."""
    if label is None:
        if classes:
            raise ValueError(
                f"This network has classes={classes} and was given no label: pass int "
                "labels of shape (n,) as the second input."
            )
        return
    if not classes:
        raise ValueError(
            "This network has classes=0 and was given a label: build it with the "
            "number of classes, or call it without a label."
        )
    if label.shape != (n,) or not jnp.issubdtype(label.dtype, jnp.integer):
        raise ValueError(
            f"A label is an integer array of shape ({n},), one entry per sample; got "
            f"{label.dtype} of shape {label.shape}."
        )


def checked_latent(z: Array) -> None:
    """Raises ValueError unless ``z`` is (n, latent)."""
    if z.ndim != 2:
        raise ValueError(f"A latent is an array of shape (n, latent); got {z.shape}.")


def checked_images(x: Array, size: int) -> None:
    """Raises ValueError unless ``x`` is float images (n, size, size, channels)."""
    if x.ndim != 4 or x.shape[1:3] != (size, size):
        raise ValueError(
            f"This discriminator takes images of shape (n, {size}, {size}, channels); "
            f"got {x.shape}. Pad or resize them, or build it with another size."
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"A discriminator takes floating-point images in [-1, 1]; got {x.dtype}. "
            "Convert bytes by x / 127.5 - 1."
        )


def checked_choice(name: str, given: object, offered: tuple[object, ...]) -> None:
    """Raises ValueError unless ``given`` is one of ``offered``."""
    if given not in offered:
        raise ValueError(
            f"{name}={given!r} is not offered; choose one of "
            f"{', '.join(map(repr, offered))}."
        )
