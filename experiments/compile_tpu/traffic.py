"""What a program for a TPU moves between the chip and its memory."""

from experiments.compile_tpu.hlo import Instruction, arrays, instructions, size

# They name what is there, or wait for what is under way.
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}


def traffic(hlo: str) -> int:
    """Bytes that one run of a compiled program reads from memory or writes there.

    The compiler's own count, "bytes accessed", also has what is read and written on the
    chip itself: a v5e holds 128 MiB there, more than the whole state of a 64-pixel GAN.
    A compiled program says where each array lies: ``f32[8]{0}`` in memory, and
    ``f32[8]{0:S(1)}`` on the chip. What a loop moves counts once.
    """
    _, _, main = hlo.rpartition("\nENTRY ")
    shapes: dict[str, str] = {}
    total = 0
    for each in instructions(main.splitlines()):
        shapes[each.name] = each.shapes
        total += moved(each, shapes)
    return total


def moved(each: Instruction, shapes: dict[str, str]) -> int:
    """What one instruction reads from memory and writes there.

    Args:
      each: the instruction.
      shapes: of all that stands before it.
    """
    operation = each.operation
    if operation in FREE or operation.endswith("-done"):
        return 0
    if operation == "custom-call":
        return 0  # "ConcatBitcast": slices that lie side by side get one name
    if operation in ("copy-start", "slice-start"):
        # (to, from, ...) and ((from), to, ...): as much leaves one as enters the other.
        first, second = arrays(each.shapes)[:2]
        target = first if operation == "copy-start" else second
        return size(target) * (in_memory(first) + in_memory(second))
    taken = [shapes[name] for name in each.operands]
    return sum(
        size(array)
        for array in arrays(" ".join([each.shapes, *taken]))
        if in_memory(array)
    )


def in_memory(array: str) -> bool:
    """Whether an array lies in the chip's memory, not on the chip.

    >>> in_memory("f32[8,128]{1,0:T(8,128)}"), in_memory("f32[8]{0:T(128)S(1)}")
    (True, False)
    """
    return "S(" not in array
