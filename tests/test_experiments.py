"""Every experiment, shrunk, through its own entry point."""

import dataclasses
import gzip
import inspect
import json
import re
import runpy
import sys
import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import celeba, digits, fashion, image, toy
from experiments.run import initialize, main
from gan_jax.data import Arrays
from gan_jax.images import load_png
from gan_jax.train import Diverged, fit
from tests.celeba_fixture import write_celeba
from tests.commands import ROOT, closing, rows

EMOJI = ROOT.parent / "shared" / "data" / "noto-emoji-72" / "images.zip"
COUNT = 48  # of images in every data set, for one shape of the programs


pytestmark = pytest.mark.usefixtures("compiled", "own_place")


SHRUNK: dict[str, Any] = {
    "steps": 2,
    "batch_size": 16,
    "steps_per_call": 1,
    "log_every": 1,
    "sample_every": 1,
    "checkpoint_every": 1,
    "evaluate_every": 2,
    "width": 4,
    "latent": 4,
}
SMALL: dict[str, Any] = SHRUNK | {"size": 16, "evaluate_images": 16}


def check(directory: Path, steps: int = 2) -> list[dict[str, Any]]:
    """A run's directory holds all that a run leaves; its log."""
    log = rows(directory)
    assert [row["step"] for row in log] == list(range(1, steps + 1))
    assert all(np.isfinite(list(row.values())).all() for row in log)
    assert log[-1]["skipped"] == 0
    assert {"disc/loss", "gen/loss", "disc/grad_norm"} <= set(log[0])
    assert any(name.startswith("eval/") for name in log[-1])
    pictures = sorted(path.name for path in (directory / "samples").iterdir())
    assert pictures == [f"step_{step:08d}.png" for step in range(steps + 1)]
    first, *_, last = (load_png(directory / "samples" / name) for name in pictures)
    assert first.shape == last.shape
    assert (directory / "run.png").exists()
    saved = {path.name for path in (directory / "checkpoints").iterdir()}
    assert saved == {str(step) for step in range(1, steps + 1)}
    return log


def call(monkeypatch: pytest.MonkeyPatch, experiment: str, *options: str) -> None:
    """What ``python -m experiments.<experiment>`` does, in this process."""
    monkeypatch.setattr(sys, "argv", [f"{experiment}.py", *options])
    runpy.run_path(str(ROOT / "experiments" / f"{experiment}.py"), run_name="__main__")


def words(**options: Any) -> list[str]:
    """``options`` as on a command line."""
    pairs = ((f"--{k.replace('_', '-')}", str(v)) for k, v in options.items())
    return [word for pair in pairs for word in pair]


@pytest.mark.parametrize("preset", toy.PRESETS)
def test_toy(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    toy.run(dataclasses.replace(toy.PRESETS[preset], points=64, **SHRUNK))
    check(Path("runs/toy"))
    said = capsys.readouterr().out
    assert "done at step 2, digest " in said
    assert f"of {25 if preset == 'grid' else 8} modes" in said


def test_the_seed_decides_everything(capsys: pytest.CaptureFixture[str]) -> None:
    def run(name: str, seed: int) -> str:
        cfg = toy.Config(directory=Path(name), seed=seed, points=64, **SHRUNK)
        toy.run(cfg)
        return closing(capsys.readouterr().out)

    assert run("a", 0) == run("b", 0)
    assert rows(Path("a")) == rows(Path("b"))
    assert run("c", 1) != run("d", 0)


def test_digits(capsys: pytest.CaptureFixture[str]) -> None:
    cfg = dataclasses.replace(digits.PRESETS["plain"], gradient="merged", **SMALL)
    digits.run(cfg)
    log = check(Path("runs/digits"))
    assert "distance to the data" in capsys.readouterr().out
    assert 0 < log[-1]["eval/distance_floor"] < log[-1]["eval/distance"]
    picture = load_png(Path("runs/digits/samples/step_00000002.png"))
    assert picture.shape[0] == picture.shape[1] >= 8 * 16


def write_idx(folder: Path, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (COUNT, 28, 28), np.uint8)
    labels = np.arange(COUNT, dtype=np.uint8) % 10
    folder.mkdir()
    for name, magic, array in (
        ("train-images-idx3-ubyte.gz", 0x803, pixels),
        ("train-labels-idx1-ubyte.gz", 0x801, labels),
    ):
        head = np.array([magic, *array.shape], ">u4").tobytes()
        (folder / name).write_bytes(gzip.compress(head + array.tobytes()))


def test_fashion_with_classes() -> None:
    write_idx(Path("idx"))
    cfg = dataclasses.replace(
        fashion.PRESETS["classes"], data=Path("idx"), gradient="merged", **SMALL
    )
    fashion.run(cfg)
    check(Path("runs/fashion"))
    write_idx(Path("others"), seed=1)
    with pytest.raises(ValueError, match="source: "):
        fashion.run(dataclasses.replace(cfg, data=Path("others")))
    wrong = dataclasses.replace(cfg, classes=7, directory=Path("other"))
    with pytest.raises(ValueError, match="--classes 10"):
        fashion.run(wrong)
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        fashion.run(dataclasses.replace(wrong, data=Path("cache")))


FACES = dataclasses.replace(celeba.PRESETS["demo"], faces=COUNT, **SMALL)


def test_celeba_demo() -> None:
    celeba.run(FACES)
    check(Path("runs/celeba"))


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "hinge", "gradient": "merged", "penalty_every": 2, "accumulate": 2}
        | {"penalise_fakes": True},
        {"loss": "least_squares", "play": "alternating", "parallel": "pmap"}
        | {"gradient": "article", "bfloat16": True, "gamma": (0.0, 0.0)}
        | {"critic_steps": 2, "batch_size": 48},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_celeba_options(options: dict[str, Any]) -> None:
    celeba.run(dataclasses.replace(FACES, **options))
    check(Path("runs/celeba"))


IMAGES = {"celeba": celeba, "digits": digits, "fashion": fashion}
PRESETS = [
    *(("celeba", preset) for preset in ("celeba64", "celeba128", "r3")),
    *(("digits", preset) for preset in digits.PRESETS),
    *(("fashion", preset) for preset in fashion.PRESETS),
]


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_every_preset_fits_together_in_its_true_size(name: str, preset: str) -> None:
    # Whether one backward pass is enough is tried out on numbers: too slow here.
    cfg = dataclasses.replace(IMAGES[name].PRESETS[preset], gradient="merged")
    task = image.task(cfg, lambda: None)
    model, batch = task.model(None), task.example(cfg.batch_size)
    state = jax.eval_shape(model.init, jax.random.key(0), batch)
    after, info = jax.eval_shape(model.step, state, batch)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    assert all(x.shape == () for x in info.values())
    dtypes = {x.dtype.name for x in jax.tree.leaves((state.params, state.ema))}
    assert dtypes == {"float32"}  # also where bfloat16 is computed in


def test_celeba_from_tfds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_celeba(tmp_path / "data", 64)  # of which 48 are for training
    options = words(**SMALL, data_dir=tmp_path / "data")
    call(monkeypatch, "celeba", *options)
    directory = Path("runs/celeba")
    check(directory)
    stored = json.loads((directory / "config.json").read_text())
    assert "celeb_a/2.1.0" in stored["source"]
    assert str(tmp_path) not in json.dumps(stored)
    assert stored["bfloat16"]  # the default run's


def test_celeba_missing_says_three_ways_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "celeba", *words(**SMALL))
    message = str(ended.value.code)
    for way in ("tfds build celeb_a", "identity_CelebA.txt", "--data PATH", "demo"):
        assert way in message
    assert not list(Path("runs").rglob("checkpoints/*"))


def pictures(folder: Path) -> None:
    random = np.random.default_rng(0)
    folder.mkdir()
    for i in range(COUNT):
        kind, shape = (("png", (40, 30, 4)), ("jpg", (24, 50, 3)))[i % 2]
        pixels = random.integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.{kind}")


def test_ones_own_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(Path("pictures"))
    options = words(**SMALL, directory="folder", data="pictures")
    call(monkeypatch, "celeba", *options, "--no-bfloat16")
    check(Path("folder"))
    with pytest.raises(SystemExit, match="no such folder"):
        call(monkeypatch, "celeba", *words(**SMALL, directory="b", data="./nowhere"))


def test_emoji(monkeypatch: pytest.MonkeyPatch) -> None:
    if not EMOJI.exists():
        pytest.skip("the zip of emoji is not there")
    some = Path("emoji.zip")
    with zipfile.ZipFile(EMOJI) as whole, zipfile.ZipFile(some, "w") as part:
        names = [name for name in sorted(whole.namelist()) if name.endswith(".png")]
        for name in names[:: len(names) // COUNT][:COUNT]:
            part.writestr(Path(name).name, whole.read(name))
    call(monkeypatch, "celeba", *words(**SMALL, data=some), "--no-bfloat16")
    check(Path("runs/celeba"))


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_dry_run_opens_no_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], parallel: str
) -> None:
    options = words(size=16, width=4, batch_size=16, parallel=parallel)
    call(monkeypatch, "celeba", "--preset", "celeba64", *options, "--dry-run")
    said = capsys.readouterr().out
    for player in ("gen", "disc"):
        count = said.split(f"{player}: ")[1].split(" parameters")[0]
        assert int(count.replace(",", "")) > 100
    assert ("GFLOP" in said and "MiB temporary" in said) == (parallel == "jit")
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("options", "wanted", "status"),
    [
        (["--preset", "celeba65"], "invalid choice", 2),
        (["--no-such-option", "1"], "--no-such-option", 2),
        (["--network", "vgg"], "vgg", 2),
        (["--steps", "many"], "many", 2),
        (["--batch-size", "17"], "nearest sizes are 16 and 24", 1),
        (["--log-every", "7", "--steps-per-call", "2"], "log_every", 1),
    ],
)
def test_what_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    wanted: str,
    status: int,
) -> None:
    small = words(data="faces", faces=COUNT, size=16, width=4)
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "celeba", *small, *options)
    # With words for a code Python prints them and ends with 1.
    assert (1 if isinstance(ended.value.code, str) else ended.value.code) == status
    assert wanted in f"{ended.value.code}{''.join(capsys.readouterr())}"


def test_drawn_faces_are_cut_and_grey_as_asked() -> None:
    plain = celeba.source(FACES)
    cut = celeba.source(dataclasses.replace(FACES, crop=8, channels=1))
    assert (plain[0]["real"].shape, cut[0]["real"].shape) == ((16, 16, 3), (16, 16, 1))
    inner = Image.fromarray(plain[0]["real"]).crop((4, 4, 12, 12)).convert("L")
    enlarged = np.asarray(inner.resize((16, 16), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(cut[0]["real"][..., 0], enlarged)


def test_a_single_image_has_no_halves() -> None:
    one = Arrays({"real": np.zeros((1, 16, 16, 1), np.uint8)})
    with pytest.raises(ValueError, match=r"single image.* --evaluate none"):
        image.distances(digits.Config(), image.model(digits.Config()), one)


def test_only_what_srun_started_joins_a_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def join() -> None:
        raise RuntimeError("nobody is there")

    monkeypatch.setattr(jax.distributed, "initialize", join)
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.delenv("SLURM_STEP_NODELIST", raising=False)
    initialize("auto")  # the shell of an allocation
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[1-4]")
    with pytest.raises(ValueError, match=r"nobody is there.* --distributed no"):
        initialize("auto")


def test_a_run_that_diverged_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    def run(cfg: Any) -> None:
        raise Diverged("20 steps in a row")

    with pytest.raises(SystemExit, match=r"^diverged: 20 steps in a row$"):
        main(run, None)
    assert toy.Config().stop_after_bad == 20
    assert inspect.signature(fit).parameters["stop_after_bad"].default == 20


def test_both_players_schedules_end_together_when_one_moves_more_often():
    cfg = digits.Config(
        width=4,
        latent=4,
        steps=3,
        play="alternating",
        critic_steps=2,
        gradient="merged",
        rate_gen=(1e-3, 1e-4),
        rate_disc=(1e-3, 1e-4),
    )
    model = image.model(cfg)
    batch = {"real": jnp.zeros((6, 16, 16, 1), jnp.uint8)}
    state = jax.jit(model.init)(jax.random.key(0), batch)
    step = jax.jit(model.step)
    for number in range(3):
        state, info = step(state, batch)
        # D's rate is that of its second move in the step, G's that of its only one.
        share = {"gen": number / 3, "disc": (2 * number + 1) / 6}
        for player, x in share.items():
            wanted = 1e-4 + 9e-4 * (1 + np.cos(np.pi * x)) / 2
            assert float(info[f"{player}/learning_rate"]) == pytest.approx(
                wanted, rel=1e-5
            )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"critic_steps": 5}, "--critic-steps 5 wants --play alternating"),
        ({"penalty_every": 0}, "--penalty-every is 0"),
        ({"evaluate_images": 0}, "--evaluate-images is 0"),
        ({"gamma": (2.0, 0.0)}, "exponential schedule from 2.0 to 0.0"),
        ({"gamma": (0.0, 1.0)}, "exponential schedule from 0.0 to 1.0"),
    ],
)
def test_options_that_contradict_each_other_are_refused(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        image.model(dataclasses.replace(digits.Config(), **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seed": 2**32}, "--seed is"), ({"steps_per_call": 0}, "--steps-per-call is 0")],
)
def test_numbers_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        digits.run(dataclasses.replace(digits.Config(), **change))
