"""Standing statistics: a network's running averages, taken anew for its parameters.

BatchNorm's running averages are of the last few batches of training, and of parameters
that moved all the while. An average of a generator's parameters has not seen a batch at
all: whoever draws from it with training's averages normalises by another network's
moments.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gan_jax.kernel import Network

ALIKE = 1e-6  # how far the shares of one average's elements may lie apart
Rule = Callable[[list[Any], Array], list[Any]]  # leaves, key -> leaves after a call


def standing(
    network: Network,
    params: Any,
    stats: Any,
    inputs: Callable[[Array], tuple[Any, ...]],
    key: Array,
    *,
    batches: int,
    axis_name: str | None = None,
) -> Any:
    """The stats of a network, its running averages taken anew for ``params``.

    A running average is a leaf s that a call in training moves to m s + (1 - m) x, with
    one share 0 < m < 1 for all of the leaf, and x of the batch. It becomes the mean of
    x over all batches: nothing is left of what it was, and no batch counts more for
    being the last. Networks need not say which leaves these are, for m is the
    derivative of the leaf by itself. Any other leaf, such as a vector of spectral
    normalisation, becomes what as many calls in training make of it. For a network
    without stats nothing is computed.

    Args:
      network: whose ``apply`` is called in training.
      params: the parameters to draw from, say the average of those of training.
      stats: those of training; they stay as they are.
      inputs: key -> the inputs of one batch, (n, ...) each. Moments are those of a
        batch by itself, so it should be of some hundred samples.
      key: its splits are those of the batches.
      batches: how many.
      axis_name: the mapped axis that the network was made for, if any. This is called
        outside of the mapped step: each batch is whole.

    Returns:
      Stats to draw with, ``train=False``. Training goes on with the old ones.

    Raises:
      ValueError: for less than one batch.

    Reference: Brock, Donahue and Simonyan, "Large Scale GAN Training for High Fidelity
    Natural Image Synthesis", 2018, arXiv:1809.11096.
    """
    if batches < 1:
        raise ValueError(f"batches is {batches}; moments are those of at least 1.")
    old, structure = jax.tree.flatten(stats)
    if not old:
        return stats

    def call(leaves: list[Any], key: Array) -> list[Any]:
        held = jax.tree.unflatten(structure, leaves)
        new = network.apply(params, held, *inputs(key), train=True)[1]
        return jax.tree.leaves(new)

    rule = call if axis_name is None else _alone(call, axis_name)
    keys = jax.random.split(key, batches)
    shares = _shares(rule, old, keys[0])

    def batch(leaves: list[Any], key: Array) -> tuple[list[Any], list[Any]]:
        new = rule(leaves, key)
        moments = [x for x, share in zip(new, shares, strict=True) if share is not None]
        return _started_anew(new, shares), moments

    leaves, moments = jax.lax.scan(batch, _started_anew(old, shares), keys)
    means = iter([x.mean(0) for x in moments])
    for i, share in enumerate(shares):
        if share is not None:
            weight = jnp.where(share > 0, 1 - share, 1)  # of x in an average from 0
            leaves[i] = jnp.where(share > 0, next(means) / weight, leaves[i])
    return jax.tree.unflatten(structure, leaves)


def _alone(rule: Rule, axis_name: str) -> Rule:
    """``rule`` on a mapped axis of its own, of one device."""
    mapped = jax.vmap(rule, in_axes=(None, 0), axis_name=axis_name)

    def alone(leaves: list[Any], key: Array) -> list[Any]:
        return jax.tree.map(lambda x: x[0], mapped(leaves, key[None]))

    return alone


def _started_anew(leaves: list[Any], shares: list[Array | None]) -> list[Any]:
    """Averages at 0, where the next call leaves (1 - m) x; the others as they are."""
    return [
        x if share is None else jnp.where(share > 0, 0, x)
        for x, share in zip(leaves, shares, strict=True)
    ]


def _shares(rule: Rule, leaves: list[Any], key: Array) -> list[Array | None]:
    """What a call leaves of each average; 0 for other floats, None for other leaves."""
    floats = [
        i
        for i, x in enumerate(leaves)
        if jnp.issubdtype(jnp.asarray(x).dtype, jnp.floating)
    ]

    def moved(chosen: list[Array]) -> list[Array]:
        held = list(leaves)
        for i, x in zip(floats, chosen, strict=True):
            held[i] = x
        new = rule(held, key)
        return [new[i] for i in floats]

    new, back = jax.vjp(moved, [leaves[i] for i in floats])
    (slopes,) = back([jnp.ones_like(x) for x in new])
    shares: list[Array | None] = [None] * len(leaves)
    for i, slope in zip(floats, slopes, strict=True):
        least, most = slope.min(), slope.max()
        one_share = (most - least <= ALIKE) & (least > 0) & (most < 1)
        shares[i] = jnp.where(one_share, most, 0)
    return shares
