"""InfoGAN: a part of G's input is a code that a third player must read off the sample.

With x_f = G(z, c), the codes' negative log-likelihood under the reader Q,

    N = E sum_j -log Q(c_j | x_f),

bounds their mutual information from below: I(c; x_f) >= H(c) - N. G and Q both minimise
N: they cooperate, so this term needs no stopped gradient. The merged loss is

    L = L_D(r, D(sg(x_f))) + penalty + L_G(sg(r), D_sg(theta)(x_f)) + weighted N.

Reference: Chen et al., "InfoGAN: Interpretable Representation Learning by Information
Maximizing Generative Adversarial Nets", 2016, arXiv:1606.03657.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

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
from gan_jax.losses import Loss
from gan_jax.numerics import full, rows
from gan_jax.objectives.players import (
    begun,
    check_fakes,
    drawn,
    judged,
    needed,
    penalised,
    scores,
)
from gan_jax.parts import split_keys
from gan_jax.penalties import Penalty
from gan_jax.stop import stop


def infogan(
    gen: Network,
    disc: Network,
    reader: Network,
    *,
    loss: Loss,
    latent: Latent,
    categories: tuple[int, ...] = (10,),
    continuous: int = 0,
    weight: Weight = 1.0,
    continuous_weight: Weight = 0.1,
    penalty: Penalty | None = None,
) -> Objective:
    """The game of "gen", "disc" and "reader".

    A code is uniform: c_j of {0, ..., K_j - 1} for each of ``categories``, and c_j of
    [-1, 1] for each continuous one. G's input is the row (z, one-hot codes, continuous
    codes); `coded` writes such rows for samples with a chosen code. Q answers with the
    row (logits of each categorical code, means, log standard deviations), and

        -log Q(c | x) = cross-entropy,
        -log Q(c | x) = log sd + ((c - mean) / sd)^2 / 2 + log(2 pi) / 2.

    The paper lets Q share D's body; here it is a player of its own.

    Args:
      gen: ``(z, codes) (n, latent + sum of categories + continuous) -> samples``.
      disc: ``samples -> logits (n,)``.
      reader: Q, ``samples -> (n, sum of categories + 2 * continuous)``.
      loss: what D and G minimise besides.
      latent: the prior of z.
      categories: the numbers of values of the categorical codes.
      continuous: the number of continuous codes.
      weight, continuous_weight: of the two kinds of code in N; the paper has 1 for
        categorical codes and less for continuous ones. With codes of one kind they set
        G's share alone under Adam: Q has no other gradient to weigh them against. Both
        may be schedules, step -> weight.
      penalty: added to D's loss.

    Returns:
      An objective for batches with ``"real"``. Its info holds ``gen/loss``,
      ``disc/loss``, ``disc/penalty`` and ``reader/information``, the bound H(c) - N in
      nats with all weights 1, at most the sum of log K_j for categorical codes.

    Raises:
      ValueError: if there is no code, or Q answers in another shape.
    """
    if not categories and not continuous:
        raise ValueError(
            "there are neither categories nor continuous codes, so nothing to read. "
            "Give some, or use `adversarial`."
        )
    answers = sum(categories) + 2 * continuous

    def inputs(z_keys: Array, code_keys: Array) -> tuple[Array, Array, Array]:
        picked, placed = jax.vmap(lambda key: _codes(key, categories, continuous))(
            code_keys
        )
        z = drawn(latent, z_keys)
        return coded(z, picked, placed, categories=categories), picked, placed

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        (real,) = needed(batch, "real")
        own, z_key, code_key = jax.random.split(key, 3)
        n = len(real)
        row, _, _ = inputs(jax.random.split(z_key, n), jax.random.split(code_key, n))
        networks = {
            "gen": (gen, (row,)),
            "disc": (disc, (real,)),
            "reader": (reader, (real,)),
        }
        return begun(own, networks)

    def merged_loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        (real,) = needed(batch, "real")
        z_keys, code_keys, penalty_keys = split_keys(keys, 3)
        row, picked, placed = inputs(z_keys, code_keys)
        fake, gen_stats = gen.apply(params["gen"], stats["gen"], row, train=True)
        check_fakes(fake, real)

        def logits(theta: Any, x: Array) -> tuple[Array, Any]:
            return scores(disc, theta, stats["disc"], x)

        theta = params["disc"]
        seen = judged(logits, theta, real, fake)
        disc_loss = loss.disc(seen.real, seen.fake)
        gen_loss = loss.gen(stop(seen.real), seen.by_gen)

        answer, reader_stats = reader.apply(
            params["reader"], stats["reader"], fake, train=True
        )
        if answer.shape != (len(fake), answers):
            raise ValueError(
                f"the reader returned answers of shape {answer.shape}, but codes of "
                f"{categories} categories and {continuous} continuous values want "
                f"({len(fake)}, {answers})."
            )
        surprise, spread = _surprises(full(answer), picked, placed, categories)
        total = disc_loss + gen_loss + at(weight, step) * surprise
        total += at(continuous_weight, step) * spread
        entropy = sum(jnp.log(k) for k in categories) + continuous * jnp.log(2.0)
        info = {
            "disc/loss": disc_loss,
            "gen/loss": gen_loss,
            "reader/information": entropy - surprise - spread,
        }
        cost, paid = penalised(
            penalty,
            "disc",
            lambda x: logits(theta, x)[0],
            real,
            fake,
            penalty_keys,
            step,
        )
        new_stats = {"gen": gen_stats, "disc": seen.stats, "reader": reader_stats}
        return total + cost, (new_stats, info | paid)

    return Objective(init, merged_loss)


def coded(
    z: Float[Array, "n latent"],
    picked: Int[Array, "n codes"],
    placed: Float[Array, "n values"] | None = None,
    *,
    categories: tuple[int, ...],
) -> Float[Array, "n row"]:
    """G's input rows for chosen codes.

    Args:
      z: latent vectors.
      picked: one value of each categorical code; NaN comes of one that there is none
        of.
      placed: one value of each continuous code, in [-1, 1]; none by default.
      categories: as in `infogan`.

    Returns:
      (z, one-hot codes, continuous codes), side by side.

    >>> import jax.numpy as jnp
    >>> coded(jnp.zeros((1, 1)), jnp.array([[2]]), categories=(3,)).tolist()
    [[0.0, 0.0, 0.0, 1.0]]
    """
    hot = [
        rows(jnp.eye(k, dtype=z.dtype), picked[:, j]) for j, k in enumerate(categories)
    ]
    return jnp.concatenate([z, *hot, *([] if placed is None else [placed])], axis=-1)


def _codes(
    key: Key[Array, ""], categories: tuple[int, ...], continuous: int
) -> tuple[Int[Array, "codes"], Float[Array, "values"]]:
    picked_key, placed_key = jax.random.split(key)
    most = jnp.array(categories, int)
    picked = jax.random.randint(picked_key, (len(categories),), 0, most)
    return picked, jax.random.uniform(placed_key, (continuous,), minval=-1.0)


def _surprises(
    answer: Float[Array, "n answers"],
    picked: Int[Array, "n codes"],
    placed: Float[Array, "n values"],
    categories: tuple[int, ...],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """E sum -log Q, of the categorical codes and of the continuous ones."""
    surprise, begin = jnp.zeros(()), 0
    for j, k in enumerate(categories):
        log_q = jax.nn.log_softmax(answer[:, begin : begin + k])
        surprise -= jnp.take_along_axis(log_q, picked[:, j : j + 1], axis=1).mean()
        begin += k
    mean, log_sd = jnp.split(answer[:, begin:], 2, axis=1)
    error = (placed - mean) * jnp.exp(-log_sd)
    spread = log_sd + jnp.square(error) / 2 + jnp.log(2 * jnp.pi) / 2
    return surprise, spread.sum() / len(answer)
