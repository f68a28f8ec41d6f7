"""Annealed importance sampling: log p(x) under a generator, between two bounds.

A generator alone has no density; with an observation model it has one,

    z ~ N(0, I),  x = G(z) + sqrt(variance) n,  p(x) = E_z N(x; G(z), variance I).

The mean over z is far too rare to be hit by drawing. So chains are led from the prior
to the posterior, over p_t(z) ~ p(z) p(x | z)^beta_t with beta from 0 to 1:

    log w = sum_t (beta_t - beta_(t-1)) log p(x | z_(t-1)),

where z_t comes from z_(t-1) by a move that leaves p_t as it is.

E w = p(x), so that log of a mean of w is on average too small: a lower bound. Chains
led backwards from an exact sample of the posterior give E 1/w = 1 / p(x), hence an
upper bound. Such a sample is at hand only where x was itself drawn with its z: the gap
between the two bounds there says how far to trust the lower one on real data.

The figure belongs to the observation model as much as to the generator: compare at one
variance only. A flow, whose density is known, is to be asked for that instead.

Reference: Wu et al., "On the Quantitative Analysis of Decoder-Based Generative Models",
2016, arXiv:1611.04273; Neal, "Annealed importance sampling", 2001; Grosse et al.,
"Sandwiching the marginal likelihood using bidirectional Monte Carlo", 2015,
arXiv:1511.02543.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from gan_jax.langevin import hmc

Samples = Float[Array, "n *shape"]
Codes = Float[Array, "c latent"]
Generate = Callable[[Codes], Float[Array, "c *shape"]]
PerSample = Float[Array, " n"]

# A move's length is drawn from within this share of its temperature's step size.
JITTER = 0.2
# How fast a pilot's step size follows its acceptance, and which one it seeks: 0.65 is
# the best for HMC in many dimensions (Beskos et al., 2010, arXiv:1001.4460).
GAIN, TARGET = 0.2, 0.65


class Likelihood(NamedTuple):
    """What forward chains say of given samples.

    Attributes:
      lower: log p(x) in nats, too small on average. In bits per element:
        -lower / (elements * log 2).
      acceptance: the share of moves that were taken. Near 0 the chains stand still, and
        ``lower`` is loose.
    """

    lower: PerSample
    acceptance: PerSample


class Bounds(NamedTuple):
    """What chains in both directions say of the generator's own samples.

    Attributes:
      samples: x, drawn from the observation model.
      lower, upper: log p(x) in nats, too small and too large on average.
      acceptance: of the forward chains and of those that lead back, (2, n).
    """

    samples: Samples
    lower: PerSample
    upper: PerSample
    acceptance: Float[Array, "2 n"]


class Annealing(NamedTuple):
    """``estimate(key, x) -> Likelihood`` and ``bounds(key, n) -> Bounds``."""

    estimate: Callable[[Key[Array, ""], Samples], Likelihood]
    bounds: Callable[[Key[Array, ""], int], Bounds]


def sigmoid_schedule(
    temperatures: int, radius: float = 4.0
) -> Float[np.ndarray, " temperatures"]:
    """beta_t = (s_t - s_1) / (s_T - s_1), s_t = sigmoid(radius (2 (t-1) / (T-1) - 1)).

    Its steps are smallest at both ends, where p_t changes fastest.

    Args:
      temperatures: T, at least 2: the two ends.
      radius: how much smaller; 4 in the paper's code.

    Raises:
      ValueError: for fewer than 2 temperatures, or a radius that is not positive.

    Reference: Wu et al., 2016, arXiv:1611.04273, and the code released with it.

    >>> sigmoid_schedule(3).tolist()
    [0.0, 0.5, 1.0]
    """
    if temperatures < 2 or radius <= 0:
        raise ValueError(
            f"temperatures is {temperatures} and radius is {radius}, but a schedule "
            "leads from 0 to 1 along a sigmoid: give at least 2 and a positive one."
        )
    s = 1 / (1 + np.exp(-np.linspace(-radius, radius, temperatures)))
    return (s - s[0]) / (s[-1] - s[0])


def annealed_importance(
    generate: Generate,
    latent: int,
    *,
    variance: float,
    temperatures: int = 1000,
    chains: int = 16,
    leapfrog: int = 10,
    pilots: int = 4,
) -> Annealing:
    """log p(x) of a generator with the prior N(0, I), by AIS with Hamiltonian moves.

    Each temperature has a step size of its own. It is found by pilot chains, which
    change it until 0.65 of their moves are taken, and is held fixed in the chains that
    count: a size that followed those chains themselves would void both bounds.

    Args:
      generate: ``z (c, latent) -> samples (c, ...)``, differentiable, each row by
        itself: a generator that does not train, its parameters closed over.
      latent: the size of z.
      variance: of the observation noise, **not** its standard deviation. The paper
        fits it on held-out data; in its code 0.025 is called ``sigma``, and is this.
      temperatures: the longer the way, the tighter the bounds. The paper takes 10,000.
      chains: for each x; their weights are averaged.
      leapfrog: steps of a move.
      pilots: pilot chains for each x.

    Returns:
      An `Annealing`. Both functions are compiled once for one number of samples, and
      hold ``chains`` images for each of them: give real data in parts.

    Raises:
      ValueError: for a variance, a number of chains or of pilots that is not positive,
        and as `sigmoid_schedule`; when called, for samples of another shape than the
        generator's.

    Reference: Wu et al., "On the Quantitative Analysis of Decoder-Based Generative
    Models", 2016, arXiv:1611.04273.
    """
    if not variance > 0 or min(chains, pilots, latent) < 1:
        raise ValueError(
            f"variance is {variance}, latent is {latent}, chains is {chains} and "
            f"pilots is {pilots}, but all must be positive: noise of no size has no "
            "density, and there is no mean over no chains."
        )
    up = sigmoid_schedule(temperatures)
    anneal = _annealer(generate, variance, leapfrog)

    def prior(key: Key[Array, ""], x: Samples, each: int) -> Array:
        return jax.random.normal(key, (len(x) * each, latent))

    def sizes(key: Key[Array, ""], x: Samples) -> Array:
        start_key, move_key = jax.random.split(key)
        start = prior(start_key, x, pilots)
        return anneal(move_key, x, start, up, None).sizes

    def forward(key: Key[Array, ""], x: Samples, found: Array) -> Likelihood:
        start_key, move_key = jax.random.split(key)
        way = anneal(move_key, x, prior(start_key, x, chains), up, found)
        return Likelihood(_log_mean(way.log_weight), way.acceptance)

    def estimate(key: Key[Array, ""], x: Samples) -> Likelihood:
        made = jax.eval_shape(generate, jax.ShapeDtypeStruct((1, latent), x.dtype))
        if made.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"the samples have shape {x.shape[1:]}, but the generator makes "
                f"{made.shape[1:]}. Give it samples as it makes them."
            )
        pilot_key, run_key = jax.random.split(key)
        return forward(run_key, x, sizes(pilot_key, x))

    def bounds(key: Key[Array, ""], n: int) -> Bounds:
        code_key, noise_key, pilot_key, up_key, down_key = jax.random.split(key, 5)
        z = jax.random.normal(code_key, (n, latent))
        mean = generate(z)
        noise = jax.random.normal(noise_key, mean.shape, mean.dtype)
        x = mean + math.sqrt(variance) * noise
        found = sizes(pilot_key, x)
        below = forward(up_key, x, found)
        # The way back ends at beta = 0, where a move is of no use any more.
        start = jnp.repeat(z, chains, axis=0)
        back = anneal(down_key, x, start, up[::-1], jnp.append(found[-2::-1], found[0]))
        upper = -_log_mean(back.log_weight)
        both = jnp.stack([below.acceptance, back.acceptance])
        return Bounds(x, below.lower, upper, both)

    return Annealing(jax.jit(estimate), jax.jit(bounds, static_argnums=1))


class _Way(NamedTuple):
    log_weight: Float[Array, "n chains"]
    acceptance: PerSample
    sizes: Float[Array, " moves"]


def _annealer(
    generate: Generate, variance: float, leapfrog: int
) -> Callable[..., _Way]:
    def anneal(
        key: Key[Array, ""],
        x: Samples,
        start: Codes,
        schedule: np.ndarray,
        sizes: Array | None,
    ) -> _Way:
        """Chains along ``schedule``; with no ``sizes`` given, they find their own.

        Chains c of x_i are rows i * chains + c. A move goes to each temperature but the
        first; its size is ``sizes``' of that place.
        """
        chains = len(start) // len(x)
        target = jnp.repeat(x.reshape(len(x), -1), chains, axis=0)

        def log_density(z: Array) -> Array:
            """log p(x | z) but for its constant, which no beta changes in the end."""
            off = jnp.square(generate(z).reshape(target.shape) - target)
            return -off.sum(axis=1) / (2 * variance)

        def move(
            state: tuple[Array, Array, Array], at: tuple[Array, ...]
        ) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
            z, log_weight, size = state
            number, old, new, held = at
            log_weight += (new - old) * log_density(z)
            size = size if sizes is None else held
            size_key, move_key = jax.random.split(jax.random.fold_in(key, number))
            # A fixed length may be a period of the orbit, which leads nowhere.
            length = size * jax.random.uniform(
                size_key, (), minval=1 - JITTER, maxval=1 + JITTER
            )
            z, acceptance = hmc(
                jax.random.split(move_key, len(z)),
                z,
                lambda z: jnp.square(z).sum(axis=1) / 2 - new * log_density(z),
                length,
                leapfrog,
            )
            longer = size * jnp.exp(GAIN * (acceptance.mean() - TARGET))
            return (z, log_weight, longer), (acceptance, size)

        beta = jnp.asarray(schedule, start.dtype)
        moves = len(schedule) - 1
        places = jnp.zeros(moves) if sizes is None else sizes
        # With ten steps of this size a chain goes round most of the prior.
        first = (start, jnp.zeros(len(start)), jnp.asarray(0.5))
        steps = (jnp.arange(moves), beta[:-1], beta[1:], places)
        (_, log_weight, _), (acceptance, used) = jax.lax.scan(move, first, steps)
        constant = -target.shape[1] / 2 * math.log(2 * math.pi * variance)
        whole = beta[-1] - beta[0]
        return _Way(
            (log_weight + whole * constant).reshape(len(x), chains),
            acceptance.mean(axis=0).reshape(len(x), chains).mean(axis=1),
            used,
        )

    return anneal


def _log_mean(log_weight: Float[Array, "n chains"]) -> PerSample:
    return jax.nn.logsumexp(log_weight, axis=1) - math.log(log_weight.shape[1])
