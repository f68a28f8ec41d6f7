"""Programs kept on disk: whose they are, whether they are whole, and the same bits."""

import os
import stat
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from gan_jax import compiled
from gan_jax.compiled import ENDING, danger, kept_programs, machine, mend
from tests.commands import ROOT, closing, end, start

SHRUNK = {
    "steps": 4,
    "steps-per-call": 2,
    "batch-size": 16,
    "width": 8,
    "latent": 4,
    "points": 64,
    "log-every": 2,
    "sample-every": 4,
    "checkpoint-every": 4,
}


@pytest.fixture(autouse=True)
def nobodys_setting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever runs the tests may have told JAX a folder of his own."""
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def entry(folder: Path, name: str, content: bytes = b"a program") -> Path:
    path = folder / f"{name}{ENDING}"
    path.write_bytes(zlib.compress(content))
    return path


def toy(directory: Path, cache: Path, *options: str) -> str:
    env = {"XDG_CACHE_HOME": str(cache), "PYTHONWARNINGS": "error::UserWarning"}
    shrunk = [word for k, v in SHRUNK.items() for word in (f"--{k}", str(v))]
    return end(start("toy", directory, *shrunk, *options, **env))


@pytest.mark.usefixtures("as_users_do")
def test_a_run_with_kept_programs_has_the_same_bits(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    without = toy(tmp_path / "none", cache, "--compile-cache", "none")
    assert not (cache / "gan_jax" / "compiled").exists()
    assert "compiled programs" not in without
    cold = toy(tmp_path / "cold", cache)
    own = cache / "gan_jax" / "compiled" / machine()
    for folder in (own, own.parent, own.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert f"compiled programs: {own}, 0 kept" in cold
    written = sorted(own.glob(f"*{ENDING}"))
    assert written
    # A kill in the middle of writing leaves a part.
    written[-1].write_bytes(written[-1].read_bytes()[:100])
    cached = toy(tmp_path / "cached", cache)
    assert f"{len(written) - 1} kept" in cached
    assert "Error reading" not in cached
    assert closing(without) == closing(cold) == closing(cached)
    assert sorted(own.glob(f"*{ENDING}")) == written
    assert len(written[-1].read_bytes()) > 100


HITS = """
import sys
import jax, jax.numpy as jnp
from gan_jax import gan, latents, optimizers
from gan_jax.compiled import kept_programs
from gan_jax.digest import digest
from gan_jax.networks import mlp

events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
model = gan(
    mlp.generator(2, 8), mlp.discriminator(8), latent=latents.normal(4),
    optimizers={p: optimizers.adam() for p in ("gen", "disc")},
)
batch = {"real": jnp.ones((8, 2))}
state = model.init(jax.random.key(0), batch)
with kept_programs(sys.argv[1]):
    state, _ = jax.jit(model.step)(state, batch)
hits = [event for event in events if event.endswith("cache_hits")]
print(len(hits), digest(state))
"""


def test_a_second_process_finds_the_program(tmp_path: Path) -> None:
    def run() -> list[str]:
        command = [sys.executable, "-W", "error", "-c", HITS, str(tmp_path / "kept")]
        env = {**os.environ, "JAX_PLATFORMS": "cpu"}
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=ROOT, env=env
        )
        return done.stdout.split()

    first, second = run(), run()
    assert (first[0], second[0]) == ("0", "1")
    assert first[1] == second[1]


def test_a_folder_that_others_may_write_to_is_named_and_left_alone(
    tmp_path: Path,
) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with kept_programs(open_to_all) as told:
        assert jax.config.values["jax_compilation_cache_dir"] is None
    assert "not kept" in told
    assert f"{open_to_all} may be written by others" in told
    (tmp_path / "link").symlink_to(open_to_all)
    assert "by others" in str(danger(tmp_path / "link"))
    # What is sticky, as /tmp, may hold a folder of one's own, and not be it.
    open_to_all.chmod(0o1777)
    (open_to_all / "own").mkdir(mode=0o700)
    assert danger(open_to_all / "own") is None
    assert "by others" in str(danger(open_to_all))


def test_a_folder_of_another_user_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = os.geteuid()
    if mine == 0:  # root's folders are everyone's
        os.chown(tmp_path, 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with kept_programs(tmp_path / "x") as told:
        pass
    monkeypatch.undo()
    if mine == 0:
        os.chown(tmp_path, 0, -1)
    assert "belongs to another user" in told


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with kept_programs(tmp_path / "file") as told:
        pass
    assert "compiled programs are not kept: " in told
    assert str(tmp_path / "file") in told


def test_the_settings_are_as_before_afterwards(tmp_path: Path) -> None:
    before = dict(jax.config.values)
    with kept_programs(tmp_path) as told:
        now = jax.config.values["jax_compilation_cache_dir"]
        assert now == str(tmp_path / machine())
        assert now in told
        # Within, and if JAX was told a folder otherwise, that one counts.
        with kept_programs(tmp_path / "another") as inner:
            assert now in inner
        assert jax.config.values["jax_compilation_cache_dir"] == now
    assert dict(jax.config.values) == before
    assert not (tmp_path / "another").exists()


def test_only_what_is_whole_is_kept(tmp_path: Path) -> None:
    good = entry(tmp_path, "good", b"1" * 5000)
    cut = entry(tmp_path, "cut", b"2" * 5000)
    cut.write_bytes(cut.read_bytes()[:-3])
    assert mend(tmp_path) == 1
    assert good.exists()
    assert not cut.exists()
    # It has a seal now: another program under its name is none.
    entry(tmp_path, "good", b"3" * 5000)
    assert mend(tmp_path) == 0
    assert not list(tmp_path.iterdir())


def test_the_oldest_go_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = [entry(tmp_path, name, os.urandom(1000)) for name in "abc"]
    for age, path in enumerate(every):
        os.utime(path, (1e9 - age, 1e9 - age))
    assert mend(tmp_path) == 3
    monkeypatch.setattr(compiled, "LARGEST", 2500)
    assert mend(tmp_path) == 2
    assert [path.exists() for path in every] == [True, True, False]
    assert len(list(tmp_path.iterdir())) == 4  # two, and their seals


def test_a_machine_with_other_cores_has_other_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = machine()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    three = machine()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert three.endswith("-3-cores")
    assert machine().endswith("-1-cores")
    assert here.rsplit("-", 2)[0] == three.rsplit("-", 2)[0]
