"""Convolutions of stride 2, up and down, whose derivatives are fast on CPU too.

The kernel gradient of a *dilated* convolution runs 50-75 times slower than need be on
XLA:CPU, and a GAN meets it twice: in every step as the kernel gradient of the
generator's transposed convolutions, and under R1 or R2 where the input gradient of the
discriminator, a dilated convolution, is differentiated in its kernel. Both operations
here are bilinear, so each rule below is two halves. Reverse mode transposes a half;
on CPU a half is written in a form whose transpose avoids the slow convolution. Values
and FLOPs are those of lax, and other platforms get the very program of lax.

Measured on two shared and busy cores (AVX-512), float32, batch 32, kernel 4x4, medians
of interleaved calls, in ms: forward and both gradients of one layer of DCGAN, and the
kernel gradient of ‖∂D/∂x‖² through one layer.

    `conv_transpose`           lax   this   as 4 phases
    4 to 8,   256 to 128       179   12.1          11.4
    8 to 16,  128 to 64        231   11.6          10.9
    16 to 32, 64 to 32         259   17.0          14.0
    32 to 64, 32 to 3           54    6.7          12.7

    `conv`                     lax   this   R1 of lax   R1 of this
    64 to 32, 3 to 32          7.3    9.7          70           31
    32 to 16, 32 to 64        16.8   15.3         300           41
    16 to 8,  64 to 128       10.9   10.1         251           23
    8 to 4,   128 to 256      10.3    9.7         185           21

Also tried for the way up: a 3x3 convolution to 4C channels (2.0-2.2 times the FLOPs,
1.5-2 times the time) and two forms as one GEMM (1.04-2 times the FLOPs; each is the
fastest in one layer, and two to four times slower in another).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Float

Bilinear = Callable[[Array, Array], Array]

NHWC = ("NHWC", "HWIO", "NHWC")


def conv_transpose(
    x: Float[Array, "n h w c"], kernel: Float[Array, "k k c d"]
) -> Float[Array, "n 2*h 2*w d"]:
    """Transposed convolution of stride 2, padding "SAME", even kernel size k.

    ``y[o] = Σ_i x[i] kernel[2i − o + k/2]`` along each axis of space, which is
    ``lax.conv_transpose(x, kernel, (2, 2), "SAME")``, value and derivatives. It is
    differentiable any number of times in both modes; on CPU, forward mode in the
    kernel is exact but slow.

    Args:
      x: images.
      kernel: as `flax.linen.ConvTranspose` holds it; of the same dtype as ``x``.

    Raises:
      ValueError: if the kernel is not square and even.
    """
    checked_kernel(kernel, "jax.lax.conv_transpose")
    return _conv_transpose(x, kernel)


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
    return _conv(x, kernel)


def checked_kernel(kernel: Array, other: str) -> None:
    """Raises ValueError unless the kernel is square and of even size."""
    if kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2:
        raise ValueError(
            "This convolution has a square kernel of even size (got "
            f"{kernel.shape}); use {other} for any other."
        )


def bilinear(native: Bilinear, in_x: Bilinear, in_kernel: Bilinear) -> Bilinear:
    """``native``, with other forms of it to be transposed on CPU.

    Args:
      native: (x, kernel) -> y, as it runs on every platform.
      in_x: the same map, in a form whose transpose in x is fast on CPU.
      in_kernel: the same map, in a form whose transpose in the kernel is.
    """

    @jax.custom_jvp
    def function(x: Array, kernel: Array) -> Array:
        return native(x, kernel)

    def half(form: Bilinear, x: Array, kernel: Array) -> Array:
        if form is native:
            return native(x, kernel)
        return lax.platform_dependent(x, kernel, cpu=form, default=native)

    def jvp(
        primals: tuple[Array, Array],
        tangents: tuple[Array | SymbolicZero, Array | SymbolicZero],
    ) -> tuple[Array, Array]:
        x, kernel = primals
        x_dot, kernel_dot = tangents
        y = function(x, kernel)
        y_dot = jnp.zeros_like(y)
        if not isinstance(x_dot, SymbolicZero):
            y_dot += half(in_x, x_dot, kernel)
        if not isinstance(kernel_dot, SymbolicZero):
            y_dot += half(in_kernel, x, kernel_dot)
        return y, y_dot

    function.defjvp(jvp, symbolic_zeros=True)
    return function


def _native_up(x: Array, kernel: Array) -> Array:
    return lax.conv_transpose(x, kernel, (2, 2), "SAME")


def _native_down(x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=NHWC)


def _kernel_as_image(x: Array, kernel: Array) -> Array:
    """The way up with the kernel as the image, and the images as dilated kernels.

    A convolution commutes with the exchange of its operands. In this form its transpose
    in ``kernel`` is ``conv(cotangent, x, rhs_dilation=2)``, the kernel gradient of an
    ordinary stride-2 convolution, which XLA:CPU does well.
    """
    size = kernel.shape[0]
    pads = []
    for extent in x.shape[1:3]:
        reach = 2 * (extent - 1)
        low = reach - size // 2 + 1
        pads.append((low, 2 * extent + reach - size - low))
    return lax.conv_general_dilated(
        kernel[::-1, ::-1],
        x[:, ::-1, ::-1],
        (1, 1),
        pads,
        rhs_dilation=(2, 2),
        # (batch, feature, rows, columns) as axes: the kernel's outputs are the batch of
        # the image, and the batch of x is the outputs of the convolution.
        dimension_numbers=lax.ConvDimensionNumbers(
            lhs_spec=(3, 2, 0, 1), rhs_spec=(0, 3, 1, 2), out_spec=(3, 0, 1, 2)
        ),
    )


def _by_parity(x: Array, kernel: Array) -> Array:
    """The way down as four convolutions of stride 1, one for each parity of pixels.

    Even taps meet pixels of one parity only, odd taps those of the other. Without a
    stride, no derivative of any order has a dilation.
    """
    taps = kernel.shape[0] // 2
    axis = []  # for each parity of taps: that of the pixels, and the padding
    for parity in (0, 1):
        pixels = (parity + taps - 1) % 2
        low = (taps - 1 + pixels - parity) // 2
        axis.append((pixels, (low, taps - 1 - low)))
    n, h, w, c = x.shape
    pairs = x.reshape(n, h // 2, 2, w // 2, 2, c)
    # A split transposes to one concatenation, where slices would add four images.
    quarters = [
        [part.reshape(n, h // 2, w // 2, c) for part in lax.split(half, (1, 1), 4)]
        for half in lax.split(pairs, (1, 1), 2)
    ]
    parts = [
        lax.conv_general_dilated(
            quarters[row][column],
            kernel[p::2, q::2],
            (1, 1),
            (row_pads, column_pads),
            dimension_numbers=NHWC,
        )
        for p, (row, row_pads) in enumerate(axis)
        for q, (column, column_pads) in enumerate(axis)
    ]
    return sum(parts[1:], parts[0])


_conv_transpose = bilinear(_native_up, _native_up, _kernel_as_image)
_conv = bilinear(_native_down, _by_parity, _native_down)
