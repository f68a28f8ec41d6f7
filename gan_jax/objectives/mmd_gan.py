"""MMD-GAN: a generator that matches the moments of features, which D makes hard.

With D's features h = D(x), D(x_f), the unbiased estimate M of MMD^2 between them by a
kernel, and sg = `gan_jax.stop`, the merged loss is

    L = -M(D(x), D(sg(x_f))) + penalty + M(sg(D(x)), D_sg(theta)(x_f)).

D seeks features in which the two batches differ, G seeks to make them alike. There is
no logit. The kernel's witness function, high where real samples are denser, takes its
place: its slope is what a penalty bounds. Without D, samples are their own features, G
plays alone, and this is a generative moment matching network.
"""

from jax import Array

from gan_jax.kernel import Batch, Info, Network, Objective, Params, Stats
from gan_jax.latents import Latent
from gan_jax.moments import Similarity, mmd2, rational_quadratic, witness
from gan_jax.objectives.features import begun_with_features, features, views
from gan_jax.objectives.players import drawn, needed, penalised
from gan_jax.parts import split_keys
from gan_jax.penalties import Penalty
from gan_jax.stop import stop


def mmd_gan(
    gen: Network,
    disc: Network | None,
    *,
    latent: Latent,
    kernel: Similarity | None = None,
    penalty: Penalty | None = None,
    axis_name: str | None = None,
) -> Objective:
    """The game of "gen" and "disc" over the MMD of D's features.

    Args:
      gen: ``z (n, latent) -> samples (n, ...)``.
      disc: ``samples -> features (n, d)``, say d = 16; or None for samples as their own
        features, which leaves "gen" alone.
      latent: the prior of z.
      kernel: of features; by default `gan_jax.moments.rational_quadratic`.
      penalty: on the slope by x of the witness w(D(x)), added to D's loss. Binkowski et
        al. take `gan_jax.penalties.wgan_gp`; `zero_centred` lets the witness be flat
        where the batches agree. Without one D runs away from G.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which
        features are gathered, so that the MMD is that of the global batch. Not for
        `jit`. With the kernel's ``accumulate``, each part has an MMD of its own.

    Returns:
      An objective for batches with ``"real"``, as `adversarial` takes them, at least
      two samples. Its info holds each player's ``loss`` (D's without penalty; G's is
      the estimate of MMD^2) and D's ``penalty``.

    Raises:
      ValueError: for a penalty without a discriminator, fakes of another shape than
        the data's, features of another shape than (n, d), or a single sample.

    References: Li et al., "MMD GAN", 2017, arXiv:1705.08584; Binkowski et al.,
    "Demystifying MMD GANs", 2018, arXiv:1801.01401; without D: Li et al., "Generative
    Moment Matching Networks", 2015, arXiv:1502.02761.
    """
    if disc is None and penalty is not None:
        raise ValueError(
            "a penalty was given, but no discriminator whose slope it could bound. "
            "Give a discriminator, or penalty=None."
        )
    similarity = rational_quadratic() if kernel is None else kernel

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        return begun_with_features(key, gen, disc, latent, batch)

    def loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        (real,) = needed(batch, "real")
        z_keys, penalty_keys = split_keys(keys, 2)
        z = drawn(latent, z_keys)
        fake, gen_stats = gen.apply(params["gen"], stats["gen"], z, train=True)
        seen = views(disc, params, stats, real, fake, axis_name)
        gen_loss = mmd2(similarity, stop(seen.real), seen.by_gen)
        info = {"gen/loss": gen_loss}
        if disc is None:
            return gen_loss, ({"gen": gen_stats}, info)
        disc_loss = -mmd2(similarity, seen.real, seen.fake)
        info["disc/loss"] = disc_loss

        def score(x: Array) -> Array:
            at, _ = features(disc, params["disc"], stats["disc"], x)
            return witness(similarity, at, seen.real, seen.fake)

        cost, paid = penalised(penalty, "disc", score, real, fake, penalty_keys, step)
        total = disc_loss + gen_loss + cost
        return total, ({"gen": gen_stats, "disc": seen.stats}, info | paid)

    return Objective(init, loss)
