"""f-divergences, and the games that minimise them.

For a convex f with f(1) = 0, D_f(P || Q) = E_q f(p/q), where p is the density of real
and q that of generated samples. With the conjugate f*(t) = sup_u {t u - f(u)} over
u >= 0 it is the best value of a game,

    D_f(P || Q) = max_T  E_p T - E_q f*(T),    reached at T = f'(p/q).

D's network gives any number v, and T = a(v) must lie where f* is finite. Here
a(v) = f'(e^v), except for the total variation, whose f' is a step. So v is the same in
every game, the log-ratio log p/q, and the two terms of the game, a(v) and h(v) =
f*(a(v)), are written out in v. (u = p/q; softplus(t) = log(1 + e^t).)

    name                         f(u)                          a(v)          h(v)
    total_variation              |u - 1| / 2                   tanh(v) / 2   a(v)
    kl                           u log u                       v + 1         e^v
    reverse_kl                   -log u                        -e^-v         v - 1
    squared_difference           (u - 1)^2                     2 e^v - 2     e^2v - 1
    relative_squared_difference  (1 - u)^2 / u                 1 - e^-2v     2 - 2 e^-v
    squared_hellinger            (sqrt(u) - 1)^2               1 - e^(-v/2)  e^(v/2) - 1
    jeffrey                      (u - 1) log u                 v + 1 - e^-v  v - 1 + e^v
    jensen_shannon               half of the next one's f, a and h
    twice_jensen_shannon         u log u - (1+u) log((1+u)/2)  a_0 + log 2   h_0 - log 2
    logistic                     u log u - (1+u) log(1+u)      a_0           h_0

with a_0 = -softplus(-v) and h_0 = softplus(v). They are named by what f is, since
papers give the names Pearson and Neyman to either chi-squared. The total variation and
the last three are finite for any v. The others hold an exponential and overflow where
it does, in float32 at v = 88 over the factor of v: there a(v) or h(v) itself is too
large a number. (It is exp(v) - 1 throughout and never expm1(v), whose derivative in JAX
is its value plus 1, and 0 where e^v is small.) `Divergence.with_activation` takes
another a(v), such as the papers'.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

from gan_jax.losses import Logits, Loss, Scalar, softplus

Numbers = Float[Array, "*shape"]
Elementwise = Callable[[Numbers], Numbers]


class Divergence(NamedTuple):
    """An f with what a game over it needs; every field maps numbers one by one.

    Attributes:
      f: convex on u >= 0.
      conjugate: f*(t); infinite where the supremum is.
      activation: a(v), D's output of any size as a T at which f* is finite.
      composite: h(v) = f*(a(v)), simplified so that no number is lost on the way.
    """

    f: Elementwise
    conjugate: Elementwise
    activation: Elementwise
    composite: Elementwise

    def with_activation(self, activation: Elementwise) -> "Divergence":
        """The same divergence with another a(v), and f*(a(v)) computed as it stands.

        >>> linear = squared_difference().with_activation(lambda v: v)
        >>> linear.composite(jnp.array([-1e4, 0.0, 2.0])).tolist()
        [-1.0, 0.0, 3.0]
        """
        return self._replace(
            activation=activation, composite=lambda v: self.conjugate(activation(v))
        )


def f_gan(divergence: Divergence, *, saturating: bool = True) -> Loss:
    """The game whose value is D_f(P || Q).

    L_D = -E a(r) + E f*(a(f)),  L_G = -E f*(a(f)), or -E a(f) if not saturating.

    At the best D the gradient of the saturating L_G is that of D_f(P || Q). The other
    one keeps its slope where D wins, and follows another divergence, in which f'(p/q)
    takes the place of f*(f'(p/q)): for `kl` it is the reverse KL.

    Args:
      divergence: one of this module, or one's own.
      saturating: whether G minimises what D maximises.

    Reference: Nowozin et al., "f-GAN: Training Generative Neural Samplers using
    Variational Divergence Minimization", 2016, arXiv:1606.00709.

    >>> loss = f_gan(kl())
    >>> fake = jnp.array([0.0, jnp.log(3.0)])
    >>> float(loss.gen(jnp.zeros(2), fake))
    -2.0
    """

    def disc(real: Logits, fake: Logits) -> Scalar:
        return divergence.composite(fake).mean() - divergence.activation(real).mean()

    def gen(real: Logits, fake: Logits) -> Scalar:
        if saturating:
            return -divergence.composite(fake).mean()
        return -divergence.activation(fake).mean()

    return Loss(disc, gen)


def total_variation() -> Divergence:
    """f = |u - 1| / 2, half of the L1 distance.

    T lies in [-1/2, 1/2], and the best T only says which of p and q is larger: this is
    the one game in which v is not the log-ratio.
    """

    def conjugate(t: Numbers) -> Numbers:
        return jnp.where(t > 0.5, jnp.inf, jnp.maximum(t, -0.5))

    def bounded(v: Numbers) -> Numbers:
        return jnp.tanh(v) / 2

    return Divergence(lambda u: jnp.abs(u - 1) / 2, conjugate, bounded, bounded)


def kl() -> Divergence:
    """f = u log u: KL(P || Q), which covers all of P."""
    return Divergence(
        f=lambda u: xlogy(u, u),
        conjugate=lambda t: jnp.exp(t - 1),
        activation=lambda v: v + 1,
        composite=jnp.exp,
    )


def reverse_kl() -> Divergence:
    """f = -log u: KL(Q || P), which stays inside of P."""
    return Divergence(
        f=lambda u: -jnp.log(u),
        conjugate=lambda t: -1 - jnp.log(jax.nn.relu(-t)),
        activation=lambda v: -jnp.exp(-v),
        composite=lambda v: v - 1,
    )


def squared_difference() -> Divergence:
    """f = (u - 1)^2, the chi-squared divergence E_q (p/q - 1)^2.

    Nowozin et al. take a(v) = v, without an exponential. Below t = -2, where the
    printed conjugate t^2 / 4 + t rises again, the supremum is f*(t) = -1, at u = 0.
    """
    return Divergence(
        f=lambda u: jnp.square(u - 1),
        conjugate=lambda t: jnp.square(jax.nn.relu(t / 2 + 1)) - 1,
        activation=lambda v: 2 * jnp.exp(v) - 2,
        composite=lambda v: jnp.exp(2 * v) - 1,
    )


def relative_squared_difference() -> Divergence:
    """f = (1 - u)^2 / u, the chi-squared divergence E_p (q/p - 1)^2."""

    def conjugate(t: Numbers) -> Numbers:
        return jnp.where(t > 1, jnp.inf, 2 - 2 * jnp.sqrt(jax.nn.relu(1 - t)))

    return Divergence(
        f=lambda u: jnp.square(1 - u) / u,
        conjugate=conjugate,
        activation=lambda v: 1 - jnp.exp(-2 * v),
        composite=lambda v: 2 - 2 * jnp.exp(-v),
    )


def squared_hellinger() -> Divergence:
    """f = (sqrt(u) - 1)^2, which is 2 - 2 E_q sqrt(p/q) and at most 2."""

    def conjugate(t: Numbers) -> Numbers:
        inside = t < 1
        return jnp.where(inside, t / jnp.where(inside, 1 - t, 1), jnp.inf)

    return Divergence(
        f=lambda u: jnp.square(jnp.sqrt(u) - 1),
        conjugate=conjugate,
        activation=lambda v: 1 - jnp.exp(-v / 2),
        composite=lambda v: jnp.exp(v / 2) - 1,
    )


def jeffrey() -> Divergence:
    """f = (u - 1) log u, which is KL(P || Q) + KL(Q || P).

    f*(t) = W + 1/W + t - 2 with Lambert's W = W(e^(1 - t)). As printed e^(1 - t)
    overflows, in float32 where p/q < 1/85 already. Here l = log W is solved for, in
    l + e^l = 1 - t, and f*(t) = e^-l - l - 1. With a(v) = v + 1 - e^-v the game needs
    no W at all, since there W = e^-v.
    """

    def conjugate(t: Numbers) -> Numbers:
        log_ratio = -_log_lambert_exp(1 - t)
        return log_ratio - 1 + jnp.exp(log_ratio)

    return Divergence(
        f=lambda u: (u - 1) * jnp.log(u),
        conjugate=conjugate,
        activation=lambda v: v + 1 - jnp.exp(-v),
        composite=lambda v: v - 1 + jnp.exp(v),
    )


def jensen_shannon(prior: float = 0.5) -> Divergence:
    """w KL(P || M) + (1 - w) KL(Q || M) with the mixture M = w P + (1 - w) Q.

    f = w u log u - (1 - w + w u) log(1 - w + w u). With a(v) = w log(sigmoid(s) / w)
    and f*(a(v)) = (1 - w) (log(1 - w) + softplus(s)), where s = v + log(w / (1 - w)),
    this is the logistic game for samples that are real with probability w.

    Args:
      prior: w in (0, 1); one half is the Jensen-Shannon divergence, at most log 2.

    Raises:
      ValueError: for another prior.
    """
    if not 0 < prior < 1:
        raise ValueError(
            f"prior is {prior}, but it is the probability of a real sample, between 0 "
            "and 1 without the ends. 0.5 is the Jensen-Shannon divergence."
        )
    other = 1 - prior
    log_prior, log_other = math.log(prior), math.log(other)
    shift = log_prior - log_other

    def f(u: Numbers) -> Numbers:
        mixed = other + prior * u
        return prior * xlogy(u, u) - xlogy(mixed, mixed)

    def conjugate(t: Numbers) -> Numbers:
        left = jax.nn.relu(1 - prior * jnp.exp(t / prior))
        return other * (log_other - jnp.log(left))

    def activation(v: Numbers) -> Numbers:
        return -prior * (softplus(-v - shift) + log_prior)

    def composite(v: Numbers) -> Numbers:
        return other * (softplus(v + shift) + log_other)

    return Divergence(f, conjugate, activation, composite)


def twice_jensen_shannon() -> Divergence:
    """f = u log u - (1 + u) log((1 + u) / 2), at most 2 log 2.

    Nowozin et al. call this one the Jensen-Shannon divergence.
    """
    half = jensen_shannon()
    return Divergence(
        f=lambda u: 2 * half.f(u),
        conjugate=lambda t: 2 * half.conjugate(t / 2),
        activation=lambda v: 2 * half.activation(v),
        composite=lambda v: 2 * half.composite(v),
    )


def logistic() -> Divergence:
    """f = u log u - (1 + u) log(1 + u): `gan_jax.losses.minimax`.

    f(1) is -2 log 2, not 0: the value is twice the Jensen-Shannon divergence less that.
    """
    return Divergence(
        f=lambda u: xlogy(u, u) - (1 + u) * jnp.log1p(u),
        conjugate=lambda t: -jnp.log(jax.nn.relu(-jnp.expm1(t))),
        activation=lambda v: -softplus(-v),
        composite=softplus,
    )


@jax.custom_jvp
def _log_lambert_exp(s: Numbers) -> Numbers:
    """The l with l + e^l = s: log W(e^s), for s of any size.

    l + e^l is convex and rises, so Newton's method started right of the solution comes
    down to it without ever passing it. Both starts, s and log s, lie right of it.
    """
    found = jnp.where(s > 1, jnp.log(jnp.where(s > 1, s, 1)), s)
    # Seven from the worst start (s = 1, off by 1) reach the last digits of float64.
    for _ in range(8):
        power = jnp.exp(found)
        found -= (found + power - s) / (1 + power)
    return found


@_log_lambert_exp.defjvp
def _log_lambert_exp_jvp(
    primals: tuple[Numbers], tangents: tuple[Numbers]
) -> tuple[Numbers, Numbers]:
    found = _log_lambert_exp(*primals)
    return found, tangents[0] / (1 + jnp.exp(found))
