"""PyTorch's side: the steps as its best users write them, each as fast as we found it.

What all of them do: fused Adam, gradients set to none, images channels_last or
contiguous together with the kernels, spectral norms once a step, D's parameters frozen
while G learns, no number fetched. docs/performance.md says what else was tried.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from experiments.versus_torch.cases import BATCHES, BETAS, RATE, LossName, Row
from experiments.versus_torch.torch_networks import Grouped, networks
from experiments.versus_torch.work import Work, real_images

# Where L_D is flat at a fake's logit there is no ratio; see gan_jax's own.
SEED = 1e-20

Step = Callable[[Tensor, Tensor], None]
Compile = Callable[[Callable[..., Any]], Callable[..., Any]]


class Loss(NamedTuple):
    """``disc(real_logits, fake_logits)`` and ``gen(real_logits, fake_logits)``."""

    disc: Callable[[Tensor, Tensor], Tensor]
    gen: Callable[[Tensor, Tensor], Tensor]
    pairs: bool = False  # whether G's loss needs the real logits


LOSSES: dict[LossName, Loss] = {
    "nonsaturating": Loss(
        lambda r, f: softplus(-r).mean() + softplus(f).mean(),
        lambda r, f: softplus(-f).mean(),
    ),
    "hinge": Loss(
        lambda r, f: relu(1 - r).mean() + relu(1 + f).mean(),
        lambda r, f: -f.mean(),
    ),
    "relativistic": Loss(
        lambda r, f: softplus(f - r).mean(),
        lambda r, f: softplus(r - f).mean(),
        pairs=True,
    ),
}


def work(row: Row) -> Work:
    """The row, ready to run."""
    case = row.case
    device = torch.device(case.device)
    settings(row)
    gen, disc = (net.to(device) for net in networks(case, row.layout))
    if row.layout == "channels_last":
        order = torch.channels_last
    else:
        order = torch.contiguous_format
    batches = [
        torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        .contiguous(memory_format=order)
        .to(device)
        for x in real_images(case, BATCHES)
    ]
    optimizers = [
        torch.optim.Adam(net.parameters(), lr=RATE, betas=BETAS, fused=True)
        for net in (gen, disc)
    ]
    shape = case.batch, case.latent
    step = steps(
        row,
        gen,
        disc,
        optimizers,
        lambda: torch.randn(shape, device=device),
    )
    done = 0

    def run(n: int) -> None:
        nonlocal done
        for _ in range(n):
            step(batches[done % BATCHES], batches[(done + 1) % BATCHES])
            done += 1
        if case.device == "cuda":
            torch.cuda.synchronize()

    def peak() -> int | None:
        return torch.cuda.max_memory_allocated() if case.device == "cuda" else None

    return Work(run, peak, {"torch": torch.__version__})


def settings(row: Row) -> None:
    """What a user sets once, at the beginning of a program."""
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    if row.compiled:
        from torch._dynamo import config  # costs an eager program 70 MB

        if hasattr(config, "trace_autograd_ops"):
            config.trace_autograd_ops = True
    if row.case.device == "cpu":
        torch.set_num_threads(row.threads or len(os.sched_getaffinity(0)))
        return
    torch.backends.cudnn.benchmark = True
    if row.case.precision != "float32":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True


def steps(
    row: Row,
    gen: nn.Module,
    disc: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    draw: Callable[[], Tensor],
) -> Step:
    """One training step, ``(real, next_real) -> None``.

    Only alternating players with a loss of pairs look at ``next_real``: G's move then
    has real samples of its own.
    """
    game = Game(row, gen, disc)
    opt_gen, opt_disc = optimizers

    def learn(
        optimizer: torch.optim.Optimizer, net: nn.Module, gradients: Sequence[Tensor]
    ) -> None:
        for parameter, gradient in zip(net.parameters(), gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def alternating(real: Tensor, next_real: Tensor) -> None:
        with torch.no_grad():
            fake = game.fakes(draw())
        learn(opt_disc, disc, game.of_disc(real, fake))
        with frozen(disc):
            learn(opt_gen, gen, game.of_gen(next_real, draw()))

    def reusing(real: Tensor, next_real: Tensor) -> None:
        fake = game.fakes(draw())
        learn(opt_disc, disc, game.of_disc(real, fake.detach()))
        with frozen(disc):
            by_fake = game.by_fake(next_real, fake.detach())
        learn(opt_gen, gen, torch.autograd.grad(fake, list(gen.parameters()), by_fake))

    def one_stage(real: Tensor, next_real: Tensor) -> None:
        of_gen, of_disc = game.of_both(real, draw())
        learn(opt_disc, disc, of_disc)
        learn(opt_gen, gen, of_gen)

    ways = {"alternating": alternating, "reusing": reusing, "one_stage": one_stage}
    return ways[row.way]


@contextlib.contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Without gradients for the parameters of ``net``, which saves their work."""
    net.requires_grad_(False)
    try:
        yield
    finally:
        net.requires_grad_(True)


class Game:
    """The gradients of a row's players, each one function that is compiled as a whole.

    ``torch.autograd.grad`` stands within them, so that what is compiled is one graph of
    both directions; where the compiler cannot trace it (older PyTorch), it leaves the
    graph there. It knows no derivative of a derivative: under R1 and R2 what D learns
    from is not compiled, and all else is.
    """

    def __init__(self, row: Row, gen: nn.Module, disc: nn.Module) -> None:
        self.row, self.disc, self.gen = row, disc, gen
        self.loss = LOSSES[row.case.loss]
        compiled: Compile = torch.compile if row.compiled else lambda function: function
        self.fakes = compiled(self._fakes)
        self.of_disc = self._of_disc if row.case.gamma else compiled(self._of_disc)
        self.of_both = self._of_both if row.case.gamma else compiled(self._of_both)
        self.of_gen = compiled(self._of_gen)
        self.by_fake = compiled(self._by_fake)

    def autocast(self) -> Any:
        """The context that bfloat16 is computed in."""
        case = self.row.case
        return torch.autocast(
            case.device, torch.bfloat16, enabled=case.precision == "bfloat16"
        )

    def _fakes(self, z: Tensor) -> Tensor:
        with self.autocast():
            return self.gen(z)

    def _judged(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        with self.autocast():
            return self.disc(x, weights)

    def _scores(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.disc.weights()
        if self.row.joined:
            r, f = self._judged(torch.cat((real, fake)), weights).chunk(2)
            return r, f
        return self._judged(real, weights), self._judged(fake, weights)

    def _of_disc(self, real: Tensor, fake: Tensor) -> Sequence[Tensor]:
        """D's gradient."""
        parameters = list(self.disc.parameters())
        if not self.row.case.gamma:
            return torch.autograd.grad(
                self.loss.disc(*self._scores(real, fake)), parameters
            )
        r, f, penalty = self._penalised(
            real.detach().requires_grad_(), fake.detach().requires_grad_()
        )
        return torch.autograd.grad(self.loss.disc(r, f) + penalty, parameters)

    def _gen_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        weights = self.disc.weights(keep=False)
        f = self._judged(fake, weights)
        if not self.loss.pairs:
            return self.loss.gen(f, f)
        with torch.no_grad():
            r = self._judged(real, weights)
        return self.loss.gen(r, f)

    def _of_gen(self, real: Tensor, z: Tensor) -> Sequence[Tensor]:
        """G's gradient."""
        loss = self._gen_loss(real, self._fakes(z))
        return torch.autograd.grad(loss, list(self.gen.parameters()))

    def _by_fake(self, real: Tensor, fake: Tensor) -> Tensor:
        """The gradient of G's loss by its fakes."""
        leaf = fake.detach().requires_grad_()
        return torch.autograd.grad(self._gen_loss(real, leaf), leaf)[0]

    def _penalised(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """D's scores, and R1 + R2; ``real`` and ``fake`` are leaves with gradients."""
        r, f = self._scores(real, fake)
        Grouped.by_weight = False
        slopes = torch.autograd.grad(r.sum() + f.sum(), (real, fake), create_graph=True)
        Grouped.by_weight = True
        squares = slopes[0].square().sum() + slopes[1].square().sum()
        return r, f, self.row.case.gamma / 2 * squares / len(r)

    def _of_both(
        self, real: Tensor, z: Tensor
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """G's gradient and D's at one point, going back through D once.

        The gradients of the two losses at a fake differ by one factor a sample, the
        ratio of their slopes at its logit. This holds with R1 and R2 because a network
        of LeakyReLUs has the same slope all around a sample: the penalties have no
        gradient by it.
        """
        fake = (self.fakes if self.row.case.gamma else self._fakes)(z)
        leaf = fake.detach().requires_grad_()
        if self.row.case.gamma:
            r, f, penalty = self._penalised(real.detach().requires_grad_(), leaf)
        else:
            r, f = self._scores(real, leaf)
        by_real, by_fake, ratio = self._slopes(r, f)
        ends, starts = [r, f], [by_real, by_fake]
        if self.row.case.gamma:
            ends, starts = [*ends, penalty], [*starts, torch.ones_like(penalty)]
        by_leaf, *of_disc = torch.autograd.grad(
            ends, [leaf, *self.disc.parameters()], starts
        )
        by_gen = by_leaf * ratio[:, None, None, None]
        return torch.autograd.grad(fake, list(self.gen.parameters()), by_gen), of_disc

    def _slopes(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """dL_D/dr, dL_D/df and (dL_G/df) / (dL_D/df), each (n,)."""
        r, f = (logits.detach().requires_grad_() for logits in (real, fake))
        by_real, by_fake = torch.autograd.grad(self.loss.disc(r, f), (r, f))
        (gen_by_fake,) = torch.autograd.grad(self.loss.gen(r.detach(), f), f)
        by_fake = by_fake + torch.where(by_fake < 0, -SEED, SEED)
        return by_real, by_fake, gen_by_fake / by_fake
