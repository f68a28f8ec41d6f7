"""The recipes of quality: what they count is right, and their seeds can be resumed."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import image
from experiments.quality import __main__ as command
from experiments.quality import (
    colours,
    fashion,
    fashion_jax,
    mixtures,
    sides,
    stacked,
)
from experiments.quality.floors import FLOOR, NOISE
from experiments.quality.task import Given, Task, measured, row
from experiments.quality.waves import with_waves
from experiments.rows import markdown
from gan_jax.data import Mixture, grid, mixture_points, ring
from gan_jax.kernel import Network

SHARED = Path(__file__).parents[2] / "shared/data"
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


def test_a_discriminator_sees_waves_beside_the_points():
    def init(key, x):
        return {"shape": jnp.zeros(x.shape[1:])}, {}

    def apply(params, stats, x, *, train):
        return x, stats

    plain = Network(init, apply)
    assert with_waves(plain, 2, 0) is plain
    disc = with_waves(plain, 2, 3)
    x = jax.random.normal(jax.random.key(0), (5, 2))
    params, stats = disc.init(jax.random.key(1), x)
    assert params["shape"].shape == (8,)
    seen = np.asarray(disc.apply(params, stats, x, train=True)[0])
    np.testing.assert_array_equal(seen[:, :2], x)
    np.testing.assert_allclose(np.square(seen[:, 2:]).sum(-1), 3, rtol=1e-5)
    # Waves are the same everywhere, and shorter where the frequency is higher.
    again = with_waves(plain, 2, 3).apply(params, stats, x, train=False)[0]
    np.testing.assert_array_equal(again, seen)
    shorter = with_waves(plain, 2, 3, 2.0).apply(params, stats, x / 2, train=True)[0]
    np.testing.assert_allclose(shorter[:, 2:], seen[:, 2:], atol=1e-6)


@pytest.mark.parametrize(
    ("players", "width"), [(stacked.connected, 32), (stacked.convolved, 2)]
)
def test_stacks_are_counted_beside_real_ones(monkeypatch, players, width):
    monkeypatch.setattr(stacked, "SAMPLES", 2000)
    monkeypatch.setattr(stacked, "GEN_UNITS", (16,))
    monkeypatch.setattr(stacked, "CODE", 8)
    kind = dataclasses.replace(stacked.SMALL, players=players)
    small = dataclasses.replace(kind.recipe, steps=100, width=width, batch_size=16)
    found = stacked.numbers(kind, small, seed=0)
    assert 1 <= found["modes"] <= 1000
    # Of 1,000 even modes 2,000 samples meet 865 (1 - e^-2); the real ones are not even.
    assert 750 < found["modes of held-out stacks"] < 900
    assert found["classifier on held-out digits %"] > 97
    assert found["reverse KL"] > found["reverse KL of held-out stacks"]


def exchanged(tree, layers, blocks):
    """Leaves of these layers, the blocks of three colours in another order."""

    keystr = jax.tree_util.keystr

    def leaf(path, value):
        axis = next((a for name, a in layers.items() if name in keystr(path)), None)
        if axis is None:
            return value
        parts = jnp.split(value, 3, axis=axis % value.ndim)
        return jnp.concatenate([parts[i] for i in blocks], axis=axis % value.ndim)

    return jax.tree_util.tree_map_with_path(leaf, tree)


def test_each_colour_is_drawn_by_the_same_convolutions():
    gen = colours.generator(8, 3, 2, (5,), 4)
    z = jax.random.normal(jax.random.key(0), (6, 3))
    params, stats = gen.init(jax.random.key(1), z)
    assert params["ConvTranspose_1"]["kernel"].shape[-1] == 1
    x, _ = gen.apply(params, stats, z, train=True)
    assert x.shape == (6, 8, 8, 3)
    assert np.abs(x).max() < 1
    assert not np.allclose(x[..., 0], x[..., 1])
    # The colours' codes in another order are the colours in that order.
    order, layers = (2, 0, 1), {"Dense_1": -1, "BatchNorm_1": -1}
    changed = (exchanged(tree, layers, order) for tree in (params, stats))
    y, _ = gen.apply(*changed, z, train=True)
    np.testing.assert_allclose(y, x[..., jnp.array(order)], atol=1e-6)


def test_each_colour_is_seen_by_the_same_convolutions_and_all_of_them_together():
    disc = colours.discriminator(2, (5,), 4)
    x = jax.random.normal(jax.random.key(0), (6, 8, 8, 3))
    params, _ = disc.init(jax.random.key(1), x)
    assert params["Conv_0"]["kernel"].shape[2] == 1

    def logits(params, x):
        return disc.apply(params, {}, x, train=True)[0]

    order = (2, 0, 1)
    other = exchanged(params, {"Dense_1']['kernel": 0}, order)
    found = logits(other, x[..., jnp.array(order)])
    np.testing.assert_allclose(found, logits(params, x), atol=1e-5)
    # A logit is no sum over colours: what one adds depends on the others.
    red, green = (x.at[..., i].set(0) for i in (0, 1))
    sums = logits(params, red) + logits(params, green)
    whole = logits(params, x) + logits(params, red.at[..., 1].set(0))
    assert np.abs(sums - whole).max() > 1e-3


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


def test_a_seed_that_breaks_takes_its_own_row_only(tmp_path, monkeypatch, capsys):
    def breaks(seed, quick):
        raise FloatingPointError(f"seed {seed} has skipped steps")

    broken = counting(name="broken", run=breaks)
    monkeypatch.setattr(command, "TASKS", {"broken": broken, "counting": counting()})
    assert command.main(["--directory", str(tmp_path)]) == 2
    assert "broken has no row: seed 3 has skipped steps" in capsys.readouterr().err
    assert list(json.loads((tmp_path / "table.json").read_text())["tasks"]) == [
        "counting"
    ]
    monkeypatch.setattr(command, "TASKS", {"broken": broken})
    assert command.main(["--directory", str(tmp_path)]) == 2


COUNTED = [
    task for task in command.TASKS.values() if task.name not in ("faces", "fashion")
]


@pytest.mark.parametrize("task", COUNTED, ids=lambda task: task.name)
def test_a_goal_is_of_every_seed(task):
    good = {"modes": {"ring": 8.0, "grid": 25.0}.get(task.name, 1000.0)}
    good |= {"reverse KL": 0.001, "high quality %": 98.0}
    assert task.reached([good, good])
    for worse in ({"modes": good["modes"] - 2}, {"reverse KL": 0.1}):
        assert not task.reached([good, good | worse])
    assert len(set(task.seeds)) == len(task.seeds) >= 5


def test_the_digits_of_mnist_are_asked_for_by_name(tmp_path):
    without = command.TASKS["stacked_mnist"]
    assert "--data DIR" in without.lacks
    assert without.on is not None
    assert str(tmp_path) in without.on(Given(tmp_path, 1.0, tmp_path)).lacks


@pytest.mark.skipif(
    not (SHARED / stacked.MNIST).exists(), reason=f"{stacked.MNIST} is not there"
)
def test_the_digits_of_mnist_are_divided():
    kind = stacked.mnist(SHARED / stacked.MNIST)
    assert kind is stacked.mnist(SHARED / stacked.MNIST)  # read and divided once
    images, labels, others, other_labels = stacked.halves(kind)
    assert (images.shape, others.shape) == ((8000, 28, 28, 1), (2000, 28, 28, 1))
    assert set(labels) == set(other_labels) == set(range(10))
    task = command.TASKS["stacked_mnist"].on(Given(SHARED, 1.0, SHARED))
    assert not task.lacks
    assert "sha256=" in task.recipe["data"]  # other digits are other results


@pytest.mark.usefixtures("optimised")
def test_the_quick_version_runs(tmp_path, capsys):
    words = ["--quick", "--only", "ring", "--directory", str(tmp_path)]
    assert command.main(words) == 0
    assert "not judged (quick)" in capsys.readouterr().out
    (seed,) = tmp_path.glob("ring/*.json")
    found = json.loads(seed.read_text())["numbers"]
    assert found["modes"] == 8
    assert found["reverse KL"] < 0.1


# ---- Fashion-MNIST beside a twin ----


def one_measure(ours, twin, name="FD [classifier]"):
    values = (ours, twin, 1.0, 0.1)
    sides = ("", fashion.TWIN, FLOOR, NOISE)
    return {name + side: value for side, value in zip(sides, values, strict=True)}


@pytest.mark.parametrize(
    ("ours", "twin", "as_good"),
    [
        (1.5, 1.6, True),
        (1.6, 1.5, False),
        (1.5, 0.4, True),  # on the other side of the floor, and farther off
        (0.4, 1.5, False),
        (1.19, 1.0, True),  # as real images may be
        (0.7, 1.19, False),
    ],
)
def test_a_side_is_as_good_if_it_is_no_farther_from_the_floor(ours, twin, as_good):
    (standing,) = fashion.standings(one_measure(ours, twin))
    assert standing.as_good is as_good


def test_the_goal_is_half_the_twins_distance_and_every_measure():
    half = one_measure(2.0, 4.0)
    assert fashion.met(half | one_measure(1.5, 1.6, "recall"))
    assert not fashion.met(half | one_measure(1.6, 1.5, "recall"))
    assert not fashion.met(one_measure(2.1, 4.0))


def test_the_details_say_in_how_many_seeds_ours_is_as_good():
    counts = {"steps": 9.0, "training seconds": 60.0}
    counts |= {name + fashion.TWIN: value for name, value in counts.items()}
    seeds = [one_measure(2.0, 4.0) | counts, one_measure(4.0, 2.0) | counts]
    told = fashion.details(seeds)
    assert "| FD [classifier] | 1 ± 0.1 | 3 ± 1.4 | 3 ± 1.4 | 1 of 2 |" in told
    assert "| training seconds |  | 60 ± 0 | 60 ± 0 |  |" in told


def test_a_comparison_says_what_it_lacks(tmp_path, monkeypatch, capsys):
    assert "--data DIR" in fashion.lacks(None)
    assert "lacks fashion-mnist/train-images" in fashion.lacks(tmp_path)
    asked = ["--only", "fashion", "--data", str(tmp_path)]
    with pytest.raises(SystemExit):
        command.main(asked)
    assert "fashion: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main([*asked, "--minutes", "0"])
    assert "give more than 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main([*asked, "--steps-a-minute", "0"])
    assert "give 1 or more" in capsys.readouterr().err
    both = {"counting": counting(), "fashion": fashion.TASKS[0]}
    monkeypatch.setattr(command, "TASKS", both)
    assert command.main(["--quick", "--directory", str(tmp_path)]) == 0
    assert "left out, fashion: no data." in capsys.readouterr().out


def some_images(n):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (n, 32, 32, 1)).astype(np.uint8)


def test_our_side_trains_in_a_process_of_its_own(tmp_path):
    np.save(tmp_path / "train.npy", some_images(64))
    recipe = fashion.RECIPE | {"width": 4, "batch_size": 8}
    told = {"folder": str(tmp_path), "seed": 1, "samples": 8, "steps": 2}
    left = sides.trained("fashion_jax", recipe, {}, **told)
    assert (left.images.shape, left.images.dtype) == ((8, 32, 32, 1), np.uint8)
    assert left.steps == 2
    assert left.seconds > 0
    high, wide = fashion.picture([left, left]).shape[:2]
    assert wide > 2 * high


def test_our_side_does_not_draw_with_trainings_statistics(monkeypatch):
    recipe = {"width": 4, "batch_size": 8}
    told = {"folder": "", "seed": 1, "samples": 8, "begun": 0.0, "steps": 1}
    ask = sides.Asked(recipe=recipe, **told)
    cfg = fashion_jax.config(recipe, steps=1, size=16)
    batch = {"real": jnp.zeros((8, 16, 16, 1), jnp.uint8)}
    state = jax.jit(image.model(cfg).init)(jax.random.key(0), batch)
    other = jax.tree.map(lambda x: 100 * x + 7, state.stats["gen"])
    left = []
    for stats in (state.stats, state.stats | {"gen": other}):
        end = state._replace(stats=stats)
        monkeypatch.setattr(sides.Asked, "images", lambda self: batch["real"])
        monkeypatch.setattr(fashion_jax, "trained", lambda *_, end=end: end)
        left.append(fashion_jax.run(ask).images)
    np.testing.assert_array_equal(*left)
    assert len(np.unique(left[0])) > 8


def test_a_side_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"train\.npy"):
        sides.trained(
            "fashion_jax",
            fashion.RECIPE,
            {},
            folder=str(tmp_path),
            seed=0,
            samples=1,
            steps=1,
        )


def test_the_twin_trains_as_long_as_it_is_told(tmp_path):
    pytest.importorskip("torch", reason="the extra bench is not installed")
    np.save(tmp_path / "train.npy", some_images(64))
    recipe = fashion.TWIN_RECIPE | {"width": 4, "batch_size": 8}
    left = sides.trained(
        "fashion_torch",
        recipe,
        {},
        folder=str(tmp_path),
        seed=0,
        samples=8,
        seconds=15.0,
    )
    assert (left.images.shape, left.images.dtype) == ((8, 32, 32, 1), np.uint8)
    assert left.steps > 1
    assert 15 <= left.seconds < 25


@pytest.mark.usefixtures("optimised")
def test_copies_are_far_from_the_floor(monkeypatch):
    monkeypatch.setattr(fashion, "DRAWS", 2)
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 700).astype(np.int32)
    # Class 1 is brighter; all pixels have a mean of their own.
    bright = random.uniform(0, 100, (16, 16, 1)) + 60 * labels[:, None, None, None]
    levels = bright + random.normal(0, 30, (700, 16, 16, 1))
    drawn = np.clip(levels, 0, 255).astype(np.uint8)
    judge = fashion.Judge(
        fashion.Images(drawn[:500], labels[:500], drawn[500:]), None, 150
    )
    copies = judge.values(np.repeat(drawn[:5], 30, axis=0))
    names = {name.removesuffix(FLOOR) for name in judge.floors}
    assert set(copies) == {n for n in names if not n.endswith(NOISE)}
    assert len(copies) == 10
    for name in (fashion.FD, "FD [pca64]", "C2ST [pca64]", "1-NN [pca64]"):
        assert copies[name] > judge.floors[name + FLOOR], name
    assert copies["coverage k=5 [pca64]"] < judge.floors["coverage k=5 [pca64] floor"]


@pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is not there")
def test_the_twenty_eight_pixels_of_the_data_are_enlarged():
    whole = fashion.images(SHARED)
    assert whole.train.shape == (60_000, 32, 32, 1)
    assert whole.test.shape == (10_000, 32, 32, 1)
    assert np.bincount(whole.labels).tolist() == [6000] * 10
    # About the mean of the data as they come.
    assert whole.test.mean() / 255 == pytest.approx(0.2868, abs=5e-3)


def test_what_a_comparison_trains_depends_on_the_minutes_and_the_machine():
    given = Given(None, 30, Path("runs"), steps_a_minute=100)
    longer = fashion.task(given).recipe
    assert longer["ours"]["steps"] == 3000
    assert longer != fashion.task(given._replace(minutes=10)).recipe
    slower = fashion.task(given._replace(steps_a_minute=50)).recipe
    assert slower["ours"]["steps"] == 1500
    json.dumps(longer)
