"""A small classifier, trained here in minutes, whose last features feed the metrics.

Its figures compare generators of one data set. They are no one else's figures, so the
features' name carries the digest of the weights.
"""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import traverse_util
from jaxtyping import Array, Float, Int, UInt8

from gan_jax.digest import digest as digest_of
from gan_jax.evaluate.features.record import Features, named
from gan_jax.evaluate.features.weights import checked_shapes, read_weights
from gan_jax.networks.layers import Conv, Dense

PREPROCESSING = "pixels / 127.5 - 1"
AT_ONCE = 256  # images in one call that does not train


class Network(nn.Module):
    """Three 4x4 convolutions of stride 2, a dense layer of features, and the logits.

    Its convolutions are `gan_jax.ops.conv`'s where images are even: GEMMs on CPU.
    """

    width: int
    dimension: int
    outputs: int

    @nn.compact
    def __call__(self, images: Array) -> tuple[Array, Array]:
        x = images.astype(jnp.float32) / 127.5 - 1
        for factor in (1, 2, 4):
            x = nn.relu(Conv(factor * self.width, 4, 2)(x))
        x = x.reshape(len(x), -1)
        features = nn.relu(Dense(self.dimension)(x))
        return features, Dense(self.outputs)(features)


class Classifier(NamedTuple):
    """A trained network: build it with `classifier`, or `load` it.

    Attributes:
      name: of what it was trained on.
      params: of `Network`, on the host.
      shape: (h, w, c) of the images.
      heads: how many classes each label has; one number for plain classes.
      width, dimension: of `Network`.
    """

    name: str
    params: dict[str, Any]
    shape: tuple[int, int, int]
    heads: tuple[int, ...]
    width: int
    dimension: int

    @property
    def digest(self) -> str:
        """SHA-256 of the weights and of all that says how to use them."""
        return digest_of(_described(self))

    def features(self) -> Features:
        """The last hidden layer's outputs, and the logits that follow from them."""
        last = self.params["Dense_1"]
        kernel, bias = np.asarray(last["kernel"]), np.asarray(last["bias"])
        run = _run(self._network)

        def function(images: np.ndarray) -> Array:
            return run(self.params, self._checked(images))[0]

        def head(features: np.ndarray) -> np.ndarray:
            return features @ kernel + bias

        digest = self.digest
        return Features(
            named(self.name, digest),
            digest,
            PREPROCESSING,
            self.dimension,
            function,
            head,
            AT_ONCE,
        )

    def predict(self, images: UInt8[np.ndarray, "n h w c"]) -> Int[np.ndarray, "n k"]:
        """The likeliest class of each label."""
        features = self.features()
        logits = features.logits(features(images))
        parts = np.split(logits, np.cumsum(self.heads)[:-1], axis=1)
        return np.stack([part.argmax(axis=1) for part in parts], axis=1)

    def accuracy(
        self,
        images: UInt8[np.ndarray, "n h w c"],
        labels: Int[np.ndarray, "n ..."],
    ) -> Float[np.ndarray, " k"]:
        """The share of images that are told right, label by label."""
        right = self.predict(images) == labels.reshape(len(labels), -1)
        return right.mean(axis=0)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz file, whole or not at all, sealed by its digest."""
        file = Path(path)
        if file.suffix != ".npz":
            raise ValueError(f"{file}: a classifier is kept as .npz; name it so.")
        arrays = traverse_util.flatten_dict(_described(self), sep="/")
        seal = np.frombuffer(self.digest.encode(), np.uint8)
        part = file.with_name(f"{file.stem}.part.npz")
        np.savez(part, **arrays, seal=seal)
        part.replace(file)

    @property
    def _network(self) -> Network:
        return Network(self.width, self.dimension, sum(self.heads))

    def _checked(self, images: np.ndarray) -> np.ndarray:
        if images.shape[1:] != self.shape:
            raise ValueError(
                f"the images have shape {images.shape[1:]}, but {self.name} was "
                f"trained on {self.shape}; resize them as those were."
            )
        return images


def classifier(
    images: UInt8[np.ndarray, "n h w c"],
    labels: Int[np.ndarray, "n ..."],
    *,
    name: str,
    classes: Sequence[int] | None = None,
    seed: int = 0,
    epochs: int = 5,
    batch: int = 128,
    width: int = 32,
    dimension: int = 128,
    rate: float = 1e-3,
    report: Callable[[int, float], None] | None = None,
) -> Classifier:
    """Trains a classifier: cross-entropy by Adam, whose rate falls as a cosine to 0.

    The weights are a pure function of the arguments, on one kind of machine. With
    several labels an image the loss is the sum of their cross-entropies.

    Args:
      images: to train on, of at least 8 pixels a side.
      labels: (n,) classes from 0, or (n, k): k labels of each image.
      name: of the data, for the features' name: "fashion-mnist".
      classes: how many each label has; by default the largest label seen plus 1.
      seed: of the weights and of the order.
      epochs: passes over the images. What does not fill a batch is left out of a pass.
      batch: images a step; all of them if there are fewer.
      width: channels of the first convolution; the others have 2 and 4 times as many.
      dimension: of the features.
      rate: Adam's at the start.
      report: called with (epoch, mean loss) after each pass.

    Returns:
      The classifier. Say its accuracy on other images beside what it measures.

    Raises:
      ValueError: for labels that do not fit the images or the classes.

    Reference: Kingma and Ba, "Adam", 2014, arXiv:1412.6980; Loshchilov and Hutter,
    "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016, arXiv:1608.03983.
    """
    labels, heads = _checked_labels(images, labels, classes)
    batch = min(batch, len(images))
    steps = len(images) // batch
    network = Network(width, dimension, sum(heads))
    init, step = _training(network, heads, rate, epochs * steps)
    state = init(_drawn(network, images.shape[1:], seed))
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(images))
        losses = []
        for rows in order[: steps * batch].reshape(steps, batch):
            state, loss = step(state, images[rows], labels[rows])
            losses.append(loss)
        if report is not None:
            report(epoch, float(np.mean(jax.device_get(losses))))
    params = jax.device_get(state[0])
    height, wide, channels = images.shape[1:]
    return Classifier(name, params, (height, wide, channels), heads, width, dimension)


def load(path: str | os.PathLike[str], digest: str | None = None) -> Classifier:
    """Reads a classifier that `Classifier.save` wrote.

    Args:
      path: the .npz file.
      digest: the one it must have, where the caller knows it.

    Raises:
      ValueError: for a damaged file, weights that do not belong to the network it
        describes, and another digest than the seal's or the caller's.
    """
    arrays = read_weights(path)
    seal = bytes(arrays.pop("seal", np.zeros(0, np.uint8))).decode(errors="replace")
    tree = traverse_util.unflatten_dict(arrays, sep="/")
    found = digest_of(tree)
    for wanted, whose in ((seal, "its seal says"), (digest, "the one wanted is")):
        if wanted is not None and wanted != found:
            raise ValueError(
                f"{path} has the digest {found}, but {whose} {wanted or 'nothing'}: it "
                "is not the file that was written. Fetch it again, or train it anew."
            )
    try:
        height, wide, channels = (int(i) for i in tree["shape"])
        loaded = Classifier(
            bytes(tree["name"]).decode(),
            tree["params"],
            (height, wide, channels),
            tuple(int(i) for i in tree["heads"]),
            int(tree["width"]),
            int(tree["dimension"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} holds no classifier: {error!r}") from error
    like = _abstract(loaded._network, loaded.shape)
    expected = traverse_util.flatten_dict(like, sep="/")
    checked_shapes(
        traverse_util.flatten_dict(loaded.params, sep="/"),
        {leaf: tuple(x.shape) for leaf, x in expected.items()},
        str(path),
    )
    return loaded


def _described(it: Classifier) -> dict[str, Any]:
    """All that is kept, as a tree of arrays."""
    return {
        "params": it.params,
        "name": np.frombuffer(it.name.encode(), np.uint8),
        "shape": np.array(it.shape, np.int32),
        "heads": np.array(it.heads, np.int32),
        "width": np.array(it.width, np.int32),
        "dimension": np.array(it.dimension, np.int32),
    }


def _checked_labels(
    images: np.ndarray, labels: np.ndarray, classes: Sequence[int] | None
) -> tuple[np.ndarray, tuple[int, ...]]:
    columns = labels.reshape(len(labels), -1).astype(np.int32)
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(labels):
        raise ValueError(
            f"there are {len(labels)} labels for {images.dtype} images of shape "
            f"{images.shape}; give uint8 (n, h, w, c) and n labels, or (n, k)."
        )
    most = columns.max(axis=0)
    heads = tuple(int(i) for i in (most + 1 if classes is None else classes))
    if len(heads) != len(most) or columns.min() < 0 or (most >= heads).any():
        raise ValueError(
            f"labels from {columns.min(axis=0).tolist()} to {most.tolist()} do not fit "
            f"classes {heads}; give labels from 0 and one number of classes a label."
        )
    return columns, heads


def _abstract(network: Network, shape: Sequence[int]) -> dict[str, Any]:
    """The parameters' shapes."""
    images = jax.ShapeDtypeStruct((1, *shape), np.uint8)
    return jax.eval_shape(network.init, jax.random.key(0), images)["params"]


def _drawn(network: Network, shape: Sequence[int], seed: int) -> dict[str, Any]:
    """First weights: kernels from N(0, 2 / inputs), biases 0.

    They are numpy's, for XLA takes seconds to compile a program that draws them.

    Reference: He et al., "Delving Deep into Rectifiers", 2015, arXiv:1502.01852.
    """
    random = np.random.default_rng(seed)

    def draw(leaf: Any) -> np.ndarray:
        if leaf.ndim == 1:
            return np.zeros(leaf.shape, np.float32)
        sd = np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return random.standard_normal(leaf.shape, np.float32) * np.float32(sd)

    return jax.tree.map(draw, _abstract(network, shape))


@functools.cache
def _run(network: Network) -> Callable[..., tuple[Array, Array]]:
    return jax.jit(lambda params, images: network.apply({"params": params}, images))


@functools.lru_cache(maxsize=8)
def _training(
    network: Network, heads: tuple[int, ...], rate: float, steps: int
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """``init(params) -> state`` and one compiled step on one batch."""
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, max(steps, 1)))
    ends = np.cumsum(heads)[:-1].tolist()

    def init(params: Any) -> Any:
        params = jax.tree.map(jnp.array, params)
        return params, optimizer.init(params)

    def loss_of(params: Any, images: Array, labels: Array) -> Array:
        outputs: Any = network.apply({"params": params}, images)
        logits = outputs[1]
        losses = [
            optax.softmax_cross_entropy_with_integer_labels(part, labels[:, i]).mean()
            for i, part in enumerate(jnp.split(logits, ends, axis=1))
        ]
        return jnp.stack(losses).sum()

    # One step is one call: inside a loop that XLA compiles for CPUs, convolutions are
    # many times slower.
    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: Any, images: Array, labels: Array) -> tuple[Any, Array]:
        params, moments = state
        loss, grads = jax.value_and_grad(loss_of)(params, images, labels)
        updates, moments = optimizer.update(grads, moments, params)
        return (optax.apply_updates(params, updates), moments), loss

    return init, step
