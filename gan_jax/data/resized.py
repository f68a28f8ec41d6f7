"""A view of another source: its images cropped, resized, made grey or colour."""

import numpy as np

from gan_jax.data.pixels import fit, preprocessing
from gan_jax.data.source import Sample, Source


class Resized:
    """Images of `source`, each through `gan_jax.data.pixels.fit`.

    Args:
      source: uint8 images (h, w, c) with c of 1, 2 (grey, alpha), 3 or 4 (RGB, alpha).
      size: side of the result, in pixels.
      crop: side of the centre square, in pixels of the source; None for the largest.
      channels: 1 or 3.
    """

    def __init__(
        self, source: Source, size: int, crop: int | None = None, channels: int = 3
    ) -> None:
        words = preprocessing(size, crop, channels)
        self.source, self.size, self.crop, self.channels = source, size, crop, channels
        self.fingerprint = f"{source.fingerprint} {words}"
        self.classes = getattr(source, "classes", None)
        self.attribute_names = getattr(source, "attribute_names", None)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        from PIL import Image

        sample = self.source[index]
        pixels = sample["real"]
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] > 4:
            raise ValueError(
                f"sample {index} is {pixels.dtype} {pixels.shape}; resizing wants "
                "uint8 images (h, w, c) with 1 to 4 channels."
            )
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        name = f"sample {index}"
        return sample | {"real": fit(image, self.size, self.crop, self.channels, name)}
