"""The largest batch that a chip's memory holds."""

from collections.abc import Callable


def largest(needed: Callable[[int], int | None], start: int, memory: int) -> int:
    """The largest power of two whose step fits, 0 if not even 1 does.

    Memory grows with the batch, and at most as fast: a step that takes a tenth of the
    memory shows that eight times its batch will fit. So the search leaps, and then
    halves what lies between a batch that fits and one that does not.

    Args:
      needed: batch -> bytes, or None where the compiler gives up.
      start: the batch to begin with; the search goes on from the power of two below.
      memory: of a chip, in bytes.

    >>> largest(lambda batch: 100 + 3 * batch, start=4, memory=1000)
    256
    """
    fitting, refused = 0, None
    batch = 1 << (start.bit_length() - 1)
    while True:
        taken = needed(batch)
        if taken is not None and taken <= memory:
            fitting = batch
            leap = max(2, 1 << ((memory // taken).bit_length() - 1))
        else:
            refused, leap = batch, 2
        if refused == 1 or refused == 2 * fitting:
            return fitting
        if refused is None:
            batch = fitting * leap
        elif not fitting:
            batch = refused // 2
        else:
            between = (refused // fitting).bit_length() - 1
            batch = fitting << (between // 2)
