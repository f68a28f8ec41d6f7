"""What metrics look at: images in, vectors out, each with a name that says whence."""

from gan_jax.evaluate.features.classifier import Classifier, classifier, load
from gan_jax.evaluate.features.inception import inception
from gan_jax.evaluate.features.pca import pca
from gan_jax.evaluate.features.pixels import pixels
from gan_jax.evaluate.features.record import Features, of

__all__ = [
    "Classifier",
    "Features",
    "classifier",
    "inception",
    "load",
    "of",
    "pca",
    "pixels",
]
