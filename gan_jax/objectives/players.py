"""What the players of every game do: begin, draw latents, judge and be penalised."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from gan_jax.kernel import Batch, Info, Network, Params, Stats
from gan_jax.latents import Latent
from gan_jax.numerics import full
from gan_jax.parts import mean_of
from gan_jax.penalties import Disc, Penalty
from gan_jax.stop import stop


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
    return full(logits), stats


class Judged(NamedTuple):
    """One batch as D sees it, for each player.

    Attributes:
      real: D's answer to the real samples.
      fake: D's answer to the fakes, for D: the fakes are held fixed.
      by_gen: the same numbers for G: D's parameters are held fixed.
      stats: D's stats after its two calls, or None if there is no D.
    """

    real: Any
    fake: Any
    by_gen: Any
    stats: Any


def judged(
    call: Callable[[Any, Array], tuple[Any, Any]], theta: Any, real: Array, fake: Array
) -> Judged:
    """D's answers to real and to fake samples, in calls apart.

    Both calls start from the same stats, and the mean of what they return is written.
    G's own call has the values of the second one: forward the compiler runs it once.

    Args:
      call: ``(theta, samples) -> (answer, stats)``, D at the stats of this step.
      theta: D's parameters.
      real, fake: samples.
    """
    of_real, real_stats = call(theta, real)
    of_fake, fake_stats = call(theta, stop(fake))
    by_gen, _ = call(stop(theta), fake)
    return Judged(of_real, of_fake, by_gen, mean_of([real_stats, fake_stats]))


def penalised(
    penalty: Penalty | None,
    player: str,
    disc: Disc,
    real: Array,
    fake: Array,
    keys: Array,
    step: Array,
) -> tuple[Array | float, Info]:
    """What a penalty costs ``player``, and how that is reported; without one, nothing.

    Args:
      penalty: or None.
      player: whose ``"<player>/penalty"`` it is.
      disc, real, fake, keys, step: what penalties are given; the fakes are held fixed.
    """
    if penalty is None:
        return 0.0, {}
    cost = penalty(disc, real, stop(fake), keys, step)
    return cost, {f"{player}/penalty": cost}


def answer_like(network: Network, params: Any, stats: Any, *inputs: Array) -> Any:
    """The shapes and dtypes of what a network answers, which is not computed."""
    # Not in training mode: no mapped axis to average over is known here.
    answer, _ = jax.eval_shape(
        lambda params, stats: network.apply(params, stats, *inputs, train=False),
        params,
        stats,
    )
    return answer


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
