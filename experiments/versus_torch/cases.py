"""What is timed: the cases, and the rows of a table. Nothing is imported for it."""

import dataclasses
from typing import Any, Literal

Network = Literal["dcgan", "resnet", "r3"]
LossName = Literal["nonsaturating", "hinge", "relativistic"]
Precision = Literal["float32", "tf32", "bfloat16"]
Device = Literal["cpu", "cuda"]
Side = Literal["jax", "torch", "machine"]
Way = Literal["one_backward", "merged", "alternating", "reusing", "one_stage", ""]
Layout = Literal["channels_last", "contiguous"]

RATE, BETAS = 2e-4, (0.5, 0.999)  # Adam's, of both players on both sides
BATCHES = 4  # that lie in memory and are taken in turn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One game, the same for both sides.

    Attributes:
      network, size, width, channels: as `gan_jax.networks` has them.
      batch: samples that a move sees.
      gamma: the weight of R1 and of R2; 0 for neither.
      group: channels of a group of R3GAN's 3x3 convolutions.
      precision: what convolutions and products are computed in.
    """

    name: str
    network: Network
    size: int
    width: int
    loss: LossName
    latent: int = 128
    batch: int = 32
    gamma: float = 0.0
    group: int = 16
    channels: int = 3
    precision: Precision = "float32"
    device: Device = "cpu"

    def __str__(self) -> str:
        penalty = f", R1 and R2 of weight {self.gamma:g}" if self.gamma else ""
        return (
            f"{self.name}: {self.network} {self.size}x{self.size}, width {self.width}, "
            f"latent {self.latent}, batch {self.batch}, {self.precision}, "
            f"{self.loss}{penalty}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One process: one side's way of training a case.

    Attributes:
      side: "machine" multiplies matrices, to say what the machine can do.
      way: for gan_jax its ``gradient``, or alternating play. For PyTorch "alternating"
        draws fresh fakes for G, "reusing" lets G learn from D's fakes, "one_stage" goes
        back through D once for both.
      layout: of PyTorch's images.
      compiled: by torch.compile; gan_jax's step always is, by jax.jit.
      joined: PyTorch's D judges real and fake samples in one call.
      kept: glibc is told to keep freed memory instead of giving it back, in large
        pages; see `gan_jax.host_memory`.
    """

    case: Case
    side: Side
    way: Way = ""
    layout: Layout = "channels_last"
    compiled: bool = False
    joined: bool = False
    kept: bool = False
    threads: int = 0

    def __str__(self) -> str:
        if self.side == "machine":
            return "one matrix product"
        words = ["gan_jax" if self.side == "jax" else "PyTorch", self.way]
        if self.side == "torch":
            words += [self.layout, "compiled" if self.compiled else "eager"]
            words += ["joined"] * self.joined
        words += ["memory kept"] * self.kept
        words += [f"{self.threads} threads"] * bool(self.threads)
        return ", ".join(words)


def row_of(fields: dict[str, Any]) -> Row:
    """The row that `dataclasses.asdict` has taken apart."""
    return Row(**{**fields, "case": Case(**fields["case"])})


# The first is the case of the target. The others have widths that two cores can train.
CPU_CASES = (
    Case(
        name="dcgan64",
        network="dcgan",
        size=64,
        width=32,
        latent=100,
        loss="nonsaturating",
    ),
    Case(name="sngan32", network="resnet", size=32, width=32, loss="hinge"),
    Case(
        name="r3gan32",
        network="r3",
        size=32,
        width=32,
        latent=64,
        batch=16,
        loss="relativistic",
        gamma=0.5,
    ),
)

GPU_GAMES = (
    Case(name="dcgan64", network="dcgan", size=64, width=64, loss="nonsaturating"),
    Case(name="sngan128", network="resnet", size=128, width=64, loss="hinge"),
    Case(
        name="r3gan64",
        network="r3",
        size=64,
        width=256,
        latent=64,
        loss="relativistic",
        gamma=0.5,
    ),
)
GPU_BATCHES = (64, 128, 256)
GPU_CASES = tuple(
    dataclasses.replace(
        game,
        name=f"{game.name}-{batch}-{precision}",
        batch=batch,
        precision=precision,
        device="cuda",
    )
    for game in GPU_GAMES
    for batch in GPU_BATCHES
    for precision in ("bfloat16", "tf32")
)


def rows(case: Case) -> tuple[Row, ...]:
    """All rows of a case: the machine's, gan_jax's, PyTorch's."""
    ours = [
        Row(case=case, side="jax", way=way)
        for way in ("one_backward", "merged", "alternating")
    ]
    layouts: tuple[Layout, ...] = ("channels_last", "contiguous")
    # Real and fake samples in one call of D: no faster on a CPU, see performance.md.
    judged_together: tuple[bool, ...] = (False,)
    if case.device == "cuda":  # contiguous images only cost transpositions there
        layouts, judged_together = ("channels_last",), (False, True)
    theirs = [
        Row(
            case=case,
            side="torch",
            way=way,
            layout=layout,
            compiled=compiled,
            joined=joined,
        )
        for layout in layouts
        for joined in judged_together
        for compiled in (False, True)
        for way in ("alternating", "reusing", "one_stage")
    ]
    return (Row(case=case, side="machine"), *ours, *theirs)
