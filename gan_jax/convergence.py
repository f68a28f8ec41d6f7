"""Does a game converge? The eigenvalues of its vector field decide near a fixed point.

With v the players' field (`gan_jax.dynamics.field`) and J = dv/dw:

* the flow dw/dt = -v(w) is stable where all eigenvalues of -J have negative real parts;
* steps of gradient descent, in any play and with a rate for each player, are a map
  w -> F(w), stable where all eigenvalues of dF/dw lie inside the unit circle.

A game of two players has eigenvalues with large imaginary parts, where a minimisation
has real ones: the flow may converge and the steps not.

Everything here runs on the host and returns numpy arrays; the fixed batch and keys make
of a random game a determined one. Float64 (``with jax.enable_x64()``) is advisable.

Reference: Mescheder et al., "Which Training Methods for GANs do actually Converge?",
2018, arXiv:1801.04406; Nagarajan and Kolter, "Gradient descent GAN optimization is
locally stable", 2017, arXiv:1706.04156.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from jaxtyping import Complex, Float

from gan_jax.dynamics import field
from gan_jax.kernel import Batch, Objective, Params, Play, Stats, simultaneous

Flat = Float[Array, " w"]
FlatMap = Callable[[Flat], Flat]


def jacobian(
    objective: Objective,
    params: Params,
    stats: Stats,
    batch: Batch,
    keys: Array,
    step: int = 0,
) -> Float[np.ndarray, "w w"]:
    """J = dv/dw of the players' vector field, dense.

    Args:
      objective: the game.
      params, stats: of all players, as a `State` has them.
      batch: the samples.
      keys: one key per sample, as the objective takes them.
      step: the step's number, which schedules see.

    Returns:
      One row for each number of v and one column for each of w, both in the order of
      `jax.flatten_util.ravel_pytree(params)`: players by name, then leaves.

    Raises:
      ValueError: if finite differences contradict it: the objective then uses
        `jax.lax.stop_gradient` where `gan_jax.stop` is wanted.
    """
    velocity, w = _velocity(objective, params, stats, batch, keys, step)
    _check_derivatives(velocity, w, params)
    return np.asarray(jax.jit(jax.jacfwd(velocity))(w))


def eigenvalues(
    objective: Objective,
    params: Params,
    stats: Stats,
    batch: Batch,
    keys: Array,
    step: int = 0,
    *,
    rates: Mapping[str, float] | None = None,
    play: Play | None = None,
    largest: int | None = None,
) -> Complex[np.ndarray, " k"]:
    """The eigenvalues that decide stability, the most dangerous ones first.

    Without ``rates``, those of the flow's -J, by falling real part: stable if the first
    one's is negative. With ``rates``, those of dF/dw for one step F of gradient
    descent, by falling modulus: stable if the first one's is below 1.

    Args:
      objective, params, stats, batch, keys, step: as for `jacobian`. All moves of a
        play see the same batch and keys.
      rates: ``{player: learning rate}`` of plain gradient descent; players who are not
        named stay where they are.
      play: the moves of one step; by default all with a rate move at once.
      largest: how many; by default all, from the dense matrix. A number finds those few
        by Arnoldi's method, from products of the matrix with vectors alone, for games
        whose matrix would not fit.

    Returns:
      Complex numbers.

    Raises:
      ValueError: as `jacobian` does; for a play without rates or with players who have
        none; and for a ``largest`` that Arnoldi's method cannot give.
    """
    velocity, w = _velocity(objective, params, stats, batch, keys, step)
    _check_derivatives(velocity, w, params)
    if rates is None:
        if play is not None:
            raise ValueError(
                f"play is {play!r}, but a flow has no moves. Give rates too, one per "
                "player, or leave the play away."
            )
        maps: FlatMap = lambda w: -velocity(w)  # noqa: E731
    else:
        maps = _descent(velocity, params, rates, play or simultaneous(*rates))
    if largest is None:
        found = np.linalg.eigvals(np.asarray(jax.jit(jax.jacfwd(maps))(w)))
    else:
        found = _arnoldi(maps, w, largest, "LR" if rates is None else "LM")
    order = np.argsort(-(found.real if rates is None else np.abs(found)), kind="stable")
    return found[order].astype(complex)


def _velocity(
    objective: Objective,
    params: Params,
    stats: Stats,
    batch: Batch,
    keys: Array,
    step: int,
) -> tuple[FlatMap, Flat]:
    """The field as a function of one vector, and the vector that ``params`` are."""
    w, tree = ravel_pytree(params)
    v = field(objective)

    def velocity(w: Flat) -> Flat:
        return ravel_pytree(v(tree(w), stats, batch, keys, step))[0]

    return velocity, w


def _places(params: Params) -> dict[str, np.ndarray]:
    """Where each player's numbers lie in the vector."""
    sizes = {p: ravel_pytree(params[p])[0].size for p in sorted(params)}
    ends = np.cumsum(list(sizes.values()))
    return {
        player: np.arange(end - size, end)
        for (player, size), end in zip(sizes.items(), ends, strict=True)
    }


def _descent(
    velocity: FlatMap, params: Params, rates: Mapping[str, float], play: Play
) -> FlatMap:
    """One step of gradient descent: each move from where the last one ended."""
    if unknown := {player for move in play for player in move} - set(rates):
        raise ValueError(
            f"the play names {sorted(unknown)}, but only {sorted(rates)} have rates. "
            "Give one to each who moves."
        )
    if unknown := set(rates) - set(params):
        raise ValueError(
            f"there are rates for {sorted(unknown)}, but the players are "
            f"{sorted(params)}."
        )
    places = _places(params)
    total = sum(place.size for place in places.values())
    steps = []
    for movers in play:
        own = np.zeros(total)
        for player in movers:
            own[places[player]] = rates[player]
        steps.append(own)

    def maps(w: Flat) -> Flat:
        for own in steps:
            w = w - jnp.asarray(own, w.dtype) * velocity(w)
        return w

    return maps


def _arnoldi(maps: FlatMap, w: Flat, largest: int, which: str) -> np.ndarray:
    from scipy.sparse.linalg import LinearOperator, eigs

    if not 1 <= largest <= w.size - 2:
        raise ValueError(
            f"largest is {largest}, but Arnoldi's method finds 1 to {w.size - 2} of "
            f"{w.size} eigenvalues. Leave it away to find all."
        )
    along = jax.jit(lambda u: jax.jvp(maps, (w,), (u,))[1])
    operator = LinearOperator(
        (w.size, w.size),
        matvec=lambda u: np.asarray(along(jnp.asarray(u, w.dtype).reshape(-1))),
        dtype=np.dtype(w.dtype),
    )
    # The same start every time, for the same answer.
    start = np.random.default_rng(0).standard_normal(w.size).astype(w.dtype)
    return eigs(operator, k=largest, which=which, v0=start, return_eigenvectors=False)


def _check_derivatives(velocity: FlatMap, w: Flat, params: Params) -> None:
    """Refuse a field whose derivatives are not those of its values.

    Each player moves by itself, and each player's gradient is judged by itself: a
    constant for good makes a whole block of the Jacobian vanish, along any direction.
    Along a few directions differences may be wrong too, where a network has kinks: so
    the step is short, the bound wide, and one good direction enough.
    """
    eps = float(jnp.finfo(w.dtype).eps)
    places = _places(params)
    rng = np.random.default_rng(0)

    @jax.jit
    def both(u: Flat, h: Array) -> tuple[Flat, Flat, Flat]:
        value, slope = jax.jvp(velocity, (w,), (u,))
        return value, slope, (velocity(w + h * u) - velocity(w - h * u)) / (2 * h)

    def norms(mover: np.ndarray) -> dict[str, tuple[float, float, bool]]:
        """|derivative|, |difference| and their agreement, for each player's part."""
        u = np.zeros(w.size)
        u[mover] = rng.standard_normal(mover.size)
        u /= np.linalg.norm(u)
        h = eps**0.5 * max(1.0, float(jnp.linalg.norm(w[mover])))
        value, slope, wanted = (
            np.asarray(x) for x in both(jnp.asarray(u, w.dtype), jnp.asarray(h))
        )
        noise = 30 * eps**0.5 * (np.linalg.norm(value) + np.linalg.norm(wanted))
        found = {}
        for player, rows in places.items():
            ours, theirs = np.linalg.norm(slope[rows]), np.linalg.norm(wanted[rows])
            gap = np.linalg.norm(slope[rows] - wanted[rows])
            good = gap <= 0.2 * max(ours, theirs) + noise
            found[player] = (float(ours), float(theirs), bool(good))
        return found

    for mover, place in places.items():
        tries = [norms(place) for _ in range(3)]
        for player in places:
            if not any(found[player][2] for found in tries):
                slope, wanted, _ = tries[0][player]
                raise ValueError(
                    f"the derivative of {player}'s gradient along a direction of "
                    f"{mover}'s parameters has norm {slope:.3g}, but finite "
                    f"differences have {wanted:.3g}: something counts as a constant "
                    "that is none. In the objective, its loss and its penalty use "
                    "gan_jax.stop, not jax.lax.stop_gradient. If they do, the field is "
                    "not smooth here, as with ReLU under a penalty on slopes, and "
                    "float32 too coarse: use jax.enable_x64()."
                )
