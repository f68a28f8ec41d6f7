"""Convolutions of a GAN's networks: lax's own on accelerators, GEMMs on CPU.

On XLA:CPU the kernel gradient of a *dilated* convolution runs 50-75 times slower than
need be, and a GAN meets it in the generator's transposed convolutions and, under R1 or
R2, in the discriminator's derivatives; other convolutions run at half the rate of a
GEMM, or on one core. Here a convolution is, on CPU, a sum of GEMMs whose derivatives,
of any order, are GEMMs again, and the transposed convolution is its transpose.

* A kernel of 3x3 and stride 1, of many channels, goes by tiles: 36 products for 144,
  see `gan_jax.ops.tiles`.
* With stride 2 and k even, an image of c channels is one of 4c channels at half the
  size (each 2x2 pixels are one position), and the convolution one of stride 1 with
  k/2 x k/2 taps, ``y[i] = Σ_t x̃[i + t] k̃[t]``. For k = 4 it goes by tiles, fifteen
  products for 32; of few channels, or for any other k, by patches, which are all taps
  side by side, in one GEMM.

Which form is chosen on CPU, and what it gains, is measured in docs/performance.md.
Other platforms get the very program of lax.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from gan_jax.ops.linear import in_memory, linear
from gan_jax.ops.products import product
from gan_jax.ops.tiles import by_tiles, filled, overlapped

NHWC = ("NHWC", "HWIO", "NHWC")
FEW = 8  # channels of an image up to which patches are faster than tiles
MANY = 16  # channels, in and out, from which on tiles are faster than lax's own 3x3


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


def conv3x3(
    x: Float[Array, "n h w c"], kernel: Float[Array, "3 3 c d"]
) -> Float[Array, "n h w d"]:
    """Convolution of stride 1, padding "SAME", with a kernel of 3x3.

    ``lax.conv(x, kernel, (1, 1), "SAME")`` in NHWC, value and derivatives. It is
    differentiable any number of times in both modes.

    Args:
      x: images.
      kernel: as `flax.linen.Conv` holds it; of the same dtype as ``x``.
    """
    *_, c, d = kernel.shape
    if d <= FEW < c:
        on_cpu = few_outputs
    elif min(c, d) >= MANY:
        on_cpu = same
    else:
        return native_same(x, kernel)
    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=native_same)


def conv1x1(
    x: Float[Array, "n h w c"], kernel: Float[Array, "1 1 c d"]
) -> Float[Array, "n h w d"]:
    """Convolution of stride 1 with a kernel of 1x1: one GEMM over all pixels.

    Args:
      x: images.
      kernel: as `flax.linen.Conv` holds it; of the same dtype as ``x``.
    """
    return lax.platform_dependent(x, kernel, cpu=over_pixels, default=native_same)


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


def native_same(x: Array, kernel: Array) -> Array:
    """As accelerators run it."""
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC)


def same(x: Array, kernel: Array) -> Array:
    """As CPUs run it."""
    args = in_full(x, kernel)
    return by_tiles(*args, (x.shape[1], x.shape[2]), border=1).astype(x.dtype)


def few_outputs(x: Array, kernel: Array) -> Array:
    """As CPUs run it to few channels: one GEMM, and sums of what falls together."""
    x, full = in_full(x, kernel)
    *_, c, d = kernel.shape
    turned = full[::-1, ::-1].transpose(2, 0, 1, 3).reshape(c, 9 * d)
    image = jax.eval_shape(native_same, x, full)  # also what varies over mapped axes
    products = product(x.reshape(-1, c), turned).reshape(*x.shape[:3], 9 * d)
    (y,) = jax.linear_transpose(windows, image)(products)
    return y.astype(kernel.dtype)


def windows(x: Array) -> Array:
    """The 3x3 pixels around each one, (n, h, w, 9 c)."""
    n, h, w, c = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [x[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
    return in_memory(jnp.stack(taps, 3)).reshape(n, h, w, 9 * c)


def over_pixels(x: Array, kernel: Array) -> Array:
    """As CPUs run it."""
    n, h, w, c = x.shape
    pixels, matrix = in_full(x.reshape(-1, c), kernel[0, 0])
    return product(pixels, matrix).reshape(n, h, w, -1).astype(x.dtype)


def up(x: Array, kernel: Array) -> Array:
    """As CPUs run it: the transpose of `down`."""
    image = jax.eval_shape(native_up, x, kernel)  # also what varies over mapped axes
    turned = kernel[::-1, ::-1]
    (y,) = jax.linear_transpose(lambda y: down(y, turned, swapped=True), image)(x)
    return y


def down(x: Array, kernel: Array, swapped: bool = False) -> Array:
    """As CPUs run it; a ``swapped`` kernel has its outputs before its inputs."""
    x, full = in_full(x, kernel)
    if kernel.shape[0] == 4 and x.shape[-1] > FEW:
        return by_positions(x, full, swapped).astype(kernel.dtype)
    full = full.swapaxes(2, 3) if swapped else full
    return by_patches(x, full).astype(kernel.dtype)


def in_full(x: Array, kernel: Array) -> tuple[Array, Array]:
    """In float32 at least.

    A CPU has no bfloat16 to multiply with, and sums of it would be rounded twice.
    """
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    return x.astype(dtype), kernel.astype(dtype)


def by_patches(x: Array, kernel: Array) -> Array:
    """One GEMM of all taps, which are written side by side."""
    n, h, w, _ = x.shape
    taps = kernel.shape[0] // 2
    maps = partial(patches, taps), partial(unpatched, taps, x.shape)
    (taken,) = linear(*maps, x)
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return (taken.reshape(-1, len(matrix)) @ matrix).reshape(n, h // 2, w // 2, -1)


def patches(taps: int, x: Array) -> list[Array]:
    """What each output is made of: (n, h / 2, w / 2, taps, 2, taps, 2 c).

    Args:
      taps: half the side of the kernel.
      x: (n, h, w, c).
    """
    n, h, w, c = x.shape
    h, w, border = h // 2, w // 2, (taps - 1, taps - 1)
    x = jnp.pad(x, ((0, 0), border, border, (0, 0)))
    x = x.reshape(n, h + taps - 1, 2, w + taps - 1, 2 * c)
    taken = jnp.stack(
        [
            jnp.stack([x[:, i : i + h, :, j : j + w] for j in range(taps)], 4)
            for i in range(taps)
        ],
        2,
    )  # (n, h, i, 2, w, j, 2 c)
    return [in_memory(taken.transpose(0, 1, 4, 2, 3, 5, 6))]


def unpatched(taps: int, shape: tuple[int, ...], taken: Array) -> list[Array]:
    """The transpose of `patches`: to ``shape``."""
    n, h, w, c = shape
    border = taps - 1
    rows = [
        overlapped([taken[:, :, :, i, :, j] for j in range(taps)], 2)
        for i in range(taps)
    ]
    x = in_memory(overlapped(rows, 1).swapaxes(2, 3))  # (n, h', 2, w', 2 c)
    x = x.reshape(n, h + 2 * border, w + 2 * border, c)
    return [x[:, border : border + h, border : border + w]]


def by_positions(x: Array, kernel: Array, swapped: bool) -> Array:
    """By tiles, as a convolution of stride 1 with two taps along each axis."""
    n, h, w, c = x.shape
    size = (h // 2, w // 2)
    shape = (n, *filled(2, size), 4 * c)
    (x,) = linear(partial(positions, shape), partial(pixels, x.shape), x)
    maps = partial(two_taps, swapped), partial(four_taps, swapped)
    (kernel,) = linear(*maps, kernel)
    return by_tiles(x, kernel, size, swapped=True)


def two_taps(swapped: bool, kernel: Array) -> list[Array]:
    """A kernel for positions of 4c channels: (2, 2, d, 4 c), outputs first.

    They are the shorter side where an image has half as many channels as the next, as
    in every DCGAN, see `gan_jax.ops.products`.

    Args:
      swapped: whether the kernel has its outputs first already.
      kernel: (4, 4, c, d), or (4, 4, d, c).
    """
    order = (0, 2, 4, 1, 3, 5) if swapped else (0, 2, 5, 1, 3, 4)
    kernel = kernel.reshape(2, 2, 2, 2, *kernel.shape[2:]).transpose(order)
    return [in_memory(kernel).reshape(*kernel.shape[:3], -1)]


def four_taps(swapped: bool, kernel: Array) -> list[Array]:
    """The transpose of `two_taps`."""
    order = (0, 3, 1, 4, 2, 5) if swapped else (0, 3, 1, 4, 5, 2)
    d, c = kernel.shape[2], kernel.shape[3] // 4
    kernel = in_memory(kernel).reshape(2, 2, d, 2, 2, c).transpose(order)
    return [in_memory(kernel).reshape(4, 4, *kernel.shape[4:])]


def positions(shape: tuple[int, ...], x: Array) -> list[Array]:
    """Each 2x2 pixels as one of 4c channels; a zero pixel lies above and to the left.

    Args:
      shape: of the result, (n, rows, columns, 4 c).
      x: (n, h, w, c).
    """
    n, h, w, c = x.shape
    _, rows, columns, _ = shape
    after = 2 * rows - 1 - h, 2 * columns - 1 - w
    x = jnp.pad(x, ((0, 0), (1, after[0]), (1, after[1]), (0, 0)))
    x = x.reshape(n, rows, 2, columns, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return [in_memory(x).reshape(shape)]


def pixels(shape: tuple[int, ...], x: Array) -> list[Array]:
    """The transpose of `positions`: back to images of ``shape``."""
    n, h, w, c = shape
    _, rows, columns, _ = x.shape
    x = x.reshape(n, rows, columns, 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return [x.reshape(n, 2 * rows, 2 * columns, c)[:, 1 : 1 + h, 1 : 1 + w]]
