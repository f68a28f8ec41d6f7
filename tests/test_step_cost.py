"""What a step costs: what is exact of it. Times are measured, never asserted."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import image
from experiments.step_cost import growth, ring, samples, service
from experiments.step_cost import table as tables
from experiments.step_cost.__main__ import every_table
from experiments.step_cost.table import Table, alternately, markdown
from experiments.versus_torch.cases import CPU_CASES
from experiments.versus_torch.ours import model as ours_of_case
from gan_jax import gan, latents, optimizers
from gan_jax.data import Order, mixture_points, resident, streaming
from gan_jax.data import ring as modes
from gan_jax.devices import data_mesh, sharded
from gan_jax.networks import mlp
from gan_jax.train import fit
from tests.commands import ROOT

ONE = sharded(data_mesh(jax.devices()[:1]))


def small(width=8):
    return gan(
        mlp.generator(2, width),
        mlp.discriminator(width),
        latent=latents.normal(4),
        optimizers={p: optimizers.adam() for p in ("gen", "disc")},
    )


def points(n=8):
    source = mixture_points(modes(), 256, seed=0)
    return resident(source, Order(len(source), n, 0), flip=False)


@pytest.mark.parametrize("k", [4])
def test_a_fit_traces_its_step_once_however_long_it_is(k):
    def traces(steps):
        feed, count = points(), []

        def gather(arrays, got):
            count.append(1)
            return feed.gather(arrays, got)

        model = small()
        run = {"parallel": ONE, "console": False, "log_every": 4, "steps_per_call": k}
        key = jax.random.key(0)
        fit(model, feed._replace(gather=gather), key=key, steps=steps, **run)
        return len(count)

    assert traces(8) == traces(24) == 2  # the initial state's, and the step's


@pytest.mark.parametrize(("k", "together"), [(1, 64), (4, 64), (100, 100)])
def test_steps_are_sent_in_blocks_and_fetched_by_calls(k, together, monkeypatch):
    sent, fetched = [], []

    def put(got, axis):
        sent.append({name: x.shape for name, x in got.items()})
        return ONE.put(got, axis)

    fetch = jax.device_get

    def device_get(tree):
        fetched.append(len(jax.tree.leaves(tree)))
        return fetch(tree)

    monkeypatch.setattr(jax, "device_get", device_get)
    steps, feed = 200, points()
    fit(
        small(),
        feed,
        key=jax.random.key(0),
        steps=steps,
        steps_per_call=k,
        parallel=ONE._replace(put=put),
        log_every=steps,
        console=False,
    )
    # Indices, not images; the initial state's batch goes its own way.
    assert sent == [{"index": (together, 8)}] * -(-steps // together)
    # Two arrays a call, however many names; the key at the start and the state's
    # digest at the end.
    assert fetched.count(2) == steps // k
    assert len(fetched) == steps // k + 2


def test_work_per_device_falls_as_it_should_and_only_sums_travel():
    batch = {"real": jnp.zeros((256, 2))}

    def step(count):
        program, _ = growth.compiled(small(32), batch, count)
        return program.cost_analysis()["flops"], growth.collectives(program.as_text())

    counts = (1, 2, 4, 8)
    flops, travels = zip(*map(step, counts), strict=True)
    # a / n, shared, and b, which each device does for itself (Adam, the guard).
    a = 2 * (flops[0] - flops[1])
    b = flops[0] - a
    assert 0 < b < 0.05 * flops[0]
    for count, found in zip(counts, flops, strict=True):
        assert found == pytest.approx(a / count + b, rel=0.05)
    assert travels[0] == {}
    print(travels)
    for found in travels[1:]:
        assert set(found) == {"all-reduce"}
        assert found == travels[1]


def test_collectives_are_counted():
    text = """
      %all-reduce.1 = f32[8] all-reduce(%x), channel_id=1
      %s = (f32[8], f32[8]) all-gather-start(%y)
      %d = f32[8] all-gather-done(%s)
      %z = f32[8] add(%all-reduce.1, %d)
    """
    assert growth.collectives(text) == {"all-reduce": 1, "all-gather": 1}


def peak(work):
    work()
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_the_order_of_ten_million_takes_no_more_memory_than_that_of_a_thousand():
    def memory(n):
        order = Order(n, 64, seed=1)
        return peak(lambda: [order.indices(step) for step in (0, 1, 10 * n // 64)])

    few, many = memory(10**3), memory(10**7)
    assert many < 2**20
    assert many < 2 * few + 2**14


@pytest.mark.parametrize("process", [0, 1])
def test_many_steps_at_once_are_those_steps(process):
    order = Order(1000, 24, seed=5).share(process, 2)
    for name in ("indices", "flips"):
        one = getattr(order, name)
        each = [one(step) for step in range(70, 150)]
        np.testing.assert_array_equal(np.concatenate(each), one(70, 80))


def test_what_a_feed_hands_out_cannot_be_written_to():
    got = points().get(3)
    with pytest.raises(ValueError, match="read-only"):
        got["index"][0] = 0


def test_a_stream_of_ten_million_begins_as_one_of_a_thousand():
    def memory(n):
        def begin():
            feed = streaming(samples.Computed(n), Order(n, 8, 1), flip=True, threads=2)
            got = feed.get(10 * n // 8)
            assert (got["real"][:, 0, 0, 0] == got["index"] % 256).all()
            feed.close()

        return peak(begin)

    few, many = memory(10**3), memory(10**7)
    assert many < 2 * few + 2**16 < 2**22


def test_the_rings_products_are_those_of_its_step():
    program, _ = ring.step()
    counted = program.cost_analysis()["flops"]
    assert ring.FLOP < counted < 1.12 * ring.FLOP


def test_works_are_timed_in_turns_and_the_first_turn_does_not_count():
    done = []
    times = alternately(
        {"a": lambda: done.append("a"), "b": lambda: done.append("b")}, 3
    )
    assert "".join(done) == "abababab"
    assert [len(times[name]) for name in "ab"] == [3, 3]


def test_a_table_says_whether_its_goal_is_met():
    rows = [
        {"what": "x", "ms": 1.23456, "n": 12345},
        {"what": "y", "ms": 345.6, "n": 1},
    ]
    text = markdown(Table("a title", "at most 1", "because", rows, False))
    assert "### a title" in text
    assert "**missed**" in text
    assert "| x | 1.235 | 12,345 |" in text
    assert "| y | 346 | 1 |" in text
    assert "Goal" not in markdown(Table("t", "", "because", rows, None))
    assert tables.machine()["versions"]["jax"] == jax.__version__
    json.dumps(tables.machine())


def test_the_second_gan_that_is_served_is_that_of_versus_torch():
    served, (case, *_) = service.dcgan_gan(), CPU_CASES
    ours, theirs = image.model(served.config), ours_of_case(case, "one_backward")
    batch = {"real": served.source.gather(np.arange(case.batch))["real"]}
    shapes = [
        jax.eval_shape(model.init, jax.random.key(0), batch).params
        for model in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]
    assert served.config.batch_size == case.batch
    assert served.config.gradient == "one_backward"


def test_what_is_served_is_timed_beside_the_bare_step(monkeypatch):
    asked = []

    def beside(model, bare, feed, **options):
        asked.append((model is not bare, options))
        return [0.98, 0.99, 1.0]

    monkeypatch.setattr(service, "beside", beside)
    table = service.everything()
    assert len(table.rows) == 6
    assert table.holds
    # The average is kept in the second and third rows; the last one has it all.
    last = {"checkpoint_every": 50, "sample_every": 500, "window": 500}
    for at, (averaged, options) in enumerate(asked):
        assert averaged == (at % 3 > 0)
        assert (options["checkpoint_every"] is None) == (at % 3 < 2)
        if at % 3 == 2:
            assert {name: options[name] for name in last} == last
    assert [row["what"].split(":")[0] for row in table.rows][::3] == [
        "digits",
        "dcgan64",
    ]


def test_the_command(tmp_path: Path):
    def call(*options):
        command = [sys.executable, "-m", "experiments.step_cost", *options]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    assert call("--list").stdout.split() == list(every_table())
    wrong = call("--only", "nothing")
    assert wrong.returncode == 2
    assert "there is no table nothing" in wrong.stderr
    done = call("--only", "samples", "--directory", str(tmp_path))
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "table.json").read_text())
    rows = kept["tables"]["samples"]["rows"]
    assert [row["samples"] for row in rows] == [10**p for p in range(3, 8)]
    assert kept["machine"]["cores"] >= 1
    assert "starting and shuffling" in (tmp_path / "table.md").read_text()
    assert "starting and shuffling" in done.stdout


def test_computed_images_are_their_index():
    source = samples.Computed(1000)
    assert len(source) == 1000
    rows = source.gather(np.array([3, 999]))
    np.testing.assert_array_equal(rows["real"][1], source[999]["real"])
