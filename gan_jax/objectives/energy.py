"""An energy learned by itself: no generator, but a Langevin chain for its samples.

The density is p(x) = exp(-U(x)) / Z. The slope of its log-likelihood by U's parameters,

    -E_data dU + E_p dU,

needs samples of p itself. A short chain makes them, taken up from where an earlier
one ended: those places are kept in a replay buffer.

Networks of this package return logits, high for real; an energy is low there. The sign
changes in `energies`, and nowhere else.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gan_jax.kernel import (
    Batch,
    Info,
    Network,
    Objective,
    Params,
    Stats,
    Weight,
    at,
)
from gan_jax.langevin import Energy
from gan_jax.latents import Latent
from gan_jax.objectives.players import drawn, needed, scores
from gan_jax.parts import gathered, mean_of, per_sample, split_keys

# (keys, start, energy) -> where the chains end
Chain = Callable[[Array, Array, Energy], Array]


def energies(network: Network, params: Any, stats: Any, x: Array) -> tuple[Array, Any]:
    """U(x) = -logit(x), (n,), and the network's stats after the call.

    Raises:
      ValueError: for logits of another shape than (n,).
    """
    logits, stats = scores(network, params, stats, x)
    return -logits, stats


def energy_model(
    energy: Network,
    *,
    chain: Chain,
    fresh: Latent,
    slots: int = 64,
    restart: float = 0.05,
    weight: Weight = 0.01,
    axis_name: str | None = None,
) -> Objective:
    """The game of one player, "energy", whose opponent is its own chain.

    L = E U(x) - E U(y) + weight * (E U(x)^2 + E U(y)^2),  y from the chain, held fixed.

    The squares hold both energies near zero: without them only the difference of two
    means is bounded. They have a price. Where the slope of L vanishes,
    q/p = (1 + 2 weight U) / (1 - 2 weight U) with q the chain's density, so U never
    leaves (-1, 1) / (2 weight): a weight of 1, as in the paper's code, suits a chain
    with next to no noise, for which the scale of U means nothing. A chain at
    temperature 1 needs a small one. One article prints E U(x)^2 - E U(y)^2: that has no
    lower bound.

    The buffer lies in the stats, (slots, n, ...). Sample i of the global batch draws
    one of the ``slots`` places of column i, or begins anew with probability
    ``restart``, and writes there where its chain ended. No two samples ever write one
    place, so the buffer is the same on any number of devices. All calls of the network
    read the same stats; the mean of what the calls on x and y return is written. It
    should judge every sample by itself: no BatchNorm.

    Args:
      energy: ``samples (n, ...) -> logits (n,)``; its energy is minus the logit. The
        paper normalises its weights spectrally.
      chain: ``(keys, start, energy) -> samples``, such as
        ``functools.partial(langevin, step_size=0.1, steps=20)``.
      fresh: ``key -> one sample``, where a chain begins anew.
      slots: places of the buffer per sample of the batch. The paper keeps 10,000 in
        all, for batches of 128.
      restart: how often a chain begins anew; 0.05 in the paper.
      weight: of the squares; a number or a schedule, step -> weight.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which the
        chains' ends are gathered. Not for `jit`.

    Returns:
      An objective for batches with ``"real"``, all of one size. Its info holds
      ``energy/loss`` (without squares), ``energy/real`` and ``energy/fake`` (mean
      energies), ``energy/penalty`` and ``energy/moved`` (how far the chains took an
      element, on average).

    Raises:
      ValueError: for a number of slots below 1, a share of restarts outside [0, 1], a
        fresh sample of another shape than the data's, or a batch of another size than
        the buffer was made for, as in several moves a step or accumulated parts.

    Reference: Du and Mordatch, "Implicit generation and modeling with energy-based
    models", 2019, arXiv:1903.08689; Su Jianlin, kexue.fm/archives/6612.
    """
    if slots < 1:
        raise ValueError(f"slots is {slots}, but a buffer has at least 1 per sample.")
    if not 0 <= restart <= 1:
        raise ValueError(f"restart is {restart}, but a share lies between 0 and 1.")

    def sampled(theta: Any, held: Any, keys: Array, start: Array) -> Array:
        return chain(keys, start, lambda x: energies(energy, theta, held, x)[0])

    # `gan_jax.stop` for a whole chain: a move's gradient does not enter it, so that
    # nothing of its steps is kept in memory; a derivative of that gradient does.
    fixed = jax.custom_vjp(sampled)
    fixed.defvjp(
        lambda *given: (sampled(*given), None), lambda _, cotangent: (None,) * 4
    )

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        (real,) = needed(batch, "real")
        network_key, buffer_key = jax.random.split(key)
        params, stats = energy.init(network_key, real)
        keys = jax.random.split(buffer_key, (slots, len(real)))
        buffer = jax.vmap(lambda keys: drawn(fresh, keys))(keys).astype(real.dtype)
        if buffer.shape[1:] != real.shape:
            raise ValueError(
                f"a fresh sample has shape {buffer.shape[2:]}, but the data's have "
                f"shape {real.shape[1:]}. Give a fresh of that shape."
            )
        return {"energy": params}, {"energy": {"network": stats, "buffer": buffer}}

    def loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        (real,) = needed(batch, "real")
        theta, held = params["energy"], stats["energy"]["network"]
        buffer = stats["energy"]["buffer"]
        place_keys, restart_keys, fresh_keys, chain_keys = split_keys(keys, 4)
        columns = _columns(len(real), buffer.shape[1], axis_name)
        slot = jax.vmap(lambda key: jax.random.randint(key, (), 0, slots))(place_keys)
        anew = jax.vmap(lambda key: jax.random.bernoulli(key, restart))(restart_keys)
        start = jnp.where(
            per_sample(anew, real),
            drawn(fresh, fresh_keys).astype(buffer.dtype),
            buffer[slot, columns],
        )
        fake = fixed(theta, held, chain_keys, start)
        real_u, real_stats = energies(energy, theta, held, real)
        fake_u, fake_stats = energies(energy, theta, held, fake)
        difference = real_u.mean() - fake_u.mean()
        squares = jnp.square(real_u).mean() + jnp.square(fake_u).mean()
        cost = at(weight, step) * squares
        info = {
            "energy/loss": difference,
            "energy/real": real_u.mean(),
            "energy/fake": fake_u.mean(),
            "energy/penalty": cost,
            "energy/moved": jnp.abs(fake - start).mean(),
        }
        new = {
            "network": mean_of([real_stats, fake_stats]),
            "buffer": _written(buffer, slot, columns, fake, axis_name),
        }
        return difference + cost, ({"energy": new}, info)

    return Objective(init, loss)


def _columns(n: int, wanted: int, axis_name: str | None) -> Array:
    """The samples' places in the global batch, which are their columns."""
    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    if n * devices != wanted:
        raise ValueError(
            f"the batch has {n * devices} samples, but the replay buffer was made for "
            f"{wanted}, a column each. Use one move a step, accumulate=1 and batches "
            "of one size, and give the mapped axis as axis_name if there is one."
        )
    first = 0 if axis_name is None else n * jax.lax.axis_index(axis_name)
    return first + jnp.arange(n)


def _written(
    buffer: Array, slot: Array, columns: Array, samples: Array, axis_name: str | None
) -> Array:
    """The buffer with the global batch's samples in their places, on every device."""
    slot, columns, samples = gathered((slot, columns, samples), axis_name)
    return buffer.at[slot, columns].set(samples)
