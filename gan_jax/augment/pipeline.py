"""ADA's random changes of one image, each made with probability p."""

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Key

from gan_jax.augment.augment import check_image

Image = Float[Array, "h w c"]
Scalar = Float[Array, ""]
Plane = Float[Array, "3 3"]  # an affine map of the plane
Space = Float[Array, "4 4"]  # an affine map of colours

# Standard deviations and reaches of the paper's appendix B.
REACH, SHIFT = 0.125, 0.125  # of integer and of fractional moves, in sides
SCALE, STRETCH = 0.2, 0.2  # log2 of isotropic and of anisotropic scaling
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0  # the last two in log2


def changed(
    p: Scalar, key: Key[Array, ""], x: Image, *, geometry: bool, colour: bool
) -> Image:
    """Flips, turns and moves by whole pixels; with them the rest of the pipeline.

    Each change happens with probability ``p``, independently of the others. All that
    moves pixels is one affine map and one bilinear look-up, mirrored at the border; all
    that changes colours is another affine map. An image to which nothing happens is
    the same, bit for bit.

    Args:
      p: in [0, 1].
      key: of this image.
      x: (h, w, 1) or (h, w, 3), in [-1, 1].
      geometry: also scale, turn, stretch and shift by fractions of a pixel.
      colour: also change brightness, contrast, luma, hue and saturation.

    Raises:
      ValueError: for a sample of another shape.
    """
    check_image(x)
    if x.shape[-1] not in (1, 3):
        raise ValueError(
            f"an image has {x.shape[-1]} channels; ADA changes grey (1) and RGB (3) "
            "images. Give those, or another augmentation."
        )
    place_key, colour_key = jax.random.split(key)
    source, happened = _source(p, place_key, x.shape[:2], geometry)
    x = jnp.where(happened, _looked_up(x, source), x)
    if colour:
        mixing, happened = _mixing(p, colour_key)
        x = jnp.where(happened, _mixed(x, mixing), x)
    return x


def _source(
    p: Scalar, key: Key[Array, ""], sides: tuple[int, ...], geometry: bool
) -> tuple[Plane, Array]:
    """Where an output pixel comes from, seen from the image's centre: (down, right)."""
    gate_key, uniform_key, normal_key = jax.random.split(key, 3)
    # Turns come before and after stretching: (1 - turn)² = 1 - p.
    turn = 1 - jnp.sqrt(1 - p)
    chance = jnp.stack([p, p, p, p, turn, p, turn, p])
    happens = jax.random.uniform(gate_key, (8,)) < chance
    u = jax.random.uniform(uniform_key, (6,))
    n = jax.random.normal(normal_key, (4,))
    size = jnp.array(sides, u.dtype)

    flip = jnp.where(u[0] < 0.5, 1.0, -1.0)
    quarter = jnp.floor(4 * u[1]).astype(int)
    steps = jnp.round((2 * u[2:4] - 1) * REACH * size)
    scale, stretch = 2 ** (SCALE * n[0]), 2 ** (STRETCH * n[1])
    pieces = [
        _scaling(jnp.ones(()), flip),
        _rotation(
            jnp.array([1.0, 0, -1, 0])[quarter], jnp.array([0, 1.0, 0, -1])[quarter]
        ),
        _translation(steps),
    ]
    if geometry:
        before, after = jnp.pi * (2 * u[4:] - 1)
        pieces += [
            _scaling(scale, scale),
            _rotation(jnp.cos(before), jnp.sin(before)),
            _scaling(stretch, 1 / stretch),
            _rotation(jnp.cos(after), jnp.sin(after)),
            _translation(SHIFT * size * n[2:]),
        ]
    source = jnp.eye(3)
    for happen, piece in zip(happens, pieces, strict=False):
        source = source @ jnp.where(happen, piece, jnp.eye(3))
    return source, happens[: len(pieces)].any()


def _mixing(p: Scalar, key: Key[Array, ""]) -> tuple[Space, Array]:
    """The affine map of colours."""
    gate_key, uniform_key, normal_key = jax.random.split(key, 3)
    happens = jax.random.uniform(gate_key, (5,)) < p
    u = jax.random.uniform(uniform_key, (2,))
    n = jax.random.normal(normal_key, (3,))

    one, luma = jnp.eye(3), jnp.ones((3, 3)) / 3  # luma is the projection on grey
    angle = jnp.pi * (2 * u[1] - 1)
    # The cross product with (1, 1, 1) / sqrt(3): a turn about the grey axis.
    across = jnp.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / jnp.sqrt(3.0)
    hue = luma + jnp.cos(angle) * (one - luma) + jnp.sin(angle) * across
    flip = jnp.where(u[0] < 0.5, 1.0, 0.0)
    pieces = [
        jnp.eye(4).at[:3, 3].set(BRIGHTNESS * n[0]),
        _linear(2 ** (CONTRAST * n[1]) * one),
        _linear(one - 2 * flip * luma),
        _linear(hue),
        _linear(luma + 2 ** (SATURATION * n[2]) * (one - luma)),
    ]
    mixing = jnp.eye(4)
    for happen, piece in zip(happens, pieces, strict=True):
        mixing = jnp.where(happen, piece, jnp.eye(4)) @ mixing
    return mixing, happens.any()


def _looked_up(x: Image, source: Plane) -> Image:
    centre = (jnp.array(x.shape[:2], source.dtype) - 1) / 2
    down, right = jnp.meshgrid(*(jnp.arange(n) for n in x.shape[:2]), indexing="ij")
    seen = jnp.stack([down - centre[0], right - centre[1], jnp.ones(x.shape[:2])])
    places = jnp.tensordot(source, seen, 1)[:2] + centre[:, None, None]

    def channel(x: Float[Array, "h w"]) -> Float[Array, "h w"]:
        return map_coordinates(x, list(places), order=1, mode="mirror")

    return jax.vmap(channel, -1, -1)(x).astype(x.dtype)


def _mixed(x: Image, mixing: Space) -> Image:
    """A grey image is mixed as RGB, and its grey is kept."""
    rgb = jnp.broadcast_to(x, (*x.shape[:2], 3))
    rgb = rgb @ mixing[:3, :3].T + mixing[:3, 3][None, None]
    grey = rgb.mean(axis=-1, keepdims=True)
    return (rgb if x.shape[-1] == 3 else grey).astype(x.dtype)


def _scaling(down: Scalar, right: Scalar) -> Plane:
    return jnp.diag(jnp.stack([down, right, jnp.ones(())]))


def _rotation(cos: Scalar, sin: Scalar) -> Plane:
    return jnp.eye(3).at[:2, :2].set(jnp.array([[cos, -sin], [sin, cos]]))


def _translation(shift: Float[Array, "2"]) -> Plane:
    return jnp.eye(3).at[:2, 2].set(shift)


def _linear(matrix: Float[Array, "3 3"]) -> Space:
    return jnp.eye(4).at[:3, :3].set(matrix)
