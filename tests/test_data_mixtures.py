"""Mixtures and their report, against values known beforehand."""

import numpy as np
import pytest

from gan_jax.data.mixtures import (
    Mixture,
    grid,
    mixture_points,
    mixture_report,
    parallel_lines,
    ring,
    swiss_roll,
)


@pytest.mark.parametrize(("mixture", "k"), [(ring(), 8), (grid(), 25)])
def test_a_perfect_sampler_reaches_the_known_ceiling(mixture: Mixture, k: int) -> None:
    samples = mixture_points(mixture, 2500, seed=1).arrays["real"]
    report = mixture_report(samples, mixture)
    assert (report.covered, report.modes) == (k, k)
    assert abs(report.high_quality - 0.98889) < 5 * 0.0021
    assert 0 <= report.reverse_kl < 5 * (k - 1) / 5000


def test_the_grid_is_the_published_one() -> None:
    modes = {tuple(mode) for mode in grid().modes.tolist()}
    assert modes == {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}
    assert np.allclose(np.linalg.norm(ring().modes, axis=1), 2)


def test_collapse_and_junk_are_seen() -> None:
    mixture = ring()
    one = np.repeat(mixture.modes[:1], 100, axis=0)
    report = mixture_report(one, mixture)
    assert (report.covered, report.high_quality) == (1, 1.0)
    assert report.reverse_kl == pytest.approx(np.log(8))
    junk = np.concatenate([one, np.full((100, 2), np.nan, np.float32)])
    assert mixture_report(junk, mixture).high_quality == 0.5
    assert mixture_report(junk[100:], mixture).covered == 0


def test_points_are_seeded_float32_with_the_mode_as_label() -> None:
    a, b = mixture_points(ring(), 500, 3), mixture_points(ring(), 500, 3)
    assert a.fingerprint == b.fingerprint
    assert a.fingerprint != mixture_points(ring(), 500, 4).fingerprint
    sample = a[7]
    assert sample["real"].dtype == np.float32
    assert sample["real"].shape == (2,)
    assert sample["label"].dtype == np.int32
    offset = sample["real"] - ring().modes[sample["label"]]
    assert np.linalg.norm(offset) < 6 * 0.02


def test_other_shapes_lie_where_they_should() -> None:
    roll = swiss_roll(2000, 0, sd=0.0).arrays["real"]
    radius = np.linalg.norm(roll, axis=1)
    assert radius.min() >= 1.5 / 2.25 - 1e-4
    assert radius.max() <= 2 + 1e-4
    lines = parallel_lines(2000, 0, lines=3, sd=0.0)
    heights = np.unique(lines.arrays["real"][:, 1])
    assert np.allclose(heights, [-1, 0, 1])
    assert np.abs(lines.arrays["real"][:, 0]).max() <= 2
