"""Grouped convolutions: lax's own on accelerators, one convolution a group on CPU.

    y[..., g] = x[..., g] * kernel[..., g],  for each group g of channels.

XLA:CPU has no fast program for the kernel gradient of a grouped convolution: with 64
channels in 4 groups at 32x32 it took 25 times as long, forward and both gradients, as
four convolutions of 16 channels, and 33 times with a penalty on slopes; see
docs/performance.md. Other platforms get the very program of lax.
"""

from functools import partial

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from gan_jax.ops.conv import NHWC
from gan_jax.ops.few_channels import same
from gan_jax.ops.linear import in_memory

# As many convolutions are compiled as there are groups. With more groups than this a
# network is wider than a CPU can train, and compiling would take minutes.
MOST = 16


def grouped_conv(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "k k c_group d"],
    groups: int,
    stride: int = 1,
) -> Float[Array, "n _ _ d"]:
    """Convolution in groups of channels, padding "SAME".

    ``lax.conv_general_dilated(x, kernel, ..., feature_group_count=groups)`` in NHWC,
    value and derivatives, differentiable any number of times in both modes.

    Args:
      x: images.
      kernel: as `flax.linen.Conv` holds it; of the same dtype as ``x``.
      groups: into how many the channels of ``x`` and of the outputs are divided.
      stride: of the outputs, along both axes of space.
    """
    native = partial(in_groups, groups=groups, stride=stride)
    if not 1 < groups <= MOST:
        return native(x, kernel)
    apart = partial(one_by_one, groups=groups, stride=stride)
    return lax.platform_dependent(x, kernel, cpu=apart, default=native)


def in_groups(x: Array, kernel: Array, groups: int, stride: int) -> Array:
    """As accelerators run it."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=NHWC,
        feature_group_count=groups,
    )


def one_by_one(x: Array, kernel: Array, groups: int, stride: int) -> Array:
    """As CPUs run it."""
    # In memory, or what x is made of would be computed anew for every group, in loops
    # that turn it; and so would y's cotangent.
    xs, kernels = jnp.split(in_memory(x), groups, -1), jnp.split(kernel, groups, -1)
    k, other, *_ = kernel.shape
    plain = stride == 1 and k == other and k % 2
    one = same if plain else partial(in_groups, groups=1, stride=stride)
    ys = [one(*pair) for pair in zip(xs, kernels, strict=True)]
    return in_memory(jnp.concatenate(ys, -1))
