"""The Inception network that FID is defined by, for weights that the user has.

It is InceptionV3 as TensorFlow published it in December 2015, which is not the one of
today's libraries: its average pools leave the padding out of the mean, the last block
pools by the maximum, it has 1008 outputs, and images are enlarged to 299 pixels by
TensorFlow 1's bilinear rule. No weights come with this package, and none are fetched.
docs/inception.md says how to convert those that FID is quoted with.

Reference: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
2015, arXiv:1512.00567; Heusel et al., "GANs Trained by a Two Time-Scale Update Rule
Converge to a Local Nash Equilibrium", 2017, arXiv:1706.08500.
"""

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from gan_jax.evaluate.features.record import Features, named
from gan_jax.evaluate.features.weights import (
    checked_shapes,
    file_sha256,
    read_weights,
)

SIDE = 299  # pixels that the network was trained for
POOL3, CLASSES = 2048, 1008
EPSILON = 1e-3  # of its batch norms
PREPROCESSING = "TF1 bilinear to 299, (x - 128) / 128"


class Layer(NamedTuple):
    """A convolution without bias, then a batch norm, then ReLU.

    Attributes:
      name: as PyTorch's ports call it.
      inputs, outputs: channels.
      kernel: height and width.
      stride: along both axes.
      same: whether the image keeps its size; otherwise no pixel is padded.
    """

    name: str
    inputs: int
    outputs: int
    kernel: tuple[int, int]
    stride: int = 1
    same: bool = True


Params = Mapping[str, tuple[Float[Array, "kh kw c d"], Float[Array, " d"]]]


def inception(
    path: str | os.PathLike[str], sha256: str | None = None, *, batch: int = 32
) -> Features:
    """The 2048 features before the last layer, which FID and KID are made of.

    The logits are those of the inception score: of the 1008 outputs without their bias,
    as in its authors' code. Grey images are taken for three equal channels.

    Args:
      path: a .safetensors or .npz file with the arrays of `inception_shapes`.
      sha256: of the file, where the caller knows it; another file is refused.
      batch: images at once; each takes some 20 MB.

    Returns:
      Features that are called by the file's own SHA-256, so that a figure says which
      weights it rests on.

    Raises:
      ValueError: for a file of another kind, with other arrays, or another SHA-256.
    """
    digest = file_sha256(path)
    if sha256 is not None and sha256.lower() != digest:
        raise ValueError(
            f"{path} has the SHA-256 {digest}, but {sha256} is wanted: these are other "
            "weights, or the file is damaged. Convert it anew (docs/inception.md)."
        )
    # Counts of batches say nothing to a network that is not trained.
    arrays = {
        name: array
        for name, array in read_weights(path).items()
        if not name.endswith("num_batches_tracked")
    }
    checked_shapes(arrays, inception_shapes(), str(path))
    params = folded(arrays)
    kernel = arrays["fc.weight"].astype(np.float32).T
    run = jax.jit(lambda params, images: pool3(params, prepared(images)))

    def function(images: np.ndarray) -> Array:
        return run(params, _in_colour(images))

    def head(features: np.ndarray) -> np.ndarray:
        return features @ kernel

    name = named("inception-v3-2015", digest)
    return Features(name, digest, PREPROCESSING, POOL3, function, head, batch)


def layers() -> tuple[Layer, ...]:
    """The 94 convolutions in the order of their names in the network."""
    return tuple(_layers())


def inception_shapes() -> dict[str, tuple[int, ...]]:
    """The arrays that a file must hold, under the names of PyTorch's ports."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers():
        shapes[f"{layer.name}.conv.weight"] = (
            layer.outputs,
            layer.inputs,
            *layer.kernel,
        )
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{layer.name}.bn.{part}"] = (layer.outputs,)
    return shapes | {"fc.weight": (CLASSES, POOL3), "fc.bias": (CLASSES,)}


def folded(arrays: Mapping[str, np.ndarray]) -> Params:
    """Kernels and biases into which the batch norms' fixed numbers are multiplied.

    ``s = gamma / sqrt(var + 0.001)``, kernel ``s W`` and bias ``beta - s mean``.
    """
    params = {}
    for layer in layers():
        parts = ("weight", "bias", "running_mean", "running_var")
        gamma, beta, mean, var = (
            arrays[f"{layer.name}.bn.{part}"].astype(np.float64) for part in parts
        )
        scale = gamma / np.sqrt(var + EPSILON)
        kernel = arrays[f"{layer.name}.conv.weight"].transpose(2, 3, 1, 0) * scale
        bias = beta - scale * mean
        params[layer.name] = (
            jnp.asarray(kernel, jnp.float32),
            jnp.asarray(bias, jnp.float32),
        )
    return params


def prepared(images: Array) -> Float[Array, "n 299 299 3"]:
    """Pixels 0 .. 255 as the network wants them: enlarged, about [-1, 1]."""
    x = images.astype(jnp.float32)
    for axis in (1, 2):
        x = _resized(x, axis)
    return (x - 128) / 128


def pool3(params: Params, x: Float[Array, "n h w 3"]) -> Float[Array, "n 2048"]:
    """The mean over space of what the last block gives.

    Args:
      params: from `folded`.
      x: of `prepared`; any size from 75 pixels on goes through.
    """
    by_name = {layer.name: layer for layer in layers()}

    def conv(name: str, x: Array) -> Array:
        layer, (kernel, bias) = by_name[name], params[name]
        y = lax.conv_general_dilated(
            x,
            kernel,
            (layer.stride, layer.stride),
            "SAME" if layer.same else "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision="highest",  # a TPU would otherwise multiply in bfloat16
        )
        return jax.nn.relu(y + bias.reshape(1, 1, 1, -1))

    def chain(x: Array, *names: str) -> Array:
        for name in names:
            x = conv(name, x)
        return x

    x = chain(x, "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3")
    x = _max_pool(x, 2)
    x = _max_pool(chain(x, "Conv2d_3b_1x1", "Conv2d_4a_3x3"), 2)
    for block, branches in BLOCKS.items():
        outs = []
        for branch in branches:
            y = POOLS[branch.pool](x) if branch.pool else x
            y = chain(y, *(f"{block}.{name}" for name in branch.names))
            outs += [conv(f"{block}.{name}", y) for name in branch.fork] or [y]
        x = jnp.concatenate(outs, axis=-1)
    return x.mean(axis=(1, 2))


class Branch(NamedTuple):
    """One way through a block.

    Attributes:
      names: of the layers that follow each other.
      fork: two more, side by side, after those.
      pool: what comes before all of them.
    """

    names: tuple[str, ...] = ()
    fork: tuple[str, ...] = ()
    pool: str = ""


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}_{i + 1}" for i in range(count))


_A = (
    Branch(("branch1x1",)),
    Branch(_numbered("branch5x5", 2)),
    Branch(_numbered("branch3x3dbl", 3)),
    Branch(("branch_pool",), pool="mean"),
)
_B = (
    Branch(("branch3x3",)),
    Branch(_numbered("branch3x3dbl", 3)),
    Branch(pool="half"),
)
_C = (
    Branch(("branch1x1",)),
    Branch(_numbered("branch7x7", 3)),
    Branch(_numbered("branch7x7dbl", 5)),
    Branch(("branch_pool",), pool="mean"),
)
_D = (
    Branch(_numbered("branch3x3", 2)),
    Branch(_numbered("branch7x7x3", 4)),
    Branch(pool="half"),
)
_E = (
    Branch(("branch1x1",)),
    Branch(("branch3x3_1",), ("branch3x3_2a", "branch3x3_2b")),
    Branch(_numbered("branch3x3dbl", 2), ("branch3x3dbl_3a", "branch3x3dbl_3b")),
    Branch(("branch_pool",), pool="mean"),
)
_LAST = (*_E[:3], Branch(("branch_pool",), pool="max"))
BLOCKS = {
    "Mixed_5b": _A, "Mixed_5c": _A, "Mixed_5d": _A,
    "Mixed_6a": _B,
    "Mixed_6b": _C, "Mixed_6c": _C, "Mixed_6d": _C, "Mixed_6e": _C,
    "Mixed_7a": _D,
    "Mixed_7b": _E, "Mixed_7c": _LAST,
}  # fmt: skip


def _layers() -> Iterator[Layer]:
    yield Layer("Conv2d_1a_3x3", 3, 32, (3, 3), 2, same=False)
    yield Layer("Conv2d_2a_3x3", 32, 32, (3, 3), same=False)
    yield Layer("Conv2d_2b_3x3", 32, 64, (3, 3))
    yield Layer("Conv2d_3b_1x1", 64, 80, (1, 1))
    yield Layer("Conv2d_4a_3x3", 80, 192, (3, 3), same=False)
    for block, inputs, pooled in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        yield from _block_a(f"Mixed_{block}.", inputs, pooled)
    yield from _block_b("Mixed_6a.")
    for block, middle in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        yield from _block_c(f"Mixed_{block}.", middle)
    yield from _block_d("Mixed_7a.")
    for block, inputs in (("7b", 1280), ("7c", 2048)):
        yield from _block_e(f"Mixed_{block}.", inputs)


def _block_a(at: str, inputs: int, pooled: int) -> Iterator[Layer]:
    yield Layer(f"{at}branch1x1", inputs, 64, (1, 1))
    yield Layer(f"{at}branch5x5_1", inputs, 48, (1, 1))
    yield Layer(f"{at}branch5x5_2", 48, 64, (5, 5))
    yield Layer(f"{at}branch3x3dbl_1", inputs, 64, (1, 1))
    yield Layer(f"{at}branch3x3dbl_2", 64, 96, (3, 3))
    yield Layer(f"{at}branch3x3dbl_3", 96, 96, (3, 3))
    yield Layer(f"{at}branch_pool", inputs, pooled, (1, 1))


def _block_b(at: str) -> Iterator[Layer]:
    yield Layer(f"{at}branch3x3", 288, 384, (3, 3), 2, same=False)
    yield Layer(f"{at}branch3x3dbl_1", 288, 64, (1, 1))
    yield Layer(f"{at}branch3x3dbl_2", 64, 96, (3, 3))
    yield Layer(f"{at}branch3x3dbl_3", 96, 96, (3, 3), 2, same=False)


def _block_c(at: str, middle: int) -> Iterator[Layer]:
    yield Layer(f"{at}branch1x1", 768, 192, (1, 1))
    yield Layer(f"{at}branch7x7_1", 768, middle, (1, 1))
    yield Layer(f"{at}branch7x7_2", middle, middle, (1, 7))
    yield Layer(f"{at}branch7x7_3", middle, 192, (7, 1))
    yield Layer(f"{at}branch7x7dbl_1", 768, middle, (1, 1))
    yield Layer(f"{at}branch7x7dbl_2", middle, middle, (7, 1))
    yield Layer(f"{at}branch7x7dbl_3", middle, middle, (1, 7))
    yield Layer(f"{at}branch7x7dbl_4", middle, middle, (7, 1))
    yield Layer(f"{at}branch7x7dbl_5", middle, 192, (1, 7))
    yield Layer(f"{at}branch_pool", 768, 192, (1, 1))


def _block_d(at: str) -> Iterator[Layer]:
    yield Layer(f"{at}branch3x3_1", 768, 192, (1, 1))
    yield Layer(f"{at}branch3x3_2", 192, 320, (3, 3), 2, same=False)
    yield Layer(f"{at}branch7x7x3_1", 768, 192, (1, 1))
    yield Layer(f"{at}branch7x7x3_2", 192, 192, (1, 7))
    yield Layer(f"{at}branch7x7x3_3", 192, 192, (7, 1))
    yield Layer(f"{at}branch7x7x3_4", 192, 192, (3, 3), 2, same=False)


def _block_e(at: str, inputs: int) -> Iterator[Layer]:
    yield Layer(f"{at}branch1x1", inputs, 320, (1, 1))
    yield Layer(f"{at}branch3x3_1", inputs, 384, (1, 1))
    yield Layer(f"{at}branch3x3_2a", 384, 384, (1, 3))
    yield Layer(f"{at}branch3x3_2b", 384, 384, (3, 1))
    yield Layer(f"{at}branch3x3dbl_1", inputs, 448, (1, 1))
    yield Layer(f"{at}branch3x3dbl_2", 448, 384, (3, 3))
    yield Layer(f"{at}branch3x3dbl_3a", 384, 384, (1, 3))
    yield Layer(f"{at}branch3x3dbl_3b", 384, 384, (3, 1))
    yield Layer(f"{at}branch_pool", inputs, 192, (1, 1))


def _max_pool(x: Array, stride: int) -> Array:
    """Over 3 x 3 pixels; of stride 1 the image keeps its size."""
    padding = "SAME" if stride == 1 else "VALID"
    return lax.reduce_window(
        x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, stride, stride, 1), padding
    )


def _mean_pool(x: Array) -> Array:
    """Means over those of the 3 x 3 pixels that lie in the image."""

    def sums(y: Array) -> Array:
        return lax.reduce_window(y, 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")

    counts = sums(jnp.ones((1, *x.shape[1:3], 1), x.dtype))
    return sums(x) / jnp.broadcast_to(counts, x.shape)


POOLS = {
    "mean": _mean_pool,
    "max": lambda x: _max_pool(x, 1),
    "half": lambda x: _max_pool(x, 2),
}


def _resized(x: Array, axis: int) -> Array:
    """TensorFlow 1's rule: pixel i comes from i size / 299, without a shift by a half.

    Nothing is averaged where images shrink: they are sampled.
    """
    size = x.shape[axis]
    place = np.arange(SIDE, dtype=np.float32) * np.float32(size / SIDE)
    low = place.astype(np.int32)
    shape = [SIDE if i == axis else 1 for i in range(4)]
    share = (place - low.astype(np.float32)).reshape(shape)
    below = jnp.take(x, low, axis=axis)
    above = jnp.take(x, np.minimum(low + 1, size - 1), axis=axis)
    return below + (above - below) * jnp.broadcast_to(share, below.shape)


def _in_colour(images: np.ndarray) -> np.ndarray:
    if images.shape[-1] not in (1, 3):
        raise ValueError(
            f"the images have {images.shape[-1]} channels; Inception takes RGB, or "
            "grey for three equal channels."
        )
    return images if images.shape[-1] == 3 else np.repeat(images, 3, axis=-1)
