"""DiffAugment: every image changed in colour, moved, and cut, always."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gan_jax.augment.augment import Augment, check_image, fixed

Image = Float[Array, "h w c"]
Place = Int[Array, "2"]  # down, right


def diff_augment(
    *, colour: bool = True, translation: float = 1 / 8, cutout: float = 1 / 2
) -> Augment:
    """Colour, translation and cutout, each drawn anew for every image.

    colour:      x + b,  then (x - m) s + m,  then (x - M) c + M
    translation: moved by up to ``translation`` of each side, grey (0) where it left
    cutout:      a rectangle of ``cutout`` of each side set to grey

    with b ~ U[-1/2, 1/2], s ~ U[0, 2], c ~ U[1/2, 3/2]; m is a pixel's mean over
    channels and M the mean over the image. The rectangle's centre is uniform over the
    image, so at the border less is cut.

    Args:
      colour: whether the three colour changes are made.
      translation: the largest shift as a share of each side; 0 for none.
      cutout: the rectangle's sides as a share of the image's; 0 for none.

    Returns:
      An augmentation of images (h, w, c) in [-1, 1], without a memory.

    Raises:
      ValueError: for shares outside [0, 1), and when it meets a sample that is no
        image.

    Reference: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN
    Training", 2020, arXiv:2006.10738.
    """
    for name, given in (("translation", translation), ("cutout", cutout)):
        if not 0 <= given < 1:
            raise ValueError(
                f"{name} is {given}, but it is a share of the side, in [0, 1)."
            )

    def apply(key: Key[Array, ""], x: Image) -> Image:
        check_image(x)
        colour_key, move_key, cut_key = jax.random.split(key, 3)
        if colour:
            b, s, c = jax.random.uniform(colour_key, (3,), x.dtype)
            x = contrasted(saturated(x + (b - 0.5), 2 * s), c + 0.5)
        if translation:
            reach = _share(x, translation)
            x = moved(x, jax.random.randint(move_key, (2,), -reach, reach + 1))
        if cutout:
            size = _share(x, cutout)
            # An even rectangle's centre lies between pixels, also at both borders.
            end = jnp.array(x.shape[:2]) + 1 - size % 2
            x = cut(x, jax.random.randint(cut_key, (2,), 0, end) - size // 2, size)
        return x

    return fixed(apply)


def saturated(x: Image, factor: Float[Array, ""]) -> Image:
    """Every pixel's distance from its own grey, times ``factor``."""
    grey = x.mean(axis=-1, keepdims=True)
    return (x - grey) * factor + grey


def contrasted(x: Image, factor: Float[Array, ""]) -> Image:
    """Every pixel's distance from the image's mean, times ``factor``."""
    return (x - x.mean()) * factor + x.mean()


def moved(x: Image, shift: Place) -> Image:
    """The image moved down and right by ``shift`` pixels, 0 where it left."""
    for axis, n in enumerate(x.shape[:2]):
        source = jnp.arange(n) - shift[axis]
        # Beyond the end lies nothing; before the beginning would lie the end.
        source = jnp.where(source < 0, n, source)
        x = jnp.take(x, source, axis=axis, mode="fill", fill_value=0)
    return x


def cut(x: Image, corner: Place, size: Place) -> Image:
    """The image with 0 in the rectangle from its upper left ``corner`` on."""
    rows, columns = (
        (jnp.arange(n) >= start) & (jnp.arange(n) < start + length)
        for n, start, length in zip(x.shape[:2], corner, size, strict=True)
    )
    return jnp.where(rows[:, None, None] & columns[None, :, None], 0, x)


def _share(x: Image, share: float) -> Place:
    """Whole pixels of each side."""
    return jnp.array([int(n * share + 0.5) for n in x.shape[:2]])
