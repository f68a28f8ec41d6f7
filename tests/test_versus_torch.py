"""The comparison with PyTorch: both sides compute the same, and the figures are right.

What needs PyTorch (the extra `bench`) is skipped where it is not installed; what is
checked without it is how rows are told, timed, compared and printed.
"""

import dataclasses
import functools
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.versus_torch import __main__ as command
from experiments.versus_torch import ours
from experiments.versus_torch.cases import CPU_CASES, GPU_CASES, Case, Row, row_of, rows
from experiments.versus_torch.figures import (
    Timed,
    best,
    disturbance,
    quartiles,
    ratio,
    sentences,
    table,
    verdict,
)
from gan_jax.parts import sample_keys, split_keys

ROOT = Path(__file__).parents[1]
SMALL = {
    "dcgan": Case(
        name="dcgan",
        network="dcgan",
        size=16,
        width=8,
        latent=12,
        batch=6,
        loss="nonsaturating",
    ),
    "sngan": Case(
        name="sngan",
        network="resnet",
        size=32,
        width=4,
        latent=12,
        batch=4,
        loss="hinge",
    ),
    "r3gan": Case(
        name="r3gan",
        network="r3",
        size=32,
        width=16,
        latent=12,
        batch=4,
        group=8,
        loss="relativistic",
        gamma=2.0,
    ),
}


# ---- the same numbers on both sides ----


def spread(tree, key):
    """Away from zeros: biases and the last layers of R3GAN begin with them."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    moved = [
        x + 0.05 * jax.random.normal(k, x.shape)
        for x, k in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(structure, moved)


def kernel_of(kernel, layout):
    """flax's (k, k, in, out) as PyTorch's (out, in, k, k)."""
    return np.asarray(kernel).transpose(3, 2, 0, 1)


def up_kernel_of(kernel, layout):
    """flax's transposed kernel, which PyTorch holds turned by half a turn."""
    return np.asarray(kernel)[::-1, ::-1].transpose(2, 3, 0, 1)


def from_image(kernel, layout):
    """A dense kernel (16 · c, out), which reads 4x4 images row by row."""
    image = np.asarray(kernel).reshape(4, 4, -1, kernel.shape[-1])
    if layout == "contiguous":
        image = image.transpose(2, 0, 1, 3)
    return image.reshape(kernel.shape).T


def to_image(kernel, layout):
    """A dense kernel (latent, 16 · c), which writes 4x4 images row by row."""
    image = np.asarray(kernel).reshape(len(kernel), 4, 4, -1)
    if layout == "contiguous":
        image = image.transpose(0, 3, 1, 2)
    return image.reshape(kernel.shape).T


def image_bias(bias, layout):
    """The bias (16 · c) of a layer that writes 4x4 images."""
    return to_image(np.asarray(bias)[None], layout)[:, 0]


def basis_of(basis, layout):
    """R3GAN's (4, 4, c) as PyTorch's one axis."""
    image = np.asarray(basis)
    return (image if layout == "channels_last" else image.transpose(2, 0, 1)).ravel()


def transposed(kernel, layout):
    return np.asarray(kernel).T


def same(x, layout):
    return np.asarray(x)


def with_bias(theirs, ours, transform, bias=True):
    """A layer's kernel, and its bias."""
    kernel = (f"{theirs}.weight", f"{ours}/kernel", transform)
    return [kernel, (f"{theirs}.bias", f"{ours}/bias", same)] if bias else [kernel]


def norm(theirs, ours):
    return [
        (f"{theirs}.weight", f"{ours}/norm/scale", same),
        (f"{theirs}.bias", f"{ours}/norm/bias", same),
    ]


def names(case):
    """(PyTorch's name, ours, how to turn ours into PyTorch's), of both networks."""
    gen, disc = [], []
    if case.network == "dcgan":
        depth = 2
        gen += with_bias("dense", "Dense_0", to_image, bias=False)
        for i in range(depth):
            gen += norm(f"norms.{i}", f"BatchNorm_{i}")
            last = i == depth - 1
            gen += with_bias(f"ups.{i}", f"ConvTranspose_{i}", up_kernel_of, last)
            disc += with_bias(f"downs.{i}", f"Conv_{i}", kernel_of)
        disc += with_bias("dense", "Dense_0", from_image)
    elif case.network == "resnet":
        gen += with_bias("dense", "Dense_0", to_image, bias=False)
        gen.append(("dense.bias", "Dense_0/bias", image_bias))
        for i in range(3):
            for j in range(2):
                gen += norm(f"blocks.{i}.norms.{j}", f"UpBlock_{i}/BatchNorm_{j}")
            for j in range(3):
                gen += with_bias(
                    f"blocks.{i}.convs.{j}", f"UpBlock_{i}/Conv_{j}", kernel_of
                )
        gen += norm("norm", "BatchNorm_0")
        gen += with_bias("out", "Conv_0", kernel_of)
        for i in range(4):
            for j in range(3 if i < 2 else 2):
                disc += with_bias(
                    f"blocks.{i}.convs.{j}", f"DownBlock_{i}/Conv_{j}", kernel_of
                )
        disc += with_bias("dense", "Dense_0", transposed)
    else:
        for net in (gen, disc):
            for i in range(8):
                block = f"stages.{i // 2}.{i % 2}.convs"
                for j in range(3):
                    net.append(
                        (f"{block}.{j}.weight", f"Block_{i}/Conv_{j}/kernel", kernel_of)
                    )
                for j in range(2):
                    net.append(
                        (f"{block}.{j}.bias", f"Block_{i}/Activation_{j}/bias", same)
                    )
            net.append(("basis", "basis", basis_of))
            net.append(("linear.weight", "linear", transposed))
        gen += with_bias("out", "Conv_0", kernel_of, bias=False)
        disc += with_bias("first", "Conv_0", kernel_of, bias=False)
    return {"gen": gen, "disc": disc}


def flat(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def expected(case, state, layout):
    """The state's parameters under PyTorch's names, {player: {name: array}}."""
    found = {}
    for player, entries in names(case).items():
        params = flat(state.params[player])
        assert len(entries) == len(params)
        found[player] = {
            theirs: transform(params[our], layout) for theirs, our, transform in entries
        }
    return found


def vectors(state, layout):
    """SNGAN's u in the order of PyTorch's layers."""
    spectral = state.stats["disc"]["spectral"]
    found = []
    for i in range(4):
        block = spectral[f"DownBlock_{i}"]
        for j in range(len(block)):
            u = np.asarray(block[f"Conv_{j}"]["u"])
            if layout == "contiguous":
                size = 3 if j < 2 else 1
                u = u.reshape(size, size, -1).transpose(2, 0, 1).ravel()
            found.append(u)
    return [*found, np.asarray(spectral["Dense_0"]["u"])]


def torch_networks_of(case, state, layout):
    """PyTorch's networks with the state's parameters and vectors."""
    import torch

    from experiments.versus_torch import torch_networks

    nets = dict(
        zip(("gen", "disc"), torch_networks.networks(case, layout), strict=True)
    )
    with torch.no_grad():
        for player, wanted in expected(case, state, layout).items():
            params = dict(nets[player].named_parameters())
            assert set(wanted) == set(params)
            for name, value in wanted.items():
                assert params[name].shape == value.shape, name
                params[name].copy_(torch.from_numpy(np.array(value)))
        if case.network == "resnet":
            for i, u in enumerate(vectors(state, layout)):
                getattr(nets["disc"], f"u{i}").copy_(torch.from_numpy(u.copy()))
    return nets["gen"], nets["disc"]


def latents_of(case, state, move):
    """The z that our step draws in a move."""
    key = jax.random.fold_in(state.key, state.step)
    batch = {"real": np.zeros(case.batch)}
    keys = sample_keys(jax.random.fold_in(key, move), batch, None)
    z_keys, _ = split_keys(keys, 2)
    return jax.vmap(lambda k: jax.random.normal(k, (case.latent,)))(z_keys)


def images_of(case, seed):
    shape = (case.batch, case.size, case.size, 3)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def as_torch(images, layout):
    import torch

    order = torch.channels_last if layout == "channels_last" else torch.preserve_format
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    return x.contiguous(memory_format=order)


def begun(case, way):
    """Our kernel, and a state whose parameters are away from zeros."""
    model = ours.model(case, way, optax.sgd(1.0))
    n = case.batch * (2 if way == "alternating" else 1)
    batch = {"real": np.zeros((n, case.size, case.size, 3), np.float32)}
    state = jax.jit(model.init)(jax.random.key(0), batch)
    return model, state._replace(params=spread(state.params, jax.random.key(1)))


@functools.cache
def our_step(case, way):
    """The state before and after a step of ours on two batches in turn, or on one."""
    model, state = begun(case, way)
    reals = [images_of(case, seed) for seed in range(2)]
    both = np.stack(reals, 1).reshape(-1, *reals[0].shape[1:])  # moves take turns
    batch = {"real": jnp.asarray(both if way == "alternating" else reals[0])}
    new, info = jax.jit(model.step)(state, batch)
    assert int(info["bad"]) == 0
    return state, new


def close(found, wanted, scale, what):
    """Equal to 1e-5 of the largest number."""
    gap = np.abs(np.asarray(found) - wanted).max()
    assert gap <= 1e-5 * max(scale, 1e-3), f"{what}: {gap / scale:.1e}"


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize("name", SMALL)
def test_the_networks_have_the_same_values(name, layout):
    torch = pytest.importorskip("torch")
    case = SMALL[name]
    _, state = begun(case, "merged")
    gen, disc = ours.networks(case)
    z, x = latents_of(case, state, 0), jnp.asarray(images_of(case, 0))
    fake, _ = gen.apply(state.params["gen"], state.stats["gen"], z, train=True)
    logits, _ = disc.apply(state.params["disc"], state.stats["disc"], x, train=True)
    torch_gen, torch_disc = torch_networks_of(case, state, layout)
    with torch.no_grad():
        torch_fake = (
            torch_gen(torch.from_numpy(np.array(z))).permute(0, 2, 3, 1).numpy()
        )
        torch_logits = torch_disc(
            as_torch(np.asarray(x), layout), torch_disc.weights()
        ).numpy()
    fake, logits = np.asarray(fake), np.asarray(logits)
    close(torch_fake, fake, np.abs(fake).max(), "fakes")
    close(torch_logits, logits, np.abs(logits).max(), "logits")


STEPS = [
    ("one_stage", "one_backward", "channels_last", False),
    ("one_stage", "one_backward", "contiguous", False),
    ("one_stage", "one_backward", "channels_last", True),
    ("alternating", "alternating", "channels_last", False),
    ("alternating", "alternating", "contiguous", True),
]


def test_compiled_gradients_are_those_of_eager_ones():
    """By torch.compile's tracer alone, which needs no compiler of C++."""
    torch = pytest.importorskip("torch")
    from experiments.versus_torch import theirs

    case = SMALL["dcgan"]
    _, state = begun(case, "merged")
    nets = torch_networks_of(case, state, "channels_last")
    theirs.settings(Row(case=case, side="torch", way="one_stage", compiled=True))
    game = theirs.Game(Row(case=case, side="torch", way="one_stage"), *nets)
    real = as_torch(images_of(case, 0), "channels_last")
    z = torch.from_numpy(np.array(latents_of(case, state, 0)))
    traced = torch.compile(game._of_both, backend="eager")(real, z)
    for player, other in zip(traced, game._of_both(real, z), strict=True):
        for one, another in zip(player, other, strict=True):
            close(one.numpy(), another.numpy(), float(another.abs().max()), "gradient")


@pytest.mark.parametrize(("way", "our_way", "layout", "joined"), STEPS)
@pytest.mark.parametrize("name", SMALL)
def test_a_step_is_the_same_step(name, way, our_way, layout, joined):
    """With plain gradient descent of rate 1 the change of the parameters is minus the
    gradient of each player; alternating players see each other's changes, too."""
    torch = pytest.importorskip("torch")
    from experiments.versus_torch import theirs

    case = SMALL[name]
    reals = [images_of(case, seed) for seed in range(2)]
    state, new = our_step(case, our_way)
    nets = torch_networks_of(case, state, layout)
    drawn = iter([np.array(latents_of(case, state, move)) for move in range(2)])
    for block in nets[1].modules():  # as it is on a GPU, where it pays
        if hasattr(block, "together"):
            block.together = joined
    row = Row(case=case, side="torch", way=way, layout=layout, joined=joined)
    step = theirs.steps(
        row,
        *nets,
        [torch.optim.SGD(net.parameters(), lr=1.0) for net in nets],
        lambda: torch.from_numpy(next(drawn)),
    )
    step(*(as_torch(x, layout) for x in reals))
    before, after = (expected(case, s, layout) for s in (state, new))
    for player, net in zip(("gen", "disc"), nets, strict=True):
        theirs_after = {k: v.detach().numpy() for k, v in net.named_parameters()}
        change = {k: after[player][k] - before[player][k] for k in before[player]}
        largest = max(np.abs(x).max() for x in change.values())
        assert largest > 1e-3
        for k, moved in change.items():
            own = theirs_after[k] - before[player][k]
            close(own, moved, largest, f"{player} {k}")
    if case.network == "resnet":
        for i, u in enumerate(vectors(new, layout)):
            close(getattr(nets[1], f"u{i}").numpy(), u, 1.0, f"u{i}")


@pytest.mark.parametrize("name", ["dcgan", "r3gan"])
def test_reused_fakes_are_those_of_the_discriminators_step(name):
    """G's step through the fakes that D has just learned from: the second half of an
    alternating step with the same latents twice."""
    torch = pytest.importorskip("torch")
    from experiments.versus_torch import theirs

    case = SMALL[name]
    _, state = begun(case, "merged")
    z = torch.from_numpy(np.array(latents_of(case, state, 0)))
    reals = [as_torch(images_of(case, seed), "channels_last") for seed in range(2)]
    ends = []
    for way in ("alternating", "reusing"):
        nets = torch_networks_of(case, state, "channels_last")
        row = Row(case=case, side="torch", way=way)
        optimizers = [torch.optim.SGD(net.parameters(), lr=0.1) for net in nets]
        theirs.steps(row, *nets, optimizers, lambda: z)(*reals)
        ends.append([p.detach().numpy() for net in nets for p in net.parameters()])
    for one, other in zip(*ends, strict=True):
        close(one, other, np.abs(other).max(), "a parameter")


def test_the_count_of_operations_is_that_of_direct_convolutions():
    """3 forward passes through G and 6 through D, less D's first layer on real images,
    which needs no gradient by them."""
    pytest.importorskip("torch")  # which it does not want; it tests what torch meets
    case = dataclasses.replace(SMALL["dcgan"], size=32, width=32, batch=8)
    layers = [  # transposed convolutions or convolutions: pixels, channels, channels
        (16, 32, 3),
        (8, 64, 32),
        (4, 128, 64),
    ]

    def of(pixels, a, b):
        inside = (4 * pixels - 2) ** 2  # taps on the padding are not counted
        return 2 * case.batch * inside * a * b

    gen = sum(of(*layer) for layer in layers) + 2 * case.batch * 12 * 16 * 128
    disc = sum(of(*layer) for layer in layers) + 2 * case.batch * 16 * 128
    wanted = 3 * gen + 6 * disc - of(*layers[0])
    found = ours.step_costs(case)["direct_flops"]
    assert found == pytest.approx(wanted, rel=0.04)


# ---- the figures ----


def timed(side, way, rounds, **facts):
    row = Row(case=SMALL["dcgan"], side=side, way=way)
    known = {"cold": 1.0, "peak": 2e6, "imported": 1e6, "about": {}}
    return Timed(row, dict(enumerate(rounds)), known | facts)


def test_quartiles():
    assert quartiles([5.0, 1.0, 3.0, 2.0, 4.0]) == (2.0, 3.0, 4.0)
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)


def test_a_ratio_is_of_the_same_round():
    """Three slow rounds of five move both medians, but no ratio."""
    ours = {0: 1.0, 1: 9.0, 2: 9.0, 3: 9.0, 4: 1.0}
    assert ratio(ours, {n: 2 * x for n, x in ours.items()}) == 0.5
    assert ratio(ours, {1: 3.0}) == 3.0  # a slow row has fewer rounds
    with pytest.raises(ValueError, match="no round in common"):
        ratio(ours, {})


def test_the_verdict_is_of_the_best_rows():
    about = {"product_flops": 100.0, "direct_flops": 60.0, "executed_flops": 30.0}
    seen = [
        timed("machine", "", [1.0, 1.0, 1.0], about=about),
        timed("jax", "one_backward", [2.0, 2.0, 8.0], peak=3e6),
        timed("jax", "merged", [1.0, 1.0, 1.0]),  # is not what the target is about
        timed("torch", "reusing", [4.0, 4.0, 4.0]),
        timed("torch", "one_stage", [4.0, 2.5, 2.5]),
    ]
    assert best(seen, "torch").row.way == "one_stage"
    found = verdict(seen)
    assert (found["ours"], found["theirs"]) == (str(seen[1].row), str(seen[4].row))
    assert found["ratio"] == 0.8
    assert found["peak_ratio"] == 1.5
    assert found["product_rate"] == 100.0
    assert found["direct_share"] == pytest.approx(0.3)
    assert found["executed_share"] == pytest.approx(0.15)
    assert "takes 0.80 of the best PyTorch step" in sentences(found)
    assert "roofline" not in found


def test_the_roofline_is_the_slower_of_two_floors():
    about = {
        "product_flops": 100.0,
        "direct_flops": 60.0,
        "executed_flops": 60.0,
        "bytes_accessed": 40.0,
        "bytes_per_second": 50.0,
    }
    seen = [
        timed("machine", "", [1.0], about=about),
        timed("jax", "one_backward", [1.6]),
    ]
    assert verdict(seen)["roofline"] == pytest.approx(0.5)
    assert verdict(seen)["bound_by"] == "memory"


def test_a_row_that_failed_is_in_the_table_and_wins_nothing():
    seen = [
        timed("torch", "one_stage", [], failed="no compiler"),
        timed("torch", "reusing", [0.5]),
    ]
    assert best(seen, "torch").row.way == "reusing"
    assert "failed: no compiler" in table(seen)
    assert verdict([seen[0]]) == {}
    assert table(seen).splitlines()[2].startswith("| PyTorch, reusing")


def test_a_busy_machines_figures_do_not_count():
    assert disturbance(0.05) == ""
    assert "0.7 cores busy: these figures count for nothing" in disturbance(0.7)


def test_work_of_a_process_is_counted_in_seconds():
    begun = time.process_time()
    before = command.core_seconds(os.getpid())
    while time.process_time() < begun + 0.2:
        pass
    assert command.core_seconds(os.getpid()) - before == pytest.approx(0.2, abs=0.05)
    assert command.core_seconds() > before


# ---- the rows and the command ----


def test_rows_differ_and_survive_json():
    for case in (*CPU_CASES, *GPU_CASES):
        own = rows(case)
        assert len({str(row) for row in own}) == len(own)
        for row in own:
            assert row_of(dataclasses.asdict(row)) == row
    assert len({case.name for case in GPU_CASES}) == len(GPU_CASES)


def test_a_process_that_cannot_work_says_why(tmp_path):
    broken = dataclasses.replace(SMALL["dcgan"], size=17)
    worker = command.Worker(Row(case=broken, side="jax", way="merged"), str(tmp_path))
    worker.end()
    assert not worker.alive
    assert "size=17 is not offered" in worker.facts["failed"]


def test_a_process_works_in_turns(monkeypatch, tmp_path):
    pytest.importorskip("torch")  # as above
    monkeypatch.setattr(command, "TURN", 0.01)
    row = Row(case=SMALL["dcgan"], side="jax", way="one_backward")
    workers = {}
    try:
        (seen,), busy = command.match([row], workers, str(tmp_path), 0.03)
    finally:
        for worker in workers.values():
            worker.end()
    assert busy >= 0
    assert len(seen.rounds) == 3
    assert min(seen.rounds.values()) > 0
    assert seen.facts["peak"] > seen.facts["imported"] > 0


class Stub:
    """A worker that does nothing, and who else is there meanwhile."""

    there: ClassVar[set] = set()
    begun: ClassVar[list] = []
    most = 0
    alive = True

    def __init__(self, row, caches):
        self.row, self.rounds, self.spent = row, {}, 0.0
        counts = dict.fromkeys(("product_flops", "direct_flops", "executed_flops"), 1.0)
        self.facts = {"cold": 1.0, "step": 0.1, "imported": 1, "peak": 2}
        self.facts["about"] = counts
        self.process = SimpleNamespace(pid=os.getpid())
        Stub.there.add(self)
        Stub.begun.append(row)
        Stub.most = max(Stub.most, len(Stub.there))

    def turn(self, number):
        self.rounds[number] = 2.0 if self.row.side == "torch" else 1.0

    def timed(self):
        rounds, self.rounds = self.rounds, {}
        return Timed(self.row, rounds, self.facts)

    def end(self):
        Stub.there.discard(self)


@pytest.mark.parametrize(("cases", "most"), [(CPU_CASES, 10), (GPU_CASES, 3)])
def test_finalists_begin_anew_and_on_a_gpu_rows_are_alone(monkeypatch, cases, most):
    monkeypatch.setattr(command, "Worker", Stub)
    monkeypatch.setattr(Stub, "begun", [])
    monkeypatch.setattr(Stub, "most", 0)
    chosen = [row for row in rows(cases[0]) if not row.compiled]
    seen = command.compare(cases[0], chosen, 1.0)
    assert not Stub.there
    assert Stub.most == most  # of the GPU's the finalists: ours, theirs, the machine's
    again = [row for row in Stub.begun if row.side != "machine" and not row.kept]
    finalists = {row for row in again if again.count(row) == 2}
    assert {row.side for row in finalists} == {"jax", "torch"}
    assert seen["verdict"]["ratio"] == 0.5
    assert seen["failed"] == []


def test_grouped_convolutions_are_differentiated_twice_in_bfloat16():
    torch = pytest.importorskip("torch")
    from experiments.versus_torch.torch_networks import R3Block

    def slopes(together):
        torch.manual_seed(0)
        block = R3Block(8, 8, 4, together)
        torch.nn.init.normal_(block.convs[2].weight)
        x = torch.randn(2, 8, 6, 6, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            y = block(x)
        (slope,) = torch.autograd.grad(y.float().square().sum(), x, create_graph=True)
        slope.square().sum().backward()
        return block.convs[1].weight.grad

    one, other = slopes(True), slopes(False)
    torch.testing.assert_close(one, other, rtol=0, atol=0.05 * float(other.abs().max()))


def run(*options):
    return subprocess.run(
        [sys.executable, "-m", "experiments.versus_torch", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_the_command_names_its_rows_without_torch():
    said = run("--list", "--only", "dcgan64").stdout
    assert "PyTorch, one_stage, channels_last, compiled" in said
    assert "gan_jax, one_backward" in said
    assert "there is no case nothing" in run("--only", "nothing").stderr


def test_without_torch_the_command_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"extra `bench`.*\[bench\]"):
        command.check("cpu")


def test_without_a_gpu_the_command_says_so(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="needs an NVIDIA GPU"):
        command.check("cuda")
