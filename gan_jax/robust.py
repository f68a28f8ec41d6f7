"""D on the samples that are worst for it, and the penalties that this comes to.

Adversarial training moves every sample to where D's loss on it is larger, within a
small ball, and trains D there. To first order in the size of the ball it is a penalty
on the slope of the *loss*, which unlike R1's slope of the logit vanishes with the
loss: where D is sure of a sample, it may be as steep as it likes there.
"""

from collections.abc import Callable
from typing import Literal, TypeVar, get_args

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from gan_jax.kernel import Weight, at
from gan_jax.losses import Loss
from gan_jax.numerics import nonzero, quotient, root
from gan_jax.parts import per_sample
from gan_jax.penalties import Disc, Keys, Penalty, Samples, Scalar, Step
from gan_jax.stop import stop

Tree = TypeVar("Tree")
Ball = Literal["none", "l2", "linf"]


def perturbation(
    value: Callable[[Tree], Scalar],
    x: Tree,
    epsilon: Array | float,
    ball: Ball = "l2",
    steps: int = 1,
) -> Tree:
    """Where to move samples so that ``value`` grows: FGM, FGSM or PGD.

    With g = grad value(x), sample by sample, one step is

    * ball "l2":   epsilon * g / ||g||_2, the fast gradient method;
    * ball "linf": epsilon * sign g, the fast gradient sign method;
    * ball "none": epsilon * g.

    More steps are projected gradient ascent: from x, steps of 2.5 * epsilon / ``steps``
    along these directions, each followed by the projection of what was moved so far
    onto the ball of radius epsilon.

    Args:
      value: of all samples; a sum over them, so that a sample's g is its own.
      x: arrays (n, ...), each with one sample a row. Each array's rows have their own
        ball.
      epsilon: the radius, in the samples' units.
      ball: which ball.
      steps: how many.

    Returns:
      What is to be added to x. Gradients through it are not stopped.

    Raises:
      ValueError: for an unknown ball, no steps, or several steps without a ball.

    Reference: Goodfellow et al., "Explaining and Harnessing Adversarial Examples",
    2015, arXiv:1412.6572 (FGSM); Miyato et al., "Adversarial Training Methods for
    Semi-Supervised Text Classification", 2017, arXiv:1605.07725 (FGM); Madry et al.,
    "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018,
    arXiv:1706.06083 (PGD).

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[0.0, 0.0]])
    >>> perturbation(lambda x: (x @ jnp.array([3.0, 4.0])).sum(), x, 0.5).tolist()
    [[0.30000001192092896, 0.4000000059604645]]
    """
    _check(ball, steps)
    rate = epsilon if steps == 1 else 2.5 * epsilon / steps

    def ascended(moved: Tree) -> Tree:
        slopes = jax.grad(value)(jax.tree.map(jnp.add, x, moved))
        return jax.tree.map(
            lambda m, g: _projected(m + rate * _direction(g, ball), epsilon, ball),
            moved,
            slopes,
        )

    # The first step stands alone: what it returns varies over devices as x does, and
    # so does what the loop carries on.
    moved = ascended(jax.tree.map(jnp.zeros_like, x))
    if steps == 1:
        return moved
    return jax.lax.fori_loop(1, steps, lambda _, moved: ascended(moved), moved)


def adversarial_training(
    loss: Loss, epsilon: Weight = 0.1, ball: Ball = "l2", steps: int = 1
) -> Penalty:
    """E l(x + Delta) - E l(x), for real and fake samples alike; l is D's loss.

    Added to D's loss E l(x), it makes it the loss at x + Delta: D's part of
    min_D E max_{Delta in ball} l(x + Delta). Delta is `perturbation`'s, of each sample
    by its own loss, and is held fixed. D should judge every sample by itself.

    Args:
      loss: the one that D minimises.
      epsilon: the radius of the ball in the samples' units, or a schedule.
      ball, steps: see `perturbation`.

    Raises:
      ValueError: as `perturbation` does, and for a loss that couples the whole batch,
        in which no sample has a loss of its own.

    Reference: Madry et al., 2018, arXiv:1706.06083; Su Jianlin, 2020,
    kexue.fm/archives/7234.
    """
    _check(ball, steps)
    _check_per_sample(loss)

    def penalty(
        disc: Disc, real: Samples, fake: Samples, keys: Keys, step: Step
    ) -> Scalar:
        radius = at(epsilon, step)
        both = (real, fake)
        moved = stop(perturbation(_summed(loss, disc), both, radius, ball, steps))
        worse = jax.tree.map(jnp.add, both, moved)
        value = _mean(loss, disc)
        return value(worse) - value(both)

    return penalty


def loss_slope(loss: Loss, weight: Weight = 0.1, ball: Ball = "l2") -> Penalty:
    """weight * E ||grad_x l(x)||, the penalty that `adversarial_training` comes to.

    The two have the same gradient by D's parameters to first order in epsilon = weight:

    * ball "l2":   weight * E ||grad l||_2;
    * ball "linf": weight * E ||grad l||_1;
    * ball "none": weight / 2 * E ||grad l||_2^2. The gap itself is twice this to first
      order; the half is there because Delta, which grows with the slope, is held fixed.

    E is over real samples plus over fake ones, as in D's loss.

    Args:
      loss: the one that D minimises.
      weight: epsilon, or a schedule.
      ball: the ball that Delta would lie in; the norm is its dual.

    Raises:
      ValueError: as `adversarial_training` does.

    Reference: Su Jianlin, 2020, kexue.fm/archives/7234.
    """
    _check(ball, 1)
    _check_per_sample(loss)

    def cost(slopes: Samples) -> Scalar:
        if ball == "linf":
            return jnp.abs(slopes).sum() / len(slopes)
        if ball == "l2":
            return _lengths(slopes).mean()
        return jnp.square(slopes).sum() / (2 * len(slopes))

    def penalty(
        disc: Disc, real: Samples, fake: Samples, keys: Keys, step: Step
    ) -> Scalar:
        scale = at(weight, step)
        of_real, of_fake = jax.grad(_summed(loss, disc))((real, fake))
        return scale * (cost(of_real) + cost(of_fake))

    return penalty


def _mean(loss: Loss, disc: Disc) -> Callable[[tuple[Samples, Samples]], Scalar]:
    return lambda pair: loss.disc(disc(pair[0]), disc(pair[1]))


def _summed(loss: Loss, disc: Disc) -> Callable[[tuple[Samples, Samples]], Scalar]:
    """The sum of the samples' own losses: none of their slopes feels the batch size."""
    return lambda pair: len(pair[0]) * _mean(loss, disc)(pair)


def _direction(g: Samples, ball: Ball) -> Samples:
    if ball == "none":
        return g
    if ball == "linf":
        return jnp.sign(g)
    # Squares of slopes below 1e-19 would be 0 in float32.
    largest = jnp.abs(g).max(axis=tuple(range(1, g.ndim)))
    g = g / per_sample(nonzero(largest), g)
    return g * per_sample(quotient(1.0, _lengths(g)), g)


def _projected(moved: Samples, epsilon: Array | float, ball: Ball) -> Samples:
    if ball == "none":
        return moved
    if ball == "linf":
        return jnp.clip(moved, -epsilon, epsilon)
    share = jnp.minimum(1.0, epsilon / nonzero(_lengths(moved)))
    return moved * per_sample(share, moved)


def _lengths(x: Samples) -> Float[Array, " n"]:
    """||x||_2 of each sample, with gradient 0, not NaN, where it is 0."""
    return root(jnp.square(x).sum(axis=tuple(range(1, x.ndim))))


def _check(ball: str, steps: int) -> None:
    if ball not in get_args(Ball):
        raise ValueError(f"ball is {ball!r}, but it must be one of {get_args(Ball)}.")
    if steps < 1 or (steps > 1 and ball == "none"):
        raise ValueError(
            f"steps is {steps} with ball {ball!r}: at least 1 is wanted, and only 1 "
            'where no ball holds the samples back. Take "l2" or "linf" for more.'
        )


def _check_per_sample(loss: Loss) -> None:
    if loss.couples == "batch":
        raise ValueError(
            "the loss takes a statistic of the whole batch, so that no sample has a "
            "loss of its own by which it could be moved. Use one that couples no more "
            "than pairs."
        )
