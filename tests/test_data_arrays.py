"""Arrays in memory, .npy, .npz, IDX and scikit-learn's digits."""

import gzip
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gan_jax.data.digits import digits
from gan_jax.data.idx import idx_images, read_idx
from gan_jax.data.numpy_files import numpy_arrays
from gan_jax.data.paths import open_images
from gan_jax.data.resized import Resized
from gan_jax.data.source import Arrays, Source

SHARED = Path(__file__).parents[2] / "shared/data"
FASHION = SHARED / "fashion-mnist/train-images-idx3-ubyte.gz"
MNIST = SHARED / "mnist-t10k/t10k-images-idx3-ubyte.gz"


def images(n: int = 6, size: int = 8, channels: int = 3) -> np.ndarray:
    shape = (n, size, size, channels)
    return np.random.default_rng(n).integers(0, 256, shape).astype(np.uint8)


def idx(array: np.ndarray) -> bytes:
    head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def test_arrays_are_a_source_with_vectorised_gather() -> None:
    label = np.arange(6)
    source = Arrays({"real": images(), "label": label}, classes=tuple("abcdef"))
    assert isinstance(source, Source)
    rows = source.gather(np.array([4, 1, 4]))
    for row, i in enumerate([4, 1, 4]):
        assert np.array_equal(rows["real"][row], source[i]["real"])
        assert rows["label"][row] == source[i]["label"] == i
    assert rows["label"].dtype == source[0]["label"].dtype == np.int32
    assert source.fingerprint == Arrays({"real": images(), "label": label}).fingerprint
    other = Arrays({"real": images() + np.uint8(1), "label": label})
    assert source.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"x": images()}, "one must be 'real'"),
        ({"real": images(), "label": np.arange(5)}, "lengths"),
        ({"real": images()[:0]}, "lengths"),
        ({"real": images().astype(np.int64)}, "uint8 images"),
        ({"real": images()[..., 0]}, "uint8 images"),
        ({"real": np.zeros((5, 2))}, "float32 points"),
    ],
)
def test_arrays_refuse_what_no_batch_can_hold(arrays: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Arrays(arrays)


def test_indices_beyond_the_end_are_refused() -> None:
    source = Arrays({"real": images()})
    for index in (-1, 6):
        with pytest.raises(IndexError):
            source[index]
    assert len(list(source)) == 6


@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 8, 8, 1), (6, 8, 8, 3)])
def test_npy_is_mapped(tmp_path: Path, shape: tuple[int, ...]) -> None:
    real = images()[..., : shape[-1] if len(shape) == 4 else 1].reshape(shape)
    np.save(tmp_path / "x.npy", real)
    source = numpy_arrays(tmp_path / "x.npy")
    assert isinstance(source.arrays["real"], np.memmap)
    assert np.array_equal(source.arrays["real"].reshape(shape), real)
    assert open_images(tmp_path / "x.npy", 8)[2]["real"].shape == (8, 8, 3)
    assert open_images(tmp_path / "x.npy", 4, None, 1)[2]["real"].shape == (4, 4, 1)


def test_npy_points(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(10.0).reshape(5, 2))
    source = numpy_arrays(tmp_path / "x.npy")
    assert source[1]["real"].dtype == np.float32
    assert source[1]["real"].tolist() == [2, 3]
    with pytest.raises(ValueError, match="points, not images"):
        open_images(tmp_path / "x.npy", 8)


@pytest.mark.parametrize("real", ["real", "images", "x"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, real: str, save: object) -> None:
    arrays = {
        real: images(),
        "labels": np.arange(6),
        "attributes": np.eye(6, dtype=int),
    }
    save(tmp_path / "x.npz", **arrays)
    source = numpy_arrays(tmp_path / "x.npz")
    sample = source[3]
    assert np.array_equal(sample["real"], images()[3])
    assert sample["label"] == 3
    assert sample["attributes"].tolist() == [0, 0, 0, 1, 0, 0]
    np.savez(tmp_path / "y.npz", images())
    assert len(numpy_arrays(tmp_path / "y.npz")) == 6


def test_labels_are_counted_from_0_and_classes_say_what_they_were(
    tmp_path: Path,
) -> None:
    label = np.array([26, 1, 3, 1, 26, 3])
    np.savez(tmp_path / "x.NPZ.npz", real=images(), label=label - 2)
    (tmp_path / "x.NPZ.npz").rename(tmp_path / "x.NPZ")
    (tmp_path / "x-images-idx3-ubyte").write_bytes(idx(images(channels=1)[..., 0]))
    (tmp_path / "x-labels-idx1-ubyte").write_bytes(idx(label.astype(np.uint8)))
    for source, classes in (
        (numpy_arrays(tmp_path / "x.NPZ"), ("-1", "1", "24")),
        (idx_images(tmp_path / "x-images-idx3-ubyte"), ("1", "3", "26")),
    ):
        assert source.classes == classes
        assert source.arrays["label"].tolist() == [2, 0, 1, 0, 2, 1]


def test_files_of_one_size_and_time_are_told_apart(tmp_path: Path) -> None:
    def fingerprint(real: np.ndarray) -> str:
        np.save(tmp_path / "x.npy", real)
        os.utime(tmp_path / "x.npy", (0, 0))
        return numpy_arrays(tmp_path / "x.npy").fingerprint

    assert fingerprint(images()) == fingerprint(images())
    assert fingerprint(images()) != fingerprint(images() + np.uint8(1))


def test_a_damaged_npz_that_was_compressed_is_named(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", real=images())
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[60:90] = b"\xff" * 30  # no code of deflate
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.npz"):
        numpy_arrays(tmp_path / "x.npz")


class Mark:
    """Leaves a file behind when unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (open, (self.path, "w"))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "marker"
    evil = np.array([Mark(str(mark))], object)
    np.save(tmp_path / "a.npy", evil, allow_pickle=True)
    np.savez(tmp_path / "b.npz", real=evil, allow_pickle=True)
    np.savez(tmp_path / "c.npz", real=images(), label=evil, allow_pickle=True)
    (tmp_path / "d.npy").write_bytes(pickle.dumps(Mark(str(mark))))
    (tmp_path / "e.npz").write_bytes(pickle.dumps(Mark(str(mark))))
    for name in ("a.npy", "b.npz", "c.npz", "d.npy", "e.npz"):
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            numpy_arrays(tmp_path / name)
    assert not mark.exists()


def test_headers_that_promise_too_much_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", images())
    data = (tmp_path / "x.npy").read_bytes()
    huge = data.replace(b"(6, 8, 8, 3)", b"(99999999999, 8, 8, 3)")
    huge = huge[:80].replace(b" " * 10, b"", 1) + huge[80:]  # keep the header's length
    for bad in (data[:-50], huge, data[:5], b""):
        (tmp_path / "bad.npy").write_bytes(bad)
        with pytest.raises(ValueError, match=r"bad\.npy"):
            numpy_arrays(tmp_path / "bad.npy")
        with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
            archive.writestr("real.npy", bad)
        with pytest.raises(ValueError, match=r"bad\.npz"):
            numpy_arrays(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    "arrays",
    [
        {"real": np.zeros((6, 8, 8, 3))},
        {"real": np.zeros(6, np.uint8)},
        {"other": images()},
        {"real": images(), "labels": np.zeros(6)},
        {"real": images(), "labels": np.zeros((6, 2), int)},
    ],
)
def test_npz_of_other_things_is_refused(tmp_path: Path, arrays: dict) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match=r"x\.npz"):
        numpy_arrays(tmp_path / "x.npz")


@pytest.mark.parametrize("zipped", [False, True])
def test_idx(tmp_path: Path, zipped: bool) -> None:
    real, label = images(channels=1)[..., 0], np.arange(6, dtype=np.uint8)
    pack, end = (gzip.compress, ".gz") if zipped else (bytes, "")
    path = tmp_path / f"train-images-idx3-ubyte{end}"
    path.write_bytes(pack(idx(real)))
    assert "label" not in idx_images(path)[0]
    (tmp_path / f"train-labels-idx1-ubyte{end}").write_bytes(pack(idx(label)))
    source = idx_images(path)
    assert np.array_equal(source.arrays["real"][..., 0], real)
    assert source[4]["label"] == 4
    assert open_images(path, 16)[4]["real"].shape == (16, 16, 3)
    assert open_images(path, 16)[4]["label"] == 4
    (tmp_path / f"train-labels-idx1-ubyte{end}").write_bytes(pack(idx(label[:5])))
    with pytest.raises(ValueError, match="5 labels for 6"):
        idx_images(path)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("data", "word"),
    [
        (idx(np.arange(6, dtype=np.uint8)), "magic number"),
        (idx(images(channels=1)[..., 0])[:-1], "shape"),
        (idx(images(channels=1)[..., 0]) + b"x", "do not fit"),
        (bytes((0, 0, 8, 3)) + struct.pack(">3I", 2**31, 2**10, 2**10), "announces"),
        (bytes((0, 0, 8, 3)) + struct.pack(">3I", 1000, 1000, 1000), "announces"),
        (b"\0\0\x08", "magic number"),
        (bytes((0, 0, 8, 3, 0)), "not a whole"),
    ],
)
def test_bad_idx_is_named(tmp_path: Path, zipped: bool, data: bytes, word: str) -> None:
    path = tmp_path / "x-idx3-ubyte"
    path.write_bytes(gzip.compress(data) if zipped else data)
    word = "x-idx3-ubyte: not a whole" if word == "shape" else word
    with pytest.raises(ValueError, match=word):
        read_idx(path, 3)


def test_damaged_gzip_is_named(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(idx(images(channels=1)[..., 0])))
    for cut in (bytes(data[: len(data) // 2]), bytes(data[:3])):
        (tmp_path / "x").write_bytes(cut)
        with pytest.raises(ValueError, match="x: not a whole IDX"):
            read_idx(tmp_path / "x", 3)
    data[40] ^= 255
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ValueError, match="x: not a whole IDX"):
        read_idx(tmp_path / "x", 3)


def test_resized_keeps_labels_and_composites_alpha() -> None:
    real = np.zeros((2, 8, 8, 4), np.uint8)
    source = Resized(Arrays({"real": real, "label": np.arange(2)}), 4)
    assert source[1]["real"].tolist() == np.full((4, 4, 3), 255).tolist()
    assert source[1]["label"] == 1
    points = Resized(Arrays({"real": np.zeros((2, 2), np.float32)}), 4)
    with pytest.raises(ValueError, match="resizing wants"):
        points[0]


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (32, 1), (16, 3)])
def test_digits(size: int, channels: int) -> None:
    pytest.importorskip("sklearn")
    source = digits(size, channels)
    assert len(source) == 1797
    assert source[0]["real"].shape == (size, size, channels)
    assert [int(source[i]["label"]) for i in range(10)] == list(range(10))
    if size == 8:
        assert source.arrays["real"].max() == 255
        assert source.arrays["real"].mean() / 255 == pytest.approx(0.3053, abs=1e-3)


@pytest.mark.skipif(not FASHION.exists(), reason=f"{FASHION} is not there")
def test_fashion() -> None:
    source = idx_images(FASHION)
    real = source.arrays["real"]
    assert real.shape == (60_000, 28, 28, 1)
    assert real.mean() / 255 == pytest.approx(0.286041, abs=1e-6)
    counts = np.bincount(real.ravel(), minlength=256) / real.size
    levels = np.arange(256) / 255
    sd = np.sqrt(counts @ levels**2 - (counts @ levels) ** 2)
    assert sd == pytest.approx(0.353024, abs=1e-6)
    assert np.bincount(source.arrays["label"]).tolist() == [6000] * 10


@pytest.mark.skipif(not MNIST.exists(), reason=f"{MNIST} is not there")
def test_mnist() -> None:
    source = open_images(MNIST, 28, None, 1)
    assert source.arrays["real"].shape == (10_000, 28, 28, 1)
    assert source.arrays["real"].mean() / 255 == pytest.approx(0.132515, abs=1e-6)
    assert [int(source[i]["label"]) for i in range(5)] == [7, 2, 1, 0, 4]
