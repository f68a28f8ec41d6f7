"""The networks of `gan_jax.networks` in PyTorch: the same layers, norms and weights.

Written for speed, with the same values: biases lie within the convolutions, ReLUs work
in place, and a spectral norm is taken once a step, not at every call of D. Images in
memory are either channels_last or contiguous, and so are the kernels; what is flattened
or unflattened takes the order that lies in memory, which is no copy.

A discriminator is called in two steps, ``weights = disc.weights()`` and
``logits = disc(images, weights)``, so that several calls share one spectral norm.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments.versus_torch.cases import Case, Layout

SLOPE = 0.2
Weights = Sequence[Tensor]


def networks(case: Case, layout: Layout) -> tuple[nn.Module, nn.Module]:
    """The generator and the discriminator of a case."""
    kinds: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
        "dcgan": (DcganGenerator, DcganDiscriminator),
        "resnet": (ResnetGenerator, ResnetDiscriminator),
        "r3": (R3Generator, R3Discriminator),
    }
    order = {"channels_last": torch.channels_last, "contiguous": torch.preserve_format}
    gen, disc = kinds[case.network]
    return (
        gen(case, layout).to(memory_format=order[layout]),
        disc(case, layout).to(memory_format=order[layout]),
    )


def image_of(h: Tensor, size: int, layout: Layout) -> Tensor:
    """(n, size · size · c) as images (n, c, size, size), in the layout's own order."""
    n = len(h)
    if layout == "channels_last":
        return h.view(n, size, size, -1).permute(0, 3, 1, 2)
    return h.view(n, -1, size, size)


def flat(h: Tensor, layout: Layout) -> Tensor:
    """Images as rows, in the layout's own order."""
    return (h.permute(0, 2, 3, 1) if layout == "channels_last" else h).flatten(1)


class DcganGenerator(nn.Module):
    """Linear, then transposed convolutions with BatchNorm and ReLU between, tanh."""

    def __init__(self, case: Case, layout: Layout) -> None:
        super().__init__()
        self.layout: Layout = layout
        widths = doubling(case)[::-1]
        self.dense = nn.Linear(case.latent, 16 * widths[0], bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, 2, 1, bias=last)
            for a, b, last in zip(
                widths,
                [*widths[1:], case.channels],
                [*[False] * (len(widths) - 1), True],
                strict=True,
            )
        )
        starting(self, 0.02)

    def forward(self, z: Tensor) -> Tensor:
        h = image_of(self.dense(z), 4, self.layout)
        for norm, up in zip(self.norms, self.ups, strict=True):
            h = up(functional.relu(norm(h), inplace=True))
        return torch.tanh(h.float())


class DcganDiscriminator(nn.Module):
    """Convolutions of stride 2, LeakyReLU, one logit."""

    def __init__(self, case: Case, layout: Layout) -> None:
        super().__init__()
        self.layout: Layout = layout
        widths = doubling(case)
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 4, 2, 1)
            for a, b in zip([case.channels, *widths[:-1]], widths, strict=True)
        )
        self.dense = nn.Linear(16 * widths[-1], 1)
        starting(self, 0.02)

    def weights(self, keep: bool = True) -> Weights:
        return ()

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        for down in self.downs:
            x = functional.leaky_relu(down(x), SLOPE, inplace=True)
        return self.dense(flat(x, self.layout))[:, 0].float()


def doubling(case: Case) -> list[int]:
    """Channels from half the image's size down to 4 pixels."""
    return [case.width * 2**i for i in range((case.size // 4).bit_length() - 1)]


# As in gan_jax.networks.resnet: multiples of the width.
GEN_BLOCKS = {32: (4, 4, 4, 4), 128: (16, 16, 8, 4, 2, 1)}
DISC_BLOCKS = {
    32: ((2, True), (2, True), (2, False), (2, False)),
    128: ((1, True), (2, True), (4, True), (8, True), (16, True), (16, False)),
}


class ResnetGenerator(nn.Module):
    """Linear, residual blocks that each double the image, norm, ReLU, 3x3, tanh."""

    def __init__(self, case: Case, layout: Layout) -> None:
        super().__init__()
        self.layout: Layout = layout
        widths = [case.width * m for m in GEN_BLOCKS[case.size]]
        self.dense = nn.Linear(case.latent, 16 * widths[0])
        self.blocks = nn.ModuleList(UpBlock(a, b) for a, b in pairwise(widths))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.out = nn.Conv2d(widths[-1], case.channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = image_of(self.dense(z), 4, self.layout)
        for block in self.blocks:
            h = block(h)
        return torch.tanh(self.out(functional.relu(self.norm(h), inplace=True)).float())


class UpBlock(nn.Module):
    """[norm, ReLU, double, 3x3, norm, ReLU, 3x3] + [1x1, double]."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in (before, after))
        self.convs = nn.ModuleList(
            (
                nn.Conv2d(before, after, 3, padding=1),
                nn.Conv2d(after, after, 3, padding=1),
                nn.Conv2d(before, after, 1),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        first, second, across = self.convs
        h = functional.relu(self.norms[0](x), inplace=True)
        h = first(functional.interpolate(h, scale_factor=2.0))
        h = second(functional.relu(self.norms[1](h), inplace=True))
        return h + functional.interpolate(across(x), scale_factor=2.0)


class ResnetDiscriminator(nn.Module):
    """Residual blocks, ReLU, a sum over space, one logit; all weights normalised."""

    def __init__(self, case: Case, layout: Layout) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        before = case.channels
        for i, (multiple, halve) in enumerate(DISC_BLOCKS[case.size]):
            after = case.width * multiple
            self.blocks.append(DownBlock(before, after, halve, i == 0))
            before = after
        self.dense = nn.Linear(before, 1)
        self.layers: list[Any] = [c for block in self.blocks for c in block.convs]
        self.layers.append(self.dense)
        for i, layer in enumerate(self.layers):
            rows = matrix(layer.weight, layout)
            u = functional.normalize(torch.randn(rows.shape[1]), dim=0)
            self.register_buffer(f"u{i}", u)
        self.layout: Layout = layout

    def weights(self, keep: bool = True) -> Weights:
        """W / σ of every layer, after a power iteration that is kept or is not."""
        vectors = []
        with torch.no_grad():
            for i, layer in enumerate(self.layers):
                rows = matrix(layer.weight, self.layout)
                u = getattr(self, f"u{i}")
                v = functional.normalize(torch.mv(rows, u), dim=0)
                new = functional.normalize(torch.mv(rows.t(), v), dim=0)
                if keep:
                    u.copy_(new)
                vectors.append((new, v))
        return [
            layer.weight / torch.dot(v, torch.mv(matrix(layer.weight, self.layout), u))
            for layer, (u, v) in zip(self.layers, vectors, strict=True)
        ]

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        own = list(weights)
        for block in self.blocks:
            count = len(block.convs)
            x = block(x, own[:count])
            own = own[count:]
        h = functional.relu(x).sum((2, 3), dtype=torch.float32)
        return functional.linear(h, own[0], self.dense.bias)[:, 0].float()


def matrix(weight: Tensor, layout: Layout) -> Tensor:
    """A kernel as (out, all else), in the layout's own order."""
    if weight.ndim == 4 and layout == "channels_last":
        weight = weight.permute(0, 2, 3, 1)
    return weight.flatten(1)


class DownBlock(nn.Module):
    """[ReLU, 3x3, ReLU, 3x3, halve] + [halve, 1x1]; the first has no ReLU in front."""

    def __init__(self, before: int, after: int, halve: bool, first: bool) -> None:
        super().__init__()
        self.halve, self.first = halve, first
        hidden = after if first else before
        self.convs = nn.ModuleList(
            (
                nn.Conv2d(before, hidden, 3, padding=1),
                nn.Conv2d(hidden, after, 3, padding=1),
            )
        )
        if halve or before != after:
            self.convs.append(nn.Conv2d(before, after, 1))

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        def conv(i: int, x: Tensor) -> Tensor:
            bias: Any = self.convs[i].bias
            return functional.conv2d(x, weights[i], bias, padding=1 if i < 2 else 0)

        h = conv(0, x if self.first else functional.relu(x))
        h = conv(1, functional.relu(h, inplace=True))
        if self.halve:
            h, x = functional.avg_pool2d(h, 2), functional.avg_pool2d(x, 2)
        return h + (conv(2, x) if len(weights) > 2 else x)


STAGES = {32: 4, 64: 5}
BLOCKS = 2  # a stage


def stage_widths(case: Case) -> list[int]:
    """Channels of each stage of R3GAN, from 4 pixels up."""
    widths = [case.width] * STAGES[case.size]
    if case.size == 64:
        widths[-1] //= 2
    return widths


class R3Generator(nn.Module):
    """A learned 4x4 basis times linear(z), then stages of two blocks, to RGB."""

    def __init__(self, case: Case, layout: Layout) -> None:
        super().__init__()
        widths = stage_widths(case)
        self.layout: Layout = layout
        self.basis = nn.Parameter(torch.randn(16 * widths[0]))
        self.linear = nn.Linear(case.latent, widths[0], bias=False)
        self.stages, self.widenings = stages(widths, case.group, case.device == "cuda")
        self.out = nn.Conv2d(widths[-1], case.channels, 1, bias=False)
        nn.init.normal_(self.linear.weight, std=case.latent**-0.5)
        nn.init.normal_(self.out.weight, std=widths[-1] ** -0.5)

    def forward(self, z: Tensor) -> Tensor:
        basis = image_of(self.basis[None], 4, self.layout)
        h = basis * self.linear(z)[:, :, None, None]
        for i, stage in enumerate(self.stages):
            if i > 0:
                h = doubled(self.widenings[i - 1](h))
            h = stage(h)
        return self.out(h).float()


class R3Discriminator(nn.Module):
    """From RGB, stages of two blocks, a learned 4x4 sum, one logit."""

    def __init__(self, case: Case, layout: Layout) -> None:
        super().__init__()
        widths = stage_widths(case)[::-1]
        self.layout: Layout = layout
        self.first = nn.Conv2d(case.channels, widths[0], 1, bias=False)
        self.stages, self.widenings = stages(widths, case.group, case.device == "cuda")
        self.basis = nn.Parameter(torch.randn(16 * widths[-1]) / 4)
        self.linear = nn.Linear(widths[-1], 1, bias=False)
        nn.init.normal_(self.first.weight, std=case.channels**-0.5)
        nn.init.normal_(self.linear.weight, std=widths[-1] ** -0.5)

    def weights(self, keep: bool = True) -> Weights:
        return ()

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        h = self.first(x)
        for i, stage in enumerate(self.stages):
            if i > 0:
                h = self.widenings[i - 1](halved(h))
            h = stage(h)
        basis = image_of(self.basis[None], 4, self.layout)
        return self.linear((h.float() * basis).sum((2, 3)))[:, 0].float()


def stages(
    widths: Sequence[int], group: int, together: bool
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Two blocks for each width, and what leads from each width to the next."""
    total = BLOCKS * len(widths)
    blocks = nn.ModuleList(
        nn.Sequential(*(R3Block(width, total, group, together) for _ in range(BLOCKS)))
        for width in widths
    )
    between = nn.ModuleList(
        nn.Identity() if a == b else nn.Conv2d(a, b, 1, bias=False)
        for a, b in pairwise(widths)
    )
    for layer in between:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=layer.in_channels**-0.5)
    return blocks, between


class R3Block(nn.Module):
    """x + [1x1, bias, LReLU, 3x3 grouped, bias, LReLU, 1x1 which is zero at first]."""

    def __init__(self, width: int, total: int, group: int, together: bool) -> None:
        super().__init__()
        self.together = together
        hidden = 2 * width
        self.convs = nn.ModuleList(
            (
                nn.Conv2d(width, hidden, 1),
                nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden // group),
                nn.Conv2d(hidden, width, 1, bias=False),
            )
        )
        gain = (2 / (1 + SLOPE**2)) ** 0.5 * total**-0.25
        for conv, fan_in in zip(self.convs, (width, 9 * group, 0), strict=True):
            weight: Any = conv.weight
            nn.init.normal_(weight, std=gain / fan_in**0.5 if fan_in else 0.0)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        widen, middle, narrow = self.convs
        h = functional.leaky_relu(widen(x), SLOPE, inplace=True)
        if self.together:
            # Autocast does not reach what a gradient of a gradient calls.
            weight, bias = middle.weight.to(h.dtype), middle.bias.to(h.dtype)
            h = Grouped.apply(h, weight, bias, middle.groups)
        else:
            h = middle(h)
        return x + narrow(functional.leaky_relu(h, SLOPE, inplace=True))


class Grouped(torch.autograd.Function):
    """A grouped 3x3 convolution whose second derivative keeps the groups together.

    PyTorch's own takes the groups one after the other there, under R1 and R2. This is
    what StyleGAN's code does about it ("conv2d_gradfix"). It is for GPUs: with the few
    groups that a CPU can train it was no faster (195 against 187 ms a step).
    """

    by_weight = True  # while a slope by the images is taken, nobody asks for weights'

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Any, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.groups = groups
        return functional.conv2d(x, weight, bias, padding=1, groups=groups)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        by_x, by_weight, by_bias, _ = ctx.needs_input_grad
        asked = Grouped.by_weight
        return (
            GroupedByImage.apply(g, weight, ctx.groups) if by_x else None,
            GroupedByKernel.apply(x, g, ctx.groups) if by_weight and asked else None,
            g.sum((0, 2, 3)) if by_bias and asked else None,
            None,
        )


class GroupedByImage(torch.autograd.Function):
    """The gradient of `Grouped` by the images, which is bilinear too."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, weight: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(g, weight)
        ctx.groups = groups
        like = g.new_empty(1).expand(g.shape[0], weight.shape[1] * groups, *g.shape[2:])
        return convolution_backward(g, like, weight, groups, 0)

    @staticmethod
    def backward(ctx: Any, gg: Tensor) -> Any:
        g, weight = ctx.saved_tensors
        return (
            Grouped.apply(gg, weight, None, ctx.groups),
            GroupedByKernel.apply(gg, g, ctx.groups),
            None,
        )


class GroupedByKernel(torch.autograd.Function):
    """The gradient of `Grouped` by the kernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(x, g)
        ctx.groups = groups
        like = x.new_empty(1).expand(g.shape[1], x.shape[1] // groups, 3, 3)
        return convolution_backward(g, x, like, groups, 1)

    @staticmethod
    def backward(ctx: Any, gg: Tensor) -> Any:
        x, g = ctx.saved_tensors
        return (
            GroupedByImage.apply(g, gg, ctx.groups),
            Grouped.apply(x, gg, None, ctx.groups),
            None,
        )


def convolution_backward(
    g: Tensor, x: Tensor, weight: Tensor, groups: int, which: int
) -> Tensor:
    """PyTorch's own gradient of a 3x3 convolution by its image (0) or kernel (1)."""
    mask = [i == which for i in range(3)]
    one, no = [1, 1], [0, 0]
    return torch.ops.aten.convolution_backward(
        g, x, weight, None, one, one, one, False, no, groups, mask
    )[which]


def binomial(x: Tensor, total: float) -> Tensor:
    """The filter [1, 3, 3, 1] in both directions, for each channel, with a sum."""
    # Made there: a GPU would wait for what is copied from the host.
    place = torch.arange(4, device=x.device, dtype=x.dtype)
    line = 1 + place * (3 - place)
    square = torch.outer(line, line) * (total / 64)
    return square.expand(x.shape[1], 1, 4, 4)


def doubled(x: Tensor) -> Tensor:
    """Twice the size: zeros between pixels, then the filter of sum 4."""
    kernel = binomial(x, 4.0)
    return functional.conv_transpose2d(
        x, kernel, stride=2, padding=1, groups=x.shape[1]
    )


def halved(x: Tensor) -> Tensor:
    """Half the size: the filter of sum 1 at every second pixel."""
    kernel = binomial(x, 1.0)
    return functional.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])


def starting(module: nn.Module, std: float) -> None:
    """Kernels from N(0, std²) and biases of zero, as in the DCGAN paper."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
