"""Penalties on the discriminator's slope, the gradient of its logit by its input.

A `Penalty` is a pure function ``(disc, real, fake, keys, step) -> scalar``:

* ``disc`` maps samples to logits of shape (n,) and is already closed over parameters,
  stats and labels; what it computes for real and fake samples is what the loss computes
  there, so the compiler runs it once for both (with an augmentation: for real ones);
* ``fake`` carries no gradient, so that no penalty ever reaches the generator;
* ``keys`` holds one key per sample, ``step`` is the step's number.

||.|| is the Euclidean norm over all axes of one sample. Weights may be numbers or optax
schedules, step -> weight. The zero-centred ones carry the papers' 1/2: gamma here is
twice the `reg_param` of the GAN_stability code.
"""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gan_jax.kernel import Weight, at
from gan_jax.numerics import quotient, root
from gan_jax.parts import averaged, per_sample, split_keys

Samples = Float[Array, "n *shape"]
Scalar = Float[Array, ""]
Disc = Callable[[Samples], Float[Array, " n"]]
Keys = Key[Array, " n"]
Step = Int[Array, ""]
Penalty = Callable[[Disc, Samples, Samples, Keys, Step], Scalar]
Norm = Literal["l1", "l2"]


def r1(gamma: Weight = 1.0) -> Penalty:
    """R1 = gamma / 2 * E ||slope(real)||^2.

    Reference: Mescheder et al., "Which Training Methods for GANs do actually
    Converge?", 2018, arXiv:1801.04406.
    """

    def penalty(
        disc: Disc, real: Samples, fake: Samples, keys: Keys, step: Step
    ) -> Scalar:
        return at(gamma, step) / 2 * _squared_slope(disc, real).mean()

    return penalty


def r2(gamma: Weight = 1.0) -> Penalty:
    """R2 = gamma / 2 * E ||slope(fake)||^2.

    Reference: Mescheder et al., 2018, arXiv:1801.04406.
    """

    def penalty(
        disc: Disc, real: Samples, fake: Samples, keys: Keys, step: Step
    ) -> Scalar:
        return at(gamma, step) / 2 * _squared_slope(disc, fake).mean()

    return penalty


def zero_centred(weight: Weight = 10.0) -> Penalty:
    """weight * E ||slope(x)||^2 at x between a real and a fake sample.

    x = a * real + (1 - a) * fake with one a ~ U[0, 1] per pair.

    Reference: Thanh-Tung et al., "Improving Generalization and Stability of GANs",
    2019, arXiv:1902.03984.
    """

    def penalty(
        disc: Disc, real: Samples, fake: Samples, keys: Keys, step: Step
    ) -> Scalar:
        between = _between(real, fake, keys)
        return at(weight, step) * _squared_slope(disc, between).mean()

    return penalty


def wgan_gp(
    weight: Weight = 10.0, target: float = 1.0, *, one_sided: bool = False
) -> Penalty:
    """weight * E (||slope(x)|| - target)^2 at x between a real and a fake sample.

    Args:
      weight: lambda; 10 in the paper.
      target: the slope that costs nothing.
      one_sided: let smaller slopes cost nothing either.

    Reference: Gulrajani et al., "Improved Training of Wasserstein GANs", 2017,
    arXiv:1704.00028.
    """

    def penalty(
        disc: Disc, real: Samples, fake: Samples, keys: Keys, step: Step
    ) -> Scalar:
        excess = _slope(disc, _between(real, fake, keys)) - target
        excess = jax.nn.relu(excess) if one_sided else excess
        return at(weight, step) * jnp.square(excess).mean()

    return penalty


def dragan(
    weight: Weight = 10.0,
    target: float = 1.0,
    *,
    spread: float = 0.5,
    axis_name: str | None = None,
) -> Penalty:
    """weight * E (||slope(x)|| - target)^2 at x near a real sample.

    x = real + a * spread * sd(batch) * u with a ~ U[0, 1] per sample and u ~ U[0, 1]
    per element, as in the authors' notebook.

    Args:
      weight: lambda; 10 in the paper.
      target: the slope that costs nothing.
      spread: the noise's size in standard deviations of the batch.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which the
        standard deviation is taken too. Not for `jit`. Accumulated parts have one each.

    Reference: Kodali et al., "On Convergence and Stability of GANs", 2017,
    arXiv:1705.07215.
    """

    def deviation(x: Samples) -> Scalar:
        moments = averaged(jnp.stack([x.mean(), jnp.square(x).mean()]), axis_name)
        return jnp.sqrt(jax.nn.relu(moments[1] - jnp.square(moments[0])))

    def penalty(
        disc: Disc, real: Samples, fake: Samples, keys: Keys, step: Step
    ) -> Scalar:
        noise_keys, share_keys = split_keys(keys, 2)
        noise = jax.vmap(lambda key, x: jax.random.uniform(key, x.shape, x.dtype))(
            noise_keys, real
        )
        share = _per_sample_uniform(share_keys, real)
        near = real + share * spread * deviation(real) * noise
        excess = _slope(disc, near) - target
        return at(weight, step) * jnp.square(excess).mean()

    return penalty


def wgan_div(weight: Weight = 2.0, power: float = 6.0) -> Penalty:
    """weight / 2 * (E ||slope(real)||^power + E ||slope(fake)||^power).

    Goes with `losses.wasserstein`: the best value of E f - E r + penalty is then minus
    a divergence (the Wasserstein one), and nothing is asked of D's Lipschitz constant.
    A linear D between points d apart has the best slope
    (d / (weight * power))^(1 / (power - 1)).

    Args:
      weight: k; 2 in the paper.
      power: p > 1; 6 in the paper.

    Raises:
      ValueError: for a power of 1 or less, which would not hold a slope back.

    Reference: Wu et al., "Wasserstein Divergence for GANs", 2018, arXiv:1712.01026;
    real and fake samples for the distribution of x as in Su Jianlin, 2018,
    kexue.fm/archives/6139.
    """
    if power <= 1:
        raise ValueError(
            f"power is {power}, but E r - E f grows as fast as the slope itself: only "
            "a power above 1 holds it back. The paper's is 6."
        )

    def penalty(
        disc: Disc, real: Samples, fake: Samples, keys: Keys, step: Step
    ) -> Scalar:
        powers = [_slope(disc, x) ** power for x in (real, fake)]
        return at(weight, step) / 2 * (powers[0].mean() + powers[1].mean())

    return penalty


def quadratic_potential(scale: Weight = 10.0, norm: Norm = "l1") -> Penalty:
    """E delta^2 / (2 * scale * d(x_r, x_f)), delta = D(x_r) - D(x_f): pairs, no slopes.

    With `losses.wasserstein` this is GAN-QP:

        L_D = E [-delta + delta^2 / (2 * scale * d)],  L_G = E delta.

    The quadratic term bounds |delta| by scale * d, so that D needs no Lipschitz
    constraint. It is D's alone; G would read it as an order to make x_f less far from
    an x_r that it has nothing to do with. A pair of equal samples costs nothing.

    Args:
      scale: lambda; 10 in the author's code.
      norm: the distance, a mean over all elements of one sample. "l1": E |x_r - x_f|;
        "l2": (E (x_r - x_f)^2)^(1/2).

    Raises:
      ValueError: for an unknown norm, and a scale that is not above 0.

    Reference: Su Jianlin, "GAN-QP", 2018, arXiv:1811.07296 and kexue.fm/archives/6163.
    """
    check_quadratic(scale, norm)

    def penalty(
        disc: Disc, real: Samples, fake: Samples, keys: Keys, step: Step
    ) -> Scalar:
        bound = at(scale, step) * mean_distance(real, fake, norm)
        return potential(disc(real) - disc(fake), bound).mean()

    return penalty


def check_quadratic(scale: Weight, norm: str) -> None:
    """Raises ValueError for what `quadratic_potential` does not offer."""
    if not callable(scale) and not scale > 0:
        raise ValueError(
            f"scale is {scale}, but |delta| is bounded by scale * d: give more than 0."
        )
    if norm not in get_args(Norm):
        raise ValueError(f"norm is {norm!r}, but it must be one of {get_args(Norm)}.")


def mean_distance(a: Samples, b: Samples, norm: Norm = "l1") -> Float[Array, " n"]:
    """How far apart samples of one place are, per element: E |a - b|, or its L2 twin.

    >>> import jax.numpy as jnp
    >>> mean_distance(jnp.zeros((1, 2)), jnp.array([[3.0, 4.0]])).tolist()
    [3.5]
    """
    axes = tuple(range(1, a.ndim))
    if norm == "l1":
        return jnp.abs(a - b).mean(axis=axes)
    return root(jnp.square(a - b).mean(axis=axes))


def potential(
    delta: Float[Array, " n"], bound: Float[Array, " n"]
) -> Float[Array, " n"]:
    """delta^2 / (2 * bound), and 0 with gradient 0 where the bound is 0."""
    return quotient(jnp.square(delta), 2 * bound)


def total(*penalties: Penalty) -> Penalty:
    """The sum of penalties, each with its own noise: ``total(r1(), r2())``."""

    def penalty(
        disc: Disc, real: Samples, fake: Samples, keys: Keys, step: Step
    ) -> Scalar:
        own_keys = split_keys(keys, len(penalties))
        return sum(
            (
                p(disc, real, fake, k, step)
                for p, k in zip(penalties, own_keys, strict=True)
            ),
            start=jnp.zeros(()),
        )

    return penalty


def lazy(penalty: Penalty, every: int) -> Penalty:
    """``penalty`` at every ``every``-th step only, ``every`` times as strong.

    The skipped steps skip its work too.

    Reference: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN",
    2020, arXiv:1912.04958, section 3.1.

    Raises:
      ValueError: for an interval below 1.
    """
    if every < 1:
        raise ValueError(f"every is {every}, but an interval is at least 1 step.")
    if every == 1:
        return penalty

    def seldom(
        disc: Disc, real: Samples, fake: Samples, keys: Keys, step: Step
    ) -> Scalar:
        def due() -> Scalar:
            return every * penalty(disc, real, fake, keys, step)

        # A zero of the data's kind: under `jax.shard_map` it must vary over devices.
        dtype = jax.eval_shape(due).dtype
        return jax.lax.cond(
            step % every == 0, due, lambda: real[:0].sum().astype(dtype)
        )

    return seldom


def _squared_slope(disc: Disc, x: Samples) -> Float[Array, " n"]:
    slope = jax.grad(lambda x: disc(x).sum())(x)
    return jnp.square(slope).sum(axis=tuple(range(1, slope.ndim)))


def _slope(disc: Disc, x: Samples) -> Float[Array, " n"]:
    """||slope(x)|| with gradient 0, not NaN, where the slope is 0."""
    return root(_squared_slope(disc, x))


def _between(real: Samples, fake: Samples, keys: Keys) -> Samples:
    share = _per_sample_uniform(keys, real)
    return share * real + (1 - share) * fake


def _per_sample_uniform(keys: Keys, like: Samples) -> Array:
    drawn = jax.vmap(lambda key: jax.random.uniform(key, (), like.dtype))(keys)
    return per_sample(drawn, like)
