"""The classifier two-sample test: can a fresh network tell two sets apart?"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gan_jax.evaluate.judge import fitted
from gan_jax.kernel import Network
from gan_jax.losses import nonsaturating
from gan_jax.networks import mlp
from gan_jax.numerics import nonzero
from gan_jax.optimizers import adam
from gan_jax.schedules import cosine

Samples = Float[Array, "n *shape"]
Others = Float[Array, "m *shape"]


class TwoSample(NamedTuple):
    """What a judge made of samples that it did not learn from.

    Attributes:
      accuracy: t, the mean of the two below; 1/2 where nothing can be told apart.
      real_accuracy: share of real samples that it takes for real.
      fake_accuracy: share of generated samples that it takes for generated. Where it is
        near 1 and the other one is not, generated samples lie where the data rarely do;
        the other way round, the data lie where no generated samples do.
      p_value: the chance of a t as large or larger if both sets are of one
        distribution. Uniform on [0, 1] there, or next to 0.
    """

    accuracy: Float[Array, ""]
    real_accuracy: Float[Array, ""]
    fake_accuracy: Float[Array, ""]
    p_value: Float[Array, ""]


Test = Callable[[Key[Array, ""], Samples, Others], TwoSample]


def classifier_test(
    network: Network | None = None,
    *,
    steps: int = 1000,
    batch_size: int = 128,
    rate: float = 1e-3,
) -> Test:
    """C2ST: a classifier learns from one half of both sets, and is tested on the other.

    t = (share of real ones called real + share of generated ones called generated) / 2.

    Under the null hypothesis t is N(1/2, (1/n + 1/m) / 16) for n real and m generated
    test samples, hence N(1/2, 1 / (4 n_te)) for n_te of both together, half and half.
    That variance is the largest that fits: of a judge that calls a share a of all
    samples real it is 4 a (1 - a) times that, and the p-value errs on the safe side.

    Samples are shifted to mean 0 and scaled to mean square 1, by numbers of the
    learning halves, so that t does not depend on the units. The test finds what its
    network can learn: it names a defect, but does not prove that there is none; and
    where one defect is plain, t says nothing of the others.

    Args:
      network: ``samples (n, ...) -> logits (n,)``; by default a perceptron of two
        hidden layers of 128, for points and features.
      steps: of learning.
      batch_size: samples of each kind a step.
      rate: Adam's first learning rate, which falls to a hundredth along a cosine.

    Returns:
      ``(key, real, fake) -> TwoSample``, compiled once for sets of one size. The key
      decides the halves, the first parameters and the batches. `jax.vmap` it over keys
      for several judges: how far their t differ says how much a single one is worth. A
      sample that is not finite makes t and its p-value NaN.

    Raises:
      ValueError: from the test, for fewer than 2 samples of a kind or unlike samples,
        no steps or no batch.

    Reference: Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", 2016,
    arXiv:1610.06545.
    """
    network = mlp.discriminator() if network is None else network
    optimizer = adam(cosine(rate, rate / 100, steps), b1=0.9)

    def test(key: Key[Array, ""], real: Samples, fake: Others) -> TwoSample:
        if min(len(real), len(fake)) < 2 or real.shape[1:] != fake.shape[1:]:
            raise ValueError(
                f"the real samples have shape {real.shape} and the generated ones "
                f"{fake.shape}, but a judge compares samples of one shape, learns from "
                "one half and is tested on the other: give at least 2 of each, and "
                "hundreds to see anything."
            )
        real_key, fake_key, judge_key = jax.random.split(key, 3)
        halves = _halves(real_key, real), _halves(fake_key, fake)
        scaled = _units(jnp.concatenate([first for first, _ in halves]))
        (real_known, real_test), (fake_known, fake_test) = (
            (scaled(first), scaled(second)) for first, second in halves
        )
        scores = fitted(
            judge_key,
            real_known,
            fake_known,
            network,
            loss=nonsaturating(),
            optimizer=optimizer,
            batch_size=batch_size,
            steps=steps,
        )
        return _verdict(scores(real_test), scores(fake_test))

    return jax.jit(test)


def _halves(key: Key[Array, ""], x: Samples) -> tuple[Array, Array]:
    shuffled = jax.random.permutation(key, x)
    return shuffled[: len(x) // 2], shuffled[len(x) // 2 :]


def _units(known: Samples) -> Callable[[Array], Array]:
    """To mean 0 in every element and mean square 1 over all of them.

    One scale for all, since an element that hardly varies, such as a pixel of the
    border, would otherwise be blown up in the few samples where it does.
    """
    mean = known.mean(axis=0, keepdims=True)
    scale = nonzero(jnp.sqrt(jnp.square(known - mean).mean()))
    return lambda x: (x - mean) / scale


def _verdict(real: Float[Array, " n"], fake: Float[Array, " m"]) -> TwoSample:
    def share(right: Array, logits: Array) -> Array:
        # A comparison with NaN is False, which would pass for an answer.
        return jnp.where(jnp.isnan(logits), jnp.nan, right.astype(logits.dtype)).mean()

    of_real, of_fake = share(real > 0, real), share(fake <= 0, fake)
    accuracy = (of_real + of_fake) / 2
    deviation = ((1 / len(real) + 1 / len(fake)) / 16) ** 0.5
    p_value = jax.scipy.special.ndtr((0.5 - accuracy) / deviation)
    return TwoSample(accuracy, of_real, of_fake, p_value)
