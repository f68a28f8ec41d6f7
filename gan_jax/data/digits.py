"""The 1,797 handwritten digits that scikit-learn carries."""

import numpy as np

from gan_jax.data.resized import Resized
from gan_jax.data.source import Arrays, Source, content_digest


def digits(size: int = 8, channels: int = 1) -> Source:
    """Real grey digits of 8x8 pixels, with their class: a data set without a download.

    Args:
      size: side of the images, in pixels; above 8 they are interpolated.
      channels: 1, or 3 equal ones.

    Returns:
      A source with labels 0 to 9; the 17 grey levels are spread over 0 … 255.

    Raises:
      ModuleNotFoundError: if scikit-learn is not installed.

    Reference:
      Alpaydin, Kaynak, "Optical recognition of handwritten digits", UCI, 1998.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "digits() reads the data set inside scikit-learn, which is not installed: "
            "pip install 'gan_jax[digits]'."
        ) from error
    data = load_digits()
    arrays = {
        "real": np.round(data.images * (255 / 16)).astype(np.uint8)[..., None],
        "label": data.target.astype(np.int32),
    }
    source = Arrays(
        arrays,
        f"scikit-learn digits sha256={content_digest(arrays)}",
        classes=tuple("0123456789"),
    )
    if size == 8 and channels == 1:
        return source
    return Resized(source, size, None, channels)
