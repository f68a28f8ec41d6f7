"""Anti-aliased shapes: signed distances, and a canvas that paints them.

Only + − × ÷ √ and comparisons touch the pixels. These are rounded exactly by IEEE 754,
so an image has the same bits in any batch and on any machine.
"""

from typing import NamedTuple

import numpy as np

Grid = np.ndarray  # float32 (b, h, w), or (b, 1, 1) for one value a picture


class Canvas(NamedTuple):
    """A batch of pictures, or a window on it, with coordinates for drawing.

    Attributes:
      ink: colours in [0, 1], float32 (b, 3, h, w); a view, painted in place.
      x: coordinates to the right, in units of half the picture.
      y: coordinates downwards.
      sharp: pixels per unit of x and y.
    """

    ink: np.ndarray
    x: Grid
    y: Grid
    sharp: Grid

    def window(self, left: float, top: float, right: float, bottom: float) -> "Canvas":
        """The part between these fractions of width and height: less to compute."""
        h, w = self.ink.shape[2:]
        rows = slice(int(top * h), -int(-bottom * h // 1))
        columns = slice(int(left * w), -int(-right * w // 1))
        x = self.x[..., columns] if self.x.shape[1] == 1 else self.x[:, rows, columns]
        y = self.y[:, rows] if self.y.shape[2] == 1 else self.y[:, rows, columns]
        return Canvas(self.ink[:, :, rows, columns], x, y, self.sharp)

    def rows(self, chosen: np.ndarray) -> "Canvas":
        """A copy of the chosen pictures; `restore` puts them back."""
        return Canvas(
            self.ink[chosen], self.x[chosen], self.y[chosen], self.sharp[chosen]
        )

    def restore(self, chosen: np.ndarray, painted: "Canvas") -> None:
        self.ink[chosen] = painted.ink

    def paint(
        self, distance: Grid, colour: np.ndarray, opacity: Grid | float = 1.0
    ) -> None:
        """Covers what lies inside of a shape, with an edge one pixel wide.

        Args:
          distance: signed distance to the shape in units of x and y, negative inside.
          colour: (b, 3, 1, 1) or (b, 3, h, w).
          opacity: 0 … 1.
        """
        cover = np.clip(0.5 - distance * self.sharp, 0, 1) * opacity
        self.blend(cover, colour)

    def blend(self, cover: Grid, colour: np.ndarray) -> None:
        """Mixes in a colour where `cover` is above 0."""
        self.ink[...] += cover[:, None] * (colour - self.ink)


def ellipse(x: Grid, y: Grid, rx: Grid | float, ry: Grid | float) -> Grid:
    """Distance to an ellipse about the origin (first order: exact at the edge)."""
    u, v = x / rx, y / ry
    k = np.sqrt(u * u + v * v)
    u, v = u / rx, v / ry
    return k * (k - 1) / (np.sqrt(u * u + v * v) + np.float32(1e-6))


def circle(x: Grid, y: Grid, r: Grid | float) -> Grid:
    """Distance to a circle about the origin."""
    return np.sqrt(x * x + y * y) - r


def box(x: Grid, y: Grid, rx: Grid | float, ry: Grid | float, r: Grid | float) -> Grid:
    """Distance to a box with half sides rx, ry and corners of radius r."""
    u, v = np.abs(x) - rx + r, np.abs(y) - ry + r
    a, b = np.maximum(u, 0), np.maximum(v, 0)
    return np.sqrt(a * a + b * b) + np.minimum(np.maximum(u, v), 0) - r


def stroke(
    x: Grid, y: Grid, bend: Grid | float, half: Grid | float, thick: float
) -> Grid:
    """Distance to a brush stroke along y = bend·x², |x| < half, thinner at its ends."""
    slope = 2 * bend * x
    across = np.abs(y - bend * x * x) / np.sqrt(1 + slope * slope)
    along = np.minimum(x * x / (half * half), 1)
    return np.maximum(across - thick * (1 - 0.6 * along), np.abs(x) - half)


def wave(x: Grid) -> Grid:
    """A triangle wave of period 1 and height 1, from 0 at x = 0."""
    return 2 * np.abs(x - np.floor(x + 0.5))


def soft(distance: Grid, width: float) -> Grid:
    """1 well inside of a shape, 0 outside, smooth over `width` within its edge."""
    t = np.clip(-distance / width, 0, 1)
    return t * t * (3 - 2 * t)
