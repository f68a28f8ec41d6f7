"""Plays at equal time: what is timed is what is run, and all are given the same."""

import dataclasses
import importlib.util
import json

import chex
import jax
import pytest

from experiments import digits, toy
from experiments.quality import plays
from experiments.quality.contests import CONTESTS, DIGITS, RING, WAYS, Entry
from gan_jax.images import load_png

TINY = dataclasses.replace(
    RING,
    config=toy.Config(width=8, latent=4, batch_size=16, points=64),
    losses=("nonsaturating",),
    penalties={"R1 + R2": {}},
    steps_per_call=2,
)
MERGED, ONE_BACKWARD, ALTERNATING = TINY.entries()


@pytest.mark.parametrize("contest", CONTESTS.values(), ids=list(CONTESTS))
def test_an_entry_changes_what_it_names_and_nothing_else(contest):
    entries = contest.entries()
    expected = len(contest.penalties) * len(contest.losses) * len(WAYS)
    assert len({entry.name for entry in entries}) == len(entries) == expected
    for entry in entries:
        free = {"loss", "play", "gradient", "steps", "gamma", "penalise_fakes"}
        own, base = (
            {k: v for k, v in dataclasses.asdict(cfg).items() if k not in free}
            for cfg in (contest.of(entry, 10), contest.config)
        )
        assert own == base


def test_the_recipes_are_those_of_the_experiments():
    entry = Entry("R1 + R2", "relativistic", "one backward")
    assert RING.of(entry, 12_000) == toy.Config(latent=2)
    wanted = digits.Config(loss="relativistic", penalise_fakes=True)
    assert DIGITS.of(entry, 3_000) == wanted


def test_as_many_steps_as_fit_to_the_nearest_call():
    assert DIGITS.steps(10.0, 0.01) == 1000
    assert DIGITS.steps(10.0, 0.00999) == 1000
    assert DIGITS.steps(10.0, 30.0) == DIGITS.steps_per_call
    for step in (0.0011, 0.0007, 0.0123):
        missing = abs(RING.steps(7.0, step) * step - 7.0)
        assert missing <= step * RING.steps_per_call / 2


@pytest.mark.parametrize("entry", [MERGED, ALTERNATING], ids=lambda e: e.way)
def test_a_run_of_any_length_is_the_experiments_own(entry):
    """The number of steps is an argument of the program; it is as good as a number."""
    program = plays.compiled(TINY, entry)
    program.start(seed=3, steps=4)
    start = jax.tree.map(jax.numpy.copy, program.state)
    program()
    ended = program()
    _, key = jax.random.split(jax.random.key(3))
    model, points = TINY.model(TINY.of(entry, 4)), TINY.data(TINY.config)
    rows = 16 * (1 if entry == MERGED else 2)

    @jax.jit
    def stepped(state, index):
        return model.step(state, {"real": jax.numpy.asarray(points)[index]})[0]

    state = start
    for step in range(4):
        draw = jax.random.fold_in(key, step)
        state = stepped(state, jax.random.randint(draw, (rows,), 0, len(points)))
    assert int(ended.step) == int(state.step) == 4
    chex.assert_trees_all_close(ended.params, state.params, rtol=1e-4, atol=1e-6)
    program.start(seed=3, steps=400)  # whose schedules have hardly begun
    program()
    gap = jax.tree.map(lambda a, b: abs(a - b).max(), program().params, state.params)
    assert max(map(float, jax.tree.leaves(gap))) > 1e-4


def test_merged_and_one_backward_are_one_way_of_playing():
    ends = []
    for entry in (MERGED, ONE_BACKWARD):
        program = plays.compiled(TINY, entry)
        program.start(seed=0, steps=4)
        ends.append(program().params)
    chex.assert_trees_all_close(*ends, rtol=1e-4, atol=1e-6)


def refuse(*_):
    raise AssertionError("what was measured is measured again")


def test_every_entry_gets_its_steps_and_a_row_and_is_run_once(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(plays, "CONTESTS", {"ring": TINY})
    monkeypatch.setattr(plays, "LOOKS", 2)
    arguments = ["--quick", "--seconds", "0.02", "--directory", str(tmp_path)]
    assert plays.main(arguments) == 0
    first = json.loads((tmp_path / "plays.json").read_text())["tasks"]["ring"]
    names = [entry.name for entry in TINY.entries()]
    assert list(first["steps"]) == list(first["numbers"]) == names
    for name in names:
        assert first["steps"][name] == TINY.steps(0.02, first["step seconds"][name])
        assert len(first["numbers"][name]) == plays.QUICK_SEEDS
        for numbers in first["numbers"][name]:
            assert numbers["modes@2"] == numbers["modes"] <= 8
            assert numbers["training@1"] <= numbers["training@2"] == numbers["training"]
    rows = [line for line in (tmp_path / "plays.md").read_text().splitlines() if line]
    assert len(rows) == 1 + 2 + len(names) + 1  # title, head, entries, real samples
    for row, entry in zip(rows[3:], TINY.entries(), strict=False):
        assert row.startswith(f"| {' | '.join(entry)} |")
    picture = tmp_path / "plays-ring.png"
    assert load_png(picture).shape[1] == 900
    assert picture.stat().st_size < 120_000
    monkeypatch.setattr(plays, "step_seconds", refuse)
    monkeypatch.setattr(plays, "trained", refuse)
    assert plays.main(arguments) == 0
    again = json.loads((tmp_path / "plays.json").read_text())["tasks"]["ring"]
    assert again == first
    capsys.readouterr()


def test_what_cannot_be_is_said_at_once(tmp_path, monkeypatch, capsys):
    for arguments, said in (
        (["--only", "grid"], "there are ring, digits"),
        (["--seconds", "0"], "give more than 0"),
    ):
        with pytest.raises(SystemExit):
            plays.main([*arguments, "--directory", str(tmp_path)])
        assert said in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"gan_jax\[notebooks\]"):
        plays.main(["--directory", str(tmp_path)])
    assert not list(tmp_path.iterdir())
