"""Measures of how far generated samples lie from the data: features in, numbers out."""

from gan_jax.evaluate.sliced import sliced_wasserstein

__all__ = ["sliced_wasserstein"]
