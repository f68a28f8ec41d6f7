"""What the players of every game do: begin, draw latents, give scores."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from gan_jax.kernel import Batch, Network, Params, Stats
from gan_jax.latents import Latent


def begun(
    key: Array, networks: Mapping[str, tuple[Network, tuple[Any, ...]]]
) -> tuple[Params, Stats]:
    """Every player's parameters and stats.

    Args:
      key: one key for all of them; each player has its own part of it.
      networks: ``{player: (network, its inputs)}``.

    Returns:
      ``(params, stats)``, both keyed by player.
    """
    keys = jax.random.split(key, len(networks))
    made = {
        player: network.init(own, *inputs)
        for own, (player, (network, inputs)) in zip(keys, networks.items(), strict=True)
    }
    params = {player: params for player, (params, _) in made.items()}
    return params, {player: stats for player, (_, stats) in made.items()}


def drawn(latent: Latent, keys: Array) -> Array:
    """One latent vector per key, (n, ...)."""
    return jax.vmap(latent)(keys)


def scores(
    network: Network, params: Any, stats: Any, *inputs: Array
) -> tuple[Array, Any]:
    """One logit a sample, in float32 at least, and the network's stats after the call.

    Raises:
      ValueError: for an answer of another shape than (n,).
    """
    logits, stats = network.apply(params, stats, *inputs, train=True)
    n = inputs[0].shape[0]
    if logits.shape != (n,):
        raise ValueError(
            f"the discriminator returned logits of shape {logits.shape} for {n} "
            f"samples, but one logit per sample is wanted, of shape ({n},). Squeeze "
            "the last axis away."
        )
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32)), stats


def check_fakes(fake: Any, real: Any) -> None:
    """Raises ValueError unless fakes, arrays or abstract ones, are shaped as the data.

    Shapes that only broadcast would go unnoticed.
    """
    if fake.shape[1:] != real.shape[1:]:
        raise ValueError(
            f"the generator makes samples of shape {fake.shape[1:]}, but the data's "
            f"have shape {real.shape[1:]}. Give the generator the data's size and "
            "channels."
        )


def needed(batch: Batch, *names: str) -> tuple[Array, ...]:
    """The arrays of ``batch`` by these names, ``"real"`` as networks see it.

    Raises:
      ValueError: if one is missing.
    """
    if missing := [name for name in names if name not in batch]:
        raise ValueError(
            f"the batch holds {sorted(batch)}, but {missing} is needed by this game. "
            "Give a source of data with these names."
        )
    return tuple(
        as_float(batch[name]) if name == "real" else jnp.asarray(batch[name])
        for name in names
    )


def as_float(real: ArrayLike) -> Array:
    """Samples as networks see them: uint8 images as x / 127.5 - 1, floats unchanged.

    Raises:
      ValueError: for another dtype.
    """
    real = jnp.asarray(real)
    if real.dtype == jnp.uint8:
        return real.astype(jnp.float32) / 127.5 - 1
    if jnp.issubdtype(real.dtype, jnp.floating):
        return real
    raise ValueError(
        f"real samples have dtype {real.dtype}; give uint8 images or floating samples."
    )
