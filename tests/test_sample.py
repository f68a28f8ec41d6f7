"""Pictures from a run, which is read and not touched."""

import itertools
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import digits, image, run, sample, toy
from gan_jax.checkpoint import Checkpoints
from gan_jax.digest import digest
from gan_jax.directory import lock, read_config, write_config
from gan_jax.images import load_png
from gan_jax.latents import slerp

SMALL: dict[str, Any] = {"width": 4, "latent": 4, "batch_size": 8, "steps": 4}


pytestmark = pytest.mark.usefixtures("compiled")


def begun(directory: Path, name: str, cfg: Any, steps: tuple[int, ...]) -> Any:
    """A run's directory with the initial state as its checkpoints; that state."""
    task = toy.task(cfg) if name == "toy" else image.task(cfg, lambda: None)
    example = task.example(cfg.batch_size)
    batch = {name: jnp.zeros(x.shape, x.dtype) for name, x in example.items()}
    state = jax.jit(task.model(None).init)(jax.random.key(0), batch)
    with Checkpoints(directory / "checkpoints") as checkpoints:
        for step in steps:
            checkpoints.save(step, state)
    write_config(directory, run.plain(name, cfg) | {"source": "of no matter here"})
    return state


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("classes")
    cfg = digits.Config(classes=3, gradient="merged", b2=(0.9, 0.99), **SMALL)
    begun(directory, "digits", cfg, (2, 4))
    return directory


def contents(directory: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in directory.rglob("*")
    }


def test_a_run_of_images_under_way(classes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    half_written = classes / "checkpoints" / "6.orbax-checkpoint-tmp-1"
    half_written.mkdir()
    before = contents(classes)
    options = sample.Options(run=classes, n=6, rows=2, columns=5, out=out)
    with lock(tmp_path):  # of whatever is held, nothing is asked
        sample.draw(options)
    assert contents(classes) == before
    drawn = {path.name: load_png(path) for path in out.iterdir()}
    assert {name: picture.shape for name, picture in drawn.items()} == {
        "step_00000004_samples.png": (2 + 2 * 18, 2 + 3 * 18, 3),
        "step_00000004_walks.png": (2 + 2 * 18, 2 + 5 * 18, 3),
        "step_00000004_classes.png": (2 + 3 * 18, 2 + 5 * 18, 3),
    }
    sample.draw(options)
    again = {path.name: load_png(path) for path in out.iterdir()}
    assert all(np.array_equal(again[name], drawn[name]) for name in drawn)
    sample.draw(sample.Options(run=classes, n=6, rows=2, columns=5, seed=1, out=out))
    other = {path.name: load_png(path) for path in out.iterdir()}
    assert not any(np.array_equal(other[name], drawn[name]) for name in drawn)


def test_the_state_is_the_saved_one(tmp_path: Path) -> None:
    cfg = toy.Config(**SMALL)
    state = begun(tmp_path, "toy", cfg, (3,))
    trained = sample.opened(tmp_path)
    assert (trained.step, trained.cfg) == (3, cfg)
    assert digest(trained.state) == digest(state)
    sample.draw(sample.Options(run=tmp_path, n=200))
    (picture,) = (tmp_path / "drawn").iterdir()
    assert picture.name == "step_00000003_samples.png"
    assert len(np.unique(load_png(picture))) > 5


@pytest.mark.usefixtures("nothing_in_flight")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_not_whole_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path, "toy", toy.Config(**SMALL), (3, 5))
    for file in (tmp_path / "checkpoints" / "5").rglob("*"):
        if file.is_file() and file.parent.name == "state":
            os.truncate(file, 7)
    before = contents(tmp_path)
    assert sample.opened(tmp_path).step == 3
    assert "step 5 is not whole" in capsys.readouterr().out
    assert contents(tmp_path) == before


def test_errors_say_what_to_do(classes: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        sample.opened(tmp_path)
    stored = read_config(classes)
    assert stored is not None
    write_config(tmp_path, stored)
    with pytest.raises(FileNotFoundError, match="no whole checkpoint"):
        sample.opened(tmp_path)
    assert not (tmp_path / "checkpoints").exists()
    write_config(tmp_path, stored | {"experiment": "mnist"})
    with pytest.raises(ValueError, match="'mnist'; known here are celeba"):
        sample.opened(tmp_path)
    write_config(tmp_path, stored | {"colour": 1})
    with pytest.raises(ValueError, match="not known here: colour"):
        sample.opened(tmp_path)
    with pytest.raises(ValueError, match="--n is 0"):
        sample.draw(sample.Options(run=classes, n=0))


def test_another_model_is_refused(classes: Path, tmp_path: Path) -> None:
    stored = read_config(classes)
    assert stored is not None
    write_config(tmp_path, stored | {"width": 8})
    (tmp_path / "checkpoints").symlink_to(classes / "checkpoints")
    with pytest.raises(ValueError, match="another model"):
        sample.opened(tmp_path)


def test_a_walk_begins_and_ends_where_it_should() -> None:
    first, last = jax.random.normal(jax.random.key(0), (2, 3, 16))
    rows = sample.walks(first, last, 5).reshape(3, 5, 16)
    np.testing.assert_allclose(rows[:, 0], first, atol=1e-6)
    np.testing.assert_allclose(rows[:, -1], last, atol=1e-6)
    np.testing.assert_array_equal(sample.by_row(2, 3), [0, 0, 0, 1, 1, 1])


def test_slerp_keeps_the_length_and_the_pace() -> None:
    a, b = jax.random.normal(jax.random.key(1), (2, 64))
    a, b = 3 * a / jnp.linalg.norm(a), 3 * b / jnp.linalg.norm(b)
    points = [slerp(a, b, t) for t in np.linspace(0, 1, 7).tolist()]
    np.testing.assert_allclose([jnp.linalg.norm(p) for p in points], 3, rtol=1e-5)
    paces = [float(p @ q) for p, q in itertools.pairwise(points)]
    np.testing.assert_allclose(paces, paces[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("a", "b", "middle"),
    [
        ([1.0, 2.0], [1.0, 2.0], [1.0, 2.0]),
        ([1.0, 2.0], [3.0, 6.0], [2.0, 4.0]),  # parallel
        ([1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]),  # opposite: no arc is singled out
        ([0.0, 0.0], [2.0, 0.0], [1.0, 0.0]),  # no direction at all
        ([1.0, 0.0], [1.0, 1e-6], [1.0, 5e-7]),
    ],
)
def test_slerp_without_an_arc_is_a_line(
    a: list[float], b: list[float], middle: list[float]
) -> None:
    found = slerp(jnp.array(a), jnp.array(b), 0.5)
    np.testing.assert_allclose(found, middle, rtol=1e-5, atol=1e-7)


def test_the_command(
    classes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def call(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["sample.py", *words])
        runpy.run_path(sample.__file__, run_name="__main__")

    call(str(classes), "--n", "3", "--out", str(tmp_path))
    said = capsys.readouterr().out.split()
    assert len(said) == 3
    assert all(Path(word).exists() for word in said)
    with pytest.raises(SystemExit, match="is not the directory of a run"):
        call(str(tmp_path))
