"""Convolutions of stride 1 as a few GEMMs, fewer products than a direct sum has.

A tile of outputs is made by `gan_jax.ops.minimal` along both axes: with two taps 4x2
outputs by 15 products of 32, with three 4x4 by 36 of 144, and on small images 2x2 by 9
of 16 or 16 of 36. A product is one of matrices: over all tiles, and over channels.
Rounding is some twice that of lax's own convolutions at most.

Each step is a linear map with a transpose written by hand (`gan_jax.ops.linear`), so
that derivatives of any order are as few GEMMs again.
"""

from collections.abc import Sequence
from functools import partial, reduce
from itertools import zip_longest

import jax.numpy as jnp
from jax import Array, lax

from gan_jax.ops.linear import in_memory, linear
from gan_jax.ops.minimal import F22, F23, F42, F43, Scheme
from gan_jax.ops.products import product, turned_product

Terms = Sequence[Array]
Schemes = tuple[Scheme, Scheme]  # of rows and of columns

# What rows and columns may go by. Four outputs by two taps along both axes would be no
# faster than along one, and rounds half as well again.
CHOICES = {2: ((F22, F42), (F22,)), 3: ((F23, F43), (F23, F43))}
ROOM = 8  # outputs along an axis from which on tiles of four are faster


def schemes(taps: int, size: tuple[int, int]) -> Schemes:
    """Those of the fewest products, where there is room; of equals that of two outputs.

    Args:
      taps: along each axis, 2 or 3.
      size: (h, w) of the outputs.
    """

    def fewest(choice: Sequence[Scheme], side: int) -> Scheme:
        choice = choice if side >= ROOM else choice[:1]
        return min(choice, key=lambda f: f.tiles(side) * f.products)

    rows, columns = CHOICES[taps]
    return fewest(rows, size[0]), fewest(columns, size[1])


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
    by = schemes(kernel.shape[0], size)
    shape = (x.shape[0], *filled(kernel.shape[0], size), x.shape[3])
    if x.shape != shape:
        space = zip(shape[1:3], x.shape[1:3], strict=True)
        fill = [(border, full - side - border) for full, side in space]
        x = in_memory(jnp.pad(x, ((0, 0), *fill, (0, 0))))
    inputs = linear(partial(factors, by), partial(unfactored, by, shape), x)
    taps = linear(partial(tap_factors, by), partial(as_taps, by), kernel)
    multiply = turned_product if swapped else product
    products = [multiply(a, b) for a, b in zip(inputs, taps, strict=True)]
    shape = (x.shape[0], *size, kernel.shape[2 if swapped else 3])
    (y,) = linear(partial(untiled, by, shape), partial(tiled, by), *products)
    return y


def filled(taps: int, size: tuple[int, int]) -> tuple[int, int]:
    """How many inputs (h, w) outputs are made of: of whole tiles, and one more."""
    by = schemes(taps, size)
    h, w = (f.m * (f.tiles(side) + 1) for f, side in zip(by, size, strict=True))
    return h, w


def factors(by: Schemes, x: Array) -> list[Array]:
    """A matrix for each product, (n rows columns, c).

    Args:
      by: of rows and columns.
      x: (n, m (rows + 1), m' (columns + 1), c).
    """
    of_rows, of_columns = by
    n, h, w, c = x.shape
    x = x.reshape(n, h // of_rows.m, of_rows.m, w // of_columns.m, of_columns.m, c)
    return [
        factor.reshape(-1, c)
        for row in between(by, of_rows.inputs(*neighbours(of_rows, x, 1)))
        for factor in of_columns.inputs(*neighbours(of_columns, row, 2))
    ]


def unfactored(by: Schemes, shape: tuple[int, ...], *given: Array) -> list[Array]:
    """The transpose of `factors`: to ``shape``."""
    of_rows, of_columns = by
    n, h, w, c = shape
    tiles = (n, h // of_rows.m - 1, w // of_columns.m - 1, c)
    grid = in_rows(by, [x.reshape(tiles) for x in given])
    rows = [joined(of_columns, of_columns.inputs_transposed(*row), 2) for row in grid]
    x = joined(of_rows, of_rows.inputs_transposed(*between(by, rows)), 1)
    return [in_memory(x).reshape(shape)]


def neighbours(scheme: Scheme, x: Array, axis: int) -> Terms:
    """What each tile is made of along ``axis``: its own inputs, and the next ones.

    Args:
      scheme: of this axis.
      x: groups of m along ``axis``, one more than there are tiles; within a group along
        the axis behind it.
    """
    tiles = x.shape[axis] - 1

    def taken(i: int) -> Array:
        group, place = divmod(i, scheme.m)
        x_i = lax.index_in_dim(x, place, axis + 1, keepdims=False)
        return lax.slice_in_dim(x_i, group, group + tiles, axis=axis)

    return [taken(i) for i in range(scheme.products)]


def joined(scheme: Scheme, terms: Terms, axis: int) -> Array:
    """The transpose of `neighbours`."""
    pairs = zip_longest(terms[: scheme.m], terms[scheme.m :])  # own, and following
    return jnp.stack([overlapped(pair, axis) for pair in pairs], axis + 1)


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


def tap_factors(by: Schemes, kernel: Array) -> list[Array]:
    """A matrix for each product, (c, d).

    Args:
      by: of rows and columns.
      kernel: (t, t, c, d).
    """
    of_rows, of_columns = by
    return [factor for row in of_rows.taps(*kernel) for factor in of_columns.taps(*row)]


def as_taps(by: Schemes, *given: Array) -> list[Array]:
    """The transpose of `tap_factors`."""
    of_rows, of_columns = by
    grid = in_rows(by, given)
    rows = [jnp.stack(of_columns.taps_transposed(*row)) for row in grid]
    return [jnp.stack(of_rows.taps_transposed(*rows))]


def untiled(by: Schemes, shape: tuple[int, ...], *products: Array) -> list[Array]:
    """Outputs of ``shape``, (n, h, w, d), from the products of their tiles."""
    of_rows, of_columns = by
    n, h, w, d = shape
    rows, columns = of_rows.tiles(h), of_columns.tiles(w)
    grid = in_rows(by, [x.reshape(n, rows, columns, d) for x in products])
    by_row = [between(by, of_columns.outputs(*row)) for row in grid]
    sides = [
        jnp.stack(of_rows.outputs(*column), 2) for column in zip(*by_row, strict=True)
    ]
    y = jnp.stack(sides, 4)  # (n, rows, m, columns, m', d)
    return [y.reshape(n, of_rows.m * rows, of_columns.m * columns, d)[:, :h, :w]]


def tiled(by: Schemes, y: Array) -> list[Array]:
    """The transpose of `untiled`."""
    of_rows, of_columns = by
    n, h, w, d = y.shape
    y = jnp.pad(y, ((0, 0), (0, -h % of_rows.m), (0, -w % of_columns.m), (0, 0)))
    y = y.reshape(n, of_rows.tiles(h), of_rows.m, of_columns.tiles(w), -1, d)
    rows = of_rows.outputs_transposed(*(y[:, :, i] for i in range(of_rows.m)))
    return [
        product.reshape(-1, d)
        for row in between(by, rows)
        for product in of_columns.outputs_transposed(
            *(row[..., i, :] for i in range(of_columns.m))
        )
    ]


def between(by: Schemes, rows: Terms) -> Terms:
    """What stands between the two axes, written out where it saves more than it costs.

    Merged into the loops behind it, it is computed anew in each of them.
    """
    return [in_memory(row) for row in rows] if by[0].r > 2 else rows


def in_rows(by: Schemes, terms: Terms) -> list[Terms]:
    """One list for each product along the rows."""
    side = by[1].products
    return [terms[i : i + side] for i in range(0, len(terms), side)]
