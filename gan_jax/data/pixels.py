"""From the bytes of an image file to a square uint8 array, without trusting the bytes.

Pillow's own readers are used one by one, not `Image.open`: only JPEG, PNG and WebP are
accepted whatever a file is called, and the size in the header is checked first.
"""

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 64_000_000  # per image; below Pillow's own first warning (89.5 million)
MAX_FILE_BYTES = 256 * 2**20  # per encoded image
RESAMPLING = "lanczos"  # antialiased; named in every fingerprint


def decode(data: bytes, name: str) -> "Image":
    """Decodes an image file, upright and in mode L or RGB, transparency on white.

    Args:
      data: the bytes of a JPEG, PNG or WebP file.
      name: what errors call it.

    Returns:
      A PIL image.

    Raises:
      ValueError: naming the file, for bytes that are no such image, are damaged, or
        announce more than `MAX_PIXELS` pixels.
    """
    from PIL import ImageOps

    try:
        image = _reader(data)
        width, height = image.size
        if width * height <= MAX_PIXELS:
            image.load()
            return _plain(ImageOps.exif_transpose(image))
    # A damaged file makes Pillow raise nearly anything: OSError, SyntaxError,
    # struct.error, IndexError, zlib.error, … All of them mean this one thing.
    except Exception as error:
        raise ValueError(
            f"{name}: not a readable JPEG, PNG or WebP image "
            f"({type(error).__name__}: {error}). Remove or replace the file."
        ) from error
    raise ValueError(
        f"{name}: {width}x{height} is {width * height / 1e6:.0f} million pixels; at "
        f"most {MAX_PIXELS / 1e6:.0f} million are decoded. Scale the image down first."
    )


def fit(
    image: "Image", size: int, crop: int | None, channels: int, name: str
) -> UInt8[np.ndarray, "size size channels"]:
    """Crops the centre square out of an image and resizes it with antialiasing.

    Args:
      image: a PIL image.
      size: side of the result, in pixels.
      crop: side of the square, in pixels of the image; None for the largest one.
      channels: 1 (grey) or 3 (RGB).
      name: what errors call the image.

    Returns:
      The pixels.

    Raises:
      ValueError: if the image is smaller than the crop.
    """
    from PIL.Image import Resampling

    width, height = image.size
    side = min(width, height) if crop is None else crop
    if side > min(width, height):
        raise ValueError(
            f"{name}: the image is {width}x{height}, smaller than the crop of {side}. "
            "Give a smaller crop, or none for the largest square."
        )
    image = _plain(image).convert("L" if channels == 1 else "RGB")
    left, top = (width - side) // 2, (height - side) // 2
    if (width, height) != (side, side):
        image = image.crop((left, top, left + side, top + side))
    if side != size:
        image = image.resize((size, size), Resampling.LANCZOS)
    return np.array(image, np.uint8).reshape(size, size, channels)


def preprocessing(size: int, crop: int | None, channels: int) -> str:
    """The words of a fingerprint that say what `fit` does, after checking them.

    Raises:
      ValueError: for a size or crop below one, or channels other than 1 and 3.
    """
    if size < 1 or (crop is not None and crop < 1):
        raise ValueError(f"size is {size} and crop is {crop}; give pixels, at least 1.")
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels}; give 1 (grey) or 3 (RGB).")
    square = "largest" if crop is None else str(crop)
    return f"crop={square} size={size} {RESAMPLING} channels={channels}"


def _reader(data: bytes) -> "Image":
    """Opens the one reader that the first bytes call for; reads the header only."""
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile(io.BytesIO(data))
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile(io.BytesIO(data))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        width, height = _webp_size(data)
        if width * height > MAX_PIXELS:  # this reader allocates when it opens
            raise ValueError(f"{width}x{height} is more than {MAX_PIXELS} pixels")
        return WebPImageFile(io.BytesIO(data))
    raise ValueError("the first bytes belong to no known format")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Reads width and height from the first chunk of a WebP file (RFC 9649)."""
    kind = data[12:16]
    if kind == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        return 1 + low_w + (high_w << 16), 1 + low_h + (high_h << 16)
    if kind == b"VP8L":
        (word,) = struct.unpack_from("<I", data, 21)
        return 1 + (word & 0x3FFF), 1 + (word >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError(f"unknown WebP chunk {kind!r}")


def _plain(image: "Image") -> "Image":
    """Brings any mode to L or RGB; what is transparent becomes white."""
    from PIL import Image

    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):  # 16 bit; convert("L") would clip at 255
        deep = np.asarray(image).astype(np.float64)
        return Image.fromarray((deep.clip(0, 65535) / 257 + 0.5).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")
