"""Games whose discriminator learns a function of the likelihood ratio, by design.

Choose what D shall learn, a rising function omega of r = q/p (q generated, p real), and
any positive weight rho. The functions phi and psi follow from them, and so does the
divergence that G minimises. It is a part of the f-GAN family that is easier to design
in: every divergence comes with all the games that lead to it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gan_jax.divergences import Elementwise, Numbers
from gan_jax.losses import Logits, Loss, Scalar, softplus


class Pair(NamedTuple):
    """phi and psi of a likelihood-ratio game.

    With r = q/p, a rising omega and a positive rho let phi'(t) = -r rho(t) at
    t = omega(r), and psi'(t) = rho(t). Then E_p phi(t) + E_q psi(t) is largest at
    t = omega(q/p), and there it is a divergence of q from p, E_p d(q/p) with
    d(r) = phi(omega(r)) + r psi(omega(r)).

    As in the paper t is *high for fakes*. It need not take all values, so a network
    gives any number v, and t = activation(v). All fields map numbers one by one.

    Attributes:
      output: log r -> v, the network's best output; omega is activation(output(log r)).
      activation: v -> t.
      phi, psi: the two functions, of v and not of t, so that they can be written in a
        form that is finite for any v.
    """

    output: Elementwise
    activation: Elementwise
    phi: Elementwise
    psi: Elementwise


def likelihood_ratio(
    pair: Pair,
    *,
    alpha: Elementwise | None = None,
    beta: Elementwise | None = None,
) -> Loss:
    """The game in which D learns omega(q/p).

    With v = -logit, since here a high logit means real,
    L_D = -E phi(v_r) - E psi(v_f),  L_G = E beta(v_f).

    By default beta is psi, and at the best D the gradient of L_G is that of the
    divergence. Another beta is allowed if, with some alpha, there is a line below
    d(r) = alpha(omega(r)) + r beta(omega(r)) that touches it at r = 1 and nowhere else:
    then E_p d(q/p) is least at q = p alone. (There is one if d is strictly convex, and
    if d is least at 1.) That is checked here, for r in [e^-6, e^6].

    That is a statement on the minimum, and an alpha can be found for any beta. A step
    of G, which holds D fixed, does not go down on d, but on the function with the
    derivative beta(omega(r)). That is a divergence, and leads G to p from anywhere, if
    beta(omega(r)) rises. If it falls at r = 1, G is driven away from p: it is refused.

    Args:
      pair: phi and psi.
      alpha: of v; for the condition only, since G has no part in it. 0 by default.
      beta: of v; psi by default.

    Raises:
      ValueError: if D's best output is not the pair's, or a condition on beta fails, or
        alpha comes without beta.

    Reference: Moustakides and Basioukaite, "Designing GANs: A Likelihood Ratio
    Approach", 2020, arXiv:2002.00865; for alpha and beta Su Jianlin, 2020,
    kexue.fm/archives/7210.

    >>> loss = likelihood_ratio(cross_entropy(), beta=lambda v: v)  # KL(Q || P)
    >>> float(loss.gen(jnp.zeros(2), jnp.array([1.0, 2.0])))
    -1.5
    """
    _check_best_output(pair)
    if beta is not None:
        _check_least_at_one(pair, alpha or jnp.zeros_like, beta)
    elif alpha is not None:
        raise ValueError(
            "alpha was given without beta, but alpha only matters to the condition on "
            "beta. Give beta, or leave alpha away."
        )
    minimised = pair.psi if beta is None else beta

    def disc(real: Logits, fake: Logits) -> Scalar:
        return -pair.phi(-real).mean() - pair.psi(-fake).mean()

    def gen(real: Logits, fake: Logits) -> Scalar:
        return minimised(-fake).mean()

    return Loss(disc, gen)


def cross_entropy() -> Pair:
    """omega = log r, rho = sigmoid(-t): phi = -softplus(t), psi = -softplus(-t).

    d(r) = -log(1 + r) - r log(1 + 1/r): `gan_jax.losses.minimax`. beta = t makes it
    the reverse KL, and alpha = beta = softplus(t) the non-saturating game.
    """
    return Pair(_same, _same, phi=lambda v: -softplus(v), psi=lambda v: -softplus(-v))


def exponential() -> Pair:
    """omega = log(r) / 2, rho = e^-t: phi = -e^t, psi = -e^-t; d(r) = -2 sqrt(r)."""
    return Pair(
        lambda log_r: log_r / 2,
        _same,
        phi=lambda v: -jnp.exp(v),
        psi=lambda v: -jnp.exp(-v),
    )


def least_squares(real: float = -1.0, fake: float = 1.0) -> Pair:
    """omega = (a + b r) / (1 + r), rho = 2 (b - t): phi = -(t - a)^2, psi = -(t - b)^2.

    d(r) = -(b - a)^2 r / (1 + r). alpha = beta = (t - c)^2 with c = (a + b) / 2 has the
    chi-squared d of LSGAN. Yet its steps do not lead to p: beta(omega(r)) falls for
    r < 1, so that mass leaves the places where there is too little of it already.

    Args:
      real: a, the target of t for real samples; that of the logit is -a.
      fake: b, larger than a.

    Raises:
      ValueError: unless b is the larger one.
    """
    a, b = real, fake
    if not a < b:
        raise ValueError(
            f"the targets are {a} for real and {b} for fake samples, but t is high for "
            "fakes here. Give real < fake."
        )
    return Pair(
        lambda log_r: a + (b - a) * jax.nn.sigmoid(log_r),
        _same,
        phi=lambda v: -jnp.square(v - a),
        psi=lambda v: -jnp.square(v - b),
    )


def probability() -> Pair:
    """omega = r / (1 + r), rho = 1 / t: phi = log(1 - t), psi = log t, t in (0, 1).

    With t = sigmoid(v) this is `cross_entropy` again.
    """
    return cross_entropy()._replace(activation=jax.nn.sigmoid)


def power(alpha: float = 1.0, beta: float = 0.0) -> Pair:
    """omega = r^alpha, rho = t^beta, t > 0; alpha = 1, beta = 0 are least squares of r.

    psi = (t^k - 1) / k with k = beta + 1 and phi = -(t^m - 1) / m with m = k + 1/alpha,
    or log t and -log t where the exponent is 0; t = e^v.

    Raises:
      ValueError: unless alpha is positive.
    """
    if not alpha > 0:
        raise ValueError(f"alpha is {alpha}, but r^alpha must rise: give one above 0.")

    def grown(v: Numbers, exponent: float) -> Numbers:
        return (jnp.exp(exponent * v) - 1) / exponent if exponent else v

    return Pair(
        lambda log_r: alpha * log_r,
        jnp.exp,
        phi=lambda v: -grown(v, beta + 1 + 1 / alpha),
        psi=lambda v: grown(v, beta + 1),
    )


def total_variation() -> Pair:
    """omega = sign(log r), t in [-1, 1]: phi = -t, psi = t; d(r) = |r - 1|.

    Its omega is a step: D only learns which of p and q is larger.
    """
    return Pair(
        lambda log_r: jnp.where(log_r == 0, 0, jnp.inf * jnp.where(log_r < 0, -1, 1)),
        jnp.tanh,
        phi=lambda v: -jnp.tanh(v),
        psi=jnp.tanh,
    )


def designed(omega: Elementwise, rho: Elementwise, *, nodes: int = 64) -> Pair:
    """A game of one's own: any rising omega with any positive rho.

    The network gives v = log r and t = omega(v), so neither the inverse of omega nor
    the set of its values need be known: psi'(v) = rho(t) omega'(v) and phi'(v) =
    -e^v psi'(v). Training sees these derivatives, exactly and at any order. Only the
    *values* of phi and psi are Gauss-Legendre sums, from v = 0, where both are 0.

    e^v psi'(v) is computed as it stands: keep |v| below 80 in float32, or write the
    antiderivatives out as a `Pair`.

    Args:
      omega: log r -> t, differentiable.
      rho: t -> a positive number.
      nodes: of the quadrature.

    Raises:
      ValueError: if omega does not rise or rho is not positive for log r in [-6, 6].

    >>> pair = designed(lambda log_r: log_r / 2, lambda t: jnp.exp(-t))
    >>> v = jnp.log(4.0)
    >>> round(float(pair.phi(v)), 4), round(float(pair.psi(v)), 4)  # 1 - e^t, 1 - e^-t
    (-1.0, 0.5)
    """

    def slope(v: Numbers) -> Numbers:
        t, rise = jax.jvp(omega, (v,), (jnp.ones_like(v),))
        return rho(t) * rise

    rising = _evaluated(lambda x: jax.jvp(omega, (x,), (jnp.ones_like(x),))[1])
    positive = _evaluated(lambda x: rho(omega(x)))
    for name, values in (("omega'", rising), ("rho", positive)):
        if not (wrong := ~(np.isfinite(values) & (values > 0))).any():
            continue
        raise ValueError(
            f"{name} is {values[wrong][0]:.3g} at log r = {LOG_R[wrong][0]:.3g}, but "
            "it must be positive. Give an omega(log r) that rises and a rho(t) > 0."
        )
    return Pair(
        _same,
        omega,
        phi=_antiderivative(lambda v: -jnp.exp(v) * slope(v), nodes),
        psi=_antiderivative(slope, nodes),
    )


# Where conditions are checked: r from 1/400 to 400, and r = 1 in the middle.
LOG_R = np.linspace(-6, 6, 121)


def _same(v: Numbers) -> Numbers:
    return v


def _antiderivative(slope: Elementwise, nodes: int) -> Elementwise:
    """The integral of ``slope`` from 0, whose derivative is ``slope`` itself."""
    places, weights = np.polynomial.legendre.leggauss(nodes)

    @jax.custom_jvp
    def integral(v: Numbers) -> Numbers:
        row = (1,) * v.ndim + (nodes,)
        share = jnp.asarray((places + 1) / 2, v.dtype).reshape(row)
        weight = jnp.asarray(weights / 2, v.dtype).reshape(row)
        return v * (weight * slope(v[..., None] * share)).sum(-1)

    @integral.defjvp
    def integral_jvp(
        primals: tuple[Numbers], tangents: tuple[Numbers]
    ) -> tuple[Numbers, Numbers]:
        return integral(*primals), slope(*primals) * tangents[0]

    return integral


def _evaluated(function: Callable[[Array], Array]) -> np.ndarray:
    """A function of log r at LOG_R, in float64 whatever the precision of the moment."""
    with jax.ensure_compile_time_eval(), jax.enable_x64():
        return np.asarray(function(jnp.asarray(LOG_R)))


def _check_best_output(pair: Pair) -> None:
    """Whether phi + r psi is largest where the pair says, among the outputs for LOG_R.

    The numbers are compared relative to their size.
    """
    phi = _evaluated(lambda log_r: pair.phi(pair.output(log_r)))
    psi = _evaluated(lambda log_r: pair.psi(pair.output(log_r)))
    value = phi[None] + np.exp(LOG_R)[:, None] * psi[None]
    least = 1e-9 * np.abs(value).max(axis=1)
    if (np.diagonal(value) >= value.max(axis=1) - least).all():
        return
    i = np.argmax(value.max(axis=1) - least - np.diagonal(value))
    j = value[i].argmax()
    raise ValueError(
        f"at q/p = {np.exp(LOG_R[i]):.3g} phi + (q/p) psi is larger at the output for "
        f"{np.exp(LOG_R[j]):.3g} than at its own: D would not learn the pair's omega. "
        "Give psi' = rho > 0 and phi' = -r rho at t = omega(r), t high for fakes."
    )


def _check_least_at_one(pair: Pair, alpha: Elementwise, beta: Elementwise) -> None:
    """Whether a line through d(1) stays below d, and beta does not fall at r = 1.

    The line's slope lies between those of the chords to the left and to the right.
    """

    def d(log_r: Numbers) -> Numbers:
        v = pair.output(log_r)
        return alpha(v) + jnp.exp(log_r) * beta(v)

    values, middle = _evaluated(d), len(LOG_R) // 2
    if not np.isfinite(values).all():
        raise ValueError(
            "alpha(omega(r)) + r beta(omega(r)) is not finite for all r from e^-6 to "
            "e^6. Give alpha and beta that are."
        )
    rest = np.arange(len(LOG_R)) != middle
    chords = (values - values[middle])[rest] / np.expm1(LOG_R[rest])
    left, right = chords[:middle].max(), chords[middle:].min()
    if not left < right - 1e-9 * (abs(left) + abs(right)):
        raise ValueError(
            "d(r) = alpha(omega(r)) + r beta(omega(r)) has no line below it that "
            f"touches it at r = 1 alone: chords from there rise by up to {left:.4g} on "
            f"the left, and by as little as {right:.4g} on the right. So q = p is not "
            "the one minimum. Give a beta (and alpha) that make d convex or least at "
            "1; mind that t is high for fakes."
        )
    beside = _evaluated(lambda log_r: beta(pair.output(log_r)))[middle - 1 : middle + 2]
    if beside[2] - beside[0] < -1e-9 * np.abs(beside).max():
        raise ValueError(
            f"beta(omega(r)) falls at r = 1, from {beside[0]:.4g} to {beside[2]:.4g}: "
            "G would be driven away from p. Give a beta that rises with t there; t is "
            "high for fakes."
        )
