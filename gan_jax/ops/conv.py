"""Convolutions of stride 2, up and down: lax's own on accelerators, GEMMs on CPU.

On XLA:CPU three things cost a GAN its time. The kernel gradient of a *dilated*
convolution runs 50-75 times slower than need be, and a GAN meets it in the generator's
transposed convolutions and, under R1 or R2, in the discriminator's derivatives. The
kernel gradient of an ordinary convolution runs at half the rate of a GEMM. And so does
any convolution of three channels. Here a convolution of stride 2 is, on CPU, a sum of
GEMMs whose derivatives, of any order, are GEMMs again, and the transposed convolution
is its transpose.

With k even, an image of c channels is one of 4c channels at half the size (each 2x2
pixels are one position), and the convolution is one of stride 1 with k/2 x k/2 taps:

    y[i] = Σ_t x̃[i + t] k̃[t].

* `by_patches` writes the taps side by side and takes one GEMM. It is for few channels,
  and for any k.
* `by_tiles` is for k = 4, so for two taps along each axis. Two neighbouring outputs
  take three products in place of four,

      y₀ = (x̃₀ − x̃₁) k̃₀ + x̃₁ (k̃₀ + k̃₁)
      y₁ = x̃₁ (k̃₀ + k̃₁) + (x̃₂ − x̃₁) k̃₁,

  and 2x2 outputs nine in place of sixteen: 0.56 of the operations. Its factors are 0
  and ±1, so that it rounds as a direct sum does, to within a few ulp.

Which form is chosen on CPU, and what it gains, is measured in docs/performance.md.
Other platforms get the very program of lax.

References: Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks", 2015, arXiv:1509.09308.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

NHWC = ("NHWC", "HWIO", "NHWC")
FEW = 8  # channels of an image up to which patches are faster than tiles


def conv_transpose(
    x: Float[Array, "n h w c"], kernel: Float[Array, "k k c d"]
) -> Float[Array, "n 2*h 2*w d"]:
    """Transposed convolution of stride 2, padding "SAME", even kernel size k.

    ``y[o] = Σ_i x[i] kernel[2i − o + k/2]`` along each axis of space, which is
    ``lax.conv_transpose(x, kernel, (2, 2), "SAME")``, value and derivatives. It is
    differentiable any number of times in both modes.

    Args:
      x: images.
      kernel: as `flax.linen.ConvTranspose` holds it; of the same dtype as ``x``.

    Raises:
      ValueError: if the kernel is not square and even.
    """
    checked_kernel(kernel, "jax.lax.conv_transpose")
    return lax.platform_dependent(x, kernel, cpu=up, default=native_up)


def conv(
    x: Float[Array, "n h w c"], kernel: Float[Array, "k k c d"]
) -> Float[Array, "n h//2 w//2 d"]:
    """Convolution of stride 2, padding "SAME", even kernel size k, even image.

    ``y[i] = Σ_t x[2i + t − k/2 + 1] kernel[t]`` along each axis of space, which is
    ``lax.conv(x, kernel, (2, 2), "SAME")`` in NHWC, value and derivatives. It is
    differentiable any number of times in both modes.

    Args:
      x: images of even height and width.
      kernel: as `flax.linen.Conv` holds it; of the same dtype as ``x``.

    Raises:
      ValueError: if the kernel is not square and even, or the image is odd.
    """
    checked_kernel(kernel, "jax.lax.conv_general_dilated")
    if x.shape[1] % 2 or x.shape[2] % 2:
        raise ValueError(
            f"conv halves images of even height and width (got {x.shape}); pad them, "
            "or use jax.lax.conv_general_dilated."
        )
    return lax.platform_dependent(x, kernel, cpu=down, default=native_down)


def checked_kernel(kernel: Array, other: str) -> None:
    """Raises ValueError unless the kernel is square and of even size."""
    if kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2:
        raise ValueError(
            "This convolution has a square kernel of even size (got "
            f"{kernel.shape}); use {other} for any other."
        )


def native_up(x: Array, kernel: Array) -> Array:
    """As accelerators run it."""
    return lax.conv_transpose(x, kernel, (2, 2), "SAME")


def native_down(x: Array, kernel: Array) -> Array:
    """As accelerators run it."""
    return lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=NHWC)


def up(x: Array, kernel: Array) -> Array:
    """As CPUs run it: the transpose of `down`."""
    image = jax.eval_shape(native_up, x, kernel)  # also what varies over mapped axes
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    (y,) = jax.linear_transpose(lambda y: down(y, turned, outward=True), image)(x)
    return y


def down(x: Array, kernel: Array, outward: bool = False) -> Array:
    """As CPUs run it.

    Args:
      x, kernel: see `conv`.
      outward: whether the kernel's outputs lie in front of its inputs in memory.
    """
    # A CPU has no bfloat16 to multiply with, and sums of it would be rounded twice.
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    args = x.astype(dtype), kernel.astype(dtype)
    if kernel.shape[0] == 4 and x.shape[-1] > FEW:
        return by_tiles(*args, outward).astype(x.dtype)
    return by_patches(*args).astype(x.dtype)


def by_patches(x: Array, kernel: Array) -> Array:
    """One GEMM of all taps, which are written side by side."""
    n, h, w, _ = x.shape
    taps = kernel.shape[0] // 2
    h, w = h // 2, w // 2
    x = positions(x, taps - 1, (h + taps - 1, w + taps - 1))
    shifts = [(i, j) for i in range(taps) for j in range(taps)]
    patches = jnp.concatenate([x[:, i : i + h, j : j + w] for i, j in shifts], -1)
    y = patches.reshape(n * h * w, -1) @ by_taps(kernel).reshape(
        kernel[..., 0].size, -1
    )
    return y.reshape(n, h, w, -1)


def by_tiles(x: Array, kernel: Array, outward: bool) -> Array:
    """Nine GEMMs for all tiles of 2x2 outputs."""
    n, h, w, c = x.shape
    h, w = h // 2, w // 2
    rows, columns = -(-h // 2), -(-w // 2)  # of tiles
    x = positions(x, 1, (2 * rows + 2, 2 * columns + 2))
    x = x.reshape(n, rows + 1, 2, columns + 1, 2, 4 * c)
    inputs = [differences(row, 2) for row in differences(x, 1)]
    # The GEMM of a kernel gradient is fast if it has the outputs in front, and if they
    # lie there. But turning a large kernel round costs more than that.
    tiles = n * rows * columns
    outward = outward or tiles >= 16 * c
    taps = by_taps(kernel)
    taps = taps.swapaxes(2, 3) if outward else taps
    kernels = [sums(row) for row in sums(taps)]
    contracted = (((1,), (int(outward),)), ((), ()))
    products = [
        [
            lax.dot_general(a.reshape(tiles, 4 * c), b, contracted)
            for a, b in zip(*row, strict=True)
        ]
        for row in zip(inputs, kernels, strict=True)
    ]
    halves = [
        [a + b for a, b in zip(*pair, strict=True)] for pair in pairwise(products)
    ]
    y = jnp.stack(
        [jnp.stack([a + b for a, b in pairwise(row)], 1) for row in halves], 1
    )
    y = y.reshape(n, rows, columns, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
    return y.reshape(n, 2 * rows, 2 * columns, -1)[:, :h, :w]


def positions(x: Array, before: int, shape: tuple[int, int]) -> Array:
    """Each 2x2 pixels as one of 4c channels, with ``before`` zeros above and left."""
    n, h, w, c = x.shape
    rows, columns = shape
    after = 2 * rows - before - h, 2 * columns - before - w
    x = jnp.pad(x, ((0, 0), (before, after[0]), (before, after[1]), (0, 0)))
    x = x.reshape(n, rows, 2, columns, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, rows, columns, 4 * c)


def by_taps(kernel: Array) -> Array:
    """(k, k, c, d) as (k/2, k/2, 4c, d)."""
    k, _, c, d = kernel.shape
    kernel = kernel.reshape(k // 2, 2, k // 2, 2, c, d).transpose(0, 2, 1, 3, 4, 5)
    return kernel.reshape(k // 2, k // 2, 4 * c, d)


def differences(x: Array, axis: int) -> list[Array]:
    """x̃₀ − x̃₁, x̃₁, x̃₂ − x̃₁ of each tile along ``axis``, of pairs of positions.

    Args:
      x: pairs along ``axis``, one more than there are tiles; within a pair along the
        axis behind it.
    """
    first, second = (lax.index_in_dim(x, i, axis + 1, keepdims=False) for i in (0, 1))
    tiles = first.shape[axis] - 1
    x0, x2 = (lax.slice_in_dim(first, i, i + tiles, axis=axis) for i in (0, 1))
    x1 = lax.slice_in_dim(second, 0, tiles, axis=axis)
    return [x0 - x1, x1, x2 - x1]


def sums(taps: Array) -> list[Array]:
    """k̃₀, k̃₀ + k̃₁, k̃₁ along the leading axis."""
    return [taps[0], taps[0] + taps[1], taps[1]]
