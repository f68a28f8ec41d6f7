"""A fresh network that learns to tell two sets of samples apart, and is then asked.

A judge is a discriminator without an opponent: a game of one player, played by the
package's own kernel. It knows nothing of how the samples were made, so that it can be
put before generators of any kind, and it never saw the samples that it is asked about,
which a generator's own discriminator did.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from gan_jax.kernel import (
    Batch,
    Info,
    Network,
    Objective,
    Params,
    State,
    Stats,
    kernel,
)
from gan_jax.losses import Loss
from gan_jax.objectives.players import begun, needed, penalised, scores
from gan_jax.parts import mean_of
from gan_jax.penalties import Penalty

Scores = Callable[[Float[Array, "n *shape"]], Float[Array, " n"]]


def judge(network: Network, loss: Loss, penalty: Penalty | None = None) -> Objective:
    """The game of one player, "judge": a discriminator's part, L = L_D(r, f) + penalty.

    The two calls start from the same stats; the mean of what they return is written.

    Args:
      network: ``samples (n, ...) -> logits (n,)``.
      loss: of which only ``disc`` is played.
      penalty: added to it.

    Returns:
      An objective for batches with ``"real"`` and ``"fake"``. Its info holds
      ``judge/loss`` (without the penalty) and ``judge/penalty``.

    Raises:
      ValueError: for a batch without one of them, or logits of another shape than (n,).
    """

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        (real,) = needed(batch, "real")
        return begun(key, {"judge": (network, (real,))})

    def merged_loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        real, fake = needed(batch, "real", "fake")
        theta, held = params["judge"], stats["judge"]
        real_logits, real_stats = scores(network, theta, held, real)
        fake_logits, fake_stats = scores(network, theta, held, fake)
        own = loss.disc(real_logits, fake_logits)
        cost, paid = penalised(
            penalty,
            "judge",
            lambda x: scores(network, theta, held, x)[0],
            real,
            fake,
            keys,
            step,
        )
        new_stats = {"judge": mean_of([real_stats, fake_stats])}
        return own + cost, (new_stats, {"judge/loss": own} | paid)

    return Objective(init, merged_loss)


def fitted(
    key: Key[Array, ""],
    real: Float[Array, "n *shape"],
    fake: Float[Array, "m *shape"],
    network: Network,
    *,
    loss: Loss,
    penalty: Penalty | None = None,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    steps: int,
) -> Scores:
    """A judge of two sets, trained from nothing on random batches of both.

    Args:
      key: of its first parameters and of its batches, drawn with replacement. The same
        key and samples give the same judge.
      real, fake: what it learns to tell apart.
      network, loss, penalty: see `judge`.
      optimizer: of its parameters.
      batch_size: samples of each kind per step, and the most judged at once later on.
      steps: how many.

    Returns:
      ``samples -> logits (n,)``, high for real, of the network when it does not train.

    Raises:
      ValueError: for sets of no or of unlike samples, no steps or no batch.
    """
    if not len(real) or not len(fake) or real.shape[1:] != fake.shape[1:]:
        raise ValueError(
            f"the two sets have shapes {real.shape} and {fake.shape}, but a judge "
            "compares samples of one shape, and needs some of each."
        )
    if steps < 1 or batch_size < 1:
        raise ValueError(
            f"steps is {steps} and batch_size is {batch_size}, but a judge learns in "
            "at least 1 step of at least 1 sample of each kind."
        )
    init_key, batch_key = jax.random.split(key)
    play = kernel(judge(network, loss, penalty), {"judge": optimizer})

    def some(key: Array, x: Array) -> Array:
        return x[jax.random.randint(key, (batch_size,), 0, len(x))]

    def step(state: State, number: Array) -> tuple[State, None]:
        real_key, fake_key = jax.random.split(jax.random.fold_in(batch_key, number))
        batch = {"real": some(real_key, real), "fake": some(fake_key, fake)}
        return play.step(state, batch)[0], None

    start = play.init(init_key, {"real": real[:batch_size]})
    end, _ = jax.lax.scan(step, start, jnp.arange(steps))
    params, stats = end.params["judge"], end.stats["judge"]

    def ask(x: Array) -> Array:
        return network.apply(params, stats, x, train=False)[0]

    return lambda x: _in_batches(ask, x, batch_size)


def _in_batches(ask: Scores, x: Array, size: int) -> Array:
    """``ask(x)``, of at most ``size`` samples at a time: whole sets may be large."""
    whole = len(x) // size * size
    parts = [jax.lax.map(ask, x[:whole].reshape(-1, size, *x.shape[1:])).reshape(-1)]
    if whole < len(x):
        parts.append(ask(x[whole:]))
    return jnp.concatenate(parts if whole else parts[1:])
