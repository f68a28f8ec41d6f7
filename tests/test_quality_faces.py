"""Drawn faces among the tasks of quality: trained, read, and held against real ones."""

import dataclasses
import json
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.quality import __main__ as command
from experiments.quality import faces
from experiments.quality.floors import FLOOR, NOISE
from experiments.quality.task import Given, digest_of
from experiments.run import plain
from gan_jax.evaluate.attributes import drawn, face_reader, reader_of
from gan_jax.train import Result

TINY = faces.config(
    faces.RECIPE | {"size": 32, "width": 4, "faces": 64, "batch_size": 8, "steps": 2}
)
READING = faces.Reading(n=256, epochs=1, width=4)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a reader, trained for a moment."""
    folder = tmp_path_factory.mktemp("faces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces, "face_reader", partial(face_reader, held_out=64))
        faces.reader(32, READING, folder)
    return folder


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few faces are drawn, no reader is trained; each test makes its judge anew."""
    monkeypatch.setattr(faces, "face_reader", None)
    monkeypatch.setattr(faces, "reader_of", partial(reader_of, held_out=64))
    monkeypatch.setattr(faces, "DRAWS", 2)
    faces.judge.cache_clear()


@pytest.mark.usefixtures("compiled")
def test_faces_are_trained_read_and_held_against_real_ones(place, monkeypatch):
    cfg = dataclasses.replace(TINY, seed=5)
    found = faces.numbers(cfg, 100, READING, place)
    names = {name.removesuffix(FLOOR) for name in found}
    assert {faces.ATTRIBUTES, faces.PAIRS, faces.RECALL, faces.DENSITY} < names
    # Two steps: nothing like faces.
    assert found["FD [pca64]"] > 3 * found["FD [pca64] floor"]
    assert found[faces.RECALL] < found[faces.RECALL + FLOOR]
    (picture,) = place.glob("run-seed5-*.png")
    assert (picture.with_suffix("") / "run.png").exists()
    # The run is there: the same numbers, and no step is taken. Nor is it of matter
    # which statistics training had.
    trained = faces.trained(cfg, picture.with_suffix(""))
    assert int(trained.step) == 2
    other = jax.tree.map(lambda x: 100 * x + 7, trained.stats["gen"])
    for stats in (trained.stats, trained.stats | {"gen": other}):
        end = trained._replace(stats=stats)
        monkeypatch.setattr(faces, "trained", lambda *_, end=end: end)
        assert faces.numbers(cfg, 100, READING, place) == found


def test_what_is_seen_of_faces(place):
    judge = faces.Judge(32, 150, READING, place)
    real, _ = drawn(150, 32, seed=40)
    copies = judge.values(np.repeat(real[:3], 50, axis=0))
    for name in (faces.ATTRIBUTES, faces.PAIRS, faces.RECALL):
        assert copies[name] < judge.floors[name + FLOOR]
    assert copies["FD [pca64]"] > 2 * judge.floors["FD [pca64] floor"]
    ends = (FLOOR, NOISE)
    assert {name + end for name in copies for end in ends} == set(judge.floors)
    # What is trained on, held out, and a floor's are of seeds of their own.
    seeds = {faces.TRAINED_ON, *(faces.HELD_OUT + i for i in range(faces.DRAWS + 1))}
    assert len(seeds) == faces.DRAWS + 2
    np.testing.assert_array_equal(judge.held_out, drawn(150, 32, faces.HELD_OUT)[0])


def test_a_run_of_faces_that_is_stopped_has_no_numbers(tmp_path, monkeypatch):
    def stopped(name, cfg, task):
        return Result(None, 1, interrupted=True)

    monkeypatch.setattr(faces, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        faces.numbers(TINY, 100, READING, tmp_path)


def test_the_goal_of_faces_is_of_every_seed():
    task = command.TASKS["faces"]
    good, worse = ({faces.ATTRIBUTES: value} for value in (95.0, 94.9))
    assert task.reached([good, good])
    assert not task.reached([good, worse])
    assert task.seeds == (5000, 5001, 5002)
    assert not task.lacks
    names = [name + end for name in "ab" for end in ("", FLOOR, NOISE)]
    told = faces.details([dict.fromkeys(names, 0.5), dict.fromkeys(names, 1.5)])
    assert "| a | 0.5 ± 0.5 | 1 ± 0.71 |" in told


def test_the_recipe_of_faces_counts_all_that_changes_them(tmp_path):
    given = Given(None, 1.0, tmp_path)
    known = faces.task(given).recipe
    json.dumps(known)
    assert (known["size"], known["data"], known["samples"]) == (64, "faces", 10_000)
    assert "seed" not in known
    other = digest_of(plain("celeba", faces.config({"width": 31})))
    assert other != digest_of(plain("celeba", faces.config({})))
