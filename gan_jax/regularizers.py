"""What keeps D from learning its samples by heart, other than its slope.

A `Regularizer` acts on D's logits and may remember: LeCam holds them near running
averages. What needs no memory is a `Penalty` like those of `gan_jax.penalties`: the
consistency of D under an augmentation.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.augment import Augment
from gan_jax.augment.augment import Memory
from gan_jax.kernel import Weight, at
from gan_jax.parts import split_keys
from gan_jax.penalties import Disc, Keys, Penalty, Samples, Step

Logits = Float[Array, " n"]
Scalar = Float[Array, ""]


class Regularizer(NamedTuple):
    """A cost of D's logits that depends on those of earlier steps.

    Attributes:
      init: ``() -> memory``.
      cost: ``(memory, real_logits, fake_logits, step) -> (scalar, memory)``, added to
        D's loss. The logits are those of the loss itself. The memory returned must be
        linear in the logits' means: then its mean over devices and accumulated parts is
        that of the whole batch.
    """

    init: Callable[[], Memory]
    cost: Callable[[Memory, Logits, Logits, Step], tuple[Scalar, Memory]]


def lecam(
    weight: Weight = 0.3, decay: float = 0.99, *, one_sided: bool = False
) -> Regularizer:
    """LeCam: D's logits stay near where the other kind's have been on average.

    weight * (E (r - a_f)^2 + E (f - a_r)^2)

    with a_r and a_f the running averages of r and f over the moves of D before this
    one, a <- decay a + (1 - decay) E, without the bias of their beginning at zero; the
    first move costs nothing. With Wasserstein's losses and fixed samples the logits
    come to rest: a_r - a_f = v / (weight (1 + v)) with v = E_p (p - q) / (p + q), a
    form of the Le Cam distance, which is 1 for samples that have nothing in common.

    The authors' code differs from the paper: it lets a real logit below a_f and a fake
    one above a_r go free (``one_sided``), which matters only while D is wrong, and it
    updates the averages before they are used.

    Args:
      weight: a number or a schedule. It belongs to the logits' scale: 0.3 suits a
        hinge, whose logits lie near -1 and 1.
      decay: of the averages; 0.99 in the authors' code.
      one_sided: the authors' code's form.

    Raises:
      ValueError: for a decay outside [0, 1).

    Reference: Tseng et al., "Regularizing Generative Adversarial Networks under Limited
    Data", 2021, arXiv:2104.03310.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay is {decay}, but it lies in [0, 1); 0.99 is common.")
    excess = jax.nn.relu if one_sided else lambda gap: gap

    def init() -> Memory:
        return {name: jnp.zeros(()) for name in ("real", "fake", "mass")}

    def cost(
        memory: Memory, real: Logits, fake: Logits, step: Step
    ) -> tuple[Scalar, Memory]:
        mass = memory["mass"]
        known = mass > 0
        mass = jnp.where(known, mass, 1.0)
        real_mean, fake_mean = memory["real"] / mass, memory["fake"] / mass
        value = (
            jnp.square(excess(real - fake_mean)).mean()
            + jnp.square(excess(real_mean - fake)).mean()
        )
        now = {"real": real.mean(), "fake": fake.mean(), "mass": jnp.ones(())}
        averages = {
            name: decay * memory[name] + (1 - decay) * now[name] for name in memory
        }
        return at(weight, step) * jnp.where(known, value, 0.0), averages

    return Regularizer(init, cost)


def consistency(augment: Augment, real: Weight = 10.0, fake: Weight = 10.0) -> Penalty:
    """bCR: a sample and its augmented self get one logit.

    real * E (D(x) - D(T(x)))^2 + fake * E (D(x_f) - D(T(x_f)))^2

    The loss itself sees the samples as they are, so that no augmentation can leak into
    them. With ``fake=0.0`` it is consistency regularization (CR).

    Args:
      augment: T, with a draw of its own for every sample; one without a memory.
      real, fake: the weights; 10 and 10 in the paper.

    Raises:
      ValueError: for an augmentation that learns: here nothing would teach it.

    References: Zhang et al., "Consistency Regularization for Generative Adversarial
    Networks", 2019, arXiv:1910.12027; Zhao et al., "Improved Consistency Regularization
    for GANs", 2020, arXiv:2002.04724.
    """
    if memory := augment.init():
        raise ValueError(
            f"the augmentation remembers {sorted(memory)}, but consistency draws from "
            "one that never learns. Give gan_jax.augment.diff_augment() or one by "
            "gan_jax.augment.fixed."
        )

    def gap(disc: Disc, x: Samples, keys: Keys) -> Scalar:
        changed = jax.vmap(lambda key, x: augment.apply({}, key, x))(keys, x)
        return jnp.square(disc(x) - disc(changed)).mean()

    def penalty(
        disc: Disc, real_samples: Samples, fake_samples: Samples, keys: Keys, step: Step
    ) -> Scalar:
        real_keys, fake_keys = split_keys(keys, 2)
        return at(real, step) * gap(disc, real_samples, real_keys) + at(
            fake, step
        ) * gap(disc, fake_samples, fake_keys)

    return penalty
