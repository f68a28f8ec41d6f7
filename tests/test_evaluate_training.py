"""The evaluation of a run that trains: what it says, and that it changes nothing."""

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import digits, image, sample
from experiments.evaluate import training
from experiments.run import train
from gan_jax.data import Arrays
from gan_jax.digest import digest
from gan_jax.evaluate import sliced_wasserstein
from gan_jax.evaluate.frechet import frechet_distance
from gan_jax.evaluate.moments import moments
from gan_jax.evaluate.neighbours import density_coverage, precision_recall
from tests.commands import rows

SHRUNK: dict[str, Any] = {
    "steps": 20,
    "batch_size": 8,
    "width": 4,
    "latent": 4,
    "log_every": 5,
    "sample_every": 20,
    "checkpoint_every": 20,
    "evaluate_images": 64,  # as many as the picture has: one program draws both
    "gradient": "merged",
}
DRAWN = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1)).astype(np.uint8)


pytestmark = pytest.mark.usefixtures("compiled", "own_place")


def trained(cfg: digits.Config) -> str:
    """The digest of the run's last state. What is said at its end is not computed."""
    result = train("digits", cfg, image.task(cfg, lambda: digits.source(cfg)))
    assert result is not None
    return digest(result.state)


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, digits.Config, str]:
    """A run that was evaluated every five steps, and the digest of its end."""
    place = tmp_path_factory.mktemp("runs") / "watched"
    cfg = digits.Config(evaluate_every=5, **SHRUNK)
    return place, cfg, trained(dataclasses.replace(cfg, directory=place))


def test_it_changes_no_bit_of_the_training(
    watched: tuple[Path, digits.Config, str], tmp_path: Path
) -> None:
    place, cfg, end = watched
    # Nothing happens in it when the other one is evaluated.
    silent = {"directory": tmp_path / "silent", "evaluate": "none", "log_every": 20}
    assert trained(dataclasses.replace(cfg, evaluate_every=None, **silent)) == end
    other = dataclasses.replace(cfg, directory=tmp_path / "other", evaluate="none")
    assert trained(other) == end
    names = {"distance", "fd_pca63", "recall", "coverage"}
    expected = {f"eval/{n}{end}" for n in names for end in ("", "_floor")}
    assert [row["step"] for row in rows(place)] == [5, 10, 15, 20]
    for seen, unseen in zip(rows(place), rows(other.directory), strict=True):
        assert set(seen) - set(unseen) == expected
        assert {k: seen[k] for k in unseen} == unseen
        assert np.isfinite([seen[k] for k in expected]).all()
    # A generator of a few steps is far from the data, by every one of them.
    last = rows(place)[-1]
    assert last["eval/fd_pca63"] > 3 * last["eval/fd_pca63_floor"]
    assert last["eval/recall"] < last["eval/recall_floor"]
    assert last["eval/coverage"] < last["eval/coverage_floor"]


def test_a_run_begun_before_the_option_goes_on(
    watched: tuple[Path, digits.Config, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place, cfg, end = watched
    old = tmp_path / "old"
    shutil.copytree(place, old)
    file = old / "config.json"
    stored = json.loads(file.read_text())
    assert stored.pop("evaluate") == "quick"
    file.write_text(json.dumps(stored))
    assert sample.opened(old).cfg == cfg
    again = dataclasses.replace(cfg, directory=old, evaluate="distance")
    assert trained(again) == end
    assert "taken up at step 20" in capsys.readouterr().out


def stand_in(fakes: np.ndarray) -> Any:
    """A model whose samples are ``fakes`` in [-1, 1] times the state."""

    def draw(state: jax.Array, z: jax.Array) -> jax.Array:
        return state * jnp.asarray(fakes[: len(z)], jnp.float32)

    def settled(state: jax.Array, key: jax.Array, frequencies: Any) -> jax.Array:
        return state

    return SimpleNamespace(sample=draw, settled=settled)


def config(evaluate: Any) -> image.Images:
    return image.Images(size=8, channels=1, evaluate=evaluate, evaluate_images=30)


def test_the_numbers_are_those_of_the_measures() -> None:
    order = np.random.default_rng(0).permutation(60)
    real, others = DRAWN[order[:30]], DRAWN[order[30:]]
    fakes = np.clip(DRAWN[:30] / 127.5 - 0.81, -1.5, 1.5)  # beyond the range, too
    model, state = stand_in(fakes), jnp.float32(1)
    found = image.distances(config("quick"), model, Arrays({"real": DRAWN}))(state)
    files = np.round((np.clip(fakes, -1, 1) + 1) * 127.5).astype(np.uint8)
    features = training.components(real)
    assert features is not None
    assert features.dimension == 29
    x, y, z = features(real), features(files), features(others)
    key = jax.random.split(jax.random.key(0))[0]
    flat = [jnp.asarray(i.reshape(30, -1)) / 127.5 - 1 for i in (real, files, others)]
    for end, set_, points in (("", y, flat[1]), ("_floor", z, flat[2])):
        expected = {
            "distance": float(sliced_wasserstein(flat[0], points, key)),
            "fd_pca29": frechet_distance(moments(x), moments(set_)),
            "recall": precision_recall(x, set_, k=3).recall,
            "coverage": density_coverage(x, set_, k=5).coverage,
        }
        for name, value in expected.items():
            assert found[name + end] == pytest.approx(value, rel=1e-5), name + end
    only = image.distances(config("distance"), model, Arrays({"real": DRAWN}))(state)
    assert only == {k: v for k, v in found.items() if k.startswith("distance")}
    assert image.distances(config("none"), model, Arrays({"real": DRAWN}))(state) == {}


def test_samples_that_are_not_finite_have_no_distance() -> None:
    scores = image.distances(
        config("quick"), stand_in(DRAWN[:30] / 255), Arrays({"real": DRAWN})
    )
    found = scores(jnp.float32(np.nan))
    for name in ("distance", "fd_pca29", "recall", "coverage"):
        assert np.isnan(found[name])
        assert np.isfinite(found[f"{name}_floor"])


def test_images_that_are_few_or_alike(capsys: pytest.CaptureFixture[str]) -> None:
    # 40 images in 5 directions: as many components as there are to be had.
    mixed = np.random.default_rng(1).integers(0, 6, (40, 5)) @ np.eye(5, 64, dtype=int)
    alike = (mixed * 40).astype(np.uint8).reshape(40, 8, 8, 1)
    features = training.components(alike)
    assert features is not None
    assert 1 <= features.dimension <= 5
    assert training.components(np.zeros((40, 8, 8, 1), np.uint8)) is None
    assert not capsys.readouterr().out
    for few in (np.zeros((40, 8, 8, 1), np.uint8), DRAWN[:7]):
        nothing = training.watched(few, few)
        assert (dict(nothing.floors), dict(nothing.scores(few))) == ({}, {})
        assert "too few different images" in capsys.readouterr().out


def test_large_images_are_shrunk_to_a_divisor() -> None:
    shapes = [(64, 64, 1), (64, 64, 3), (48, 48, 3), (61, 61, 3), (28, 28, 1)]
    assert [training.shrunk(s) for s in shapes] == [None, 32, 24, 1, None]
