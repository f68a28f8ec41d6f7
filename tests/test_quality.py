"""The recipes of quality: what they count is right, and their seeds can be resumed."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.quality import __main__ as command
from experiments.quality import mixtures, stacked
from experiments.quality.task import Task, measured, row
from experiments.rows import markdown
from gan_jax.data import Mixture, grid, mixture_points, ring

TRUTHS = {"ring": ring(), "grid": grid()}


@pytest.mark.parametrize("name", TRUTHS)
def test_the_spread_of_true_samples_is_1_and_of_narrow_ones_what_it_is(name):
    truth = TRUTHS[name]
    samples = mixture_points(truth, 40_000, seed=3).arrays["real"]
    # The deviation of a root mean square of 40,000 pairs is 0.3 % or so.
    assert mixtures.spread_within(samples, truth) == pytest.approx(1, abs=0.012)
    narrow = mixture_points(Mixture(truth.modes, truth.sd / 4), 40_000, seed=3)
    found = mixtures.spread_within(narrow.arrays["real"], truth)
    # Nothing is cut off there: all of E |x|^2 = 2, a quarter as wide.
    assert found == pytest.approx(0.25 * np.sqrt(2 / (2 - 9 / np.expm1(4.5))), rel=0.01)


def test_no_sample_of_high_quality_has_no_spread():
    assert np.isnan(mixtures.spread_within(np.full((4, 2), 100.0), ring()))


def test_a_mixture_is_trained_and_counted():
    recipe = dataclasses.replace(mixtures.RING, steps=100, width=16, batch_size=32)
    found = mixtures.numbers(ring(), recipe, seed=0)
    assert list(found) == ["modes", "high quality %", "reverse KL", "spread"]
    assert 0 < found["reverse KL"] < np.log(8)
    # The seed decides all of it.
    other = mixtures.numbers(ring(), recipe, seed=1)
    assert found["reverse KL"] != other["reverse KL"]


def test_stacks_are_counted_beside_real_ones(monkeypatch):
    monkeypatch.setattr(stacked, "SAMPLES", 2000)
    recipe = dataclasses.replace(stacked.RECIPE, steps=100, width=32, batch_size=32)
    found = stacked.numbers(recipe, seed=0)
    assert 1 <= found["modes"] <= 1000
    # Of 1,000 even modes 2,000 samples meet 865 (1 - e^-2); the real ones are not even.
    assert 750 < found["modes of held-out stacks"] < 900
    assert found["classifier on held-out digits %"] > 97
    assert found["reverse KL"] > found["reverse KL of held-out stacks"]


def count(seed, quick):
    count.calls.append((seed, quick))
    return {"modes": float(seed)}


def counting(**changes):
    count.calls = []
    task = Task(
        name="counting",
        title="counting",
        published="nobody",
        goal="modes ≥ 3",
        met=lambda found: found["modes"] >= 3,
        recipe={"steps": 1},
        run=count,
        seeds=(3, 4, 5),
    )
    return dataclasses.replace(task, **changes)


def test_a_seed_is_run_once_for_each_recipe(tmp_path):
    task = counting()
    for _ in range(2):
        assert measured(task, 3, False, tmp_path)["modes"] == 3
    assert count.calls == [(3, False)]
    measured(task, 3, True, tmp_path)
    measured(dataclasses.replace(task, recipe={"steps": 2}), 3, False, tmp_path)
    assert count.calls == [(3, False), (3, True), (3, False)]


def test_what_was_cut_off_is_run_again(tmp_path):
    task = counting()
    measured(task, 3, False, tmp_path)
    (file,) = tmp_path.glob("counting/*.json")
    file.rename(file.with_suffix(".part"))
    measured(task, 3, False, tmp_path)
    assert len(count.calls) == 2


def test_a_row_says_mean_deviation_and_whether_each_seed_reaches_the_goal():
    numbers = [{"modes": 8.0}, {"modes": 6.0}]
    told = row(counting(), numbers, quick=False)
    assert told["mean ± deviation over seeds"] == "modes 7 ± 1.4"
    assert told[""] == "reached"
    assert row(counting(), [*numbers, {"modes": 2.0}], False)[""] == "**missed**"
    assert "not judged" in row(counting(), numbers, quick=True)[""]
    assert markdown(list(told), [list(told.values())]).count("\n") == 3


def test_the_command_keeps_its_table_and_says_what_was_missed(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(command, "TASKS", {"counting": counting(seeds=(3, 1))})
    assert command.main(["--directory", str(tmp_path)]) == 1
    assert "**missed**" in (tmp_path / "table.md").read_text()
    kept = json.loads((tmp_path / "table.json").read_text())
    assert [n["modes"] for n in kept["tasks"]["counting"]["numbers"]] == [3, 1]
    assert command.main(["--quick", "--directory", str(tmp_path)]) == 0
    assert count.calls == [(3, False), (1, False), (3, True)]
    with pytest.raises(SystemExit):
        command.main(["--only", "nothing"])
    assert "there are counting" in capsys.readouterr().err


@pytest.mark.parametrize("task", command.TASKS.values(), ids=lambda task: task.name)
def test_a_goal_is_of_every_seed(task):
    good = {"modes": 1000.0 if task.name == "stacked_digits" else 0.0}
    good |= {"reverse KL": 0.001, "high quality %": 98.0}
    good["modes"] = {"ring": 8.0, "grid": 25.0}.get(task.name, good["modes"])
    assert task.reached([good, good])
    for worse in ({"modes": good["modes"] - 2}, {"reverse KL": 0.1}):
        assert not task.reached([good, good | worse])
    assert len(set(task.seeds)) == len(task.seeds) >= 5
