"""Games in which D gives features, not logits, and batches are compared as a whole."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gan_jax.kernel import Batch, Network, Params, Stats
from gan_jax.latents import Latent
from gan_jax.objectives.players import begun, check_fakes, drawn, needed
from gan_jax.parts import mean_of
from gan_jax.stop import stop


class Views(NamedTuple):
    """One batch as each player sees it, the samples of all devices together.

    Attributes:
      real: D's features of the real samples, (n, d).
      fake: D's features of the fakes, for D: the fakes are held fixed.
      by_gen: the same numbers for G: D's parameters are held fixed.
      stats: D's stats after the two calls, or None if there is no D.
    """

    real: Array
    fake: Array
    by_gen: Array
    stats: Any


def begun_with_features(
    key: Array, gen: Network, disc: Network | None, latent: Latent, batch: Batch
) -> tuple[Params, Stats]:
    """The parameters and stats of "gen" and, if there is one, of "disc"."""
    (real,) = needed(batch, "real")
    begin_key, z_key = jax.random.split(key)
    z = drawn(latent, jax.random.split(z_key, len(real)))
    if disc is None:
        return begun(begin_key, {"gen": (gen, (z,))})
    return begun(begin_key, {"gen": (gen, (z,)), "disc": (disc, (real,))})


def views(
    disc: Network | None,
    params: Params,
    stats: Stats,
    real: Array,
    fake: Array,
    axis_name: str | None,
) -> Views:
    """What each player sees of a batch.

    D is called on real and on fake samples apart. Both calls start from the same stats,
    and the mean of what they return is written.

    Args:
      disc: ``samples -> features (n, d)``; None for samples as their own features.
      params, stats: of all players.
      real, fake: this device's samples.
      axis_name: the mapped axis over which features are gathered, or None.

    Raises:
      ValueError: for fakes of another shape than the data's, or features of another
        shape than (n, d).
    """
    check_fakes(fake, real)
    if disc is None:
        flat_real, flat_fake = (
            gathered(_full(x.reshape(len(x), -1)), axis_name) for x in (real, fake)
        )
        return Views(flat_real, stop(flat_fake), flat_fake, None)
    theta, held = params["disc"], stats["disc"]
    of_real, real_stats = features(disc, theta, held, real)
    of_fake, fake_stats = features(disc, theta, held, stop(fake))
    by_gen, _ = features(disc, stop(theta), held, fake)
    return Views(
        gathered(of_real, axis_name),
        gathered(of_fake, axis_name),
        gathered(by_gen, axis_name),
        mean_of([real_stats, fake_stats]),
    )


def features(
    network: Network, params: Any, stats: Any, *inputs: Array
) -> tuple[Array, Any]:
    """A vector per sample, in float32 at least, and the network's stats after the call.

    Raises:
      ValueError: for an answer of another shape than (n, d).
    """
    answer, stats = network.apply(params, stats, *inputs, train=True)
    n = inputs[0].shape[0]
    if answer.ndim != 2 or len(answer) != n:
        raise ValueError(
            f"the discriminator returned features of shape {answer.shape} for {n} "
            f"samples, but one vector per sample is wanted, of shape ({n}, d). A "
            "generator of vectors will do, as in networks.mlp.generator(d); a "
            "discriminator that gives one logit will not."
        )
    return _full(answer), stats


def gathered(x: Array, axis_name: str | None) -> Array:
    """The samples of all devices along the mapped axis, in the global batch's order."""
    return x if axis_name is None else jax.lax.all_gather(x, axis_name, tiled=True)


def _full(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
