"""tensorflow-datasets in its real format, without TensorFlow and without a network."""

import io
import json
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_jax.data.cache import cached
from gan_jax.data.tfds import CELEB_A_FILES, tfds_images
from tests.celeba_fixture import write_celeba


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tfds")
    write_celeba(directory)
    return directory


def edited(data_dir: Path, target: Path, number: str = "2.1.0", **facts: str) -> Path:
    """A copy of the data set under another version, with other facts in its info."""
    copy = target / "celeb_a" / number
    shutil.copytree(data_dir / "celeb_a/2.1.0", copy)
    info = json.loads((copy / "dataset_info.json").read_text())
    (copy / "dataset_info.json").write_text(json.dumps(info | facts))
    return copy


def test_images_are_cropped_and_resized_like_any_others(data_dir: Path) -> None:
    source = tfds_images(data_dir=data_dir)
    assert len(source) == 48
    sample = source[5]
    assert set(sample) == {"real"}
    assert sample["real"].shape == (64, 64, 3)
    assert sample["real"].dtype == np.uint8
    colours = {tuple(source[i]["real"][32, 32] // 8) for i in range(48)}
    assert len(colours) > 40  # the ellipse's colour tells the images apart
    ours = tfds_images(data_dir=data_dir, size=140)[5]["real"]
    with zipfile.ZipFile(data_dir / "downloads/manual/img_align_celeba.zip") as archive:
        crops = [
            np.asarray(Image.open(io.BytesIO(archive.read(name))))[39:179, 19:159]
            for name in archive.namelist()
        ]
    assert sum(np.array_equal(ours, crop) for crop in crops) == 1


@pytest.mark.parametrize(
    ("split", "n"),
    [("test", 8), ("validation", 8), ("train[:25%]", 12), ("train[12:20]+test", 16)],
)
def test_splits_and_sub_splits(data_dir: Path, split: str, n: int) -> None:
    source = tfds_images(split=split, data_dir=data_dir)
    assert len(source) == n
    whole = tfds_images(data_dir=data_dir)
    if split == "train[12:20]+test":
        assert np.array_equal(source[0]["real"], whole[12]["real"])


def test_attributes(data_dir: Path) -> None:
    source = tfds_images(data_dir=data_dir, attributes=True)
    assert len(source.attribute_names) == 40
    assert "Smiling" in source.attribute_names
    rows = np.stack([source[i]["attributes"] for i in range(len(source))])
    assert rows.dtype == np.int32
    assert set(rows.ravel().tolist()) == {0, 1}
    assert source.fingerprint != tfds_images(data_dir=data_dir).fingerprint


def test_it_can_be_cached(data_dir: Path, tmp_path: Path) -> None:
    source = tfds_images(data_dir=data_dir, attributes=True)
    got = cached(source, tmp_path)
    assert np.array_equal(got[7]["real"], source[7]["real"])
    assert np.array_equal(got[7]["attributes"], source[7]["attributes"])


def test_older_versions_are_read_and_the_newest_is_preferred(
    data_dir: Path, tmp_path: Path
) -> None:
    edited(data_dir, tmp_path, "2.0.1", version="2.0.1")
    assert "celeb_a/2.0.1" in tfds_images(data_dir=tmp_path).fingerprint
    path = edited(data_dir, tmp_path)
    assert "celeb_a/2.1.0" in tfds_images(data_dir=tmp_path).fingerprint
    old = tfds_images("celeb_a:2.0.1", data_dir=tmp_path)
    assert "celeb_a/2.0.1" in old.fingerprint
    assert "celeb_a/2.1.0" in tfds_images(data_dir=path).fingerprint
    for name in ("cifar10", "celeb_a:2.0.1"):
        with pytest.raises(ValueError, match=f"celeb_a:2.1.0, not {name}"):
            tfds_images(name, data_dir=path)


def test_one_of_several_configs_must_be_named(data_dir: Path, tmp_path: Path) -> None:
    for config in ("64", "1024"):
        edited(data_dir, tmp_path / config)
        (tmp_path / "celeb_a").mkdir(exist_ok=True)
        (tmp_path / config / "celeb_a").rename(tmp_path / "celeb_a" / config)
    with pytest.raises(ValueError, match="one of celeb_a/1024, celeb_a/64"):
        tfds_images(data_dir=tmp_path)
    assert len(tfds_images("celeb_a/64", data_dir=tmp_path)) == 48


def test_an_absent_data_set_shows_three_ways_on(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        tfds_images(data_dir=tmp_path)
    message = str(caught.value)
    for name, size in CELEB_A_FILES.items():
        assert f"{name}  {size:,} bytes" in message
    for way in (str(tmp_path / "downloads/manual"), "--data PATH", "--preset demo"):
        assert way in message
    with pytest.raises(FileNotFoundError) as caught:
        tfds_images("cifar10", data_dir=tmp_path)
    assert "manual" not in str(caught.value)


@pytest.mark.parametrize("found", ["tfrecord", "parquet"])
def test_other_formats_are_refused_by_name(
    data_dir: Path, tmp_path: Path, found: str
) -> None:
    edited(data_dir, tmp_path, fileFormat=found)
    with pytest.raises(ValueError, match=f"format {found}.*") as caught:
        tfds_images(data_dir=tmp_path)
    assert "tfds convert_format" in str(caught.value)


@pytest.mark.parametrize("name", ["../celeb_a", "celeb_a/..", "/etc", "", "a/b/c"])
def test_names_do_not_lead_out_of_the_directory(data_dir: Path, name: str) -> None:
    with pytest.raises(ValueError, match="name is"):
        tfds_images(name, data_dir=data_dir)


@pytest.mark.parametrize("split", ["valid", "train+tst", "all"])
def test_unknown_splits_are_named(data_dir: Path, split: str) -> None:
    with pytest.raises(ValueError, match="there is no split"):
        tfds_images(split=split, data_dir=data_dir)


def test_the_environment_names_the_directory(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    assert len(tfds_images(split="test")) == 8


def test_neither_tensorflow_nor_the_network_is_used(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"the network was asked for: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(tfds_images(data_dir=data_dir)) == 48
    code = (
        "import sys, gan_jax.data as d\n"
        "lazy = {'tensorflow', 'tensorflow_datasets', 'PIL', 'sklearn'}\n"
        "assert not lazy & set(sys.modules), lazy & set(sys.modules)\n"
        "d.tfds_images(data_dir=sys.argv[1])[0]\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code, data_dir], cwd=root, check=True)
