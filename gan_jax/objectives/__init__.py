"""Games as objectives: one file per system, each returning an `Objective`."""

from gan_jax.objectives.adversarial import adversarial

__all__ = ["adversarial"]
