"""A game of several players, trained as one pure function.

Each player has its own loss over shared networks. An `Objective` writes the whole
game as *one scalar* whose gradient with respect to each player's parameters is that
player's own gradient: stopping gradients in the right places does it (Su Jianlin,
"single loss GAN", 2019, kexue.fm/archives/6387). The kernel here differentiates that
scalar, applies one optax optimizer per player, and returns the next `State`:

    step: (State, batch) -> (State, info)

It is pure, and all that a run is lies in its `State`. So `jit` compiles it, `vmap` over
states trains many seeds, `scan` trains many steps a call, sharded arguments train it on
many devices, and a checkpoint is the state and nothing else.

Three rules hold everywhere:

* **A player that does not move does not change**: not its parameters, not its
  optimizer's state, not its stats. (A zero gradient through Adam would move it.)
* **Randomness belongs to samples.** The root key never changes; sample ``i`` of move
  ``m`` of step ``t`` draws from ``fold_in(fold_in(fold_in(root, t), m), i)`` with ``i``
  counted over the global batch. Noise therefore depends neither on the number of
  devices nor on the number of accumulated parts nor on where a run was resumed.
* **A step is taken whole or not at all.** If any number of the new state is not finite,
  the state stays as it was, for every player, and the step is counted as skipped.

This file needs jax and optax only (and `gan_jax.parts`, which shares batches out and
averages answers); it knows no network library, no disk, no device.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gan_jax.parts import averaged, averaged_parts, own_gradient, sample_keys, share

Params = dict[str, Any]  # {player: pytree}: what gradients move
Stats = dict[str, Any]  # {player: pytree}: what a player carries along without one
Batch = dict[str, Any]  # arrays that share their leading axis, the samples
Info = dict[str, Array]  # {name: scalar}: what is looked at, never what is needed next
Play = tuple[tuple[str, ...], ...]  # moves in turn; a move is the players who move
Schedule = Callable[[Array], Array]  # step -> value, as optax has them
Weight = float | Schedule  # of a term of a loss


class Apply(Protocol):
    """``(params, stats, *inputs, train) -> (outputs, stats)``, pure."""

    def __call__(
        self, params: Any, stats: Any, /, *inputs: Any, train: bool
    ) -> tuple[Any, Any]: ...


class Network(NamedTuple):
    """Two pure functions: ``init(key, *inputs) -> (params, stats)`` and `Apply`.

    ``stats`` is whatever is not learned by gradient: running averages of BatchNorm,
    vectors of spectral normalisation. It is ``{}`` for a network without any.
    """

    init: Callable[..., tuple[Any, Any]]
    apply: Apply


class Objective(NamedTuple):
    """A game as one scalar.

    Attributes:
      init: ``(key, batch) -> (params, stats)``, both keyed by player.
      loss: ``(params, stats, batch, keys, step) -> (scalar, (stats, info))``. ``keys``
        holds one typed key per sample of ``batch``. The gradient of the scalar with
        respect to ``params[player]`` must be the gradient of that player's own loss.
        The stats returned are those after this one evaluation; the kernel keeps each
        player's only if the player moves. Names in ``info`` that begin with
        ``"<player>/"`` are kept from the moves of that player.
    """

    init: Callable[[Array, Batch], tuple[Params, Stats]]
    loss: Callable[
        [Params, Stats, Batch, Array, Array], tuple[Array, tuple[Stats, Info]]
    ]


class State(NamedTuple):
    """A whole run at one moment.

    Attributes:
      step: int32 scalar, the number of steps tried so far.
      key: the typed root key; it never changes.
      params, stats: ``{player: pytree}``.
      opt: ``{player: optax state}``.
      ema: ``{player: pytree}``, running averages of the parameters of those players
        for whom one is kept.
      bad: int32 scalar, the length of the current row of steps that were not finite.
      skipped: int32 scalar, the number of all such steps. None of them was applied.
    """

    step: Array
    key: Array
    params: Params
    stats: Stats
    opt: dict[str, Any]
    ema: dict[str, Any]
    bad: Array
    skipped: Array


class Kernel(NamedTuple):
    """``init(key, batch) -> State`` and ``step(state, batch) -> (State, Info)``."""

    init: Callable[[Array, Batch], State]
    step: Callable[[State, Batch], tuple[State, Info]]


def at(weight: Weight, step: Array) -> Array | float:
    """A number as it is, or what a schedule says of this step."""
    return weight(step) if callable(weight) else weight


def simultaneous(*players: str) -> Play:
    """All players move at once, from the same point.

    >>> simultaneous("gen", "disc")
    (('gen', 'disc'),)
    """
    return (players,)


def alternating(*players: str, first: int = 1) -> Play:
    """One player after the other; the first moves ``first`` times (critic steps).

    >>> alternating("disc", "gen", first=2)
    (('disc',), ('disc',), ('gen',))
    """
    return ((players[0],),) * first + tuple((player,) for player in players[1:])


def kernel(
    objective: Objective,
    optimizers: Mapping[str, optax.GradientTransformation],
    *,
    play: Play | None = None,
    ema: Mapping[str, float | Schedule] | None = None,
    accumulate: int = 1,
    axis_name: str | None = None,
) -> Kernel:
    """The training step of a game.

    Args:
      objective: the game.
      optimizers: one per player. A weight in the merged loss is no learning rate under
        Adam, whose step does not see the gradient's scale; two optimizers are.
      play: the moves of one step, in order; by default all players move at once. Each
        move draws its own noise and takes its own share of the batch, so a batch holds
        ``len(play)`` times the samples of a move.
      ema: for each player whose parameters are to be averaged, the decay ``d`` in
        ``average = d * average + (1 - d) * params``: a number, which is warmed up as
        ``min(d, (1 + step) / (10 + step))``, or a schedule, taken as it is; a step for
        which it says a number outside of [0, 1] counts as not finite.
      accumulate: split each move's share into this many parts, one after the other in
        memory, and average their gradients, stats and infos. That is the whole batch's
        gradient up to rounding, unless a network or a loss couples samples (BatchNorm,
        relativistic averages): it then sees parts.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which
        gradients, stats and infos are averaged. Under `jit` with sharded arrays leave
        it away: there the program is written for the global batch.

    Returns:
      The kernel.

    Raises:
      ValueError: for a play or an average that names players without an optimizer, an
        optimizer whose player never moves, a decay outside of [0, 1], or a batch that
        cannot be shared out.
    """
    play = play if play is not None else simultaneous(*optimizers)
    ema = ema or {}
    _check_players(play, optimizers, ema, accumulate)

    def init(key: Array, batch: Batch) -> State:
        init_key, root = jax.random.split(key)
        params, stats = objective.init(init_key, batch)
        if missing := set(optimizers) - set(params):
            raise ValueError(
                f"optimizers were given for {sorted(missing)}, but the objective's "
                f"players are {sorted(params)}. Give each player's optimizer under its "
                "own name."
            )
        opt = {player: optimizers[player].init(params[player]) for player in optimizers}
        # Copies: a donated state must not hold one buffer twice.
        average = {player: jax.tree.map(jnp.copy, params[player]) for player in ema}
        zeros = [jnp.zeros((), jnp.int32) for _ in range(3)]
        return State(zeros[0], root, params, stats, opt, average, zeros[1], zeros[2])

    def step(state: State, batch: Batch) -> tuple[State, Info]:
        key = jax.random.fold_in(state.key, state.step)
        new = state
        faulty: Params = {}
        info: Info = {}
        for number, movers in enumerate(play):
            own = share(batch, number, len(play))
            keys = sample_keys(jax.random.fold_in(key, number), own, axis_name)
            new, grads, move_info = move(new, own, keys, movers)
            faulty |= _faulty(grads, faulty)
            info |= {k: v for k, v in move_info.items() if _concerns(k, movers, play)}
        decays = {player: _decay(decay, new.step) for player, decay in ema.items()}
        averages = {
            player: optax.incremental_update(
                new.params[player], new.ema[player], 1 - decay
            )
            for player, decay in decays.items()
        }
        new = new._replace(step=state.step + 1, ema=averages)
        # Not ~, for a schedule may return a plain number: ~True is -2.
        beyond = {p: jnp.logical_not((d >= 0) & (d <= 1)) for p, d in decays.items()}
        return _whole_or_not_at_all(state, new, faulty, beyond, info)

    def move(
        state: State, batch: Batch, keys: Array, movers: tuple[str, ...]
    ) -> tuple[State, Params, Info]:
        def part(batch: Batch, keys: Array) -> tuple[Params, Stats, Info]:
            def loss(moving: Params) -> tuple[Array, tuple[Stats, Info]]:
                params = {**state.params, **moving}
                return objective.loss(params, state.stats, batch, keys, state.step)

            moving = {player: state.params[player] for player in movers}
            grads, (stats, info) = own_gradient(loss, axis_name)(moving)
            return grads, stats, info

        answers = averaged_parts(part, batch, keys, accumulate, axis_name)
        grads, stats, info = averaged(answers, axis_name)
        params, opt = dict(state.params), dict(state.opt)
        for player in movers:
            updates, opt[player] = optimizers[player].update(
                grads[player], opt[player], params[player]
            )
            params[player] = optax.apply_updates(params[player], updates)
            info |= {
                f"{player}/grad_norm": optax.tree.norm(grads[player]),
                f"{player}/update_norm": optax.tree.norm(updates),
            } | _learning_rate(player, opt[player])
        stats = {**state.stats, **{player: stats[player] for player in movers}}
        return state._replace(params=params, opt=opt, stats=stats), grads, info

    return Kernel(init, step)


def _check_players(
    play: Play, optimizers: Mapping[str, Any], ema: Mapping[str, Any], accumulate: int
) -> None:
    moving = {player for move in play for player in move}
    twice = any(len(set(move)) < len(move) for move in play)
    if twice or not all(play) or not play or any(isinstance(m, str) for m in play):
        raise ValueError(
            f"play is {play!r}, but a play is a tuple of moves and a move a tuple of "
            'players, each once, as in (("gen", "disc"),) or (("disc",), ("gen",)).'
        )
    if unknown := (moving | set(ema)) - set(optimizers):
        raise ValueError(
            f"the play or the averages name {sorted(unknown)}, but only "
            f"{sorted(optimizers)} have optimizers. Give one to each who moves."
        )
    if idle := set(optimizers) - moving:
        raise ValueError(
            f"there are optimizers for {sorted(idle)}, who never move in the play "
            f"{play!r}. Add their moves or leave their optimizers away."
        )
    if far := {p: d for p, d in ema.items() if not callable(d) and not 0 <= d <= 1}:
        raise ValueError(
            f"the decays of averages are {far}, but they lie in [0, 1]; 0.999 is usual."
        )
    if accumulate < 1:
        raise ValueError(f"accumulate is {accumulate}, but a batch has at least 1 part")


def _concerns(name: str, movers: tuple[str, ...], play: Play) -> bool:
    """Whether a move of ``movers`` may report ``name``: not another player's news."""
    player = name.split("/")[0]
    return player in movers or all(player not in move for move in play)


def _learning_rate(player: str, opt: Any) -> Info:
    """The rate as `optax.inject_hyperparams` keeps it; nothing for other optimizers."""
    found = optax.tree.get_all_with_path(opt, "learning_rate")
    # A scheduled rate lies there twice: its value, and the schedule's own state.
    rates = [rate for _, rate in found if isinstance(rate, jax.Array)]
    return {f"{player}/learning_rate": rates[0]} if rates else {}


def _decay(decay: float | Schedule, step: Array) -> Array | float:
    if callable(decay):
        return decay(step)
    return jnp.minimum(decay, (1 + step) / (10 + step))


def _faulty(grads: Params, before: Params) -> Params:
    """Which gradients are not finite, here or in a move before, leaf by leaf."""
    now = jax.tree.map(_holds_bad, grads)
    return {
        player: jax.tree.map(jnp.logical_or, before[player], flags)
        if player in before
        else flags
        for player, flags in now.items()
    }


def _holds_bad(x: Array) -> Array:
    """Whether any number is not finite: then the largest is not, for NaN counts as it.

    CPUs find the largest number in a third of the time in which they join truth values.
    """
    return ~jnp.isfinite(jnp.max(jnp.abs(x), initial=0))


def _whole_or_not_at_all(
    old: State, new: State, faulty: Params, beyond: Mapping[str, Array], info: Info
) -> tuple[State, Info]:
    """Keep ``old``'s arrays if ``new`` or its gradients hold a number gone bad.

    A leaf is at fault if it was finite and is not any more: an optimizer may start from
    an infinity of its own. Averages need no look, which took 2 % of a short step: what
    lies between two finite numbers is finite, unless the decay is ``beyond`` [0, 1].
    ``info["nonfinite_leaf"]`` is the first such leaf's place in
    ``jax.tree.leaves_with_path(state)``, or -1.
    """

    def went_bad(old: Array, new: Array) -> Array:
        if not jnp.issubdtype(new.dtype, jnp.floating):
            return jnp.zeros((), bool)
        return _holds_bad(jnp.where(jnp.isfinite(old), new, 0))

    faults = jax.tree.map(went_bad, old._replace(ema={}), new._replace(ema={}))
    both = jax.tree.map(jnp.logical_or, {p: faults.params[p] for p in faulty}, faulty)
    averages = {
        player: jax.tree.map(lambda _, flag=flag: flag, new.ema[player])
        for player, flag in beyond.items()
    }
    faults = faults._replace(params={**faults.params, **both}, ema=averages)
    flags = jnp.stack(jax.tree.leaves(faults))
    found = jnp.any(flags)
    # XLA writes `found` out as a chain of all flags, and would repeat the chain in the
    # choice of every leaf. A search is not taken apart.
    bad = jnp.argmax(jnp.stack([jnp.zeros((), bool), found])) == 1
    first = jax.tree.leaves(new.params)[0]

    def choice(old: Array, new: Array) -> Array:
        # What was not touched, the key above all, is no choice. One leaf keeps the
        # chain: a CPU's compiler then exchanges all gradients of a move at once, where
        # it else sends those that are ready first along with BatchNorm's exchanges.
        return (
            old if old is new else jnp.where(found if new is first else bad, old, new)
        )

    kept = jax.tree.map(choice, old, new)
    state = kept._replace(
        step=new.step,
        bad=jnp.where(bad, old.bad + 1, 0),
        skipped=old.skipped + bad,
    )
    info = info | {
        "bad": state.bad,
        "skipped": state.skipped,
        "nonfinite_leaf": jnp.where(bad, jnp.argmax(flags), -1).astype(jnp.int32),
    }
    return state, info
