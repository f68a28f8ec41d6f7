"""The command that scores one set of images against another."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import digits, image, sample
from experiments.evaluate import __main__ as command
from experiments.evaluate import measures, sides, spaces
from experiments.run import plain
from gan_jax import data
from gan_jax.checkpoint import Checkpoints
from gan_jax.directory import write_config
from gan_jax.evaluate.features import of, pca
from gan_jax.evaluate.frechet import frechet_distance, frechet_infinity
from gan_jax.evaluate.kernels import kernel_distance
from gan_jax.evaluate.measurement import from_json
from gan_jax.evaluate.moments import moments
from gan_jax.evaluate.neighbours import (
    density_coverage,
    nearest_neighbour_test,
    precision_recall,
)
from gan_jax.evaluate.prd import precision_recall_curve
from gan_jax.evaluate.similarity import self_similarity
from gan_jax.evaluate.sliced import sliced_wasserstein
from gan_jax.gan import latents
from gan_jax.images import save_png, to_uint8
from gan_jax.latents import normal
from tests.commands import ROOT
from tests.test_experiments import write_idx

CHEAP = ("fd", "precision-recall", "1-nn")


pytestmark = pytest.mark.usefixtures("compiled", "own_place")


def options(real: str, scored: str, **given: Any) -> command.Options:
    return command.Options(real=real, scored=scored, **({"cache": "none"} | given))


def drawn(n: int = 40, size: int = 8, channels: int = 1, seed: int = 0) -> np.ndarray:
    shape = (n, size, size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def rows_of(images: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in images}


def write_kinds() -> dict[str, tuple[int, tuple[int, ...]]]:
    """One of each kind on disk; how many of what shape each holds."""
    colour = drawn(6, 9, 3)
    np.savez("images.npz", images=drawn(), labels=np.arange(40) % 4)
    np.save("points.npy", np.random.default_rng(0).normal(size=(30, 5)))
    with zipfile.ZipFile("pictures.zip", "w") as archive:
        for i, pixels in enumerate(colour):
            save_png(Path(f"pictures/{i}.png"), pixels)
            archive.write(f"pictures/{i}.png")
        # What is hidden is no image, and says nothing of the others' size.
        archive.writestr("__MACOSX/pictures/._0.png", b"none")
    save_png(Path("pictures/.thumbnails/0.png"), drawn(1, 4, 3)[0])
    write_idx(Path("idx"))
    for name in ("images-idx3", "labels-idx1"):
        first = Path(f"idx/train-{name}-ubyte.gz")
        (first.parent / f"a-{name}-ubyte.gz").write_bytes(first.read_bytes()[:-1])
    return {
        "images.npz": (40, (8, 8, 1)),
        "points.npy": (30, (5,)),
        "pictures": (6, (9, 9, 3)),
        "pictures.zip": (6, (9, 9, 3)),
        "idx": (48, (28, 28, 1)),  # those to train; the other file is damaged
        "idx/train-images-idx3-ubyte.gz": (48, (28, 28, 1)),
        "faces:7:16:3": (7, (16, 16, 3)),
        "faces:7": (7, (32, 32, 3)),
        "digits": (1797, (8, 8, 1)),
    }


def test_what_may_stand_on_a_side() -> None:
    for word, (count, shape) in write_kinds().items():
        found = sides.side(word)
        assert (found.total, found.resize, found.weights) == (count, "none", "none")
        some = found.take(5, 0)["real"]
        assert some.shape == (5, *shape), word
        assert len(rows_of(some)) == 5
        # A larger draw begins with the smaller one; another seed draws others.
        np.testing.assert_array_equal(found.take(6, 0)["real"][:5], some)
        assert rows_of(found.take(5, 1)["real"]) != rows_of(some)
        if len(shape) == 3:
            other = sides.side(word, size=12)
            assert other.take(3, 0)["real"].shape == (3, 12, 12, shape[2]), word
            assert other.resize == "lanczos to 12"
            assert other.fingerprint != found.fingerprint
    np.testing.assert_array_equal(
        sides.side("faces:7:16:3").take(1, 0)["real"],
        data.faces(7, 16, 3).gather(np.random.default_rng(0).permutation(7)[:1])[
            "real"
        ],
    )
    labelled = sides.side("images.npz").take(40, 0)
    by_image = {i.tobytes(): k % 4 for k, i in enumerate(drawn())}
    assert [by_image[i.tobytes()] for i in labelled["real"]] == [*labelled["label"]]
    assert sides.side("images.npz", size=8).resize == "none"


def test_image_files_that_differ() -> None:
    save_png(Path("mixed/0.png"), drawn(1, 9)[0, ..., 0])
    save_png(Path("mixed/1.png"), drawn(1, 9, 3)[0])
    # One of colour makes all colour, wherever it stands.
    assert sides.side("mixed").take(2, 0)["real"].shape == (2, 9, 9, 3)
    save_png(Path("mixed/2.png"), drawn(1, 12)[0, ..., 0])
    with pytest.raises(ValueError, match=r"2\.png is 12x12 and 0\.png 9x9.*--size 9"):
        sides.side("mixed").take(3, 0)
    save_png(Path("wide/0.png"), drawn(1, 12)[0, :9, :, 0])
    with pytest.raises(ValueError, match=r"0\.png is 12x9.*--size 9"):
        sides.side("wide")
    for word, count in (("mixed", 3), ("wide", 1)):
        found = sides.side(word, size=9)
        assert found.take(count, 0)["real"].shape[1:3] == (9, 9)
        assert found.resize == "lanczos to 9"
    Path("mixed/2.png").unlink()
    assert sides.side("mixed", size=9).resize == "none"


def test_what_may_not() -> None:
    write_kinds()
    Path("empty").mkdir()
    for word, error in (
        ("nowhere", "nothing is there"),
        ("empty", "no image found.* no config.json"),
        ("tfds:cifar10:test", "give it as --size"),
        ("faces:many", "faces:N:SIZE:SEED"),
        ("faces:1:2:3:4", "faces:N:SIZE:SEED"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=error):
            sides.side(word)
    for real, scored, given, error in (
        ("images.npz", "digits", {"n": 41}, "--n is 41, but there are 40 real"),
        ("images.npz", "digits", {"n": 1}, "give 2 to 40"),
        ("images.npz", "points.npy", {}, "features of the same function"),
        ("images.npz", "idx", {}, "28x28x1.*--size 8"),
        ("images.npz", "faces:9:8:0", {}, "Grey and colour"),
        ("images.npz", "images.npz", {"measures": ("fid",)}, "fid is not known"),
        ("images.npz", "images.npz", {"features": ("dino",)}, "--features dino"),
        ("images.npz", "images.npz", {"features": ("inception",)}, "docs/inception"),
        ("images.npz", "images.npz", {"measures": ("cs",)}, "of none of the features"),
        ("pictures", "pictures", {"features": ("classifier",)}, "has none"),
    ):
        given = {"features": (), "measures": ("fd",)} | given
        with pytest.raises(ValueError, match=error):
            command.evaluate(options(real, scored, **given))


def test_figures_are_those_of_the_measures_beside_their_floors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save("real.npy", drawn(60))
    np.save("fake.npy", drawn(30, seed=1) // 2)
    found = command.evaluate(
        options("real.npy", "fake.npy", features=("pca4", "pixels"), measures=CHEAP)
    )
    real = sides.side("real.npy").take(60, 0)["real"]
    fake = sides.side("fake.npy").take(30, 1)["real"]
    features = pca(real[:30], 4)
    x, y = features(real), features(fake)
    by_name = {m.name: m for m in found}
    assert len(by_name) == len(found) == 12
    about = f"[pca4-{features.digest[:8]}, N=30, resize none, uint8]"
    fd = by_name[f"FD{about}"]
    assert fd.value == frechet_distance(moments(x[:30]), moments(y))
    assert fd.floor == frechet_distance(moments(x[:30]), moments(x[30:]))
    assert by_name[f"recall k=3{about}"].value == precision_recall(x[:30], y).recall
    test = nearest_neighbour_test(x[:30], y)
    assert by_name[f"1-NN fake{about}"].value == test.fake
    assert {m.floor_count for m in found} == {30}
    said = capsys.readouterr().out
    assert "30 samples of each" in said
    assert "floors: between" not in said
    assert f"{fd.value:.3g}" in said
    records = json.loads(Path("runs/evaluation/evaluation.json").read_text())
    assert [from_json(json.dumps(r["measurement"])) for r in records] == found
    assert {r["scored"]["name"] for r in records} == {"fake.npy"}
    assert Path("runs/evaluation/table.md").read_text().strip() in said
    assert "FID" not in said


def test_few_real_samples_make_a_floor_of_fewer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save("real.npy", np.random.default_rng(0).normal(size=(50, 3)))
    np.save("fake.npy", np.random.default_rng(1).normal(size=(40, 3)))
    found = command.evaluate(options("real.npy", "fake.npy", measures=("fd", "kd")))
    said = capsys.readouterr().out
    assert "halves of 25 real samples" in said
    assert "--n 25" in said
    assert (found[0].real_count, found[0].floor_count) == (40, 25)
    assert found[0].name == "FD[given, N=40, resize unknown, unknown]"
    assert [(m.measure, m.floor_measure) for m in found] == [
        ("FD", None),
        ("KD 1x40", "KD 1x25"),
    ]
    assert "(KD 1x25, N=25)" in said
    same = command.evaluate(options("real.npy", "real.npy", measures=("fd",)))
    assert same[0].value == pytest.approx(0, abs=1e-12)
    assert "same samples" not in said
    assert "both are the same samples" in capsys.readouterr().out


def test_by_default_all_that_fits_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measures, "PATCHES", 160)  # sorting them is slow
    np.save("real.npy", drawn(80, 16))
    np.save("fake.npy", drawn(40, 16, seed=1) // 2)
    found = command.evaluate(options("real.npy", "fake.npy", features=("pca4",)))
    names = [m.measure for m in found]
    assert names == [
        "SW2",
        "SWD 16 4 patches",
        "SWD 16+8 4 patches",
        "MS-SSIM 1 levels",
        "FD",
        "FD-infinity",
        "KD 1x40",
        "precision k=3",
        "recall k=3",
        "density k=5",
        "coverage k=5",
        "PRD F8",
        "PRD F1/8",
        "1-NN",
        "1-NN real",
        "1-NN fake",
    ]
    # Those that no other test here computes by hand, of the very same samples.
    value = {m.measure: m.value for m in found}
    real = sides.side("real.npy").take(80, 0)["real"]
    fake = sides.side("fake.npy").take(40, 1)["real"]
    features = pca(real[:40], 4)
    x, y = features(real)[:40], features(fake)
    assert value["KD 1x40"] == kernel_distance(x, y).value
    assert value["FD-infinity"] == frechet_infinity(x, y).value
    density = density_coverage(x, y)
    assert (value["density k=5"], value["coverage k=5"]) == density
    curve = precision_recall_curve(x, y)
    assert (value["PRD F8"], value["PRD F1/8"]) == (curve.f_recall, curve.f_precision)
    assert value["PRD F8"] != value["PRD F1/8"]
    same = self_similarity(fake, jax.random.key(0), pairs=1000, levels=1)
    assert value["MS-SSIM 1 levels"] == same.mean
    both = (real[:40], fake)
    flat = [z.reshape(len(z), -1) / np.float32(127.5) - 1 for z in both]
    distance = jax.jit(sliced_wasserstein)(*flat, jax.random.key(0))
    assert value["SW2"] == pytest.approx(float(distance), rel=1e-6)
    sw2 = found[0]
    assert sw2.floor is not None
    assert sw2.value > 2 * sw2.floor  # half as bright is another distribution
    assert sw2.features is not None
    assert sw2.features.name == "pixels16x16x1"
    few = {"features": ("pixels",), "n": 3, "out": Path("few")}
    found = command.evaluate(options("real.npy", "fake.npy", **few))
    said = capsys.readouterr().out
    assert "density-coverage of pixels16x16x1" in said
    assert "is left out: there are 3 real" in said
    assert "FD" in [m.measure for m in found]


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of digits with classes, whose average is not its raw weights."""
    directory = tmp_path_factory.mktemp("place") / "a-run"
    small: dict[str, Any] = {"width": 4, "latent": 4, "batch_size": 8, "steps": 4}
    cfg = digits.Config(classes=3, gradient="merged", **small)
    task = image.task(cfg, lambda: None)  # type: ignore[arg-type,return-value]
    batch = {k: jnp.zeros(x.shape, x.dtype) for k, x in task.example(8).items()}
    state = jax.jit(task.model(None).init)(jax.random.key(0), batch)
    ema = jax.tree.map(lambda x: 0 * x, state.ema)
    with Checkpoints(directory / "checkpoints") as checkpoints:
        checkpoints.save(4, state._replace(ema=ema))
    write_config(directory, plain("digits", cfg) | {"source": "of no matter"})
    return directory


def test_a_run_is_drawn_from(a_run: Path) -> None:
    found = sides.side(str(a_run))
    assert (found.name, found.total, found.weights) == ("a-run step 4", None, "ema")
    averaged = found.take(130, 0)["real"]
    assert (averaged.shape, averaged.dtype) == ((130, 16, 16, 1), np.uint8)
    assert len(rows_of(averaged)) == 1  # an average of nothing
    raw = sides.side(str(a_run), weights="raw")
    images = raw.take(130, 0)["real"]
    assert (raw.weights, len(rows_of(images))) == ("raw", 130)
    trained = sample.opened(a_run)
    z_key, label_key = jax.random.split(jax.random.key(0))
    z = latents(normal(4), z_key, 130)
    label = jax.random.randint(label_key, (130,), 0, 3)
    state = trained.state
    state = state._replace(ema={"gen": state.params["gen"]})
    state = image.settled(trained.cfg, trained.model, state)
    expected = to_uint8(trained.model.sample(state, z[100:], label[100:]))
    assert np.abs(images[100:].astype(int) - expected).max() <= 1
    smaller = sides.side(str(a_run), size=8, weights="raw")
    assert smaller.take(5, 0)["real"].shape == (5, 8, 8, 1)
    assert smaller.resize == "lanczos to 8"


def test_the_command_in_a_process_of_its_own(a_run: Path, tmp_path: Path) -> None:
    words = ["digits", str(a_run), "--size", "16", "--n", "60", "--weights", "raw"]
    words += ["--measures", "fd", "1-nn", "--features", "pca16", "--out", "here"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.evaluate", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    )
    assert "real: digits; scored: a-run step 4; 60 samples of each" in done.stdout
    assert "a-run step 4 draws each of its 3 labels equally often" in done.stdout
    records = json.loads((tmp_path / "here/evaluation.json").read_text())
    fd, test, *_ = (from_json(json.dumps(r["measurement"])) for r in records)
    assert fd.features is not None
    assert (fd.weights, fd.features.resize) == ("raw", "lanczos to 16")
    assert fd.value > 2 * (fd.floor or np.inf)
    assert test.value > 0.9


def test_a_classifier_is_trained_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.arange(90) % 2
    # The classes are far apart: dark and bright images.
    images = (drawn(90) // 2 + 127 * labels[:, None, None, None]).astype(np.uint8)
    np.savez("real.npz", images=images, labels=labels)
    np.save("dark.npy", images[labels == 0])
    given = {"features": ("classifier",), "measures": ("fd", "cs"), "n": 20}
    monkeypatch.setattr(spaces, "EPOCHS", 10)
    monkeypatch.setattr(command, "FEW_LABELLED", 50)
    once = command.evaluate(options("real.npz", "dark.npy", cache="kept", **given))
    said = capsys.readouterr().out
    assert "training a classifier on 50 images" in said  # none of those compared
    assert "the very images" not in said
    fd, cs = once
    assert fd.value > 2 * (fd.floor or np.inf)
    assert cs.value < 1.2 < 1.6 < (cs.floor or 0)  # one class of two

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it was there already")

    for name in ("classifier", "pca"):
        monkeypatch.setattr(spaces, name, refuse)
    again = command.evaluate(options("real.npz", "dark.npy", cache="kept", **given))
    assert again == once
    (file,) = Path("kept").glob("classifier-*.npz")
    assert Path("kept").stat().st_mode & 0o777 == 0o700
    saved = {"features": (str(file),), "measures": ("fd",), "n": 20}
    assert command.evaluate(options("real.npz", "dark.npy", **saved))[0] == fd
    kept = bytearray(file.read_bytes())
    kept[len(kept) // 2] ^= 1
    file.write_bytes(kept)
    with pytest.raises(AssertionError, match="it was there"):
        command.evaluate(options("real.npz", "dark.npy", cache="kept", **given))
    assert "It is trained anew" in capsys.readouterr().out


def test_real_features_are_kept_by_what_they_depend_on() -> None:
    calls = []

    def function(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        return images.reshape(len(images), -1)[:, :3].astype(np.float32)

    features = of("f", function, 3, digest="ab" * 32)
    space = spaces.Space(features, spaces.record(features, "none"), costly=True)
    images = drawn(10)
    first = spaces.real_features(space, images, "a", Path("kept"))
    np.testing.assert_array_equal(first, features.function(images))
    calls.clear()
    again = spaces.real_features(space, images, "a", Path("kept"))
    np.testing.assert_array_equal(again, first)
    assert not calls
    # Other content, though what names the data set is the same.
    spaces.real_features(space, drawn(10, seed=1), "a", Path("kept"))
    assert calls == [10]
    calls.clear()
    other = space._replace(record=spaces.record(features, "lanczos to 8"))
    for what, where in (((space, "b"), "kept"), ((other, "a"), "kept")):
        spaces.real_features(what[0], images, what[1], Path(where))
    spaces.real_features(space, images, "a", None)
    assert calls == [10, 10, 10]


def test_inceptions_names_are_for_inceptions_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stand_in(path: Path) -> Any:
        return of(
            "inception-v3-2015@" + "ab" * 6,
            lambda x: x.reshape(len(x), -1)[:, :4].astype(np.float32) / 255,
            4,
            preprocessing="TF1 bilinear to 299",
            digest="ab" * 32,
            head=lambda x: x[:, :2],
        )

    monkeypatch.setattr(spaces, "inception", stand_in)
    np.save("real.npy", drawn(60))
    found = command.evaluate(
        options(
            "real.npy",
            "real.npy",
            features=("inception", "pca4"),
            inception_weights=Path("weights.npz"),
            measures=("fd", "fd-infinity", "kd", "cs"),
        )
    )
    assert [m.measure for m in found] == [
        *("FID", "FID-infinity", "KID 1x60", "IS 1 splits"),
        *("FD", "FD-infinity", "KD 1x60"),
    ]
    assert found[0].name == (
        "FID[inception-v3-2015-abababab, N=60, resize none, then TF1 bilinear to 299, "
        "uint8]"
    )


def test_large_features_leave_out_what_is_slow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SLOW_ABOVE", {"fd": 100, "fd-infinity": 20})
    np.save("real.npy", drawn(60))
    small = {n: measures.MEASURES[n] for n in ("fd", "fd-infinity", "precision-recall")}
    monkeypatch.setattr(command, "MEASURES", small)
    found = command.evaluate(options("real.npy", "real.npy", features=("pixels",)))
    assert [m.measure for m in found] == ["FD", "precision k=3", "recall k=3"]
    assert "fd-infinity of pixels8x8x1" in capsys.readouterr().out


def test_only_equally_many_samples_of_a_run(a_run: Path) -> None:
    side = sides.side(str(a_run))
    some = SimpleNamespace(n=None)
    assert command.counts(some, side, side) == (10_000, 20_000)
    few = side._replace(total=70)
    assert command.counts(some, few, side) == (70, 70)
    assert command.counts(SimpleNamespace(n=30), few, side) == (30, 60)
