"""What `experiments.compile_tpu` reads, computes, refuses and keeps, without libtpu."""

import dataclasses
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import optax
import pytest

from experiments import celeba
from experiments.compile_tpu import __main__ as command
from experiments.compile_tpu import chips, steps, tables
from experiments.compile_tpu.apart import apart
from experiments.compile_tpu.batches import largest
from experiments.compile_tpu.exchanges import (
    Exchange,
    by_kind,
    exchanges,
    of_gradients,
)
from experiments.compile_tpu.hlo import size
from experiments.compile_tpu.traffic import traffic
from gan_jax import alternating, devices, gan, simultaneous
from tests.games import LATENT, players, points

ROOT = Path(__file__).parents[1]

# In the manner of a compiled program: a tuple, an asynchronous pair, a fused
# computation, two sources in one exchange, and a name that means nothing.
HLO = """\
HloModule jit_step, is_scheduled=true

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

ENTRY %main (a: f32[8,128], b: bf16[64]) -> f32[8,128] {
  %a = f32[8,128]{1,0:T(8,128)} parameter(0), sharding={replicated}
  %b = bf16[64]{0:T(256)(128)(2,1)S(1)} parameter(1)
  %n = f32[2,64]{1,0} broadcast(%b), dimensions={1}
  %norm = f32[2,64]{1,0} all-reduce(%n), channel_id=1, to_apply=%add, \
metadata={op_name="jit(step)/shard_map/jvp(Generator)/BatchNorm_0/norm/psum"}
  %all-reduce.1 = (f32[8,128]{1,0:T(8,128)}, /*index=1*/bf16[64]{0}) \
all-reduce(%a, /*index=1*/%b), channel_id=2, replica_groups={{0,1}}, to_apply=%add, \
metadata={op_name="jit(step)/shard_map/(BatchNorm_0/norm/psum:psum)"}
  %grads = f32[8,128]{1,0} get-tuple-element(%all-reduce.1), index=0
  %begun = (f32[8,128]{1,0}, f32[16,128]{1,0}) all-gather-start(%grads), dimensions={0}
  %ended = f32[16,128]{1,0} all-gather-done(%begun)
  %scattered = f32[8,128]{1,0} reduce-scatter(f32[16,128]{1,0:T(8,128)} %ended), \
channel_id=3, dimensions={0}
  %sent = (f32[8,128], f32[8,128], u32[], u32[]) collective-permute-start(%scattered)
  %come = f32[8,128]{1,0} collective-permute-done(%sent)
  ROOT %all-to-all.2 = f32[8,128]{1,0} all-to-all(%come), channel_id=4
  %not-an-all-reduce = f32[] custom-call(), custom_call_target="all-reduce("
}
"""


def test_exchanges_are_found_with_what_a_device_gives():
    found = exchanges(HLO)
    assert [(each.kind, each.bytes) for each in found] == [
        ("all-reduce", 2 * 64 * 4),
        ("all-reduce", 8 * 128 * 4 + 64 * 2),
        ("all-gather", 8 * 128 * 4),
        ("reduce-scatter", 16 * 128 * 4),
        ("collective-permute", 8 * 128 * 4),
        ("all-to-all", 8 * 128 * 4),
    ]
    assert by_kind(found)["all-reduce"] == (2, 512 + 4224)
    assert found[2].source == ""


def test_what_batch_norm_sends_alone_is_no_gradient():
    first, second, *_ = exchanges(HLO)
    assert of_gradients([first, second]) == [second]


def test_sizes():
    assert size("f32[]") == 4
    assert size("(s4[3,5]{1,0}, u64[2]{0}, token[], f8e4m3fn[7]{0})") == 8 + 16 + 7 - 1
    with pytest.raises(KeyError):
        size("strange[3]")


MEMORY = """\
%fused (p: f32[1000]) -> f32[1000] {
  %p = f32[1000]{0} parameter(0)
  ROOT %inside = f32[1000]{0} negate(%p)
}

ENTRY %main (a: f32[1000], b: f32[1000]) -> (f32[1000], f32[]) {
  %a = f32[1000]{0:T(1024)} parameter(0)
  %b = f32[1000]{0:T(1024)} parameter(1)
  %c = (f32[1000]{0:T(1024)S(1)}, f32[1000]{0:T(1024)}, u32[]{:S(2)}) copy-start(%a)
  %come = f32[1000]{0:T(1024)S(1)} copy-done(%c)
  %s = ((f32[1000]{0:T(1024)}), f32[50]{0:T(128)S(1)}, s32[]{:S(2)}) slice-start(%b)
  %part = f32[50]{0:T(128)S(1)} slice-done(%s)
  %named = f32[50]{0:T(128)} custom-call(%part), custom_call_target="ConcatBitcast"
  %near = f32[1000]{0:T(1024)S(1)} fusion(%come), kind=kLoop, calls=%fused
  %both = (f32[1000]{0:T(1024)}, f32[]{:T(128)S(1)}) fusion(%near, %b), calls=%fused
  %out = f32[1000]{0:T(1024)} get-tuple-element(%both), index=0
  %twin = f32[1000]{0:T(1024)} bitcast(%out)
  %other = f32[1000]{0:T(1024)} copy(%twin)
  %back = (f32[50]{0:T(128)}, f32[50]{0:T(128)S(1)}, u32[]{:S(2)}) copy-start(%part)
}
"""


def test_only_what_passes_between_chip_and_memory_is_traffic():
    read = {"c": 1000, "s": 50, "both": 1000, "other": 1000}
    written = {"both": 1000, "other": 1000, "back": 50}
    assert traffic(MEMORY) == 4 * (sum(read.values()) + sum(written.values()))


def test_the_slower_side_binds():
    v5e = chips.CHIPS["v5e"]
    assert chips.bound(v5e, flops=197e9, moved=0.1e9) == (1e-3, "operations")
    assert chips.bound(v5e, flops=1e9, moved=819e6) == (1e-3, "memory")
    # At the ridge, 240 operations a byte, both sides take as long.
    ridge = v5e.flops / v5e.bandwidth
    assert ridge == pytest.approx(240, abs=1)
    below, above = (chips.bound(v5e, r * ridge * 1e9, 1e9) for r in (0.99, 1.01))
    assert (below.by, above.by) == ("memory", "operations")


@pytest.mark.parametrize("topology", ["v9:2x2", "2x4", "v5e", "v5e:"])
def test_a_slice_of_an_unknown_chip_is_refused(topology):
    with pytest.raises(ValueError, match=rf"--topologies {topology}: .*v4, v5e, v6e"):
        chips.slice_devices(topology)


def test_without_the_compiler_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'libtpu.*extra tpu: pip .*"\.\[tpu\]"'):
        chips.slice_devices("v5e:2x4")


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is not None, reason="the compiler is installed"
)
def test_the_command_without_the_compiler_ends_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "experiments.compile_tpu", "--directory", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the TPU compiler, libtpu, is not installed.")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="wants the extra tpu"
)
def test_slices_have_one_device_for_each_chip():
    counts = {t: len(chips.slice_devices(t)) for t in command.TOPOLOGIES}
    assert counts == {"v5e:2x4": 8, "v4:2x2x2": 8, "v6e:2x4": 8, "v5e:16x16": 256}
    with pytest.raises(ValueError, match="--topologies v5e:3x5"):
        chips.slice_devices("v5e:3x5")


SMALL = dataclasses.replace(
    celeba.PRESETS["celeba64"], size=16, width=4, latent=4, batch_size=16
)


@pytest.fixture
def here(monkeypatch):
    """The eight CPU devices in the place of a slice."""
    monkeypatch.setattr(steps, "slice_devices", lambda topology: jax.devices())
    monkeypatch.setattr(steps, "compiler", lambda: "the CPU's")


def test_the_gradients_of_both_players_travel_in_one_exchange(here):
    """On the program of the experiment's mapped step, beside BatchNorm's own."""
    row = steps.row(steps.Step("steps", "celeba64", SMALL, "v5e:2x4"), [])
    assert tables.faults(row) == []
    cost = row["cost"]
    assert cost["gradient_exchanges"] == 1
    (kind, (count, sent)), *others = cost["exchanges"].items()
    assert (kind, others) == ("all-reduce", [])
    # Two norms, forward and back; each pair of numbers a channel, 8 and 4 channels.
    assert count == 1 + 4
    assert sent - cost["gradient_bytes"] == 2 * 2 * (8 + 4) * 4
    assert row["parameter_bytes"] <= cost["gradient_bytes"]
    assert 0 < cost["argument_bytes"] < cost["moved_bytes"]
    assert cost["flops"] > 0
    assert 0 < cost["temporary_bytes"] < cost["memory_bytes"]
    # The same program again is not compiled again, also as another row.
    again = steps.row(steps.Step("savings", "other", SMALL, "v5e:2x4"), [row])
    assert again["cost"] is cost
    elsewhere = steps.Step("steps", "celeba64", SMALL, "v6e:2x4")
    assert json.loads(json.dumps(cost)) is not None
    assert steps.digest(elsewhere, "text") != steps.digest(elsewhere, "other text")


def exchanges_of_a_game(play: Any) -> list[Exchange]:
    """Those of a small game's mapped step on eight devices."""
    nets, batch = players(), points(8 * len(play))
    model = gan(
        nets["gen"],
        nets["disc"],
        latent=LATENT,
        optimizers={player: optax.sgd(0.1) for player in ("gen", "disc")},
        play=play,
        axis_name=devices.AXIS,
    )
    mesh = devices.data_mesh()
    state = jax.eval_shape(model.init, jax.random.key(0), batch)
    step = devices.mapped_step(model.step, mesh)
    return exchanges(devices.lowered(step, mesh, state, batch).compile().as_text())


@pytest.mark.parametrize(
    "play",
    [
        simultaneous("gen", "disc"),
        alternating("disc", "gen"),
        alternating("disc", "gen", first=2),
    ],
)
def test_one_exchange_for_each_move(play):
    found = exchanges_of_a_game(play)
    assert [each.kind for each in found] == ["all-reduce"] * len(play)
    assert of_gradients(found) == found


def cost(**changes: Any) -> dict[str, Any]:
    """What the compiler could have said."""
    return {
        "fits": True,
        "flops": 197e9,
        "accessed_bytes": 2e9,
        "moved_bytes": 819e6,
        "argument_bytes": 2**20,
        "temporary_bytes": 2**21,
        "memory_bytes": 3 * 2**20,
        "bound_seconds": 1e-3,
        "bound_by": "memory",
        "exchanges": {"all-reduce": (2, 1000)},
        "gradient_exchanges": 1,
        "gradient_bytes": 900,
        "compile_seconds": 1.0,
    } | changes


def said(table: str = "steps", **changes: Any) -> dict[str, Any]:
    """A row that could have come."""
    return {
        "table": table,
        "name": "celeba64",
        "play": "one_backward",
        "dtype": "bfloat16",
        "penalty": True,
        "topology": "v5e:2x4",
        "way": "map",
        "chips": 8,
        "batch": 256,
        "moves": 1,
        "parameter_bytes": 800,
        "compiler": "1",
        "program": "abc",
        "cost": cost(),
    } | changes


def test_faults():
    assert tables.faults(said()) == []
    (fault,) = tables.faults(said(cost={"fits": False, "compile_seconds": 1.0}))
    assert "does not fit" in fault
    (fault,) = tables.faults(said(cost=cost(fits=False)))
    assert "does not fit" in fault
    two = cost(gradient_exchanges=2)
    (fault,) = tables.faults(said(cost=two))
    assert "in 2 exchanges, not in 1" in fault
    assert tables.faults(said(cost=two, way="jit")) == []
    assert tables.faults(said(cost=two | {"gradient_bytes": 234 * 2**20})) == []
    assert len(tables.faults(said(cost=two | {"gradient_bytes": 100 * 2**20}))) == 1
    (fault,) = tables.faults(said(cost=cost(gradient_bytes=799)))
    assert "799 bytes of gradients" in fault


def test_savings_are_judged_between_equals():
    rows = [
        said("savings", play=play, dtype=dtype, penalty=penalty, cost=cost(**numbers))
        for play, dtype, penalty, numbers in (
            ("alternating", "float32", False, {"flops": 100.0}),
            ("merged", "float32", False, {"flops": 83.0}),
            ("one_backward", "float32", False, {"flops": 77.0}),
            ("one_backward", "float32", True, {"moved_bytes": 10.0}),
            ("one_backward", "bfloat16", True, {"moved_bytes": 6.0}),
        )
    ]
    shares = tables.savings(rows)
    assert [share for _, share, _ in shares] == [0.83, 0.77, 0.6]
    assert [share <= limit for _, share, limit in shares] == [True, False, True]
    assert "float32" in shares[2][0]
    assert "without penalty" not in shares[2][0]
    assert tables.savings(rows[1:3]) == []
    assert tables.savings([*rows[1:], said(cost=cost())]) == shares[2:]


def test_rows_are_renewed_in_their_place_and_kept_for_the_same_compiler(tmp_path):
    first, other = said(), said(topology="v4:2x2x2")
    newer = said(batch=512)
    assert tables.joined([first, other], newer) == [newer, other]
    searched = [said("search", batch=batch) for batch in (32, 64)]
    assert tables.joined(searched[:1], searched[1]) == searched
    tables.write(tmp_path, [first, said(topology="v6e:2x4", compiler="2")])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["table.json", "table.md"]
    kept = tables.kept(tmp_path / "table.json", "1")
    assert kept == json.loads(json.dumps([first]))
    assert tables.line(kept[0]) == tables.line(first)
    assert tables.kept(tmp_path / "none.json", "1") == []


def test_tables_say_that_times_are_a_bound():
    rows = [
        said(),
        said(topology="v5e:16x16", cost={"fits": False, "compile_seconds": 1.0}),
        said("savings"),
        said("search"),
        said("batches", batch=8 * 4096, cost=cost(bound_seconds=0.5)),
    ]
    text = tables.markdown(rows)
    assert text.startswith(
        "By the TPU compiler, without a TPU. Times are a bound and not"
    )
    marks = re.findall(
        r"<!-- compile_tpu: (\w+), written by [^>]*>\n(.*?)<!-- end -->",
        text,
        re.DOTALL,
    )
    tabled = dict(marks)
    assert list(tabled) == list(tables.TABLES)
    for body in tabled.values():
        lines = [line for line in body.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1
    assert (
        "| celeba64 | one_backward | v5e:2x4 | 32 | 197.0 | 0.819 | 2.00 |"
        in tabled["steps"]
    )
    assert "does not fit" in tabled["steps"]
    # 4,096 images a chip in half a second.
    assert "| celeba64 | v5e | 4,096 | 0.0 | 8,192 | memory |" in tabled["batches"]
    assert "DOES NOT FIT" in tables.line(rows[1])


@pytest.mark.parametrize("start", [1, 3, 16, 2**12])
def test_the_largest_batch(start):
    """Against trying all of them; where it does not fit, the compiler may give up."""
    for fixed, each, gives_up in itertools.product(
        (0, 100, 900), (1, 7, 300, 2000), (False, True)
    ):
        asked = []

        def needed(batch, fixed=fixed, each=each, gives_up=gives_up, asked=asked):
            asked.append(batch)
            memory = fixed + each * batch
            return None if gives_up and memory > 1000 else memory

        by_hand = [2**k for k in range(15) if fixed + each * 2**k <= 1000]
        assert largest(needed, start, 1000) == max(by_hand, default=0)
        assert len(set(asked)) == len(asked)  # nothing is compiled twice


def test_a_run_that_was_stopped_goes_on_and_one_with_a_fault_fails(
    monkeypatch, tmp_path, capsys
):
    """The command from end to end, with a compiler that we play ourselves."""
    asked, stop_after = [], 3

    def row(step, known):
        asked.append(step)
        if len(asked) > stop_after:
            raise KeyboardInterrupt
        chips = 256 if step.topology == "v5e:16x16" else 8
        fits = step.cfg.batch_size <= chips * 1000
        return said(
            step.table,
            name=step.name,
            play="alternating" if step.cfg.play == "alternating" else step.cfg.gradient,
            dtype="bfloat16" if step.cfg.bfloat16 else "float32",
            penalty=any(step.cfg.gamma),
            topology=step.topology,
            batch=step.cfg.batch_size,
            moves=2 if step.cfg.play == "alternating" else 1,
            cost=cost(
                flops=3e9 if step.cfg.play == "alternating" else 2e9,
                moved_bytes=1e9 if step.cfg.bfloat16 else 2e9,
                gradient_exchanges=2 if step.cfg.play == "alternating" else 1,
            )
            if fits
            else {"fits": False, "compile_seconds": 1.0},
        )

    monkeypatch.setattr(command, "apart", lambda call, step, known: row(step, known))
    monkeypatch.setattr(command, "compiler", lambda: "1")
    monkeypatch.setattr(
        command, "slice_devices", lambda t: range(256 if t == "v5e:16x16" else 8)
    )
    options = command.command(["--only", "celeba64", "--directory", str(tmp_path)])
    with pytest.raises(KeyboardInterrupt):
        command.run(options)
    file = tmp_path / "table.json"
    assert len(json.loads(file.read_text())["rows"]) == 3

    asked.clear()
    stop_after = 1000
    command.run(options)
    rows = json.loads(file.read_text())["rows"]
    count = {table: sum(r["table"] == table for r in rows) for table in tables.TABLES}
    assert count == {"steps": 8, "savings": 6, "batches": 3}
    pod = [step.cfg.batch_size for step in asked if step.topology == "v5e:16x16"]
    assert pod == [32 * 256] * 2  # as many a chip as in the preset; none is searched
    best = {r["topology"]: r["batch"] for r in rows if r["table"] == "batches"}
    assert best == dict.fromkeys(("v5e:2x4", "v4:2x2x2", "v6e:2x4"), 8 * 512)
    out = capsys.readouterr().out
    assert "relative to alternating, float32, both without penalty: 0.667" in out

    two = said(cost=cost(gradient_exchanges=2))
    monkeypatch.setattr(command, "apart", lambda call, step, known: two)
    options.tables = ["steps"]
    with pytest.raises(SystemExit, match="gradients travel in 2 exchanges"):
        command.run(options)


def test_a_compiler_that_dies_costs_its_own_row_only(here):
    assert apart(abs, -3) == 3
    assert apart(os.abort) is None
    lost = steps.row_of_failure(steps.Step("steps", "celeba64", SMALL, "v4:2x2x2"))
    assert lost["chips"] == 8
    assert "the compiler itself FAILS" in tables.line(lost)
    assert "the compiler fails" in tables.markdown([lost])
    (fault,) = tables.faults(lost)
    assert fault.endswith("on v4:2x2x2: the compiler itself fails")
