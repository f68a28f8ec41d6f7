"""Games in which D gives features, not logits, and batches are compared as a whole."""

from typing import Any

import jax
from jax import Array

from gan_jax.kernel import Batch, Network, Params, Stats
from gan_jax.latents import Latent
from gan_jax.numerics import full
from gan_jax.objectives.players import (
    Judged,
    begun,
    check_fakes,
    drawn,
    judged,
    needed,
)
from gan_jax.parts import gathered
from gan_jax.stop import stop


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
) -> Judged:
    """What each player sees of a batch: features (n, d) of the samples of all devices.

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
            gathered(full(x.reshape(len(x), -1)), axis_name) for x in (real, fake)
        )
        return Judged(flat_real, stop(flat_fake), flat_fake, None)

    def call(theta: Any, x: Array) -> tuple[Array, Any]:
        return features(disc, theta, stats["disc"], x)

    *seen, disc_stats = judged(call, params["disc"], real, fake)
    of_real, of_fake, by_gen = gathered(seen, axis_name)
    return Judged(of_real, of_fake, by_gen, disc_stats)


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
    return full(answer), stats
