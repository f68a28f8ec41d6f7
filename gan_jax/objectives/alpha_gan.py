"""Alpha-GAN: an autoencoder whose samples and whose codes are both judged.

Four players: E maps a sample to a code, G a code to a sample; D tells real samples from
reconstructions and from generated samples, and C, the critic of codes, tells the prior
from E's codes. With x_f = G(z), c = E(x), x_r = G(c), and logits high = real,

    L_E = weight E |x - x_r| - E C(c)
    L_G = weight E |x - x_r| - E D(x_r) - E D(x_f)
    L_D = E softplus(-D(x)) + E softplus(D(x_r)) + E softplus(D(x_f))
    L_C = E softplus(-C(z)) + E softplus(C(c)),

where |.| is the mean absolute difference over a sample's elements. The logit itself is
the paper's -log(1 - D) + log D: the log-ratio of densities for which D and C stand in.
E does not hear of D, and G does not hear of C.

In one scalar E's terms see G and C held, G's terms see c and D held, D's and C's terms
see the samples and codes held. G runs on c twice, for E and for itself, with equal
values: forward the compiler runs it once.

Equations 16 and 17 of the paper's first version have prior and posterior exchanged in
C's loss, which would send E's codes away from the prior. Here C says "prior" by a high
logit, and E raises the logit of its codes.

Without C it is AE-GAN: the codes are then free to lie where G never meets them.

Reference: Rosca, Lakshminarayanan, Warde-Farley and Mohamed, "Variational Approaches
for Auto-Encoding Generative Adversarial Networks", 2017, arXiv:1706.04987.
"""

from collections.abc import Callable
from typing import Any

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
from gan_jax.objectives.players import (
    answer_like,
    begun,
    drawn,
    needed,
    penalised,
    scores,
)
from gan_jax.parts import mean_of, split_keys
from gan_jax.penalties import Penalty
from gan_jax.stop import stop

Score = Callable[[Any, Array], tuple[Array, Any]]


def alpha_gan(
    gen: Network,
    enc: Network,
    disc: Network,
    code: Network | None,
    *,
    latent: Latent,
    weight: Weight = 10.0,
    penalty: Penalty | None = None,
    code_penalty: Penalty | None = None,
) -> Objective:
    """The game of "enc", "gen", "disc" and "code".

    A network that is called several times in a step starts each time from the same
    stats; the mean of what the calls return is written.

    Args:
      gen: ``z (n, latent) -> samples (n, ...)``.
      enc: ``samples -> codes (n, latent)``.
      disc: ``samples -> logits (n,)``.
      code: ``z -> logits (n,)``, or None for AE-GAN, a game of three.
      latent: the prior.
      weight: lambda, of the reconstruction. The paper tries 1 to 50.
      penalty: of D at real and generated samples, added to D's loss.
      code_penalty: of C at the prior's z and E's codes, added to C's loss.

    Returns:
      An objective for batches with ``"real"``. Its info holds each player's ``loss``
      (D's and C's without penalty), ``enc/reconstruction`` (mean absolute difference)
      and the penalties.

    Raises:
      ValueError: for a penalty of codes without their critic, a batch without "real",
        codes of another shape than z, or samples of another shape than the data.
    """
    if code is None and code_penalty is not None:
        raise ValueError(
            "code_penalty is given, but code is None: there is no critic of codes to "
            "penalise. Give one, or leave code_penalty away."
        )

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        (real,) = needed(batch, "real")
        own, z_key = jax.random.split(key)
        z = drawn(latent, jax.random.split(z_key, real.shape[0]))
        networks = {"enc": (enc, (real,)), "gen": (gen, (z,)), "disc": (disc, (real,))}
        if code is not None:
            networks["code"] = (code, (z,))
        params, stats = begun(own, networks)
        _check_shapes(enc, params["enc"], stats["enc"], real, z, "z has")
        _check_shapes(gen, params["gen"], stats["gen"], z, real, "the data have")
        return params, stats

    def merged_loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        (real,) = needed(batch, "real")
        z_keys, penalty_keys, code_keys = split_keys(keys, 3)
        z = drawn(latent, z_keys)

        def made(phi: Any, z: Array) -> tuple[Array, Any]:
            return gen.apply(phi, stats["gen"], z, train=True)

        judged = _scored(disc, stats["disc"])
        codes, enc_stats = enc.apply(params["enc"], stats["enc"], real, train=True)
        fake, fake_stats = made(params["gen"], z)
        # Twice the same reconstruction: for G, and for E.
        remade, remade_stats = made(params["gen"], stop(codes))
        by_enc, _ = made(stop(params["gen"]), codes)

        scale = at(weight, step)
        theta, held = params["disc"], stop(params["disc"])
        gen_loss = scale * jnp.abs(real - remade).mean()
        gen_loss -= judged(held, remade)[0].mean() + judged(held, fake)[0].mean()
        real_logits, s_0 = judged(theta, real)
        remade_logits, s_1 = judged(theta, stop(remade))
        fake_logits, s_2 = judged(theta, stop(fake))
        disc_loss = softplus(-real_logits).mean()
        disc_loss += softplus(remade_logits).mean() + softplus(fake_logits).mean()
        reconstruction = jnp.abs(real - by_enc).mean()
        enc_loss = scale * reconstruction
        total = gen_loss + disc_loss
        new = {
            "enc": enc_stats,
            "gen": mean_of([fake_stats, remade_stats]),
            "disc": mean_of([s_0, s_1, s_2]),
        }
        info = {"gen/loss": gen_loss, "disc/loss": disc_loss}
        cost, paid = penalised(
            penalty,
            "disc",
            lambda x: judged(theta, x)[0],
            real,
            fake,
            penalty_keys,
            step,
        )
        total += cost
        info |= paid
        if code is not None:
            critic = _scored(code, stats["code"])
            by_critic, cost, new["code"], news = _critic_terms(
                critic, params["code"], z, codes, code_penalty, code_keys, step
            )
            enc_loss += by_critic
            total += cost
            info |= news
        info |= {"enc/loss": enc_loss, "enc/reconstruction": reconstruction}
        return total + enc_loss, (new, info)

    return Objective(init, merged_loss)


def _scored(network: Network, stats: Any) -> Score:
    return lambda params, x: scores(network, params, stats, x)


def _critic_terms(
    rated: Score,
    psi: Any,
    z: Array,
    codes: Array,
    penalty: Penalty | None,
    keys: Array,
    step: Array,
) -> tuple[Array, Array, Any, Info]:
    """What C adds to E's loss, C's loss with its penalty, C's stats, C's info."""
    by_critic = -rated(stop(psi), codes)[0].mean()
    prior_logits, prior_stats = rated(psi, z)
    code_logits, code_stats = rated(psi, stop(codes))
    loss = softplus(-prior_logits).mean() + softplus(code_logits).mean()
    cost, paid = penalised(
        penalty, "code", lambda z: rated(psi, z)[0], z, codes, keys, step
    )
    new_stats = mean_of([prior_stats, code_stats])
    return by_critic, loss + cost, new_stats, {"code/loss": loss, **paid}


def _check_shapes(
    network: Network, params: Any, stats: Any, x: Array, like: Array, owner: str
) -> None:
    made = answer_like(network, params, stats, x)
    if made.shape != like.shape:
        raise ValueError(
            f"a network makes {made.shape} of {x.shape}, but {owner} shape "
            f"{like.shape}. Give the encoder the latent's size and the generator the "
            "data's."
        )
