"""How a batch is shared out over moves, parts and devices, and answers are averaged.

One rule holds for all of them, and for the several calls of a network within a step:
every share reads the same stats, and the mean of what the shares return is the answer.

``axis_name`` is everywhere the mapped axis under `jax.pmap` or `jax.shard_map`, or None
where there is none.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

Tree = TypeVar("Tree")


def share(batch: Any, number: int, shares: int) -> Any:
    """Every ``shares``-th sample from ``number`` on.

    Strided, not contiguous: however a batch is split over devices, each device finds
    its part of every share on itself.

    Args:
      batch: arrays (n, ...) that share their leading axis.
      number: which share, from 0.
      shares: how many there are.

    Raises:
      ValueError: if the samples cannot be shared out equally.
    """
    if shares == 1:
        return batch
    n = samples(batch)
    if n % shares:
        raise ValueError(
            f"a batch of {n} samples (on each device) cannot be shared out over "
            f"{shares} moves or accumulated parts; the nearest sizes are "
            f"{n // shares * shares or shares} and {(n // shares + 1) * shares}."
        )
    return jax.tree.map(
        lambda x: x.reshape(n // shares, shares, *x.shape[1:])[:, number], batch
    )


def samples(batch: Any) -> int:
    """How many samples a batch holds.

    Raises:
      ValueError: if its arrays do not share their leading axis.
    """
    sizes = {x.shape[:1] for x in jax.tree.leaves(batch)}
    if len(sizes) != 1 or sizes == {()}:
        shapes = jax.tree.map(lambda x: x.shape, batch)
        raise ValueError(
            f"the batch has shapes {shapes}, but all its arrays must share one leading "
            "axis, the samples."
        )
    return sizes.pop()[0]


def sample_keys(key: Array, batch: dict[str, Any], axis_name: str | None) -> Array:
    """One key per sample, by the sample's place in the global batch."""
    n = samples(batch)
    index = jnp.arange(n)
    if axis_name is not None:
        index += n * jax.lax.axis_index(axis_name)
    else:
        index = _split_as(batch, index)
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, index)


def _split_as(batch: dict[str, Any], index: Array) -> Array:
    """``index``, split over devices as the batch is, if it is.

    Without a word the compiler may leave it whole: every device would then draw the
    noise of all samples, and generate from it. Here it is a column beside one of the
    batch, in an array that the barrier keeps whole until the work has been shared out.
    `jax.experimental.shard_alike` says as much, but numbers its groups through the life
    of a process: a program that was traced again would not be found in the cache.
    """
    samples = jax.tree.leaves(batch)[0].reshape(index.size, -1)
    beside = jnp.stack([index, samples[:, 0].astype(index.dtype)], axis=1)
    return jax.lax.optimization_barrier(beside)[:, 0]


def split_keys(keys: Array, streams: int) -> list[Array]:
    """``streams`` independent sets of keys, each with one per sample, from one set."""
    split = jax.vmap(lambda key: jax.random.split(key, streams))(keys)
    return [split[:, stream] for stream in range(streams)]


def per_sample(x: Array, like: Array) -> Array:
    """One number a sample, (n,), with the axes of ``like``, (n, ...), each of size 1.

    >>> per_sample(jnp.zeros(2), jnp.zeros((2, 3, 4))).shape
    (2, 1, 1)
    """
    return x.reshape(-1, *(1 for _ in like.shape[1:]))


def averaged_parts(
    part: Callable[[dict[str, Any], Array], Any],
    batch: dict[str, Any],
    keys: Array,
    parts: int,
    axis_name: str | None,
) -> Any:
    """The mean of ``part`` over ``parts`` shares of the batch, by one scan."""
    if parts == 1:
        return part(batch, keys)
    shares = [share({"batch": batch, "keys": keys}, i, parts) for i in range(parts)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *shares)

    def add(total: Any, own: Any) -> tuple[Any, None]:
        out = part(own["batch"], own["keys"])
        return jax.tree.map(
            lambda a, b: (
                a + b
                if jnp.issubdtype(b.dtype, jnp.floating)
                else jnp.where(True, b, a)
            ),
            total,
            out,
        ), None

    like = jax.eval_shape(part, shares[0]["batch"], shares[0]["keys"])
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
    # Integers are the same everywhere, and are not averaged.
    zeros = jax.tree.map(
        lambda x: varying(x, axis_name) if jnp.issubdtype(x.dtype, jnp.floating) else x,
        zeros,
    )
    total, _ = jax.lax.scan(add, zeros, stacked)
    return jax.tree.map(
        lambda x: x / parts if jnp.issubdtype(x.dtype, jnp.floating) else x, total
    )


def own_gradient(
    loss: Callable[..., tuple[Array, Any]], axis_name: str | None
) -> Callable[..., tuple[Any, Any]]:
    """`jax.grad` of a loss of this device's samples, by its first argument.

    The mean of the devices' own gradients is that of the whole batch. Under
    `jax.shard_map` it would go wrong twice. By parameters that are the same everywhere,
    a gradient comes summed over devices; and a loss that is the same everywhere, as one
    of a mean over all devices is, counts as one loss of which each device has a share.
    So both are made each device's own.

    Args:
      loss: ``(params, ...) -> (scalar, aux)``.
      axis_name: the mapped axis, or None.

    Returns:
      ``(params, ...) -> (gradient, aux)``; `averaged` is the next thing to do.
    """

    def own(params: Any, *rest: Any) -> tuple[Array, Any]:
        value, aux = loss(params, *rest)
        return varying(value, axis_name), aux

    def gradient(params: Any, *rest: Any) -> tuple[Any, Any]:
        return jax.grad(own, has_aux=True)(varying(params, axis_name), *rest)

    return gradient


def varying(tree: Tree, axis_name: str | None) -> Tree:
    """The same numbers, as each device's own; see `own_gradient`."""
    if axis_name is None:
        return tree

    def own(x: Array) -> Array:
        # What varies already may not be cast again.
        if axis_name in jax.typeof(x).manual_axis_type.varying:
            return x
        return jax.lax.pcast(x, axis_name, to="varying")

    return jax.tree.map(own, tree)


def gathered(tree: Tree, axis_name: str | None) -> Tree:
    """The samples of all devices, in the global batch's order."""
    if axis_name is None:
        return tree
    return jax.lax.all_gather(tree, axis_name, tiled=True)


def averaged(tree: Tree, axis_name: str | None) -> Tree:
    """One `jax.lax.pmean` of all floating leaves; others are the same everywhere."""
    if axis_name is None:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    floating = [jnp.issubdtype(x.dtype, jnp.floating) for x in leaves]
    means = iter(
        jax.lax.pmean(
            [x for x, yes in zip(leaves, floating, strict=True) if yes], axis_name
        )
    )
    merged = [
        next(means) if yes else x for x, yes in zip(leaves, floating, strict=True)
    ]
    return jax.tree.unflatten(structure, merged)


def mean_of(trees: list[Any]) -> Any:
    """The leaf-wise mean of pytrees; leaves that are not floats come from the first.

    One rule for whatever reads the same stats several times and writes them once:
    real and fake calls of a discriminator, accumulated parts, devices.
    """

    def mean(*leaves: Array) -> Array:
        if not jnp.issubdtype(leaves[0].dtype, jnp.floating):
            return leaves[0]
        return sum(leaves[1:], leaves[0]) / len(leaves)

    return jax.tree.map(mean, *trees)
