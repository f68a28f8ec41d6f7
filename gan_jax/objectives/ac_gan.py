"""AC-GAN: D also says which class a sample is of, and G is asked for that class.

With D(x) = (s(x), class logits), x_f = G(z, y) and C(x, y) the cross-entropy of the
class logits with the label, the merged loss is

    L = L_D(s(x), s(sg(x_f))) + w (C(x, y) + C(sg(x_f), y)) + penalty
        + L_G(sg(s(x)), s_sg(theta)(x_f)) + v C_sg(theta)(x_f, y).

Both players want the classes of fakes to be read: of the four cross-entropies only the
signs of s are contested.

Reference: Odena, Olah and Shlens, "Conditional Image Synthesis With Auxiliary
Classifier GANs", 2016, arXiv:1610.09585.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

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
from gan_jax.numerics import full
from gan_jax.objectives.players import (
    begun,
    check_fakes,
    drawn,
    judged,
    needed,
    penalised,
)
from gan_jax.parts import split_keys
from gan_jax.penalties import Penalty
from gan_jax.stop import stop


def ac_gan(
    gen: Network,
    disc: Network,
    *,
    loss: Loss,
    latent: Latent,
    disc_weight: Weight = 1.0,
    gen_weight: Weight = 1.0,
    of_fakes: bool = True,
    penalty: Penalty | None = None,
) -> Objective:
    """The game of "gen" and "disc" over labelled samples.

    The fakes' labels are those of the real samples of the same place.

    G's cross-entropy rewards samples whose class is plain to see, and with it what lies
    far from all other classes: where classes overlap, G leaves their common ground out
    (Gong et al., "Twin Auxiliary Classifiers GAN", 2019, arXiv:1907.02690). A D that is
    given the label (``conditional=True`` in `adversarial`) has no such bias.

    Args:
      gen: ``(z, label) -> samples``.
      disc: ``samples -> (logits (n,), class logits (n, classes))``.
      loss: what each player minimises, of the logits.
      latent: the prior of z.
      disc_weight: w, of D's cross-entropies.
      gen_weight: v, of G's. Both may be schedules, step -> weight.
      of_fakes: whether D learns classes from fakes too, as in the paper; many later
        codes let it learn them from real samples only.
      penalty: added to D's loss, on the slope of the logits.

    Returns:
      An objective for batches with ``"real"`` and ``"label"``, int32 (n,). Its info
      holds ``gen/loss`` and ``disc/loss`` (without cross-entropies), ``gen/class_loss``
      and ``disc/class_loss`` (C(x_f, y) and C(x, y)) and ``disc/penalty``.

    Raises:
      ValueError: for a batch without labels, or answers of D in other shapes.
    """

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        real, label = needed(batch, "real", "label")
        if label.shape != real.shape[:1] or not jnp.issubdtype(
            label.dtype, jnp.integer
        ):
            raise ValueError(
                f'batch["label"] is {label.dtype} of shape {label.shape}, but a class '
                f"number per sample is wanted: integers of shape {real.shape[:1]}."
            )
        own, z_key = jax.random.split(key)
        z = drawn(latent, jax.random.split(z_key, len(real)))
        return begun(own, {"gen": (gen, (z, label)), "disc": (disc, (real,))})

    def merged_loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        real, label = needed(batch, "real", "label")
        z_keys, penalty_keys = split_keys(keys, 2)
        z = drawn(latent, z_keys)
        fake, gen_stats = gen.apply(params["gen"], stats["gen"], z, label, train=True)
        check_fakes(fake, real)

        def answers(theta: Any, x: Array) -> tuple[tuple[Array, Array], Any]:
            return _answers(disc, theta, stats["disc"], x)

        theta = params["disc"]
        seen = judged(answers, theta, real, fake)
        real_logits, real_classes = seen.real
        fake_logits, fake_classes = seen.fake
        gen_logits, gen_classes = seen.by_gen

        disc_loss = loss.disc(real_logits, fake_logits)
        gen_loss = loss.gen(stop(real_logits), gen_logits)
        real_class_loss = _cross_entropy(real_classes, label)
        gen_class_loss = _cross_entropy(gen_classes, label)
        by_disc = at(disc_weight, step)
        total = disc_loss + by_disc * real_class_loss
        if of_fakes:
            total += by_disc * _cross_entropy(fake_classes, label)
        total += gen_loss + at(gen_weight, step) * gen_class_loss
        info = {
            "disc/loss": disc_loss,
            "gen/loss": gen_loss,
            "disc/class_loss": real_class_loss,
            "gen/class_loss": gen_class_loss,
        }
        cost, paid = penalised(
            penalty,
            "disc",
            lambda x: answers(theta, x)[0][0],
            real,
            fake,
            penalty_keys,
            step,
        )
        new_stats = {"gen": gen_stats, "disc": seen.stats}
        return total + cost, (new_stats, info | paid)

    return Objective(init, merged_loss)


def _answers(
    disc: Network, params: Any, stats: Any, x: Array
) -> tuple[tuple[Float[Array, " n"], Float[Array, "n classes"]], Any]:
    """The logits and the class logits, in float32 at least, and D's stats."""
    answer, stats = disc.apply(params, stats, x, train=True)
    shapes = [jnp.shape(part) for part in jax.tree.leaves(answer)]
    n = len(x)
    if len(shapes) != 2 or shapes[0] != (n,) or shapes[1][:1] != (n,):
        raise ValueError(
            f"the discriminator returned arrays of shapes {shapes} for {n} samples, "
            f"but AC-GAN wants a pair of logits ({n},) and class logits ({n}, classes)."
        )
    logits, classes = answer
    return (full(logits), full(classes)), stats


def _cross_entropy(
    classes: Float[Array, "n classes"], label: Int[Array, " n"]
) -> Float[Array, ""]:
    # A class that does not exist makes a NaN, and the step is skipped: -1 must not
    # count as the last one.
    label = jnp.where(label < 0, classes.shape[1], label)
    log_p = jax.nn.log_softmax(classes)
    return -jnp.take_along_axis(log_p, label[:, None], axis=1).mean()
