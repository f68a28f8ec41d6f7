"""Arrows point where the field does, paths lie where they went."""

import numpy as np
import pytest

from gan_jax.field_picture import field_picture
from gan_jax.images import COLOURS

LIMITS = (-2.0, 2.0, -1.0, 1.0)


def ink(picture):
    """How much darker than white, (h, w)."""
    return 255.0 - picture.astype(float).mean(axis=2)


def test_arrows_follow_the_field():
    """Along x where the field does: a cell's ink lies in a row. Where it is zero, no
    ink; heads on the side that it points to."""

    def right(at):
        return np.stack([(at[:, 0] > 0) * 1.0, 0 * at[:, 0]], axis=1)

    cells = 4
    picture = field_picture(right, LIMITS, arrows=cells, size=400)
    assert picture.shape == (400, 400, 3)
    assert picture.dtype == np.uint8
    side = 400 // cells
    still, moved = (ink(picture)[5 : side - 5, x + 5 : x + side - 5] for x in (0, 300))
    assert still.max() == 0
    rows = np.flatnonzero(moved.sum(axis=1))
    columns = np.flatnonzero(moved.sum(axis=0))
    assert np.ptp(rows) < 12 < 60 < np.ptp(columns)
    widths = (moved > 0).sum(axis=0)[columns]
    assert widths[-8:].max() > widths[:40].max()  # the head


def test_a_path_lies_where_it_went():
    path = np.array([[-1.0, -0.5], [1.0, -0.5]])
    picture = field_picture(
        lambda at: 0 * at, LIMITS, {"a": path, "b": path[:, ::-1]}, size=400
    )
    first = np.abs(picture.astype(int) - COLOURS[0]).sum(axis=2) < 30
    rows, columns = np.nonzero(first[100:])  # below its name
    assert np.median(rows + 100) == pytest.approx(300, abs=2)  # y = -1/2 of [-1, 1]
    assert columns.min() == pytest.approx(100, abs=6)
    assert columns.max() == pytest.approx(300, abs=6)
    second = np.abs(picture.astype(int) - COLOURS[1]).sum(axis=2) < 30
    assert second[100:].sum() > 100


def test_what_cannot_be_drawn_is_refused(unchecked):
    with pytest.raises(ValueError, match="left < right"):
        field_picture(lambda at: at, (1.0, 1.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="the field has shape"):
        field_picture(lambda at: at[:, :1], LIMITS)
    with pytest.raises(ValueError, match="a path has shape"):
        field_picture(lambda at: at, LIMITS, {"a": np.zeros(3)})


def test_what_is_not_finite_is_left_out():
    path = np.array([[0.0, 0.0], [np.nan, 0.0], [1e300, 0.5]])
    picture = field_picture(lambda at: np.full_like(at, np.inf), LIMITS)
    assert ink(picture)[20:180, 20:180].max() < 40  # the axes alone
    field_picture(lambda at: at, LIMITS, {"far": path})
