"""Augmentations of D's inputs, for training on few samples: one file per idea."""

from gan_jax.augment.ada import ada, scheduled
from gan_jax.augment.augment import Augment, fixed
from gan_jax.augment.diff_augment import diff_augment

__all__ = ["Augment", "ada", "diff_augment", "fixed", "scheduled"]
