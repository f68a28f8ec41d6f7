"""Data: sources with random access, a computed order, and feeds for the training loop.

Nothing here reads the network, needs TensorFlow, or loads a pickle. Pillow,
tensorflow-datasets and scikit-learn are imported by the functions that need them.
"""

from gan_jax.data.cache import cache_directory, cached
from gan_jax.data.digits import digits
from gan_jax.data.faces import (
    ATTRIBUTES,
    FaceAttributes,
    draw_attributes,
    faces,
    render,
)
from gan_jax.data.feed import Feed, feed, resident, streaming
from gan_jax.data.folder import image_folder, image_zip
from gan_jax.data.idx import idx_images
from gan_jax.data.mixtures import (
    Mixture,
    MixtureReport,
    grid,
    mixture_points,
    mixture_report,
    parallel_lines,
    ring,
    swiss_roll,
)
from gan_jax.data.numpy_files import numpy_arrays
from gan_jax.data.order import Order
from gan_jax.data.paths import open_images
from gan_jax.data.resized import Resized
from gan_jax.data.source import Arrays, Source
from gan_jax.data.tfds import tfds_images

__all__ = [
    "ATTRIBUTES",
    "Arrays",
    "FaceAttributes",
    "Feed",
    "Mixture",
    "MixtureReport",
    "Order",
    "Resized",
    "Source",
    "cache_directory",
    "cached",
    "digits",
    "draw_attributes",
    "faces",
    "feed",
    "grid",
    "idx_images",
    "image_folder",
    "image_zip",
    "mixture_points",
    "mixture_report",
    "numpy_arrays",
    "open_images",
    "parallel_lines",
    "render",
    "resident",
    "ring",
    "streaming",
    "swiss_roll",
    "tfds_images",
]
