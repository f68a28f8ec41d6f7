"""The text of a compiled program, instruction by instruction."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

# name = shapes operation(...: shapes may be a tuple's, in brackets.
LINE = re.compile(r"\s*(?:ROOT )?%?([\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\((.*)")


class Instruction(NamedTuple):
    """One line of a program.

    Attributes:
      name: under which others use what it computes.
      shapes: of what it computes, as in ``f32[2,3]{1,0}``; a tuple's in brackets.
      operation: such as "fusion".
      operands: the names of what it takes.
      source: the operation of the JAX program that it comes from, or "".
    """

    name: str
    shapes: str
    operation: str
    operands: list[str]
    source: str


def instructions(lines: Iterable[str]) -> Iterator[Instruction]:
    """Those that stand in the lines."""
    for line in lines:
        if found := LINE.match(line):
            name, shapes, operation, rest = found.groups()
            # The operands end where attributes begin: %a, f32[2]{0:T(2)} %b), calls=...
            taken = re.split(r"\)(?:, [a-z]|$)", rest)[0]
            named = re.search(r'op_name="([^"]*)"', rest)
            yield Instruction(
                name,
                shapes,
                operation,
                re.findall(r"%([\w.-]+)", taken),
                named[1] if named else "",
            )


def arrays(shapes: str) -> list[str]:
    """The arrays of a shape or a tuple of shapes.

    >>> arrays("((f32[2,3]{1,0:T(8,128)S(1)}), /*index=1*/pred[])")
    ['f32[2,3]{1,0:T(8,128)S(1)}', 'pred[]']
    """
    return re.findall(r"\b[a-z]\w*\[[0-9,]*\](?:\{[^}]*\})?", shapes)


def size(shapes: str) -> int:
    """How many bytes all arrays of a shape take.

    >>> size("(f32[2,3]{1,0:T(8,128)}, /*index=1*/bf16[4]{0}, pred[5]{0}, f32[])")
    41
    """
    bits = 0
    for array in arrays(shapes):
        dtype, dims = re.split(r"[\[\]]", array)[:2]
        count = 1
        for dim in filter(None, dims.split(",")):
            count *= int(dim)
        width = re.search(r"\d+", dtype)
        bits += count * (int(width[0]) if width else {"pred": 8, "token": 0}[dtype])
    return bits // 8
