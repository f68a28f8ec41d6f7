"""The twin of `experiments.quality.fashion`: DCGAN as PyTorch's users train it.

Radford et al.'s recipe: D learns first, then G from fresh fakes; the non-saturating
loss; Adam with 2e-4 and (0.5, 0.999); kernels from N(0, 0.02^2), those of norms from
N(1, 0.02^2); no average of G. The networks and the step are those of
`experiments.versus_torch`, whose words on speed hold here, too. The extra `bench` has
PyTorch; nothing else of this folder imports it.

Reference: Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep
Convolutional Generative Adversarial Networks", 2015, arXiv:1511.06434.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments.quality.sides import Asked, Left, asked, leave
from experiments.versus_torch.cases import BETAS, RATE, Case, Row
from experiments.versus_torch.theirs import settings, steps
from experiments.versus_torch.torch_networks import (
    SLOPE,
    DcganDiscriminator,
    Weights,
    flat,
    networks,
    starting,
)


class NormedDiscriminator(DcganDiscriminator):
    """With BatchNorm in all layers but the first, as the paper has it."""

    def __init__(self, case: Case) -> None:
        super().__init__(case, "channels_last")
        self.downs = nn.ModuleList(
            nn.Conv2d(down.in_channels, down.out_channels, 4, 2, 1, bias=i == 0)
            for i, down in enumerate(self.downs)
        )
        self.norms = nn.ModuleList(
            nn.Identity() if i == 0 else nn.BatchNorm2d(down.out_channels)
            for i, down in enumerate(self.downs)
        )
        starting(self, 0.02)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        for down, norm in zip(self.downs, self.norms, strict=True):
            x = functional.leaky_relu(norm(down(x)), SLOPE, inplace=True)
        return self.dense(flat(x, self.layout))[:, 0].float()


def players(case: Case, normed: bool) -> tuple[nn.Module, nn.Module]:
    """G and D with their first weights."""
    gen, disc = networks(case, "channels_last")
    if normed:
        disc = NormedDiscriminator(case).to(memory_format=torch.channels_last)
    for layer in itertools.chain(gen.modules(), disc.modules()):
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
    return gen, disc


def batches(images: np.ndarray, size: int) -> Iterator[Tensor]:
    """Float images (n, c, h, w) in [-1, 1] for ever, each epoch in an order anew."""
    # The axes are moved, not the numbers: this is channels_last.
    levels = torch.from_numpy(images).permute(0, 3, 1, 2)
    while True:
        order = torch.randperm(len(levels))
        for rows in order[: len(order) // size * size].split(size):
            yield levels[rows].float().div_(127.5).sub_(1)


def run(ask: Asked) -> Left:
    """Train until the time is over, and draw."""
    images, recipe = ask.images(), ask.recipe
    case = Case(
        name="twin",
        network="dcgan",
        size=images.shape[1],
        channels=images.shape[3],
        width=recipe["width"],
        latent=recipe["latent"],
        batch=recipe["batch_size"],
        loss="nonsaturating",
    )
    row = Row(case=case, side="torch", way="alternating", joined=recipe["joined"])
    settings(row)
    torch.manual_seed(ask.seed)
    gen, disc = players(case, recipe["norm_of_disc"])
    optimizers = [
        torch.optim.Adam(net.parameters(), lr=RATE, betas=BETAS, fused=True)
        for net in (gen, disc)
    ]

    def draw() -> Tensor:
        return torch.randn(case.batch, case.latent)

    step = steps(row, gen, disc, optimizers, draw)
    real, done = batches(images, case.batch), 0
    while not ask.over(done):
        batch = next(real)
        step(batch, batch)
        done += 1
    seconds = ask.spent()
    return Left(drawn(gen, ask.samples, case.latent), done, seconds)


def drawn(gen: nn.Module, samples: int, latent: int, at_once: int = 500) -> np.ndarray:
    """Uint8 images (n, h, w, c), normalised by the batches in which they are drawn.

    That was a little better for the twin than running statistics: recall 0.64 for 0.61.
    """
    parts = []
    with torch.no_grad():
        for z in torch.randn(samples, latent).split(at_once):
            images = gen(z).permute(0, 2, 3, 1)
            levels = ((images + 1) * 127.5).round().clamp(0, 255)
            parts.append(levels.to(torch.uint8).numpy())
    return np.concatenate(parts)


if __name__ == "__main__":
    ask = asked()
    leave("fashion_torch", ask, run(ask))
