"""Langevin and Hamiltonian chains: samples of exp(-U) from the slope of U alone.

Every function here moves n chains at once. An energy is ``x (n, ...) -> U (n,)``, low
where samples are likely; a sample's energy depends on that sample only. The energy of a
discriminator is minus its logit. Randomness belongs to chains: one key each, folded
with the number of the step, so a chain does not depend on which others run beside it.

In the latent space of a generator G the energy is ``z -> U(G(z))``. Without the
determinant of G's Jacobian, exp(-U(G(z))) is not the density whose image under G is
exp(-U): such a chain drops bad samples, it does not make G's samples exact.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gan_jax.parts import per_sample, split_keys

Samples = Float[Array, "n *shape"]
Energy = Callable[[Samples], Float[Array, " n"]]
Keys = Key[Array, " n"]


def langevin(
    keys: Keys,
    start: Samples,
    energy: Energy,
    step_size: float,
    steps: int,
    *,
    noise: float | None = None,
    slope_limit: float | None = None,
    bounds: tuple[float, float] | None = None,
) -> Samples:
    """The unadjusted chain x' = x - e/2 dU/dx + sqrt(e) n with n ~ N(0, I).

    Its stationary density is exp(-U) only as e -> 0. On U = x^2 / 2 its variance is
    1 / (1 - e/4); `mala` corrects that.

    The three options are those of the image models' code, whose step is
    e/2 = 10, noise 0.005, slopes cut at 0.01, pixels kept in their range. Since
    0.005 is not sqrt(20), that chain samples at a temperature of about 1e-6: it is
    next to a descent.

    Args:
      keys: one per chain.
      start: (n, ...), where the chains begin.
      energy: U.
      step_size: e.
      steps: how many.
      noise: the noise's standard deviation in place of sqrt(e).
      slope_limit: cut each element of dU/dx at this size.
      bounds: (low, high); clip samples to them after each step.

    Returns:
      Where the chains end.

    Raises:
      ValueError: for a step size that is not positive, or fewer than 1 step.

    Reference: Welling and Teh, "Bayesian learning via stochastic gradient Langevin
    dynamics", 2011; Du and Mordatch, "Implicit generation and modeling with
    energy-based models", 2019, arXiv:1903.08689.

    >>> import jax, jax.numpy as jnp
    >>> keys = jax.random.split(jax.random.key(0), 1000)
    >>> x = langevin(keys, jnp.zeros((1000, 1)), lambda x: (x[:, 0] - 3) ** 2, 0.1, 60)
    >>> round(float(x.mean()), 1), round(float(x.std()), 1)
    (3.0, 0.7)
    """
    _check_chain(step_size, steps)
    size = step_size**0.5 if noise is None else noise

    def step(x: Samples, number: Array) -> tuple[Samples, None]:
        _, slope = _energy_and_slope(energy, x)
        if slope_limit is not None:
            slope = jnp.clip(slope, -slope_limit, slope_limit)
        moved = x - step_size / 2 * slope + size * _normal(_at(keys, number), x)
        return moved if bounds is None else jnp.clip(moved, *bounds), None

    return jax.lax.scan(step, start, jnp.arange(steps))[0]


def mala(
    keys: Keys, start: Samples, energy: Energy, step_size: float, steps: int
) -> tuple[Samples, Float[Array, " n"]]:
    """The chain with Metropolis's correction: its stationary density is exp(-U).

    A step of `langevin` from x is a proposal x', taken with probability
    min(1, exp(U(x) - U(x')) q(x | x') / q(x' | x)) where
    q(x' | x) ~ exp(-||x' - x + e/2 dU/dx||^2 / (2e)).

    All of this is needed. Of the sources on energy-based GANs one writes e for e/2
    inside q, another the norm without its square, and a third leaves q out: at e = 1 on
    U = x^2 / 2 their variances are 1.33, 0.74 and 0.57, not 1.

    Args:
      keys: one per chain.
      start: (n, ...), where the chains begin.
      energy: U.
      step_size: e.
      steps: how many.

    Returns:
      Where the chains end, and the share of each chain's proposals that were taken.

    Raises:
      ValueError: for a step size that is not positive, or fewer than 1 step.

    Reference: Roberts and Tweedie, "Exponential convergence of Langevin distributions
    and their discrete approximations", 1996; for the latent space of a generator, Kumar
    et al., "Maximum entropy generators for energy-based models", 2019,
    arXiv:1901.08508.
    """
    _check_chain(step_size, steps)

    def drift(x: Samples, slope: Samples) -> Samples:
        return x - step_size / 2 * slope

    def step(
        state: tuple[Samples, Array, Samples], number: Array
    ) -> tuple[tuple[Samples, Array, Samples], Array]:
        x, u, slope = state
        noise_keys, choice_keys = split_keys(_at(keys, number), 2)
        proposal = drift(x, slope) + step_size**0.5 * _normal(noise_keys, x)
        new_u, new_slope = _energy_and_slope(energy, proposal)
        there = _squared_distance(proposal, drift(x, slope))
        back = _squared_distance(x, drift(proposal, new_slope))
        log_ratio = u - new_u + (there - back) / (2 * step_size)
        taken = jnp.log(_uniform(choice_keys, u)) < log_ratio

        def choose(new: Array, old: Array) -> Array:
            return jnp.where(per_sample(taken, new), new, old)

        new = (choose(proposal, x), choose(new_u, u), choose(new_slope, slope))
        return new, taken

    (x, _, _), taken = jax.lax.scan(
        step, (start, *_energy_and_slope(energy, start)), jnp.arange(steps)
    )
    return x, taken.mean(axis=0, dtype=start.dtype)


def hmc(
    keys: Keys,
    start: Samples,
    energy: Energy,
    step_size: float | Float[Array, ""],
    leapfrog: int = 10,
) -> tuple[Samples, Float[Array, " n"]]:
    """One Hamiltonian move, which leaves exp(-U) as it is: `mala` with a longer breath.

    A velocity v ~ N(0, I) is drawn and carried along with x for ``leapfrog`` steps,

        v <- v - e/2 dU/dx,  x <- x + e v,  v <- v - e/2 dU/dx,

    and the end is taken with probability min(1, exp(H(x, v) - H(x', v'))) where
    H(x, v) = U(x) + ||v||^2 / 2. With one step this is a step of `mala` of size e^2.

    The move is its own reverse: from a sample of exp(-U), there and back are equally
    likely. That holds only as long as the step size does not depend on where the chain
    is or was.

    Args:
      keys: one per chain.
      start: (n, ...), where the chains are.
      energy: U.
      step_size: e.
      leapfrog: steps of the move.

    Returns:
      Where the chains are then, and with what probability each one's end was taken.

    Raises:
      ValueError: for a step size that is not positive, or fewer than 1 step.

    Reference: Duane et al., "Hybrid Monte Carlo", 1987; Neal, "MCMC using Hamiltonian
    dynamics", 2011, arXiv:1206.1901.
    """
    # A traced size is its caller's concern.
    _check_chain(step_size if isinstance(step_size, float | int) else 1.0, leapfrog)
    velocity_keys, choice_keys = split_keys(keys, 2)
    velocity = _normal(velocity_keys, start)
    u, slope = _energy_and_slope(energy, start)

    def step(
        state: tuple[Samples, Samples, Array, Samples], nothing: None
    ) -> tuple[tuple[Samples, Samples, Array, Samples], None]:
        x, v, _, slope = state
        v = v - step_size / 2 * slope
        x = x + step_size * v
        u, slope = _energy_and_slope(energy, x)
        return (x, v - step_size / 2 * slope, u, slope), None

    (x, v, new_u, _), _ = jax.lax.scan(
        step, (start, velocity, u, slope), length=leapfrog
    )
    zero = jnp.zeros_like(start)
    kinetic = (_squared_distance(velocity, zero) - _squared_distance(v, zero)) / 2
    log_ratio = u - new_u + kinetic
    # inf - inf where energies overflow: stay, until an end is finite.
    log_ratio = jnp.where(jnp.isnan(log_ratio), -jnp.inf, log_ratio)
    taken = jnp.log(_uniform(choice_keys, u)) < log_ratio
    end = jnp.where(per_sample(taken, x), x, start)
    return end, jnp.exp(jnp.minimum(log_ratio, 0))


def _check_chain(step_size: float, steps: int) -> None:
    if not step_size > 0:
        raise ValueError(f"step_size is {step_size}, but a step has a positive size.")
    if steps < 1:
        raise ValueError(f"steps is {steps}, but a chain has at least 1 step.")


def _at(keys: Keys, number: Array) -> Keys:
    """Each chain's key of one step."""
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)


def _normal(keys: Keys, like: Samples) -> Samples:
    return jax.vmap(lambda key, x: jax.random.normal(key, x.shape, x.dtype))(keys, like)


def _uniform(keys: Keys, like: Float[Array, " n"]) -> Float[Array, " n"]:
    return jax.vmap(lambda key: jax.random.uniform(key, (), like.dtype))(keys)


def _energy_and_slope(energy: Energy, x: Samples) -> tuple[Array, Samples]:
    u, pull = jax.vjp(energy, x)
    return u, pull(jnp.ones_like(u))[0]


def _squared_distance(a: Samples, b: Samples) -> Float[Array, " n"]:
    return jnp.square(a - b).sum(axis=tuple(range(1, a.ndim)))
