"""The two-player game with a discriminator of several logits: one game a logit.

With D_i the i-th logit and L(D_i) the merged loss of `adversarial` for it, penalty and
all, the game is

    L = sum_i a_i L(D_i) / sum_i a_i.

Each player's gradient of a sum is the sum of its gradients, so the law of the merged
loss is kept. G runs once, and D once for the reals and once for the fakes, whatever the
number of logits: what they share is outside of the mapping over them.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gan_jax.kernel import Batch, Info, Network, Objective, Params, Stats
from gan_jax.latents import Latent
from gan_jax.losses import Loss
from gan_jax.objectives.adversarial import adversarial
from gan_jax.penalties import Penalty


def cascade(
    gen: Network,
    disc: Network,
    *,
    weights: Sequence[float],
    loss: Loss,
    latent: Latent,
    penalty: Penalty | None = None,
    conditional: bool = False,
) -> Objective:
    """The game of "gen" and a "disc" with several logits, such as cascading rejection.

    Args:
      gen: as for `adversarial`.
      disc: ``samples -> logits (n, k)``, such as ``mlp.discriminator(cascade=3)``.
      weights: a_i, one for each logit; only their ratios matter. The paper does not say
        them: equal ones are a beginning.
      loss: what each player minimises, for each logit.
      latent: the prior of z.
      penalty: of each logit; it is computed k times.
      conditional: as for `adversarial`.

    Returns:
      An objective as `adversarial`'s; its info holds weighted means over the logits.

    Raises:
      ValueError: for weights that are negative or all zero, for logits of another shape
        than (n, k), and where `adversarial` does.

    Reference: Shin et al., "A Simple yet Effective Way for Improving the Performance of
    GANs", 2019, arXiv:1911.10979.
    """
    total = sum(weights)
    if min(weights, default=-1) < 0 or not total > 0:
        raise ValueError(
            f"weights are {tuple(weights)}, but there must be one for each logit of "
            "the discriminator, none of them negative and not all of them zero."
        )

    def game(i: Array | int) -> Objective:
        return adversarial(
            gen,
            _judge(disc, i, len(weights)),
            loss=loss,
            latent=latent,
            penalty=penalty,
            conditional=conditional,
        )

    def merged_loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        def of_judge(i: Array) -> tuple[Array, tuple[Stats, Info]]:
            return game(i).loss(params, stats, batch, keys, step)

        # Only what depends on i is done for each i; stats do not.
        each, (stats, infos) = jax.vmap(of_judge, out_axes=(0, (None, 0)))(
            jnp.arange(len(weights))
        )

        def mean(x: Array) -> Array:
            shares = jnp.asarray(weights, x.dtype)
            return jnp.matmul(x, shares, precision="highest") / total

        return mean(each), (stats, jax.tree.map(mean, infos))

    return Objective(game(0).init, merged_loss)


def _judge(disc: Network, i: Array | int, k: int) -> Network:
    """``disc`` with its ``i``-th logit alone."""

    def apply(params: Any, stats: Any, /, *inputs: Any, train: bool) -> tuple[Any, Any]:
        logits, stats = disc.apply(params, stats, *inputs, train=train)
        n = inputs[0].shape[0]
        if logits.shape != (n, k):
            raise ValueError(
                f"the discriminator returned logits of shape {logits.shape} for {n} "
                f"samples, but there are {k} weights: logits of shape ({n}, {k}) are "
                "wanted."
            )
        return jnp.take(logits, i, axis=1), stats

    return Network(disc.init, apply)
