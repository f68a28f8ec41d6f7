"""Checkpoints: what was saved comes back, or it is said that it does not."""

import errno
import gc
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gan_jax import checkpoint, facts, packing, store
from gan_jax.checkpoint import Checkpoints, digest
from gan_jax.digest import Leaf, leaves, on_host

# Tests here damage what Orbax is to read.
pytestmark = [
    pytest.mark.usefixtures("nothing_in_flight"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class State(NamedTuple):
    step: Any
    key: Any
    params: Any
    stats: Any


def state(step: int, width: int = 3, impl: str | None = None) -> State:
    w = jnp.arange(4 * width, dtype=jnp.float32).reshape(4, width) + step
    return State(
        jnp.asarray(step, jnp.int32),
        jax.random.key(step, impl=impl),
        {"gen": {"a.b/c": w, "half": w.astype(jnp.bfloat16)}, "disc": [w[0], ()]},
        {"gen": {"none": jnp.zeros((0, 3)), "seen": jnp.ones(2, bool)}},
    )


def saved(directory: Path, *steps: int, **options: Any) -> None:
    with Checkpoints(directory, **options) as checkpoints:
        for step in steps:
            checkpoints.save(step, state(step))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_a_state_comes_back_bit_for_bit(tmp_path: Path, impl: str) -> None:
    before = state(7, impl=impl)
    with Checkpoints(tmp_path, config={"lr": 0.1}) as checkpoints:
        assert checkpoints.empty()
        checkpoints.save(7, before, extra={"seen": [1, 2]})
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest() == 7
        after, step = checkpoints.restore(jax.eval_shape(lambda: state(0, impl=impl)))
        about = checkpoints.facts(7)
    assert step == 7
    assert digest(after) == digest(before) == about["digest"]
    assert after.key.dtype == before.key.dtype
    assert jax.tree.structure(after) == jax.tree.structure(before)
    assert (about["config"], about["extra"]) == ({"lr": 0.1}, {"seen": [1, 2]})
    assert about["versions"]["jax"] == jax.__version__


def test_digest_sees_every_bit_name_and_shape() -> None:
    base = {"a": jnp.zeros((2, 3))}
    others = [
        {"b": jnp.zeros((2, 3))},
        {"a": jnp.zeros((3, 2))},
        {"a": jnp.zeros((2, 3), jnp.int32)},
        {"a": jnp.zeros((2, 3)).at[1, 1].set(-0.0)},
        {"a": jnp.zeros((2, 3)), "b": jnp.zeros(())},
    ]
    assert len({digest(x) for x in [base, *others]}) == 6
    assert digest(base) == digest({"a": np.zeros((2, 3), np.float32)})


def test_keeps_the_last_and_every_kth(tmp_path: Path) -> None:
    saved(tmp_path, *range(1, 10), keep_last=2, keep_every=4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["4", "8", "9"]


def test_donation_does_not_alter_what_is_saved(tmp_path: Path) -> None:
    @jax.jit
    def count(x: jax.Array) -> jax.Array:
        return x + 1

    step = jax.jit(lambda s: jax.tree.map(count, s), donate_argnums=0)
    x = {"w": jnp.zeros(1_000_000)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, x)
        for _ in range(20):
            x = step(x)
        checkpoints.wait()
        read, _ = checkpoints.restore(x)
        assert not np.asarray(read["w"]).any()
        # And what was restored may be donated without harm to what it came from.
        assert np.asarray(step(read)["w"]).all()


def test_restores_onto_any_number_of_devices(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    like = jax.eval_shape(lambda: state(0))
    for n in (1, 2, 8):
        mesh = Mesh(np.array(jax.devices()[:n]), ("data",), (AxisType.Auto,))
        where = NamedSharding(mesh, PartitionSpec())
        abstract = jax.tree.map(
            lambda x, where=where: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=where
            ),
            like,
        )
        with Checkpoints(tmp_path) as checkpoints:
            read, _ = checkpoints.restore(abstract)
        assert digest(read) == digest(state(1))
        assert all(len(x.devices()) == n for x in jax.tree.leaves(read))


def test_saving_again_after_going_back(tmp_path: Path) -> None:
    saved(tmp_path, 5, 10)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(10, state(10))  # the very same: nothing to do
        checkpoints.wait()
        assert not (tmp_path / "bad").exists()
        for step in (6, 8, 10):
            checkpoints.save(step, state(step + 100))
        read, step = checkpoints.restore(state(0))
    assert (step, digest(read)) == (10, digest(state(110)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["10", "6", "8", "bad"]
    assert [p.name for p in (tmp_path / "bad").iterdir()] == ["10"]


def test_another_structure_is_refused_by_leaf(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError) as error:
            checkpoints.restore(state(0, width=5))
        assert "params/gen/a.b/c: float32[4, 3] there, float32[4, 5]" in str(
            error.value
        )
        with pytest.raises(ValueError, match=r"key: key<fry>.* there, key<rbg>"):
            checkpoints.restore(state(0, impl="rbg"))
        with pytest.raises(ValueError, match=r"stats/gen/seen: bool.* there, absent"):
            checkpoints.restore(state(0)._replace(stats={}))
        assert checkpoints.restore(state(0))[1] == 1  # nothing was moved aside


def damages(file: Path) -> dict[str, Any]:
    whole = file.read_bytes()

    def flipped(place: float) -> bytes:
        at = min(int(len(whole) * place), len(whole) - 1)
        return whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]

    changes: dict[str, Any] = {"half": whole[: len(whole) // 2], "empty": b""}
    if whole:
        changes |= {f"flip {p}": flipped(p) for p in (0.1, 0.5, 0.9)}
    return changes | {"deleted": None}


def test_no_damage_to_any_file_is_silent(tmp_path: Path) -> None:
    saved(tmp_path / "whole", 1, 2)
    files = [p for p in (tmp_path / "whole" / "2").rglob("*") if p.is_file()]
    assert len(files) >= 4
    fell_back = cases = 0
    for file in files:
        for what, content in damages(file).items():
            run = tmp_path / "run"
            shutil.copytree(tmp_path / "whole", run)
            copy = run / file.relative_to(tmp_path / "whole")
            copy.unlink() if content is None else copy.write_bytes(content)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                with Checkpoints(run) as checkpoints:
                    read, step = checkpoints.restore(state(0))
                    assert digest(read) == digest(state(step)), (file, what)
                    if step == 1:
                        fell_back += 1
                        (warning,) = (str(w.message) for w in caught)
                        assert "step 2 is not whole" in warning
                        assert str(run / "bad" / "2") in warning
                        assert (run / "bad" / "2").is_dir()
                        if fell_back % 8 == 1:
                            checkpoints.save(2, state(2))
                            assert checkpoints.restore(state(0))[1] == 2
            shutil.rmtree(run)
            cases += 1
        gc.collect()  # see `nothing_in_flight`
    assert fell_back > cases / 4


def test_refuses_to_start_anew_over_damaged_ones(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    for step in ("1", "2"):
        shutil.rmtree(tmp_path / step / "state")
    with Checkpoints(tmp_path) as checkpoints:
        with (
            pytest.warns(RuntimeWarning, match="step 2 is not whole"),
            pytest.warns(RuntimeWarning, match="step 1 is not whole"),
            pytest.raises(OSError, match=r"no checkpoint .* can be read"),
        ):
            checkpoints.restore(state(0))
        assert not checkpoints.empty()
        with pytest.raises(OSError, match="can be read"):
            checkpoints.restore(state(0))
    with (
        Checkpoints(tmp_path / "new") as checkpoints,
        pytest.raises(FileNotFoundError, match="there is no checkpoint"),
    ):
        checkpoints.restore(state(0))


def test_altered_facts_are_found(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    file = tmp_path / "2" / "facts" / "metadata"
    about = json.loads(file.read_text())
    about["config"] = {"lr": 3}
    file.write_text(json.dumps(about))
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError, match="altered"):
            checkpoints.facts(2)
        with pytest.warns(RuntimeWarning, match="altered"):
            assert checkpoints.restore(state(0))[1] == 1


def test_another_format_is_refused_and_left_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(facts, "FORMAT", 4)
        saved(tmp_path, 1)
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(ValueError, match=r"is of format 4, but .* formats \(1, 2, 3\)"),
    ):
        checkpoints.restore(state(0))
    assert (tmp_path / "1").is_dir()


def each_alone(found: list[Leaf], arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    """As the first format had it."""
    return {leaf.path: x for leaf, x in zip(found, arrays, strict=True) if x.size}


def by_orbax(manager: Any, step: int, facts: Any, arrays: Any) -> None:
    """As the first two formats were written."""
    items = ocp.args.Composite(
        state=ocp.args.PyTreeSave(arrays), facts=ocp.args.JsonSave(facts)
    )
    with ocp.CheckpointManager(manager.directory) as plain:
        plain.save(step, args=items)
    manager.reload()


@pytest.mark.parametrize("form", [1, 2])
def test_former_formats_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(facts, "FORMAT", form)
        patch.setattr(packing, "SMALL", 30)
        patch.setattr(store, "save", by_orbax)
        if form == 1:
            patch.setattr(checkpoint, "together", each_alone)
        saved(tmp_path, 1)
    monkeypatch.setattr(packing, "SMALL", 30)
    assert (tmp_path / "1" / "state" / "manifest.ocdbt").exists()
    with Checkpoints(tmp_path) as checkpoints:
        assert digest(checkpoints.restore(state(0))[0]) == digest(state(1))
        checkpoints.save(2, state(2))
        assert digest(checkpoints.restore(state(0))[0]) == digest(state(2))
    assert not (tmp_path / "2" / "state" / "manifest.ocdbt").exists()


@pytest.mark.parametrize("smallest", [1, 30, 2**20])
def test_leaves_large_and_small_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smallest: int
) -> None:
    monkeypatch.setattr(packing, "SMALL", smallest)
    before = state(5)
    arrays = packing.together(leaves(before), on_host(before))
    sizes = [packing.size(leaf) for leaf in leaves(before)]
    alone = sum(size >= smallest for size in sizes)
    packed = any(0 < size < smallest for size in sizes)
    assert len(arrays) == alone + packed
    assert sum(x.nbytes for x in arrays.values()) == sum(sizes)
    saved(tmp_path, 5)
    with Checkpoints(tmp_path) as checkpoints:
        assert digest(checkpoints.restore(state(0))[0]) == digest(before)


def test_a_leaf_gone_bad_is_not_saved(tmp_path: Path) -> None:
    good = {"w": jnp.zeros(3), "best": jnp.inf * jnp.ones(())}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, good)
        checkpoints.save(2, good)  # infinite from the start: its own affair
        checkpoints.save(3, {**good, "w": jnp.array([0.0, jnp.nan, 0.0])})
        with pytest.raises(FloatingPointError, match=r"step 3.* finite in w"):
            checkpoints.wait()
        assert checkpoints.restore(good)[1] == 2


def test_an_error_in_writing_is_named_and_harms_nothing(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, state(1))
        checkpoints.wait()
        (tmp_path / "c").rename(tmp_path / "away")
        (tmp_path / "c").write_text("a file in the way")
        checkpoints.save(2, state(2))
        with pytest.raises(OSError, match="step 2 could not be written"):
            checkpoints.wait()
        (tmp_path / "c").unlink()
        (tmp_path / "away").rename(tmp_path / "c")
        assert checkpoints.restore(state(0))[1] == 1
        checkpoints.save(3, state(3))
        assert checkpoints.restore(state(0))[1] == 3


def test_an_error_of_the_machine_sets_nothing_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, 1, 2)

    def too_many(*_: Any) -> Any:
        try:
            raise OSError(errno.EMFILE, "too many open files")
        except OSError as error:
            raise ValueError("nothing could be read") from error

    with Checkpoints(tmp_path) as checkpoints:
        for reads in ("read_facts", "read_arrays"):
            with monkeypatch.context() as patch:
                patch.setattr(store, reads, too_many)
                with pytest.raises(ValueError, match="nothing could be read"):
                    checkpoints.restore(state(0))
        assert checkpoints.restore(state(0))[1] == 2


def test_half_written_steps_are_not_seen_and_are_cleared(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    half = tmp_path / "2.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "1", half)
    (half / "commit_success.txt").unlink()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest() == 1
        assert checkpoints.restore(state(0))[1] == 1
        checkpoints.save(3, state(3))  # Orbax clears in a thread, and waits for it here
    assert not half.exists()


def test_numbers_below_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep_last is 0"):
        Checkpoints(tmp_path, keep_last=0)


def test_no_secret_of_the_environment_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "swordfish-4711")
    saved(tmp_path, 1)
    for path, _, files in os.walk(tmp_path):
        for file in files:
            assert b"swordfish-4711" not in (Path(path) / file).read_bytes()
