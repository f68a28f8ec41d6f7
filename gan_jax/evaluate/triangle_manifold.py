"""Precision and recall of a generator of triangles, by distances to their manifold.

How far an image lies from the nearest triangle is a least-squares problem of six
numbers, so precision needs no neighbours and no features. How far a triangle lies from
what a generator makes is one of as many numbers as its z has: that is recall.

The threshold, as the drawing, is our own. Say both beside a figure.

Reference: Lucic et al., "Are GANs Created Equal? A Large-Scale Study", 2018,
arXiv:1711.10337.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from gan_jax.evaluate.triangles import (
    SMALLEST,
    Images,
    cover,
    rasterised,
    triangle_corners,
    triangles,
)

DELTA = 0.75  # a distance that still counts as none; images have pixels in [0, 1]
_START_FROM = 8192  # triangles among which projections start
_STARTS = 4  # of them for each image
_STEPS, _STARTS_OF_Z = 20, 8  # of an inversion, if nothing is said
_LATENTS = 4096  # among which inversions start
_MADE = 256  # samples made in one call
_AT_ONCE = 32  # images projected in one call

Image = Callable[[Float[Array, " d"]], Float[Array, " pixels"]]
Allowed = Callable[[Array], Array | bool]
Generator = Callable[[Float[Array, "n d"]], Float[Array, "n size size 1"]]


class Score(NamedTuple):
    """How much of the manifold a generator makes, and how much else.

    Attributes:
      precision: share of its samples that lie at the manifold.
      recall: share of held-out triangles that it can make.
    """

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Their harmonic mean, and 0 if both are.

        >>> Score(precision=1.0, recall=0.5).f1
        0.6666666666666666
        """
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def manifold_distances(images: Images, seed: int = 0) -> Float[np.ndarray, " n"]:
    """How far images lie from the nearest triangle: ``min_v |x - T(v)|``.

    Pixels are in [0, 1] and the norm is Euclidean over all of them. Corners are in the
    image, and the triangle is at least half as large as the smallest that is drawn.
    Levenberg and Marquardt's steps lead on from the nearest of 8,192 random triangles,
    so that it is the distance to a local minimum, and never below the true one.

    Args:
      images: grey ones.
      seed: of the triangles to start from.

    Returns:
      float32. Quantising the pixels at the edge alone gives some 0.01 at 28 pixels.

    Raises:
      ValueError: for other than square grey uint8 images.

    Reference: Marquardt, "An Algorithm for Least-Squares Estimation of Nonlinear
    Parameters", 1963.
    """
    _checked(images)
    size = images.shape[1]
    corners, bank = _bank(size, seed)
    box = np.zeros(6, np.float32), np.ones(6, np.float32)
    x = images.reshape(len(images), -1).astype(np.float32) / 255
    found = []
    for i in range(0, len(x), _AT_ONCE):
        part = np.resize(x[i : i + _AT_ONCE], (_AT_ONCE, size * size))
        starts = corners[_nearest(part, bank, _STARTS)].reshape(_AT_ONCE, _STARTS, 6)
        found.append(_fitted(_to_triangle(size), box, part, starts, 20))
    return np.concatenate(found)[: len(x)]


def precision(images: Images, delta: float = DELTA) -> float:
    """The share of images whose distance to the manifold is below ``delta``."""
    return float((manifold_distances(images) < delta).mean())


def inversion_distances(
    generator: Generator,
    images: Images,
    latents: Float[Array, "m d"],
    *,
    steps: int = _STEPS,
    starts: int = _STARTS_OF_Z,
) -> Float[np.ndarray, " n"]:
    """How far images lie from what a generator makes: ``min_z |x - (G(z) + 1) / 2|``.

    For each image the steps of `manifold_distances` lead on from those latents whose
    samples are nearest to it, to no z beyond the smallest and largest of those latents:
    far out, a collapsed generator might make what it never makes. As they may miss the
    best z, it is an upper bound. One step costs as much as d + 2 samples, for d numbers
    in z.

    Args:
      generator: z -> images in [-1, 1], each of its own z alone; differentiable.
      images: to find.
      latents: draws of the prior, from the nearest of which the search starts. The more
        there are, the less is missed: some thousands.
      steps: of least squares from each start.
      starts: for each image.

    Raises:
      ValueError: for other images, or fewer latents than starts.
    """
    _checked(images)
    if len(latents) < starts:
        raise ValueError(
            f"{len(latents)} latents for {starts} starts an image; draw some thousands."
        )
    return _inverted(_made(generator), images, latents, steps, starts)


def _inverted(
    made: Callable[[Array], Array],
    images: Images,
    latents: Float[Array, "m d"],
    steps: int,
    starts: int,
) -> Float[np.ndarray, " n"]:
    """`inversion_distances` by the program of `_made`."""
    bank = _samples(made, latents)
    step = _marquardt(lambda z: made(z[None])[0], _any)
    x = images.reshape(len(images), -1).astype(np.float32) / 255
    z = np.asarray(latents)
    box = z.min(axis=0), z.max(axis=0)
    found = []
    for i in range(0, len(x), _AT_ONCE):
        part = np.resize(x[i : i + _AT_ONCE], (min(_AT_ONCE, len(x)), x.shape[1]))
        nearest = _nearest(part, bank, starts)
        found.append(_fitted(step, box, part, z[nearest], steps))
    return np.concatenate(found)[: len(x)]


def score(
    generator: Generator,
    latent: int,
    key: Key[Array, ""],
    *,
    size: int = 28,
    samples: int = 1024,
    held_out: int = 1024,
    delta: float = DELTA,
    seed: int = 1,
) -> Score:
    """Precision, recall and their F1 on the manifold of triangles.

    Args:
      generator: z -> images in [-1, 1], trained on `triangles`.
      latent: size of z, which is drawn from N(0, I).
      key: of the latents: of the samples, and of those from which inversions start.
      size: side of the images, in pixels.
      samples: generated images for precision.
      held_out: triangles for recall.
      delta: below it a distance counts as none.
      seed: of the held-out triangles; not the training images' seed.

    Returns:
      The score.
    """
    ours, starts = jax.random.split(key)
    made = _made(generator)
    drawn = _samples(made, jax.random.normal(ours, (samples, latent)))
    pixels = np.round(255 * np.clip(drawn, 0, 1)).astype(np.uint8)
    wanted, _ = triangles(held_out, size, seed)
    latents = jax.random.normal(starts, (_LATENTS, latent))
    distances = _inverted(made, wanted, latents, _STEPS, _STARTS_OF_Z)
    return Score(
        precision(pixels.reshape(-1, size, size, 1), delta),
        float((distances < delta).mean()),
    )


@functools.lru_cache(maxsize=4)
def _bank(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangles to start from: their corners, and their pixels in [0, 1]."""
    corners = triangle_corners(_START_FROM, seed)
    images = rasterised(corners, size).reshape(_START_FROM, -1)
    return corners, images.astype(np.float32) / 255


def _nearest(x: np.ndarray, bank: np.ndarray, count: int) -> np.ndarray:
    """The numbers of the ``count`` rows of ``bank`` that are nearest to each of x."""
    # |x|^2 is the same for all of them. Rounding may confuse near equals: no matter.
    squares = (bank**2).sum(axis=1) - 2 * x @ bank.T
    return np.argpartition(squares, count - 1, axis=1)[:, :count]


def _fitted(
    step: Callable[..., Any],
    box: tuple[Any, Any],
    x: Float[np.ndarray, "n pixels"],
    starts: Float[np.ndarray, "n k d"],
    steps: int,
) -> Float[np.ndarray, " n"]:
    """``min_v |x - image(v)|`` in a box, from each start; the best end counts.

    The step is `_marquardt`'s.
    """
    # No loop of XLA's: inside one, convolutions are many times slower on CPUs.
    damping = np.full(starts.shape[:2], 1e-2, np.float32)
    v, damping, error = step(jnp.asarray(starts), damping, damping * np.inf, x, *box)
    for _ in range(steps):
        v, damping, error = step(v, damping, error, x, *box)
    return np.sqrt(np.asarray(error).min(axis=1))


def _marquardt(image: Image, allowed: Allowed) -> Callable[..., Any]:
    """One step of least squares at many places, whose damping answers to its success.

    ``(J^T J + damping (diag J^T J + 0.001)) move = -J^T r``; a step that does not help
    is not taken. From an infinite error on, the first only finds the start's own.
    """

    def step(
        v: Array, damping: Array, error: Array, x: Array, low: Array, high: Array
    ) -> Any:
        slope, found = jax.jacfwd(lambda v: (image(v),) * 2, has_aux=True)(v)
        normal = slope.T @ slope
        damped = normal + damping * jnp.diag(jnp.diag(normal) + 1e-3)
        moved = v - jnp.linalg.solve(damped, slope.T @ (found - x))
        moved = jnp.where(jnp.isinf(error), v, jnp.clip(moved, low, high))
        new = jnp.square(image(moved) - x).sum()
        better = (new < error) & allowed(moved)
        return (
            jnp.where(better, moved, v),
            jnp.clip(damping * jnp.where(better, 0.25, 4), 1e-6, 1e6),
            jnp.where(better, new, error),
        )

    return jax.jit(
        jax.vmap(jax.vmap(step, (0, 0, 0, None, None, None)), (0, 0, 0, 0, None, None))
    )


@functools.lru_cache(maxsize=4)
def _to_triangle(size: int) -> Callable[..., Any]:
    """The step towards the image of six numbers."""
    return _marquardt(lambda v: cover(v.reshape(1, 3, 2), size, jnp)[0], _drawable)


def _drawable(v: Float[Array, "6"]) -> Array:
    """Not so small that a triangle could end as the black image."""
    (ax, ay), (bx, by) = v[2:4] - v[:2], v[4:] - v[:2]
    return (ax * by - ay * bx) / 2 >= SMALLEST / 2


def _any(_: Array) -> bool:
    return True


def _made(generator: Generator) -> Callable[[Array], Array]:
    """Samples as flat pixels in [0, 1].

    A program of its own for each call: what a function closes over may have changed
    since the last one, and a program that was kept would not know.
    """
    return jax.jit(lambda z: (generator(z).reshape(len(z), -1) + 1) / 2)


def _samples(made: Callable[[Array], Array], latents: Array) -> np.ndarray:
    """Of all latents, a part at a time."""
    parts = [made(latents[i : i + _MADE]) for i in range(0, len(latents), _MADE)]
    return np.concatenate([np.asarray(part) for part in parts])


def _checked(images: np.ndarray) -> None:
    square = images.ndim == 4 and images.shape[1] == images.shape[2]
    if not square or images.shape[-1] != 1 or images.dtype != np.uint8:
        raise ValueError(
            f"the images are {images.dtype} {images.shape}; triangles are square grey "
            "uint8 images (n, size, size, 1)."
        )
