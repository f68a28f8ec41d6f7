"""OT-GAN: a generator at the least cost of transport from the data, in D's features.

The batch of each kind is split into halves X, X' and Y, Y'. With W the cost of the
entropic plan between two of them, by a distance of D's features,

    E = W(X, Y) + W(X, Y') + W(X', Y) + W(X', Y') - 2 W(X, X') - 2 W(Y, Y')

has the mean 0 where fakes are as the data. G minimises E, D maximises it:

    L = -E(D(x), D(sg(x_f))) + E(sg(D(x)), D_sg(theta)(x_f)),  sg = `gan_jax.stop`.

Plans are optimal, so both players hold them fixed (`gan_jax.transport`), and both use
the same ones. Without D, samples are their own features and G plays alone.
"""

import jax.numpy as jnp
from jax import Array

from gan_jax.distances import Distance, cosine
from gan_jax.kernel import Batch, Info, Network, Objective, Params, Stats
from gan_jax.latents import Latent
from gan_jax.objectives.features import begun_with_features, views
from gan_jax.objectives.players import drawn, needed
from gan_jax.stop import stop
from gan_jax.transport import column_gap, energy, half_batch_costs, held_plans


def ot_gan(
    gen: Network,
    disc: Network | None,
    *,
    latent: Latent,
    distance: Distance = cosine,
    sharpness: float = 500.0,
    iterations: int = 500,
    axis_name: str | None = None,
) -> Objective:
    """The game of "gen" and "disc" over the cost of transport between D's features.

    The authors take three (in their code five) steps of G for one of D: D must not run
    away from what G can follow.

    Args:
      gen: ``z (n, latent) -> samples (n, ...)``.
      disc: ``samples -> features (n, d)``; or None for samples as their own features,
        which leaves "gen" alone.
      latent: the prior of z.
      distance: of features; one of `gan_jax.distances`. Cosine bounds what D can gain
        by scale. Without D it would forget how long vectors are: take ``euclidean``.
      sharpness, iterations: see `gan_jax.transport.sinkhorn`; 500 each for the cosine
        distance in the authors' code.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which
        features are gathered, so that plans are those of the global batch. Not for
        `jit`. With the kernel's ``accumulate``, each part has plans of its own.

    Returns:
      An objective for batches with ``"real"``, as `adversarial` takes them, an even
      number of samples. Its info holds each player's ``loss`` and ``column_gap``, by
      which the worst plan misses its column sums: raise ``iterations`` if it is not
      small against 1.

    Raises:
      ValueError: for an odd batch, fakes of another shape than the data's, or features
        of another shape than (n, d).

    Reference: Salimans et al., "Improving GANs Using Optimal Transport", 2018,
    arXiv:1803.05573.
    """

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        return begun_with_features(key, gen, disc, latent, batch)

    def loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        (real,) = needed(batch, "real")
        z = drawn(latent, keys)
        fake, gen_stats = gen.apply(params["gen"], stats["gen"], z, train=True)
        seen = views(disc, params, stats, real, fake, axis_name)
        gen_costs = half_batch_costs(distance, stop(seen.real), seen.by_gen)
        plans = held_plans(gen_costs, sharpness, iterations)
        gen_loss = energy(gen_costs, plans)
        gaps = jnp.stack([column_gap(plan) for plan in plans])
        info = {"gen/loss": gen_loss, "column_gap": gaps.max()}
        if disc is None:
            return gen_loss, ({"gen": gen_stats}, info)
        disc_costs = half_batch_costs(distance, seen.real, seen.fake)
        disc_loss = -energy(disc_costs, plans)
        info["disc/loss"] = disc_loss
        return disc_loss + gen_loss, ({"gen": gen_stats, "disc": seen.stats}, info)

    return Objective(init, loss)
