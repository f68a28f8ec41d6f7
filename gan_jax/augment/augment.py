"""What an augmentation of D's inputs is."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float, Key, Num

# Named numbers that D carries along without a gradient, in ``stats["disc"]``.
Memory = dict[str, Num[Array, ""]]
Sample = Float[Array, "*shape"]
Logits = Float[Array, " n"]


class Augment(NamedTuple):
    """A random change of every sample on its way into D.

    Real and fake samples pass through draws from one law, so that G is asked for the
    real samples, not for changed ones: equal laws after the change mean equal laws
    before it, as long as the change leaves every sample alone often enough. G's own
    gradient passes through the change, which must therefore be differentiable.

    Attributes:
      init: ``() -> memory``, which is ``{}`` for a rule that does not learn.
      apply: ``(memory, key, x) -> x`` for one sample, of the same shape and dtype.
      update: ``(memory, real_logits) -> memory`` after a move of D. It must be linear
        in the logits' mean, as every average is: then the memory's mean over devices
        and accumulated parts is that of the whole batch.

    References: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN
    Training", 2020, arXiv:2006.10738; Karras et al., "Training Generative Adversarial
    Networks with Limited Data", 2020, arXiv:2006.06676.
    """

    init: Callable[[], Memory]
    apply: Callable[[Memory, Key[Array, ""], Sample], Sample]
    update: Callable[[Memory, Logits], Memory]


def fixed(apply: Callable[[Key[Array, ""], Sample], Sample]) -> Augment:
    """The augmentation ``(key, x) -> x`` that needs no memory.

    >>> import jax, jax.numpy as jnp
    >>> flip = fixed(lambda key, x: x * jax.random.rademacher(key, (), x.dtype))
    >>> flip.apply(flip.init(), jax.random.key(0), jnp.ones(2)).shape
    (2,)
    """
    return Augment(
        dict, lambda memory, key, x: apply(key, x), lambda memory, logits: memory
    )


def check_image(x: Sample) -> None:
    """
    Raises:
      ValueError: for a sample that is no image (h, w, channels).
    """
    if x.ndim != 3:
        raise ValueError(
            f"a sample has shape {x.shape}, but this augmentation changes images "
            "(h, w, channels). For points or vectors give augment=None, or an "
            "augmentation of your own by gan_jax.augment.fixed."
        )
