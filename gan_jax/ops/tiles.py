"""Convolutions of stride 1 as a few GEMMs, fewer products than a direct sum has.

Two neighbouring outputs of a convolution with two taps take three products in place of
four, and with three taps four in place of six:

    y₀ = (x₀ − x₁) k₀ + x₁ (k₀ + k₁)
    y₁ = x₁ (k₀ + k₁) + (x₂ − x₁) k₁,

    y₀ = p₀ + p₁ + p₂    p₀ = (x₀ − x₂) k₀    p₁ = (x₁ + x₂) (k₀ + k₁ + k₂) / 2
    y₁ = p₁ − p₂ − p₃    p₃ = (x₁ − x₃) k₂    p₂ = (x₂ − x₁) (k₀ − k₁ + k₂) / 2.

Done along both axes, a tile of 2x2 outputs takes 9 products of 16, or 16 of 36. A
product is one of matrices: over all tiles, and over channels. The factors are 0, ±1 and
±1/2, so that it rounds as a direct sum does, to within a few ulp.

Each step is a linear map with a transpose written by hand (`gan_jax.ops.linear`), so
that derivatives of any order are as few GEMMs again.

References: Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks", 2015, arXiv:1509.09308.
"""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from gan_jax.ops.linear import in_memory, linear
from gan_jax.ops.products import product, turned_product

Terms = Sequence[Array]
Pairs = tuple[Terms, Sequence[Array | None]]  # a tile's own, and the next; None is zero


class Scheme(NamedTuple):
    """Two outputs along one axis: three linear maps, and their transposes.

    Attributes:
      inputs: two pairs of neighbouring inputs -> a factor for each product.
      inputs_transposed: back, to ``(first pair, second pair)``.
      taps: the taps -> the other factors.
      taps_transposed: back.
      outputs: products -> two outputs.
      outputs_transposed: back.
    """

    inputs: Callable[[Terms, Terms], list[Array]]
    inputs_transposed: Callable[..., Pairs]
    taps: Callable[..., list[Array]]
    taps_transposed: Callable[..., list[Array]]
    outputs: Callable[..., list[Array]]
    outputs_transposed: Callable[..., list[Array]]


def sums(a: Array, b: Array) -> list[Array]:
    """What three products are to two taps."""
    return [a, a + b, b]


def sums_transposed(a: Array, both: Array, b: Array) -> list[Array]:
    """The transpose; and what two outputs are to their three products."""
    return [a + both, both + b]


def halves(a: Array, b: Array, c: Array) -> list[Array]:
    """What four products are to three taps."""
    outer, inner = (a + c) / 2, b / 2
    return [a, outer + inner, outer - inner, c]


def halves_transposed(p: Array, q: Array, r: Array, s: Array) -> list[Array]:
    """The transpose of `halves`."""
    outer = (q + r) / 2
    return [p + outer, (q - r) / 2, s + outer]


TWO_TAPS = Scheme(
    inputs=lambda x, z: [x[0] - x[1], x[1], z[0] - x[1]],
    inputs_transposed=lambda p, q, r: ((p, q - p - r), (r, None)),
    taps=sums,
    taps_transposed=sums_transposed,
    outputs=sums_transposed,
    outputs_transposed=sums,
)
THREE_TAPS = Scheme(
    inputs=lambda x, z: [x[0] - z[0], x[1] + z[0], z[0] - x[1], x[1] - z[1]],
    inputs_transposed=lambda p, q, r, s: ((p, q - r + s), (q + r - p, -s)),
    taps=halves,
    taps_transposed=halves_transposed,
    outputs=lambda p, q, r, s: [p + q + r, q - r - s],
    outputs_transposed=lambda y, z: [y, y + z, y - z, -z],
)
SCHEMES = {2: TWO_TAPS, 3: THREE_TAPS}


def by_tiles(
    x: Array,
    kernel: Array,
    size: tuple[int, int],
    border: int = 0,
    swapped: bool = False,
) -> Array:
    """``y[i] = Σ_t x[i + t - border] kernel[t]`` along both axes of space.

    Args:
      x: (n, h', w', c); beyond its ends there are zeros.
      kernel: (t, t, c, d) with t = 2 or 3.
      size: (h, w) of the outputs.
      border: how many zeros lie above x and to its left.
      swapped: the kernel is (t, t, d, c).

    Returns:
      (n, h, w, d).
    """
    scheme = SCHEMES[kernel.shape[0]]
    shape = (x.shape[0], *filled(size), x.shape[3])
    if x.shape != shape:
        space = zip(shape[1:3], x.shape[1:3], strict=True)
        fill = [(border, full - side - border) for full, side in space]
        x = in_memory(jnp.pad(x, ((0, 0), *fill, (0, 0))))
    inputs = linear(partial(factors, scheme), partial(unfactored, scheme, shape), x)
    taps = linear(partial(tap_factors, scheme), partial(as_taps, scheme), kernel)
    multiply = turned_product if swapped else product
    products = [multiply(a, b) for a, b in zip(inputs, taps, strict=True)]
    shape = (x.shape[0], *size, kernel.shape[2 if swapped else 3])
    (y,) = linear(partial(untiled, scheme, shape), partial(tiled, scheme), *products)
    return y


def filled(size: tuple[int, int]) -> tuple[int, int]:
    """How many inputs (h, w) outputs are made of: tiles of two, and one more pair."""
    h, w = size
    return 2 * -(-h // 2) + 2, 2 * -(-w // 2) + 2


def factors(scheme: Scheme, x: Array) -> list[Array]:
    """A matrix for each product, (n rows columns, c).

    Args:
      x: (n, 2 (rows + 1), 2 (columns + 1), c).
    """
    n, rows, columns, c = x.shape
    x = x.reshape(n, rows // 2, 2, columns // 2, 2, c)
    return [
        factor.reshape(-1, c)
        for row in scheme.inputs(*neighbours(x, 1))
        for factor in scheme.inputs(*neighbours(row, 2))
    ]


def unfactored(scheme: Scheme, shape: tuple[int, ...], *given: Array) -> list[Array]:
    """The transpose of `factors`: to ``shape``."""
    n, rows, columns, c = shape
    given = tuple(x.reshape(n, rows // 2 - 1, columns // 2 - 1, c) for x in given)
    by_row = [joined(scheme.inputs_transposed(*row), 2) for row in square(given)]
    x = joined(scheme.inputs_transposed(*by_row), 1)
    return [in_memory(x).reshape(shape)]


def neighbours(x: Array, axis: int) -> tuple[Terms, Terms]:
    """The pairs of each tile along ``axis``: its own, and the next one.

    Args:
      x: pairs along ``axis``, one more than there are tiles; within a pair along the
        axis behind it.
    """
    pair = [lax.index_in_dim(x, i, axis + 1, keepdims=False) for i in (0, 1)]
    tiles = x.shape[axis] - 1
    own, following = (
        [lax.slice_in_dim(side, i, i + tiles, axis=axis) for side in pair]
        for i in (0, 1)
    )
    return own, following


def joined(pairs: Pairs, axis: int) -> Array:
    """The transpose of `neighbours`."""
    sides = [overlapped(side, axis) for side in zip(*pairs, strict=True)]
    return jnp.stack(sides, axis + 1)


def overlapped(terms: Sequence[Array | None], axis: int) -> Array:
    """The sum of equal shapes, each laid one place after the one before.

    Args:
      terms: the first is an array; None is zero, which XLA would form and add.
      axis: along which the sum is longer than they are, by one less than their number.
    """

    def moved(i: int, x: Array) -> Array:
        before, after = (
            jnp.zeros((*x.shape[:axis], side, *x.shape[axis + 1 :]), x.dtype)
            for side in (i, len(terms) - 1 - i)
        )
        return jnp.concatenate([before, x, after], axis)

    return reduce(jnp.add, (moved(i, x) for i, x in enumerate(terms) if x is not None))


def tap_factors(scheme: Scheme, kernel: Array) -> list[Array]:
    """A matrix for each product, (c, d).

    Args:
      kernel: (t, t, c, d).
    """
    return [factor for row in scheme.taps(*kernel) for factor in scheme.taps(*row)]


def as_taps(scheme: Scheme, *given: Array) -> list[Array]:
    """The transpose of `tap_factors`."""
    rows = [jnp.stack(scheme.taps_transposed(*row)) for row in square(given)]
    return [jnp.stack(scheme.taps_transposed(*rows))]


def untiled(scheme: Scheme, shape: tuple[int, ...], *products: Array) -> list[Array]:
    """Outputs of ``shape``, (n, h, w, d), from the products of their tiles."""
    n, h, w, d = shape
    rows, columns = -(-h // 2), -(-w // 2)
    grid = square([x.reshape(n, rows, columns, d) for x in products])
    by_row = [scheme.outputs(*row) for row in grid]
    sides = [jnp.stack(scheme.outputs(*x), 2) for x in zip(*by_row, strict=True)]
    y = jnp.stack(sides, 4)  # (n, rows, 2, columns, 2, d)
    return [y.reshape(n, 2 * rows, 2 * columns, d)[:, :h, :w]]


def tiled(scheme: Scheme, y: Array) -> list[Array]:
    """The transpose of `untiled`."""
    n, h, w, d = y.shape
    y = jnp.pad(y, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)))
    y = y.reshape(n, -(-h // 2), 2, -(-w // 2), 2, d)
    return [
        product.reshape(-1, d)
        for row in scheme.outputs_transposed(y[:, :, 0], y[:, :, 1])
        for product in scheme.outputs_transposed(row[..., 0, :], row[..., 1, :])
    ]


def square(terms: Terms) -> list[Terms]:
    """As many rows as columns."""
    side = round(len(terms) ** 0.5)
    return [terms[i : i + side] for i in range(0, len(terms), side)]
