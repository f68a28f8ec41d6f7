"""Ways to compare real and generated samples without a density of either.

There are four: by the probability of a sample's class (`class_probability`), by fitting
the ratio of the densities (`ratio_matching`), by the dual of a divergence
(`gan_jax.divergences.f_gan`), and by moments (`moment_matching`). The first three give
D a logit v that is log p/q at its best, of real over generated. So what G minimises can
be chosen apart from how D learned the ratio.

Reference: Mohamed and Lakshminarayanan, "Learning in Implicit Generative Models", 2016,
arXiv:1610.03483.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.divergences import Divergence, Elementwise
from gan_jax.losses import Logits, Loss, LossFn, Scalar, softplus
from gan_jax.parts import averaged


def class_probability(
    kind: Literal["logistic", "brier", "exponential"], divergence: Divergence
) -> Loss:
    """D tells real from fake by a proper loss, so that its logit is log p/q.

    logistic     L_D = E softplus(-r) + E softplus(f)
    brier        L_D = E sigmoid(-r)^2 + E sigmoid(f)^2
    exponential  L_D = E e^(-r/2) + E e^(f/2)

    and L_G = -E f*(f'(e^f)), whose gradient at the best D is the divergence's. (The
    plug-in estimate E f(e^f) of D_f has the same gradient for -log u only: with D held
    fixed, G is not charged for what its step does to the ratio.)

    Args:
      kind: the proper loss.
      divergence: what G minimises; `reverse_kl` makes it L_G = 1 - E f.

    Raises:
      ValueError: for another kind, or a divergence whose v is not the log-ratio.
    """
    terms: dict[str, Elementwise] = {
        "logistic": softplus,
        "brier": lambda v: jnp.square(jax.nn.sigmoid(v)),
        "exponential": lambda v: jnp.exp(v / 2),
    }
    if kind not in terms:
        raise ValueError(f"kind is {kind!r}, but it must be one of {sorted(terms)}.")
    cost = terms[kind]

    def disc(real: Logits, fake: Logits) -> Scalar:
        return cost(-real).mean() + cost(fake).mean()

    return Loss(disc, _divided(divergence))


def ratio_matching(fit: Divergence, divergence: Divergence) -> Loss:
    """D fits u = e^logit to p/q in the Bregman distance of f.

    L_D = E_q [u f'(u) - f(u)] - E_p f'(u), which is E_q of the distance from p/q to u,
    less a constant, and also the dual of `f_gan`, since u f'(u) - f(u) = f*(f'(u)).
    `squared_difference` is LSIF: twice E_q u^2 / 2 - E_p u. `kl` is KLIEP:
    E_q u - E_p log u. L_G is as in `class_probability`.

    Args:
      fit: whose f measures D's error.
      divergence: what G minimises.

    Raises:
      ValueError: for a divergence whose v is not the log-ratio.

    Reference: Sugiyama et al., "Density-ratio matching under the Bregman divergence",
    2012; Uehara et al., "b-GAN", 2016, arXiv:1610.02920.
    """
    _check_log_ratio(fit)

    def disc(real: Logits, fake: Logits) -> Scalar:
        return fit.composite(fake).mean() - fit.activation(real).mean()

    return Loss(disc, _divided(divergence))


def moment_matching(*, axis_name: str | None = None) -> Loss:
    """L_G = (E r - E f)^2 = -L_D: the mean of one learned statistic is matched.

    It is estimated without bias, as (mean r - mean f)^2 - var(r) / n - var(f) / n. The
    plain square would let D be paid for noise, and G for samples that vary too little.
    A high logit does not mean real here, and D must be bounded: give it a penalty. The
    means couple the whole batch.

    Args:
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which means
        and variances are taken too. Not for `jit`.

    Raises:
      ValueError: when called, for a batch of one sample, which has no variance.

    Reference: Mroueh et al., "McGan: Mean and Covariance Feature Matching GAN", 2017,
    arXiv:1702.08398.
    """

    def mean(x: Logits) -> Scalar:
        return averaged(x.mean(), axis_name)

    def gen(real: Logits, fake: Logits) -> Scalar:
        n = real.size * (1 if axis_name is None else jax.lax.axis_size(axis_name))
        if n < 2:
            raise ValueError(
                "moments are matched over a batch of 1 sample, which has no variance. "
                "Give at least 2."
            )
        means = mean(real), mean(fake)
        spread = mean(jnp.square(real - means[0]) + jnp.square(fake - means[1]))
        return jnp.square(means[0] - means[1]) - spread / (n - 1)

    def disc(real: Logits, fake: Logits) -> Scalar:
        return -gen(real, fake)

    return Loss(disc, gen, "batch", axis_name)


def _divided(divergence: Divergence) -> LossFn:
    """L_G = -E f*(f'(e^f)), for a logit that is log p/q."""
    _check_log_ratio(divergence)

    def gen(real: Logits, fake: Logits) -> Scalar:
        return -divergence.composite(fake).mean()

    return gen


def _check_log_ratio(divergence: Divergence) -> None:
    with jax.ensure_compile_time_eval():
        v = jnp.linspace(-2, 2, 5)
        u = jnp.exp(v)
        slope = jax.jvp(divergence.f, (u,), (jnp.ones_like(u),))[1]
        same = np.allclose(divergence.activation(v), slope, rtol=1e-3, atol=1e-3)
    if not same:
        raise ValueError(
            "the logit is log p/q in this game, but the divergence's activation is not "
            "f'(e^v), so that its v is another number. Give a divergence as it is made "
            "in gan_jax.divergences; the total variation's f' does not tell the ratio."
        )
