"""What stands between images and a metric: one function, with its name and its sum."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jax import Array
from jaxtyping import Float, UInt8

Extractor = Callable[[UInt8[np.ndarray, "n h w c"]], Array | np.ndarray]
Head = Callable[[Float[np.ndarray, "n d"]], Array | np.ndarray]


@dataclass(frozen=True)
class Features:
    """Images to vectors, and what a figure that rests on them must say.

    Attributes:
      name: of the extractor, with the beginning of its digest where it has weights.
      digest: SHA-256 of what it computes with; "" for a function of the caller's.
      preprocessing: what happens to the pixels before, in words.
      dimension: of a vector.
      function: (n, h, w, c) uint8 -> (n, d), each image by itself.
      head: (n, d) features -> (n, k) logits of classes, where there are any.
      batch: how many images the function is given at once.
    """

    name: str
    digest: str
    preprocessing: str
    dimension: int
    function: Extractor
    head: Head | None = None
    batch: int = 256

    def __str__(self) -> str:
        return f"{self.name}, {self.preprocessing}" if self.preprocessing else self.name

    def __call__(self, images: UInt8[np.ndarray, "n h w c"]) -> np.ndarray:
        """The features of images, whatever their number.

        Args:
          images: quantised, as an image file would hold them. Floats are refused: real
            images are uint8, and what only one of two sets goes through is measured.

        Returns:
          float32 (n, d).

        Raises:
          ValueError: for other than uint8 images, a function that returns another
            shape, or features that are not finite.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
            raise ValueError(
                f"{self.name} takes at least one uint8 image (n, h, w, c), not "
                f"{images.dtype} {images.shape}; gan_jax.images.to_uint8 quantises "
                "floats in [-1, 1]."
            )
        found = [
            self._of_batch(images[i : i + self.batch], filled=i > 0)
            for i in range(0, len(images), self.batch)
        ]
        features = np.concatenate(found)
        if not np.isfinite(features).all():
            raise ValueError(
                f"{self.name} gave features that are not finite; look at its weights "
                "and at its preprocessing."
            )
        return features

    def logits(self, features: Float[np.ndarray, "n d"]) -> np.ndarray:
        """The logits (n, k) that belong to features, without a look at the images.

        Raises:
          ValueError: if the extractor knows no classes.
        """
        if self.head is None:
            raise ValueError(
                f"{self.name} knows no classes, so there is no inception score or "
                "count of modes by it; take a classifier's features."
            )
        return np.asarray(self.head(features), np.float32)

    def _of_batch(self, images: np.ndarray, filled: bool) -> np.ndarray:
        count = len(images)
        if filled:  # the last batch as large as the others: one program serves all
            images = np.resize(images, (self.batch, *images.shape[1:]))
        features = np.asarray(self.function(images), np.float32)
        if features.shape != (len(images), self.dimension):
            raise ValueError(
                f"{self.name} gave shape {features.shape} for {len(images)} images, "
                f"wanted {(len(images), self.dimension)}."
            )
        return features[:count]


def of(
    name: str,
    function: Extractor,
    dimension: int,
    *,
    preprocessing: str = "",
    digest: str = "",
    head: Head | None = None,
    batch: int = 256,
) -> Features:
    """Any function of images as `Features`.

    Args:
      name: what figures are to call it.
      function: (n, h, w, c) uint8 -> (n, d) finite numbers, each image by itself.
      dimension: d.
      preprocessing: what the function does to pixels first, in words.
      digest: SHA-256 of its weights, if it has any.
      head: (n, d) features -> (n, k) logits, if it has classes.
      batch: how many images it is given at once.

    Raises:
      ValueError: without a name, a dimension or a batch.

    >>> import numpy as np
    >>> brightness = of("brightness", lambda x: x.mean(axis=(1, 2)), dimension=1)
    >>> brightness(np.full((2, 4, 4, 1), 7, np.uint8)).tolist()
    [[7.0], [7.0]]
    """
    if not name or dimension < 1 or batch < 1:
        raise ValueError(
            f'name is "{name}", dimension {dimension} and batch {batch}; figures must '
            "say what they rest on, so give a name, and positive numbers."
        )
    return Features(name, digest, preprocessing, dimension, function, head, batch)


def named(name: str, digest: str) -> str:
    """A name that says which weights: ``name@`` and the digest's first 12 digits."""
    return f"{name}@{digest[:12]}"


def text_digest(text: str) -> str:
    """SHA-256 of what a function without weights does, in words."""
    return hashlib.sha256(text.encode()).hexdigest()
