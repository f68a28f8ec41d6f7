"""O-GAN: the discriminator is an encoder, at no more cost than a generator's game.

E maps a sample to as many numbers as z has. Their mean is the logit, what is left of
them is the code:

    D(x) = avg(E(x)),   N(v) = (v - avg(v)) / sd(v),   rho(a, b) = avg(N(a) N(b)).

Mean and rest are orthogonal, so that the two do not fight for the same direction: D
takes one degree of freedom of E, the code has the others. With x_f = G(z), r = D(x) and
f = D(x_f),

    L_E = L_D(r, f) + penalty - weight E rho(z, E(x_f)),
    L_G = L_G(r, f)           - weight E rho(z, E(x_f)).

The correlation rho is no contest: both players want it high, and it flows to both. In
one scalar, with sg for `gan_jax.stop.stop` and theta for E's parameters,

    L = L_D(r, D(sg(x_f))) + penalty - weight E rho(z, E(sg(x_f)))
      + L_G(sg(r), D_sg(theta)(x_f)) - weight E rho(z, E_sg(theta)(x_f)),

whose first line reaches E only and whose second line reaches G only: two passes back
through E for four terms.

The paper has low = real: its D is minus ours. Its encoder is ours with the mean turned
about, v - 2 avg(v), which leaves the code as it is.

Reference: Su Jianlin, "O-GAN: Extremely Concise Approach for Auto-Encoding Generative
Adversarial Networks", 2019, arXiv:1903.01931.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Int, Key

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
from gan_jax.losses import Loss, wasserstein
from gan_jax.numerics import full, over_root, quotient
from gan_jax.objectives.players import (
    answer_like,
    as_float,
    begun,
    check_fakes,
    drawn,
    judged,
    needed,
    penalised,
)
from gan_jax.parts import split_keys
from gan_jax.penalties import Disc, Penalty
from gan_jax.stop import stop


def secant(weight: Weight = 0.25) -> Penalty:
    """weight * E (D(x) - D(x_f))^2 / avg((x - x_f)^2): the slope between the two.

    It needs no gradient by the input. With the loss `wasserstein` it is O-GAN's game of
    the paper and, up to the measure of distance, GAN-QP.

    Args:
      weight: 0.25 in the paper's code, for the mean square over a sample's elements.

    Reference: Su Jianlin, "GAN-QP", 2018, arXiv:1811.07296.
    """

    def penalty(
        disc: Disc,
        real: Float[Array, "n *shape"],
        fake: Float[Array, "n *shape"],
        keys: Key[Array, " n"],
        step: Int[Array, ""],
    ) -> Float[Array, ""]:
        apart = jnp.square(real - fake).mean(axis=tuple(range(1, real.ndim)))
        rise = jnp.square(disc(real) - disc(fake))
        return at(weight, step) * quotient(rise, apart).mean()

    return penalty


WASSERSTEIN, SECANT = wasserstein(), secant()


def ogan(
    gen: Network,
    enc: Network,
    *,
    latent: Latent,
    loss: Loss = WASSERSTEIN,
    penalty: Penalty | None = SECANT,
    weight: Weight = 0.5,
) -> Objective:
    """The game of "gen" and "enc".

    E sees real and fake samples in separate calls, which start from the same stats; the
    mean of what they return is written.

    Args:
      gen: ``z (n, latent) -> samples (n, ...)``.
      enc: ``samples -> (n, latent)``; the last layer without a nonlinearity.
      latent: the prior of z. Its length is not recovered: `code` has the length
        sqrt(latent), about which N(0, I) concentrates.
      loss: of the logits avg(E(x)).
      penalty: of the logits too, added to E's loss. The defaults are the paper's.
      weight: of rho; 0.5 in the paper, 1 for its largest images.

    Returns:
      An objective for batches with ``"real"``. Its info holds each player's ``loss``
      (E's without penalty), ``enc/correlation`` (rho), ``enc/real_logit``,
      ``enc/fake_logit`` and ``enc/penalty``.

    Raises:
      ValueError: for a batch without "real", a latent of less than three elements
        (N leaves nothing of one and a sign of two), or codes of another shape than z.
    """

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        (real,) = needed(batch, "real")
        own, z_key = jax.random.split(key)
        z = drawn(latent, jax.random.split(z_key, real.shape[0]))
        if z.ndim != 2 or z.shape[1] < 3:
            raise ValueError(
                f"the latent has shape {z.shape[1:]}, but a code that is free of its "
                "mean and its scale needs a vector of at least 3 elements."
            )
        params, stats = begun(own, {"gen": (gen, (z,)), "enc": (enc, (real,))})
        codes = answer_like(enc, params["enc"], stats["enc"], real)
        if codes.shape != z.shape:
            raise ValueError(
                f"the encoder returns {codes.shape} for {real.shape[0]} samples, but "
                f"z has shape {z.shape}. Give the encoder the latent's size."
            )
        return params, stats

    def merged_loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        (real,) = needed(batch, "real")
        z_keys, penalty_keys = split_keys(keys, 2)
        z = drawn(latent, z_keys)
        fake, gen_stats = gen.apply(params["gen"], stats["gen"], z, train=True)
        check_fakes(fake, real)

        def encoded(theta: Any, x: Array) -> tuple[Array, Any]:
            codes, new = enc.apply(theta, stats["enc"], x, train=True)
            return full(codes), new

        theta = params["enc"]
        codes = judged(encoded, theta, real, fake)
        real_logits, fake_logits = codes.real.mean(-1), codes.fake.mean(-1)
        rho = correlation(z, codes.fake).mean()
        scale = at(weight, step)
        enc_loss = loss.disc(real_logits, fake_logits) - scale * rho
        gen_loss = loss.gen(stop(real_logits), codes.by_gen.mean(-1))
        gen_loss -= scale * correlation(z, codes.by_gen).mean()
        total = enc_loss + gen_loss
        info = {
            "enc/loss": enc_loss,
            "gen/loss": gen_loss,
            "enc/correlation": rho,
            "enc/real_logit": real_logits.mean(),
            "enc/fake_logit": fake_logits.mean(),
        }
        cost, paid = penalised(
            penalty,
            "enc",
            lambda x: encoded(theta, x)[0].mean(-1),
            real,
            fake,
            penalty_keys,
            step,
        )
        return total + cost, ({"gen": gen_stats, "enc": codes.stats}, info | paid)

    return Objective(init, merged_loss)


def normalised(v: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """N(v) = (v - avg(v)) / sd(v) along the last axis, sd with 1/d; zeros give 0.

    >>> import jax.numpy as jnp
    >>> normalised(jnp.array([1.0, 3.0])).tolist()
    [-1.0, 1.0]
    """
    centred = v - v.mean(axis=-1, keepdims=True)
    return over_root(centred, jnp.square(centred).mean(axis=-1, keepdims=True))


def correlation(a: Float[Array, "*n d"], b: Float[Array, "*n d"]) -> Float[Array, "*n"]:
    """rho(a, b) = avg(N(a) N(b)), the cosine between N(a) and N(b)."""
    return (normalised(a) * normalised(b)).mean(axis=-1)


def code(enc: Network, params: Params, stats: Stats, x: ArrayLike) -> Array:
    """N(E(x)): what E knows of the latent, with running statistics.

    Args:
      enc: as given to `ogan`.
      params, stats: of a state; the averages, ``{**state.params, **state.ema}``, serve
        as well.
      x: samples (n, ...) as in a batch.

    Returns:
      Codes (n, latent), each of mean 0 and mean square 1.
    """
    codes, _ = enc.apply(params["enc"], stats["enc"], as_float(x), train=False)
    return normalised(codes)


def reconstruct(
    gen: Network,
    enc: Network,
    params: Params,
    stats: Stats,
    x: ArrayLike,
    scale: float = 1.0,
) -> Array:
    """G(scale * N(E(x))): x as the generator would have made it.

    Args:
      gen, enc: as given to `ogan`.
      params, stats, x: see `code`.
      scale: 1 in the paper, 0.9 in its code: closer to the middle of the prior.

    Returns:
      Samples of the shape of ``x``.
    """
    z = scale * code(enc, params, stats, x)
    return gen.apply(params["gen"], stats["gen"], z, train=False)[0]
