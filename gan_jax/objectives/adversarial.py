"""The two-player game of a generator and a discriminator, as one scalar.

With r = D(x), x_f = G(z) and sg = `gan_jax.stop`, the merged loss is

    L = L_D(r, D(sg(x_f))) + penalty + L_G(sg(r), D_sg(theta)(x_f)).

The first two terms reach D's parameters theta only, the last one G's only, so the
gradient of L holds each player's own gradient. G runs once. D(x_f) appears twice, with
gradients stopped in different places but with equal values, so its forward pass runs
once as well. Two other ways of writing the same gradients are options:

* ``"article"``: L = L_D(r, f) + L_G(r, D(x_f)) - L_G(r, f) with f = D(sg(x_f)), as in
  the article that the trick comes from. It stops no parameters: the gradient of the
  last two terms by theta cancels. More work for the same answer; kept as a cross-check.
* ``"one_backward"``: D is differentiated once. Where D judges every sample by itself,
  the gradients of L_D and of L_G at a fake sample differ by one factor,
  (dL_G/df_i) / (dL_D/df_i), with which D's gradient is multiplied on its way into G.
  Less work; refused if D couples samples (BatchNorm, minibatch statistics).

References: Su Jianlin, "single loss GAN", 2019, kexue.fm/archives/6387 and 9969; Shen
et al., "Training Generative Adversarial Networks in One Stage", 2021, arXiv:2103.00430.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array

from gan_jax.augment import Augment
from gan_jax.kernel import Batch, Info, Network, Objective, Params, Stats
from gan_jax.latents import Latent
from gan_jax.losses import Loss
from gan_jax.objectives.per_sample import check_per_sample
from gan_jax.objectives.players import (
    answer_like,
    check_fakes,
    needed,
    penalised,
    scores,
)
from gan_jax.parts import mean_of, per_sample, split_keys
from gan_jax.penalties import Penalty
from gan_jax.regularizers import Regularizer
from gan_jax.stop import stop

Gradient = Literal["merged", "article", "one_backward"]
Score = Callable[[Any, Any, Array, tuple[Array, ...]], tuple[Array, Any]]
View = Callable[[Array], Array]


def adversarial(
    gen: Network,
    disc: Network,
    *,
    loss: Loss | Callable[[Array], Loss],
    latent: Latent,
    penalty: Penalty | None = None,
    regularizer: Regularizer | None = None,
    augment: Augment | None = None,
    gradient: Gradient = "merged",
    conditional: bool = False,
) -> Objective:
    """The game of "gen" and "disc".

    D judges real and fake samples in separate calls. Both calls start from the same
    stats, and the mean of what they return is written: BatchNorm averages over real and
    fake alike, and spectral normalisation takes one power iteration a step.

    With an augmentation T, D is D(T(.)) wherever it appears: real and fake samples have
    draws of their own, and G sees its fakes through the draw that D saw them through.
    Penalties are on the slope by the sample before T, through the real samples' draws.

    What an augmentation and a regularizer remember lies beside D's own stats, and like
    them is written by moves of D only: ``stats["disc"]`` is then ``{"network": ...,
    "augment": ..., "regularizer": ...}``. Without them it is the network's alone.

    Args:
      gen: ``z (n, latent) -> samples (n, ...)``; also given labels if conditional.
      disc: ``samples -> logits (n,)``; also given labels if conditional.
      loss: what each player minimises; or a schedule of losses, step -> loss.
      latent: the prior of z.
      penalty: added to D's loss.
      regularizer: added to D's loss too; a cost of its logits, with a memory.
      augment: a random change of every sample before D sees it.
      gradient: how the two gradients are written as one; see above.
      conditional: give both networks ``batch["label"]``, int32 (n,), too.

    Returns:
      An objective for batches with ``"real"``: float32 samples as they are, or uint8
      images, which become x / 127.5 - 1 in [-1, 1]. Its info holds each player's
      ``loss`` (D's without penalty) and D's ``real_logit`` and ``fake_logit`` (means),
      ``accuracy`` (share of signs that are right; a loss whose targets are not on
      either side of zero says little by it), ``penalty`` and ``regularizer``; and what
      is remembered, as in ``disc/augment_p``.

    Raises:
      ValueError: for an unknown gradient mode, a batch without what is needed, logits
        of another shape than (n,), or, when its parameters are made, a discriminator
        that couples samples under "one_backward".
    """
    if gradient not in get_args(Gradient):
        raise ValueError(
            f"gradient is {gradient!r}, but it must be one of {get_args(Gradient)}."
        )

    rules = {"augment": augment, "regularizer": regularizer}
    remembering = {name: rule for name, rule in rules.items() if rule is not None}

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        real, labels = _inputs(batch, conditional)
        gen_key, disc_key, z_key = jax.random.split(key, 3)
        z = jax.vmap(latent)(jax.random.split(z_key, real.shape[0]))
        networks = {
            "gen": gen.init(gen_key, z, *labels),
            "disc": disc.init(disc_key, real, *labels),
        }
        check_fakes(answer_like(gen, *networks["gen"], z, *labels), real)
        if gradient == "one_backward":
            check_per_sample(disc, real, labels)
        params = {player: params for player, (params, _) in networks.items()}
        stats = {player: stats for player, (_, stats) in networks.items()}
        if begun := {name: rule.init() for name, rule in remembering.items()}:
            stats["disc"] = {"network": stats["disc"], **begun}
        return params, stats

    def score(
        params: Any, stats: Any, x: Array, labels: tuple[Array, ...]
    ) -> tuple[Array, Any]:
        return scores(disc, params, stats, x, *labels)

    def merged_loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        real, labels = _inputs(batch, conditional)
        now = loss if isinstance(loss, Loss) else loss(step)
        z_keys, penalty_keys, *view_keys = split_keys(keys, 2 if augment is None else 4)
        z = jax.vmap(latent)(z_keys)
        fake, gen_stats = gen.apply(params["gen"], stats["gen"], z, *labels, train=True)
        theta, memory = params["disc"], stats["disc"]
        held = memory["network"] if remembering else memory
        view_real, view_fake = _views(augment, memory, view_keys)
        real_logits, real_stats = score(theta, held, view_real(real), labels)
        # Twice the same logits: for L_D, and for L_G.
        fake_logits, gen_logits, fake_stats = _fake_scores(
            score, gradient, theta, held, view_fake(fake), labels
        )
        disc_loss = now.disc(real_logits, fake_logits)
        if gradient == "article":
            gen_loss = now.gen(real_logits, gen_logits)
            total = disc_loss + gen_loss - now.gen(real_logits, fake_logits)
        else:
            gen_loss = now.gen(stop(real_logits), gen_logits)
            total = disc_loss + gen_loss
        cost, paid = penalised(
            penalty,
            "disc",
            lambda x: score(theta, held, view_real(x), labels)[0],
            real,
            fake,
            penalty_keys,
            step,
        )
        total += cost
        info = _info(real_logits, fake_logits, disc_loss, gen_loss) | paid
        learned: dict[str, Any] = {}
        if regularizer is not None:
            cost, learned["regularizer"] = regularizer.cost(
                memory["regularizer"], real_logits, fake_logits, step
            )
            total += cost
            info["disc/regularizer"] = cost
        if augment is not None:
            learned["augment"] = augment.update(memory["augment"], real_logits)
        info |= {
            f"disc/{rule}_{name}": value
            for rule, own in learned.items()
            for name, value in own.items()
        }
        disc_stats = mean_of([real_stats, fake_stats])
        if learned:
            disc_stats = {"network": disc_stats, **learned}
        return total, ({"gen": gen_stats, "disc": disc_stats}, info)

    return Objective(init, merged_loss)


def _views(augment: Augment | None, memory: Any, keys: list[Array]) -> tuple[View, ...]:
    """How D sees real samples, and how fake ones: always through the same draws."""
    if augment is None:
        return (lambda x: x,) * 2

    def through(keys: Array) -> View:
        # A penalty draws anew what the loss has drawn, on purpose: hence the clone.
        return lambda x: jax.vmap(augment.apply, (None, 0, 0))(
            memory["augment"], jax.random.clone(keys), x
        )

    return tuple(through(own) for own in keys)


def _fake_scores(
    score: Score,
    gradient: Gradient,
    theta: Any,
    stats: Any,
    fake: Array,
    labels: tuple[Array, ...],
) -> tuple[Array, Array, Any]:
    """D's logits of the fakes for L_D and for L_G, and D's stats after the call."""
    if gradient == "one_backward":
        return _twin_scores(score)(theta, stats, fake, labels)
    logits, new_stats = score(theta, stats, stop(fake), labels)
    by_gen = theta if gradient == "article" else stop(theta)
    gen_logits, _ = score(by_gen, stats, fake, labels)
    return logits, gen_logits, new_stats


# Where L_D is flat at a fake's logit, the ratio of the two gradients has no
# denominator. It is then seeded with this instead: far below what D's own gradient can
# feel, and far above what float32 and bfloat16 can hold (about 1e-38).
SEED = 1e-20


def _twin_scores(score: Score) -> Callable[..., tuple[Array, Array, Any]]:
    """D's logits twice, the first for L_D and the second for L_G, in one backward.

    Backward, c_i = dL_D/df_i and g_i = dL_G/df_i arrive. D's parameters get what c
    sends them. D's input would get J_i^T g_i, which is (g_i / c_i) J_i^T c_i since
    logit i depends on sample i only: no second pass.
    """

    @jax.custom_vjp
    def twins(
        theta: Any, stats: Any, fake: Array, labels: tuple[Array, ...]
    ) -> tuple[Array, Array, Any]:
        logits, stats = score(theta, stats, fake, labels)
        return logits, logits, stats

    def forward(
        theta: Any, stats: Any, fake: Array, labels: tuple[Array, ...]
    ) -> tuple[Any, Any]:
        logits, pull, new_stats = jax.vjp(
            lambda theta, fake: score(theta, stats, fake, labels),
            theta,
            fake,
            has_aux=True,
        )
        return (logits, logits, new_stats), pull

    def backward(pull: Any, cotangents: Any) -> tuple[Any, None, Array, None]:
        c, g, _ = cotangents
        c = c + jnp.where(c < 0, -SEED, SEED)
        by_theta, by_fake = pull(c)
        return by_theta, None, per_sample(g / c, by_fake) * by_fake, None

    twins.defvjp(forward, backward)
    return twins


def _inputs(batch: Batch, conditional: bool) -> tuple[Array, tuple[Array, ...]]:
    real, *labels = needed(batch, *(["real", "label"] if conditional else ["real"]))
    return real, tuple(labels)


def _info(
    real_logits: Array, fake_logits: Array, disc_loss: Array, gen_loss: Array
) -> Info:
    right = (real_logits > 0).mean() + (fake_logits < 0).mean()
    return {
        "disc/loss": disc_loss,
        "gen/loss": gen_loss,
        "disc/real_logit": real_logits.mean(),
        "disc/fake_logit": fake_logits.mean(),
        "disc/accuracy": right / 2,
    }
