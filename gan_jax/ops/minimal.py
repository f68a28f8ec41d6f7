"""Minimal filtering: m outputs of a convolution with r taps by m + r − 1 products.

``F(m, r)`` is ``y[j] = Σ_t x[j + t] k[t]`` for j < m. The taps are the coefficients of
a polynomial, whose values at m + r − 2 numbers and at infinity are one factor of each
product; sums of x are the other, and sums of the products are y:

    y = outputs(taps(k) * inputs(x)).

With F(2, 2), at 0, 1 and infinity, three products take the place of four:

    y₀ = (x₀ − x₁) k₀ + x₁ (k₀ + k₁)
    y₁ = x₁ (k₀ + k₁) + (x₂ − x₁) k₁.

F(2, 3) has four for six, at 0, 1, −1 and infinity; F(4, 2) five for eight, at 0, −1, 2,
1/2; F(4, 3) six for twelve, at 0, ±3/2, ±2/3. How much is lost to rounding depends on
the points: docs/performance.md has figures. Factors are scaled so that all coefficients
but those of the taps are exact.

Each map comes with its transpose, by which derivatives of any order are as few
products. Both are written by hand: loops over matrices of coefficients are slower.

References: Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks", 2015, arXiv:1509.09308; Barabasz
and others, "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep
Neural Networks", 2018, arXiv:1803.10986, and Alam and others, "Winograd Convolution for
Deep Neural Networks: Efficient Point Selection", 2022, arXiv:2201.10369, on the points.
"""

from typing import NamedTuple

from jax import Array

from gan_jax.ops.linear import Map


class Scheme(NamedTuple):
    """F(m, r), by three linear maps and their transposes.

    Attributes:
      m: how many outputs.
      r: how many taps.
      inputs: m + r − 1 neighbouring inputs -> a factor for each product.
      inputs_transposed: back.
      taps: the taps -> the other factors.
      taps_transposed: back.
      outputs: products -> outputs.
      outputs_transposed: back.
    """

    m: int
    r: int
    inputs: Map
    inputs_transposed: Map
    taps: Map
    taps_transposed: Map
    outputs: Map
    outputs_transposed: Map

    @property
    def products(self) -> int:
        """How many products there are, and how many inputs."""
        return self.m + self.r - 1

    def tiles(self, outputs: int) -> int:
        """How many times m outputs it takes, the last of them filled up."""
        return -(-outputs // self.m)


def sums(a: Array, b: Array) -> list[Array]:
    """The taps of F(2, 2)."""
    return [a, a + b, b]


def sums_transposed(a: Array, both: Array, b: Array) -> list[Array]:
    """The transpose; and the outputs of F(2, 2)."""
    return [a + both, both + b]


F22 = Scheme(
    m=2,
    r=2,
    inputs=lambda a, b, c: [a - b, b, c - b],
    inputs_transposed=lambda p, q, r: [p, q - p - r, r],
    taps=sums,
    taps_transposed=sums_transposed,
    outputs=sums_transposed,
    outputs_transposed=sums,
)


def halves(a: Array, b: Array, c: Array) -> list[Array]:
    """The taps of F(2, 3)."""
    outer, inner = (a + c) / 2, b / 2
    return [a, outer + inner, outer - inner, c]


def halves_transposed(p: Array, q: Array, r: Array, s: Array) -> list[Array]:
    """The transpose."""
    outer = (q + r) / 2
    return [p + outer, (q - r) / 2, s + outer]


F23 = Scheme(
    m=2,
    r=3,
    inputs=lambda a, b, c, d: [a - c, b + c, c - b, b - d],
    inputs_transposed=lambda p, q, r, s: [p, q - r + s, q + r - p, -s],
    taps=halves,
    taps_transposed=halves_transposed,
    outputs=lambda p, q, r, s: [p + q + r, q - r - s],
    outputs_transposed=lambda y, z: [y, y + z, y - z, -z],
)


def five(a: Array, b: Array, c: Array, d: Array, e: Array) -> list[Array]:
    """The inputs of F(4, 2)."""
    return [
        (a + d) - 1.5 * (b + c),
        (b + d) - 2.5 * c,
        d + 0.5 * (c - b),
        b + 0.5 * (c - d),
        (b + e) - 1.5 * (c + d),
    ]


def five_transposed(p: Array, q: Array, r: Array, s: Array, t: Array) -> list[Array]:
    """The transpose."""
    return [
        p,
        (q + s + t) - (1.5 * p + 0.5 * r),
        0.5 * (r + s) - (2.5 * q + 1.5 * (p + t)),
        (p + q + r) - (0.5 * s + 1.5 * t),
        t,
    ]


def ninths(a: Array, b: Array) -> list[Array]:
    """The taps of F(4, 2)."""
    return [a, (b - a) * (2 / 9), (a + 2 * b) / 9, (2 * a + b) / 9, b]


def ninths_transposed(p: Array, q: Array, r: Array, s: Array, t: Array) -> list[Array]:
    """The transpose."""
    return [p + (r + 2 * (s - q)) / 9, t + (s + 2 * (r + q)) / 9]


def four_of_five(p: Array, q: Array, r: Array, s: Array, t: Array) -> list[Array]:
    """The outputs of F(4, 2)."""
    return [
        (p + q) + (r + 8 * s),
        (2 * r + 4 * s) - q,
        (4 * r + 2 * s) + q,
        (8 * r + s) + (t - q),
    ]


def five_of_four(w: Array, x: Array, y: Array, z: Array) -> list[Array]:
    """The transpose."""
    return [
        w,
        (w + y) - (x + z),
        (w + 2 * x) + (4 * y + 8 * z),
        (8 * w + 4 * x) + (2 * y + z),
        z,
    ]


F42 = Scheme(
    m=4,
    r=2,
    inputs=five,
    inputs_transposed=five_transposed,
    taps=ninths,
    taps_transposed=ninths_transposed,
    outputs=four_of_five,
    outputs_transposed=five_of_four,
)


C = 1.5  # F(4, 3) has the points ±C and ±1 / C
D = 2 * (C**4 - 1) * C**2  # a point's distances to all others, and the inputs' scale


def both(even: Array, odd: Array) -> list[Array]:
    """What is at a point and at its negative; its own transpose."""
    return [even + odd, even - odd]


def six(a: Array, b: Array, c: Array, d: Array, e: Array, f: Array) -> list[Array]:
    """The inputs of F(4, 3), by even and odd parts of a point and its negative."""
    even, odd = C**2 * e - c, C**3 * d - C * b
    inverse_even, inverse_odd = C**3 * c - C * e, C**2 * b - d
    return [
        C**2 * (a + e) - (C**4 + 1) * c,
        *both(even, odd),
        *both(inverse_even, inverse_odd),
        C**2 * (b + f) - (C**4 + 1) * d,
    ]


def six_transposed(
    p: Array, q: Array, r: Array, s: Array, t: Array, u: Array
) -> list[Array]:
    """The transpose."""
    (even, odd), (inverse_even, inverse_odd) = both(q, r), both(s, t)
    return [
        C**2 * p,
        C**2 * (inverse_odd + u) - C * odd,
        C**3 * inverse_even - (even + (C**4 + 1) * p),
        C**3 * odd - (inverse_odd + (C**4 + 1) * u),
        C**2 * (even + p) - C * inverse_even,
        C**2 * u,
    ]


def thirds(a: Array, b: Array, c: Array) -> list[Array]:
    """The taps of F(4, 3)."""
    a, c, all_a, all_c = a / D, c / D, a / C**2, c / C**2
    odd, even, inverse_even = C / D * b, a + C**2 * c, C**2 * a + c
    return [all_a, *both(even, odd), *both(inverse_even, odd), all_c]


def thirds_transposed(
    p: Array, q: Array, r: Array, s: Array, t: Array, u: Array
) -> list[Array]:
    """The transpose."""
    even, odd, inverse_even = q + r, (q - r) + (s - t), s + t
    return [
        p / C**2 + (even + C**2 * inverse_even) / D,
        C / D * odd,
        u / C**2 + (C**2 * even + inverse_even) / D,
    ]


def four_of_six(
    p: Array, q: Array, r: Array, s: Array, t: Array, u: Array
) -> list[Array]:
    """The outputs of F(4, 3)."""
    (even, odd), (inverse_even, inverse_odd) = both(q, r), both(s, t)
    return [
        p + (even + C**3 * inverse_even),
        C * odd + C**2 * inverse_odd,
        C**2 * even + C * inverse_even,
        (C**3 * odd + inverse_odd) + u,
    ]


def six_of_four(w: Array, x: Array, y: Array, z: Array) -> list[Array]:
    """The transpose."""
    even, odd = w + C**2 * y, C * x + C**3 * z
    inverse_even, inverse_odd = C**3 * w + C * y, C**2 * x + z
    return [w, *both(even, odd), *both(inverse_even, inverse_odd), z]


F43 = Scheme(
    m=4,
    r=3,
    inputs=six,
    inputs_transposed=six_transposed,
    taps=thirds,
    taps_transposed=thirds_transposed,
    outputs=four_of_six,
    outputs_transposed=six_of_four,
)
