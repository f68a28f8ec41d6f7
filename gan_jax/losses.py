"""Losses of a two-player game: from scores to one scalar a player.

Everywhere a high logit means "real", all losses are minimised, and E is the mean over
the batch. A `Loss` is a pair of pure functions of the logits of real and of fake
samples, both of shape (n,). Nothing here knows a network, a gradient or a device; that
each player gets the gradient of its own loss alone is the objective's work.

softplus(t) = log(1 + e^t) is used throughout in its stable form, so that values and
gradients are right for logits of any size.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.parts import averaged, gathered

Logits = Float[Array, " n"]
Scalar = Float[Array, ""]
LossFn = Callable[[Logits, Logits], Scalar]

softplus = jax.nn.softplus


Couples = Literal["none", "pairs", "batch"]


class Loss(NamedTuple):
    """``disc(real_logits, fake_logits)`` and ``gen(real_logits, fake_logits)``.

    Attributes:
      disc, gen: what each player minimises.
      couples: what a sample's term depends on besides that sample. "none": on nothing;
        "pairs": on the sample of the other kind at the same place; "batch": on a
        statistic of the whole batch. Shares of a batch keep pairs together, so that
        the first two do not depend on how many devices or parts share it. The last
        one does, unless the statistic is taken over all of them.
      axis_name: the mapped axis over which a batch's statistic is taken, too.
    """

    disc: LossFn
    gen: LossFn
    couples: Couples = "none"
    axis_name: str | None = None


def minimax() -> Loss:
    """The original, saturating game.

    L_D = E softplus(-r) + E softplus(f),  L_G = -E softplus(f).

    At the optimum of D the logit is log p/q, and L_G is twice the Jensen-Shannon
    divergence less 2 log 2. Where D wins, G's gradient vanishes.

    Reference: Goodfellow et al., "Generative Adversarial Nets", 2014, arXiv:1406.2661.
    """

    def gen(real: Logits, fake: Logits) -> Scalar:
        return -softplus(fake).mean()

    return Loss(_logistic_disc, gen)


def nonsaturating() -> Loss:
    """The logistic game in which G never runs out of gradient.

    L_D = E softplus(-r) + E softplus(f),  L_G = E softplus(-f).

    Reference: Goodfellow et al., "Generative Adversarial Nets", 2014, arXiv:1406.2661,
    section 3.

    >>> import jax.numpy as jnp
    >>> loss = nonsaturating()
    >>> float(loss.gen(jnp.zeros(2), jnp.array([-1e4, 1e4])))
    5000.0
    """

    def gen(real: Logits, fake: Logits) -> Scalar:
        return softplus(-fake).mean()

    return Loss(_logistic_disc, gen)


def hinge() -> Loss:
    """L_D = E max(0, 1 - r) + E max(0, 1 + f),  L_G = -E f.

    Reference: Lim and Ye, "Geometric GAN", 2017, arXiv:1705.02894.
    """

    def disc(real: Logits, fake: Logits) -> Scalar:
        return jax.nn.relu(1 - real).mean() + jax.nn.relu(1 + fake).mean()

    def gen(real: Logits, fake: Logits) -> Scalar:
        return -fake.mean()

    return Loss(disc, gen)


def least_squares(real: float = 1.0, fake: float = 0.0, gen: float = 1.0) -> Loss:
    """L_D = E (r - b)^2 / 2 + E (f - a)^2 / 2,  L_G = E (f - c)^2 / 2.

    With b - c = 1 and b - a = 2, as in (real, fake, gen) = (1, -1, 0), G minimises
    the Pearson chi-squared divergence of p + q from 2q: so much for the value. With D
    at its best and held, L_G is as large where fakes are missing as where there are too
    many, so that its step need not lead them there (`gan_jax.ratios`).

    Args:
      real: b, D's target for real samples.
      fake: a, D's target for fake ones.
      gen: c, G's target.

    Reference: Mao et al., "Least Squares Generative Adversarial Networks", 2017,
    arXiv:1611.04076.
    """
    target_real, target_fake, target_gen = real, fake, gen

    def disc_loss(real: Logits, fake: Logits) -> Scalar:
        return (
            jnp.square(real - target_real).mean() / 2
            + jnp.square(fake - target_fake).mean() / 2
        )

    def gen_loss(real: Logits, fake: Logits) -> Scalar:
        return jnp.square(fake - target_gen).mean() / 2

    return Loss(disc_loss, gen_loss)


def wasserstein() -> Loss:
    """L_D = E f - E r,  L_G = -E f.

    The Wasserstein-1 distance if D is 1-Lipschitz, so D needs a gradient penalty.

    Reference: Arjovsky et al., "Wasserstein GAN", 2017, arXiv:1701.07875.
    """

    def disc(real: Logits, fake: Logits) -> Scalar:
        return fake.mean() - real.mean()

    def gen(real: Logits, fake: Logits) -> Scalar:
        return -fake.mean()

    return Loss(disc, gen)


def margin(m: float = 1.0) -> Loss:
    """EBGAN's: energies U = -logit, those of fakes pushed up to m and no further.

    L_D = E U(x) + E max(0, m - U(x_f)) = -E r + E max(0, m + f),
    L_G = E U(x_f) = -E f.

    U must not be negative (`gan_jax.networks.energies.reconstruction`), or have its
    slope penalised: nothing else keeps D from sending U(x) to minus infinity. At a
    saddle with U in [0, m] the fakes are distributed as the data and L_D is m.

    Args:
      m: the energy beyond which D lets fakes be.

    Raises:
      ValueError: for a margin that is not positive.

    Reference: Zhao et al., "Energy-based generative adversarial network", 2017,
    arXiv:1609.03126.
    """
    if not m > 0:
        raise ValueError(f"m is {m}, but a margin is positive.")

    def disc(real: Logits, fake: Logits) -> Scalar:
        return -real.mean() + jax.nn.relu(m + fake).mean()

    def gen(real: Logits, fake: Logits) -> Scalar:
        return -fake.mean()

    return Loss(disc, gen)


def relativistic_pairing() -> Loss:
    """RpGAN: each fake is judged against the real sample of the same place.

    L_D = E softplus(f - r),  L_G = E softplus(r - f).

    Reference: Jolicoeur-Martineau, "The relativistic discriminator", 2018,
    arXiv:1807.00734; with R1 and R2 in Huang et al., "The GAN is dead; long live the
    GAN!", 2024, arXiv:2501.05441.
    """

    def disc(real: Logits, fake: Logits) -> Scalar:
        return softplus(fake - real).mean()

    def gen(real: Logits, fake: Logits) -> Scalar:
        return softplus(real - fake).mean()

    return Loss(disc, gen, "pairs")


def relativistic_average(
    kind: Literal["logistic", "least_squares", "hinge"] = "logistic",
    *,
    axis_name: str | None = None,
) -> Loss:
    """RaGAN: each sample is judged against the mean of the other kind.

    With u = r - E f and v = f - E r,
    L_D = (E l(u) + E l(-v)) / 2 and L_G = (E l(v) + E l(-u)) / 2, where l(t) is
    softplus(-t) for the logistic kind and max(0, 1 - t) for the hinge; the least
    squares use (t - 1)^2 for l(t) and hence (t + 1)^2 for l(-t).

    The means couple the whole batch.

    Args:
      kind: which l.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which the
        means are taken too, so that the answer is that of one device. Not for `jit`.

    Raises:
      ValueError: for an unknown kind.

    Reference: Jolicoeur-Martineau, "The relativistic discriminator", 2018,
    arXiv:1807.00734.
    """
    each = {
        "logistic": lambda t: softplus(-t),
        "least_squares": lambda t: jnp.square(t - 1),
        "hinge": lambda t: jax.nn.relu(1 - t),
    }
    if kind not in each:
        raise ValueError(f"kind is {kind!r}, but it must be one of {sorted(each)}.")
    score = each[kind]

    def mean(x: Logits) -> Scalar:
        return averaged(x.mean(), axis_name)

    def disc(real: Logits, fake: Logits) -> Scalar:
        return (score(real - mean(fake)).mean() + score(mean(real) - fake).mean()) / 2

    def gen(real: Logits, fake: Logits) -> Scalar:
        return disc(fake, real)

    return Loss(disc, gen, "batch", axis_name)


def top_k(loss: Loss, share: float | Scalar, *, axis_name: str | None = None) -> Loss:
    """``loss`` in which G learns from its best fakes only.

    L_G = 1 / k * sum of its terms over the k = round(share * n) fakes with the highest
    logits, of the n fakes of the whole batch; of equal logits the earlier ones. L_D is
    left alone. The paper lets k fall from n to n / 2 by 1% an epoch: give `adversarial`
    or `gan` a loss that depends on the step,
    ``lambda step: top_k(hinge(), share(step))`` with a schedule, step -> share.

    Args:
      loss: whose terms are kept or left out.
      share: k / n in (0, 1]; a number or, from a schedule, a scalar array.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which fakes
        are ranked too. Not for `jit`.

    Raises:
      ValueError: for a share outside (0, 1], and for a loss that couples the batch:
        it has no terms to choose from.

    Reference: Sinha et al., "Top-k Training of GANs: Improving GAN Performance by
    Throwing Away Bad Samples", 2020, arXiv:2002.06224.
    """
    if isinstance(share, float | int) and not 0 < share <= 1:
        raise ValueError(
            f"share is {share}, but it is the share of the fakes that G learns from, "
            "in (0, 1]."
        )
    if loss.couples == "batch":
        raise ValueError(
            "top_k chooses among the terms of single samples, but this loss is of the "
            "whole batch. Give one with couples='none' or 'pairs'."
        )

    def gen(real: Logits, fake: Logits) -> Scalar:
        everyone = gathered(fake, axis_name)
        first = jnp.zeros((), int)
        if axis_name is not None:
            first = jax.lax.axis_index(axis_name) * fake.size
        rank = jnp.argsort(jnp.argsort(-everyone))
        own_rank = jax.lax.dynamic_slice_in_dim(rank, first, fake.size)
        k = jnp.maximum(1, jnp.round(share * everyone.size))
        chosen = own_rank < k
        # What is left out is so before its term, whose slope may be beyond all bounds.
        kept = jnp.where(chosen, fake, 0)
        terms = jax.vmap(lambda r, f: loss.gen(r[None], f[None]))(real, kept)
        # A mean over this device's share, whose mean over devices is the sum over k.
        return everyone.size / k * jnp.where(chosen, terms, 0).mean()

    return Loss(loss.disc, gen, "batch", axis_name)


def _logistic_disc(real: Logits, fake: Logits) -> Scalar:
    return softplus(-real).mean() + softplus(fake).mean()
