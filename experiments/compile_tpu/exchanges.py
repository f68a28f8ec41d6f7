"""What devices exchange in a step, read from the compiled program's text."""

from collections.abc import Sequence
from typing import NamedTuple

from experiments.compile_tpu.hlo import instructions, size

KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
)


class Exchange(NamedTuple):
    """One exchange between devices.

    Attributes:
      kind: one of `KINDS`.
      bytes: what one device gives.
      source: the operation of the JAX program that it comes from.
    """

    kind: str
    bytes: int
    source: str


def exchanges(hlo: str) -> list[Exchange]:
    """The exchanges in the text of a compiled program, in its order.

    One inside a loop counts once. The second half of an asynchronous one,
    ``all-reduce-done``, does not count.
    """
    read = list(instructions(hlo.splitlines()))
    shapes = {each.name: each.shapes for each in read}
    return [
        Exchange(kind, sum(size(shapes[name]) for name in each.operands), each.source)
        for each in read
        if (kind := each.operation.removesuffix("-start")) in KINDS
    ]


def of_gradients(found: Sequence[Exchange]) -> list[Exchange]:
    """Those that carry gradients: all but what BatchNorm exchanges by itself.

    The compiler may send several at once. Their sources are then joined by colons.
    """
    return [
        each
        for each in found
        if any("BatchNorm" not in part for part in each.source.split(":"))
    ]


def by_kind(found: Sequence[Exchange]) -> dict[str, tuple[int, int]]:
    """``{kind: (how many, bytes)}`` of the kinds that occur.

    >>> by_kind([Exchange("all-reduce", 8, ""), Exchange("all-reduce", 4, "")])
    {'all-reduce': (2, 12)}
    """
    return {
        kind: (len(own), sum(each.bytes for each in own))
        for kind in KINDS
        if (own := [each for each in found if each.kind == kind])
    }
