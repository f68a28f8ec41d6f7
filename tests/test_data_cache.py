"""The cache gives back what the source gives, or builds itself anew."""

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from gan_jax.data import cache
from gan_jax.data.cache import cache_directory, cached
from gan_jax.data.faces import faces
from gan_jax.data.source import Arrays, Sample


class Counted:
    """Points and labels, one at a time, with a count of the reads."""

    fingerprint = "counted"
    classes = ("even", "odd")

    def __init__(self, n: int, broken: int | None = None) -> None:
        self.n, self.reads, self.broken = n, 0, broken

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Sample:
        self.reads += 1
        if index == self.broken:
            raise ValueError("file_17.png: not a readable image")
        real = np.full((4, 4, 3), index % 256, np.uint8)
        return {"real": real, "label": np.asarray(index % 2, np.int32)}


def entry(directory: Path) -> Path:
    (found,) = [p for p in directory.iterdir() if p.is_dir()]
    return found


def same(a: Arrays, b: Counted) -> None:
    for i in range(len(b)):
        for name, value in b[i].items():
            assert np.array_equal(a[i][name], value)
            assert a[i][name].dtype == value.dtype


def test_a_second_run_reads_nothing(tmp_path: Path) -> None:
    source = Counted(300)
    first = cached(source, tmp_path, threads=3)
    assert isinstance(first.arrays["real"], np.memmap)
    assert (first.fingerprint, first.classes) == ("counted", ("even", "odd"))
    reads = source.reads
    same(cached(source, tmp_path), Counted(300))
    assert source.reads == reads
    assert sorted(p.suffix for p in tmp_path.iterdir()) == ["", ".lock"]


def test_what_a_killed_build_left_is_swept(tmp_path: Path) -> None:
    name = hashlib.sha256(b"1 counted").hexdigest()[:40]
    drafts = [f"{name}.tmp-{platform.node()}@a", f"{name}.tmp-{platform.node()}-b@a"]
    drafts.append(f"other.tmp-{platform.node()}@a")
    for draft in drafts:
        (tmp_path / draft).mkdir()
    cached(Counted(3), tmp_path)
    assert (tmp_path / name).is_dir()
    # Another host's may be at work still, and so may the build of another entry.
    assert [(tmp_path / draft).exists() for draft in drafts] == [False, True, True]


def test_sources_that_gather_are_cached_alike(tmp_path: Path) -> None:
    source = faces(150, 32)
    got = cached(source, tmp_path)
    for i in (0, 63, 64, 149):
        for name, value in source[i].items():
            assert np.array_equal(got[i][name], value)
    assert got.attribute_names == source.attribute_names


def test_the_key_is_the_fingerprint(tmp_path: Path) -> None:
    cached(faces(20, 32), tmp_path)
    cached(faces(20, 32, seed=1), tmp_path)
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 2


@pytest.mark.parametrize(
    "damage",
    ["flip", "half", "empty", "delete", "facts", "json", "pickle", "shape", "label"],
)
def test_damage_is_seen_and_mended(tmp_path: Path, damage: str) -> None:
    cached(Counted(100), tmp_path)
    real, facts = entry(tmp_path) / "real.npy", entry(tmp_path) / "facts.json"
    data = bytearray(real.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        real.write_bytes(data)
    elif damage == "half":
        real.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        real.write_bytes(b"")
    elif damage == "delete":
        real.unlink()
    elif damage == "facts":
        facts.write_text(json.dumps({"fingerprint": "other", "arrays": {}}))
    elif damage == "json":
        facts.write_text("{")
    elif damage == "pickle":
        np.save(real, np.array([{}], object), allow_pickle=True)
    elif damage == "shape":
        np.save(real, np.load(real)[:50])
    elif damage == "label":
        np.save(entry(tmp_path) / "label.npy", np.ones(100, np.int32))
    with pytest.warns(UserWarning, match="damaged cache.*rebuilt"):
        got = cached(Counted(100), tmp_path)
    same(got, Counted(100))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cached(Counted(100), tmp_path)


def test_a_broken_file_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"file_17\.png"):
        cached(Counted(300, broken=170), tmp_path)
    assert [p for p in tmp_path.iterdir() if p.is_dir()] == []


def test_samples_of_another_shape_are_named(tmp_path: Path) -> None:
    class Uneven(Counted):
        def __getitem__(self, index: int) -> Sample:
            return {"real": np.zeros((4 + (index == 70), 4, 3), np.uint8)}

    with pytest.raises(ValueError, match="sample 70"):
        cached(Uneven(100), tmp_path)


def test_a_full_disk_is_seen_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        cache.shutil, "disk_usage", lambda path: usage._replace(free=2**20)
    )
    source = Counted(1000)
    with pytest.raises(OSError, match="GiB are free"):
        cached(source, tmp_path)
    assert source.reads == 1


def test_two_threads_build_once(tmp_path: Path) -> None:
    sources = [Counted(2000) for _ in range(4)]
    threads = [
        threading.Thread(target=cached, args=(source, tmp_path, 2))
        for source in sources
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(cached(Counted(2000), tmp_path), Counted(2000))
    assert sorted(source.reads for source in sources)[:3] == [0, 0, 0]


def test_two_processes_may_build_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from gan_jax.data.cache import cached; "
        "from gan_jax.data.faces import faces; "
        "print(cached(faces(500, 32), sys.argv[1]).gather([7, 499])['real'].sum())"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
        )
        for _ in range(2)
    ]
    outputs = {run.communicate(timeout=60)[0] for run in runs}
    expected = faces(500, 32).gather(np.array([7, 499]))["real"].sum()
    assert outputs == {f"{expected}\n".encode()}
    assert [p.suffix for p in sorted(tmp_path.iterdir())] == ["", ".lock"]


def test_the_directory_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "gan_jax"
    cached(Counted(5))
    assert (tmp_path / "gan_jax").stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "gan_jax"


def test_long_builds_say_how_far_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(cache, "_QUIET_SECONDS", 0.0)
    cached(Counted(100), tmp_path)
    assert "caching 100 of 100 samples" in capsys.readouterr().err
