"""Pictures: the right pixels in the right places."""

from pathlib import Path

import numpy as np
import pytest

from gan_jax.images import (
    COLOURS,
    grid,
    load_png,
    run_picture,
    save_png,
    scatter,
    to_uint8,
)


def test_pixels_go_there_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8)
    floats = pixels.astype(np.float32) / 127.5 - 1
    np.testing.assert_array_equal(to_uint8(floats), pixels)
    assert to_uint8(pixels) is pixels
    np.testing.assert_array_equal(to_uint8(np.float32([-9, 9])), [0, 255])
    with pytest.raises(ValueError, match="int32"):
        to_uint8(np.zeros(3, np.int32))
    with pytest.raises(ValueError, match="not finite"):
        to_uint8(np.float32([0, np.nan]))


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_puts_images_in_rows(channels: int) -> None:
    images = np.zeros((5, 4, 6, channels), np.uint8)
    images += np.arange(5, dtype=np.uint8)[:, None, None, None] * 10
    picture = grid(images, columns=3, padding=2)
    assert picture.shape == (2 + 2 * (4 + 2), 2 + 3 * (6 + 2), 3)
    for i in range(5):
        top, left = 2 + i // 3 * 6, 2 + i % 3 * 8
        assert (picture[top : top + 4, left : left + 6] == 10 * i).all()
    assert (picture[:2] == 255).all()
    assert (picture[8:12, 18:] == 255).all()  # the sixth place is empty


def test_grid_is_about_square_and_keeps_colours() -> None:
    images = np.zeros((16, 8, 32, 3), np.float32) + np.float32([1, 0, -1])
    height, width, _ = grid(images).shape
    assert 0.5 < height / width < 2
    np.testing.assert_array_equal(grid(images)[4, 4], [255, 128, 0])
    assert grid(images[:1], padding=0).shape == (8, 32, 3)
    for wrong in ((4, 4), (4, 8, 8), (4, 8, 8, 2), (0, 8, 8, 3)):
        with pytest.raises(ValueError, match="a grid takes"):
            grid(np.zeros(wrong, np.uint8))


def test_scatter_shows_points_where_they_are() -> None:
    blue, limits = np.array(COLOURS[0]), (0.0, 1.0, 0.0, 1.0)
    picture = scatter(np.float32([[0.25, 0.75]] * 30), limits=limits, size=101)
    np.testing.assert_array_equal(picture[25, 25], blue)
    inked = np.argwhere((picture[1:-1, 1:-1] != 255).any(-1))
    assert len(inked) == 5
    grey = scatter(
        np.float32([[0.25, 0.75]]), np.float32([[0.5, 0.5]] * 30), limits, size=101
    )
    assert np.ptp(grey[50, 50]) == 0
    assert grey[50, 50, 0] < 200


def test_scatter_finds_its_limits_and_bears_strays() -> None:
    points = np.float32([[0, 0], [1e9, 0], [np.nan, 0]])
    real = np.float32([[0, 0], [1, 1]])
    assert (scatter(points, real)[1:-1, 1:-1] != 255).any()
    assert scatter(np.float32([[np.nan, 0]])).shape == (256, 256, 3)
    with pytest.raises(ValueError, match=r"wanted \(n, 2\)"):
        scatter(np.zeros((4, 3), np.float32))


def test_png_is_written_whole_and_read_back(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    save_png(tmp_path / "new" / "a.png", picture)
    np.testing.assert_array_equal(load_png(tmp_path / "new" / "a.png"), picture)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]


def test_a_run_at_a_glance() -> None:
    sample = np.zeros((32, 48, 3), np.uint8)
    rows = [
        {"step": i, "gen/loss": 1.0 / i, "disc/real_accuracy": 0.5, "eval/fid": 3.0}
        for i in range(1, 9)
    ]
    rows[3]["gen/loss"] = None
    samples = [(i, sample + i) for i in range(20)]
    full = run_picture(samples, rows)
    assert (full.shape[1], full.dtype) == (1200, np.uint8)
    assert full.shape[0] > 700
    curve = (full == np.array(COLOURS[0])).all(-1)
    assert curve.sum() > 500
    for part in (([], rows), (samples, []), ([], []), ([], rows[:1])):
        assert run_picture(*part).shape[1] == 1200
