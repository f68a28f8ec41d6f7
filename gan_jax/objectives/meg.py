"""Maximum entropy generators: an energy, and a generator that may not collapse on it.

With U = -logit, sg = `gan_jax.stop` and x_f = G(z), the merged loss is

    L = E U(x) - E U(sg(x_f)) + penalty + E U_sg(theta)(x_f) + weight * M(x_f, z).

G minimises KL(q || exp(-U) / Z) = -H(q) + E_q U + log Z. The density q of its samples
is not known; what they tell of z stands in for its entropy, and M is low where they
tell much. M appears once, with nothing stopped: G and the estimator both want it low.
They are no opponents.

References: Kumar et al., "Maximum entropy generators for energy-based models", 2019,
arXiv:1901.08508; Su Jianlin, kexue.fm/archives/6331.
"""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array

from gan_jax.kernel import (
    Batch,
    Info,
    Network,
    Objective,
    Params,
    Stats,
    Weight,
    at,
)
from gan_jax.latents import Latent
from gan_jax.losses import softplus
from gan_jax.objectives.energy import energies
from gan_jax.objectives.players import (
    begun,
    check_fakes,
    drawn,
    judged,
    needed,
    penalised,
    scores,
)
from gan_jax.parts import mean_of, split_keys
from gan_jax.penalties import Penalty, r1

Estimator = Literal["critic", "encoder"]


def meg(
    gen: Network,
    disc: Network,
    mutual: Network,
    *,
    latent: Latent,
    estimator: Estimator = "critic",
    weight: Weight = 1.0,
    penalty: Penalty | None = r1(),
) -> Objective:
    """The game of "gen", "disc" (the energy) and "mutual" (the estimator).

    M is one of two:

    * ``"critic"``: M = (E softplus(-H(x_f, z)) + E softplus(H(x_f, w))) / 2. H tells
      pairs that belong together from pairs that do not; M is log 2 where it cannot, and
      never more at H's best. The code of the paper makes w by shuffling the z of the
      batch, which leaves some pairs together and ties every sample to the others. Here
      w is one more draw of the prior: that is the product of the marginals itself, and
      the same on any number of devices.
    * ``"encoder"``: M = E ||z - mutual(x_f)||^2, InfoGAN's bound for a Gaussian of
      fixed variance.

    Neither is an entropy. Without noise, G(z) tells all of z however little it is
    spread, so that the best estimator sees no scale; one of limited slope does. On a
    fixed U(x) = ||x||^2 / 2 the entropy would keep samples at a standard deviation of
    1; these keep it at 0.1 to 0.2 and falling, against 0.01 with weight 0. What M does
    is to keep G from dropping parts of the data, at some cost in precision.

    Args:
      gen: ``z (n, latent) -> samples (n, ...)``.
      disc: ``samples -> logits (n,)``; the energy is minus the logit.
      mutual: ``samples, z -> logits (n,)`` for the critic, ``samples -> z`` for the
        encoder.
      latent: the prior of z.
      estimator: which M.
      weight: of M: a number or a schedule. It scales both gen's and mutual's gradient.
      penalty: added to the energy's loss. The paper's is lambda E ||dU/dx||^2 at real
        samples, `gan_jax.penalties.r1` with gamma = 2 lambda, and lambda = 0.1 for
        points in the plane. For images its code takes the norm over channels alone and
        then the mean over pixels, so that its lambda = 10 is 10 / (height * width).

    Returns:
      An objective for batches with ``"real"``. The disc's stats are written as the mean
      of what its calls on real and fake samples return, mutual's as that of its one or
      two calls. Its info holds ``disc/loss`` and ``gen/loss`` (without penalty and M),
      ``disc/real_energy``, ``disc/fake_energy``, ``disc/penalty`` and ``mutual/loss``
      (M).

    Raises:
      ValueError: for an unknown estimator, or an answer of a network that has another
        shape than wanted.

    Reference: Kumar et al., 2019, arXiv:1901.08508; the critic is that of Hjelm et al.,
    "Learning deep representations by mutual information estimation and maximization",
    2019, arXiv:1808.06670, the encoder that of Chen et al., "InfoGAN", 2016,
    arXiv:1606.03657.
    """
    if estimator not in get_args(Estimator):
        raise ValueError(
            f"estimator is {estimator!r}, but it must be one of {get_args(Estimator)}."
        )
    cost_of = _by_critic if estimator == "critic" else _by_encoder

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        (real,) = needed(batch, "real")
        key, z_key = jax.random.split(key)
        z = drawn(latent, jax.random.split(z_key, len(real)))
        seen = (real, z) if estimator == "critic" else (real,)
        return begun(
            key, {"gen": (gen, (z,)), "disc": (disc, (real,)), "mutual": (mutual, seen)}
        )

    def loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        (real,) = needed(batch, "real")
        z_keys, other_keys, penalty_keys = split_keys(keys, 3)
        z, other = drawn(latent, z_keys), drawn(latent, other_keys)
        fake, gen_stats = gen.apply(params["gen"], stats["gen"], z, train=True)
        check_fakes(fake, real)
        theta, held = params["disc"], stats["disc"]
        u = judged(lambda theta, x: energies(disc, theta, held, x), theta, real, fake)
        disc_loss, gen_loss = u.real.mean() - u.fake.mean(), u.by_gen.mean()
        cost, mutual_stats = cost_of(
            mutual, params["mutual"], stats["mutual"], fake, z, other
        )
        scale = at(weight, step)
        total = disc_loss + gen_loss + scale * cost
        info = {
            "disc/loss": disc_loss,
            "gen/loss": gen_loss,
            "disc/real_energy": u.real.mean(),
            "disc/fake_energy": u.fake.mean(),
            "mutual/loss": cost,
        }
        slope_cost, paid = penalised(
            penalty,
            "disc",
            lambda x: scores(disc, theta, held, x)[0],
            real,
            fake,
            penalty_keys,
            step,
        )
        new = {"gen": gen_stats, "disc": u.stats, "mutual": mutual_stats}
        return total + slope_cost, (new, info | paid)

    return Objective(init, loss)


def _by_critic(
    mutual: Network, params: Any, stats: Any, fake: Array, z: Array, other: Array
) -> tuple[Array, Any]:
    """Cross-entropy of telling (x_f, z) from (x_f, another z), in nats."""
    together, first = scores(mutual, params, stats, fake, z)
    apart, second = scores(mutual, params, stats, fake, other)
    cost = (softplus(-together).mean() + softplus(apart).mean()) / 2
    return cost, mean_of([first, second])


def _by_encoder(
    mutual: Network, params: Any, stats: Any, fake: Array, z: Array, other: Array
) -> tuple[Array, Any]:
    """Squared distance between z and what is read of it from x_f."""
    guess, stats = mutual.apply(params, stats, fake, train=True)
    if guess.shape != z.shape:
        raise ValueError(
            f"the encoder returned latents of shape {guess.shape}, but the prior has "
            f"{z.shape}. Give the encoder the latent's size."
        )
    squared = jnp.square(z - guess).sum(axis=tuple(range(1, z.ndim)))
    return squared.mean(), stats
