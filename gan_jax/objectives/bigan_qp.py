"""BiGAN-QP: a generator and an encoder against one judge of pairs (x, z).

T judges pairs: (x, E(x)) of the data and (G(z), z) of the prior. With sg =
`gan_jax.stop`, x_f = G(z) and z_e = E(x), the merged loss is

    L = L_T + L_GE,  delta = T(x, z_e) - T(x_f, z),
    L_T  = E [-delta + delta^2 / (2 scale (d(x, x_f) + d(z_e, z)))]  at sg(x_f), sg(z_e)
    L_GE = E delta  at sg(T)
           + rec_z E |z - E(sg x_f)|^2 + rec_x E |x - G(sg z_e)|^2.

T moves by L_T, G and E by L_GE. Half of each reconstruction is held fixed: the first
teaches E alone to invert G, the second G alone to invert E, so that neither learns to
please the other. Means of squares and of distances are over all elements of a sample.

The article gives 4 and 6 for the two weights; the author's code has 4 and 6 at 256
pixels and 2 and 3 at 128, and there d counts the codes' distance beside the images'.

References: Su Jianlin, "BiGAN-QP", 2018, kexue.fm/archives/6214 and arXiv:1811.07296;
Donahue et al., "Adversarial Feature Learning", 2017, arXiv:1605.09782; Dumoulin et al.,
"Adversarially Learned Inference", 2017, arXiv:1606.00704.
"""

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
from gan_jax.latents import Latent
from gan_jax.objectives.players import begun, drawn, needed, scores
from gan_jax.parts import mean_of
from gan_jax.penalties import Norm, check_quadratic, mean_distance, potential
from gan_jax.stop import stop


def bigan_qp(
    gen: Network,
    enc: Network,
    disc: Network,
    *,
    latent: Latent,
    scale: Weight = 10.0,
    norm: Norm = "l1",
    rec_z: Weight = 4.0,
    rec_x: Weight = 6.0,
) -> Objective:
    """The game of "gen", "enc" and "disc".

    Every network reads the same stats in both of its calls, and the mean of what they
    return is written.

    Args:
      gen: ``z (n, latent) -> samples (n, ...)``.
      enc: ``samples -> codes (n, latent)``.
      disc: ``samples, codes -> logits (n,)``, high for (x, E(x)).
      latent: the prior of z.
      scale: lambda, which bounds |delta| by scale * d; 10 in the author's code.
      norm: the distance d; see `gan_jax.penalties.quadratic_potential`.
      rec_z: weight of the codes' reconstruction, E's part.
      rec_x: weight of the samples' reconstruction, G's part. These three may be
        schedules, step -> weight.

    Returns:
      An objective for batches with ``"real"``. Its info holds each player's ``loss``
      (the judge's without its quadratic term, the ``penalty``), the judge's ``gap``
      (mean delta), and the mean squared errors ``gen/rec_x`` and ``enc/rec_z``.

    Raises:
      ValueError: for a scale that is not above 0, an unknown norm, a batch without what
        is needed, codes or samples of another shape than latents or data, or logits of
        another shape than (n,).
    """

    check_quadratic(scale, norm)

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        (real,) = needed(batch, "real")
        own, z_key = jax.random.split(key)
        z = drawn(latent, jax.random.split(z_key, real.shape[0]))
        return begun(
            own, {"gen": (gen, (z,)), "enc": (enc, (real,)), "disc": (disc, (real, z))}
        )

    def loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        (real,) = needed(batch, "real")
        z = drawn(latent, keys)

        def made(z: Array) -> tuple[Array, Stats]:
            return gen.apply(params["gen"], stats["gen"], z, train=True)

        def coded(x: Array) -> tuple[Array, Stats]:
            return enc.apply(params["enc"], stats["enc"], x, train=True)

        (fake, gen_stats), (code, enc_stats) = made(z), coded(real)
        _check_shapes(fake, real, code, z)
        (real_again, gen_more), (z_again, enc_more) = (
            made(stop(code)),
            coded(stop(fake)),
        )

        theta, held = params["disc"], stats["disc"]
        of_real, real_stats = scores(disc, theta, held, real, stop(code))
        of_fake, fake_stats = scores(disc, theta, held, stop(fake), z)
        delta = of_real - of_fake
        apart = mean_distance(real, fake, norm) + mean_distance(code, z, norm)
        cost = potential(delta, at(scale, step) * stop(apart)).mean()

        off_x = at(rec_x, step) * jnp.square(real - real_again).mean()
        off_z = at(rec_z, step) * jnp.square(z - z_again).mean()
        enc_loss = scores(disc, stop(theta), held, real, code)[0].mean() + off_z
        gen_loss = off_x - scores(disc, stop(theta), held, fake, z)[0].mean()
        return cost - delta.mean() + enc_loss + gen_loss, (
            {
                "gen": mean_of([gen_stats, gen_more]),
                "enc": mean_of([enc_stats, enc_more]),
                "disc": mean_of([real_stats, fake_stats]),
            },
            {
                "disc/loss": -delta.mean(),
                "disc/penalty": cost,
                "disc/gap": delta.mean(),
                "gen/loss": gen_loss,
                "gen/rec_x": jnp.square(real - real_again).mean(),
                "enc/loss": enc_loss,
                "enc/rec_z": jnp.square(z - z_again).mean(),
            },
        )

    return Objective(init, loss)


def _check_shapes(fake: Array, real: Array, code: Array, z: Array) -> None:
    if fake.shape != real.shape or code.shape != z.shape:
        raise ValueError(
            f"the generator makes samples of shape {fake.shape[1:]} for data of shape "
            f"{real.shape[1:]}, and the encoder codes of shape {code.shape[1:]} for "
            f"latents of shape {z.shape[1:]}. Each pair must be alike."
        )
