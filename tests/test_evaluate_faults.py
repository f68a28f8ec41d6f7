"""Faults that are known, and what the measures say of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.evaluate import damage, faults, measures
from experiments.evaluate.damage import Pool
from tests.commands import compiled_once

CLASS, COPIES, MEMORY, BLUR, NOISE = (
    "class 0 missing",
    "few distinct images",
    "copies of the reference",
    "3x3 blur",
    "noise, mean kept",
)
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (90, 8, 8, 1)).astype(np.uint8)
LABELS = np.arange(90) % 3
POOL = Pool(IMAGES[:30], IMAGES[30:60], LABELS[:30], LABELS[30:60], IMAGES[60:])


def rows_of(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


@pytest.mark.parametrize("name", damage.FAULTS)
def test_a_fault_gives_back_as_many_images(name: str) -> None:
    before = POOL.held_out.copy()
    found = damage.FAULTS[name](POOL, np.random.default_rng(1))
    assert (found.shape, found.dtype) == (POOL.held_out.shape, np.uint8)
    assert rows_of(found) != rows_of(POOL.held_out)
    np.testing.assert_array_equal(POOL.held_out, before)


def test_what_is_left_out_and_what_comes_again() -> None:
    rng = np.random.default_rng(2)
    label_of = {i.tobytes(): k for i, k in zip(IMAGES, LABELS, strict=True)}
    missing = damage.missing_class(POOL, rng)
    assert {label_of[i.tobytes()] for i in missing} == {1, 2}
    assert len(rows_of(missing)) == 30
    means = IMAGES[:60].mean(axis=(1, 2, 3))
    bright = damage.half_the_support(POOL, rng).mean(axis=(1, 2, 3))
    assert bright.min() > np.median(means)
    few = rows_of(damage.few_distinct(POOL, rng))
    assert len(few) <= 7
    assert few <= rows_of(POOL.held_out)
    assert rows_of(damage.copies_of_the_reference(POOL, rng)) == rows_of(IMAGES[60:])
    twice = damage.twice(POOL, rng)
    assert sorted(np.unique(twice, axis=0, return_counts=True)[1]) == [2] * 15


def test_what_is_done_to_pixels() -> None:
    rng = np.random.default_rng(3)
    grey = POOL._replace(held_out=np.full((30, 8, 8, 1), 77, np.uint8))
    assert (damage.blur(grey, rng) == 77).all()
    dot = np.zeros((1, 5, 5, 1), np.uint8)
    dot[0, 2, 2] = 90
    spread = damage.blur(POOL._replace(held_out=dot), rng)
    assert spread[0, 1:4, 1:4].tolist() == [[[10]] * 3] * 3
    assert spread.sum() == 90
    noisy = damage.noise(grey, rng).astype(float)
    assert set(np.unique(noisy)) == {64, 90}
    assert noisy.mean() == pytest.approx(77, abs=1)
    black = POOL._replace(held_out=np.zeros((30, 8, 8, 1), np.uint8))
    assert not damage.noise(black, rng).any()
    assert damage.clipped_noise(black, rng).mean() == pytest.approx(
        12.75 / np.sqrt(2 * np.pi), rel=0.1
    )
    pale = damage.less_contrast(POOL, rng).astype(float)
    was = POOL.held_out.astype(float)
    assert pale.std(axis=0).mean() == pytest.approx(0.8 * was.std(axis=0).mean(), 0.01)
    np.testing.assert_allclose(pale.mean(axis=0), was.mean(axis=0), atol=0.5)
    error = np.abs(damage.jpeg(POOL, rng).astype(float) - was).mean()
    assert 1 < error < 40


def test_faults_that_cannot_be_done_are_refused() -> None:
    rng = np.random.default_rng(4)
    with pytest.raises(ValueError, match="no labels"):
        damage.missing_class(POOL._replace(held_out_labels=None), rng)
    with pytest.raises(ValueError, match="no image is of class 0"):
        damage.missing_class(POOL._replace(held_out_labels=LABELS[:30] + 1), rng)
    none = POOL._replace(others=IMAGES[:0], others_labels=LABELS[:0])
    with pytest.raises(ValueError, match="only 20 of 30 images"):
        damage.missing_class(none, rng)


@pytest.mark.parametrize(
    ("away", "worse", "expected"),
    [
        (3.9, "above", "blind"),
        (4.1, "above", "seen"),
        (-4.1, "above", "fooled"),
        (-4.1, "below", "seen"),
        (4.1, "below", "fooled"),
        (4.1, "aside", "seen"),
        (-4.1, "aside", "seen"),
    ],
)
def test_the_rule(away: float, worse: str, expected: str) -> None:
    assert faults.verdict(away, 4.0, worse) == expected


def write_blobs(path: Path, n: int = 1100) -> None:
    """A bright spot in one of four places on grey: four classes, and no detail."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, n)
    x, y = 4 + 7 * np.stack([labels // 2, labels % 2]) + rng.normal(0, 0.7, (2, n))
    places = np.arange(16)
    away = [(places - at[:, None]) ** 2 / rng.uniform(1, 3, (n, 1)) for at in (x, y)]
    spots = np.exp(-away[0][:, :, None] - away[1][:, None, :])
    pixels = 40 + rng.uniform(120, 200, (n, 1, 1)) * spots
    np.savez(path, images=pixels.astype(np.uint8), labels=labels)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[faults.Row], Path]:
    """The command on 250 images a side, and some of the faults."""
    place = tmp_path_factory.mktemp("faults")
    write_blobs(place / "blobs.npz")
    options = faults.Options(
        data=str(place / "blobs.npz"),
        n=250,
        splits=4,
        features=("pca64",),
        measures=("fd", "precision-recall", "density-coverage", "1-nn", "swd"),
        out=place,
    )
    some = (CLASS, COPIES, MEMORY, BLUR, NOISE)
    with pytest.MonkeyPatch.context() as patch, compiled_once(place / "compiled"):
        patch.setattr(faults, "FAULTS", {name: damage.FAULTS[name] for name in some})
        patch.setattr(measures, "PATCHES", 2**11)
        patch.setattr(damage, "NOISE", 0.025)
        patch.setattr(faults, "FIT", 300)
        faults.run(options)
    kept = json.loads((place / "faults.json").read_text())["rows"]
    return [faults.Row(**row) for row in kept], place


def test_each_measure_sees_its_own_faults(table: tuple[list[faults.Row], Path]) -> None:
    said = {row.measure.removesuffix(" [pca64]"): row.verdicts for row in table[0]}
    finest = "SWD 16 8 patches"
    seen = {
        fault: {name for name in said if said[name][fault] == "seen"}
        for fault in said["FD"]
    }
    assert "FD" in seen[CLASS]
    assert {"recall k=3", "coverage k=5", "1-NN"} <= seen[COPIES]
    assert {"1-NN", "FD", finest} <= seen[BLUR]
    assert finest in seen[NOISE]
    assert all(name.startswith("SWD") for name in seen[NOISE])
    # A memory of the training set looks better than anything, but to the last.
    assert said["FD"][MEMORY] == "fooled"
    assert said["1-NN"][MEMORY] == "seen"
    assert said["precision k=3"][MEMORY] == "fooled"


def test_the_table_is_kept(table: tuple[list[faults.Row], Path]) -> None:
    rows, out = table
    lines = (out / "faults.md").read_text().splitlines()
    assert len(lines) == 2 + len(rows)
    assert all(line.count("|") == lines[0].count("|") for line in lines)
    fd = next(line for line in lines if line.startswith("| FD [pca64]"))
    assert "(!)" in fd
    assert "**" in fd
    assert faults.markdown(rows) == "\n".join(lines)


def test_too_few_images_or_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="--splits is 2"):
        faults.table(faults.Options(splits=2))
    with pytest.raises(ValueError, match="give at most 44"):
        faults.table(faults.Options(data="faces:200:8:0", n=45, features=()))
