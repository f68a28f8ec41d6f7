"""The host's memory on a CPU: kept, in large pages, apart from what compiling left.

A compiled step on a CPU asks for its working memory at every call, and what the C
library does about that costs as much as a fifth of a DCGAN's step: glibc maps large
blocks anew each time, so that every page faults again; pages are of 4 KiB, so that the
processor looks their addresses up all the time; and the compiler has left thousands of
holes, among which every request is searched for, and over which the working memory is
strewn. Measured in docs/performance.md.

`keep_memory`, before anything is compiled, ends the first, and sets a region of large
pages aside. `settle_memory`, when the step has been compiled, gives the holes' pages
back to the system and the region to the steps. Where they are not called, or the C
library is not glibc, nothing changes.
"""

import ctypes
import itertools
from collections.abc import Iterator

# How glibc is told to keep memory, by environment variable: the option of malloc.h and
# its value. Never map blocks one by one, do not give back what is free at the end, grow
# in steps that cost nothing until they are touched, and have one arena, for those of
# threads are limited to 64 MiB.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": (-4, 0),
    "MALLOC_TRIM_THRESHOLD_": (-1, 2**31 - 1),
    "MALLOC_TOP_PAD_": (-2, 2**28),
    "MALLOC_ARENA_MAX": (-8, 1),
}
# The same, for the environment of a process that is to be started; large pages, too.
ALLOCATOR_VARIABLES = {name: str(value) for name, (_, value) in ALLOCATOR.items()} | {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"
}
# Bytes of address space, not of memory: a page is there when it is first touched. Less
# than the 2 GiB at which glibc would trim.
RESERVE = 3 * 2**29
LARGE_PAGE, PAGE = 2**21, 2**12
# Bytes; smaller ones are for small things. A step of small networks asks for a thousand
# blocks of some KiB, each of which is searched for among the holes of its size.
HOLE = 2**8
MADV_DONTNEED, MADV_HUGEPAGE = 4, 14

_reserve: int | None = None


def keep_memory() -> bool:
    """Let the C library keep what a step gives back, instead of the kernel.

    The process then holds on to the most that it has ever used. To be called before
    anything is compiled; `settle_memory` is the other half.

    Returns:
      Whether the C library took it: it is glibc, on Linux.
    """
    global _reserve
    libc = _glibc()
    if libc is None:
        return False
    taken = [libc.mallopt(option, value) for option, value in ALLOCATOR.values()]
    if all(taken) and _reserve is None:
        _reserve = _on_the_heap(libc)
        if _reserve is not None:
            _advise(libc, _reserve, RESERVE, LARGE_PAGE, MADV_HUGEPAGE)
    return all(taken)


def settle_memory() -> int | None:
    """Give the steps the memory that `keep_memory` has set aside.

    To be called when the first step has been taken, so when its program is compiled.
    What is free by then is of use to nobody: it is taken, and its pages go back to the
    system.

    Returns:
      The bytes of holes that were taken, or None where nothing has been set aside.
    """
    global _reserve
    libc = _glibc()
    if libc is None or _reserve is None:
        return None
    end = _on_the_heap(libc)  # as no hole is so large, it lies behind all of them
    if end is None:
        return None
    libc.free(end)
    filled = 0
    for size in _sizes():
        while (block := libc.malloc(size)) is not None and block < end:
            _advise(libc, block, size, PAGE, MADV_DONTNEED)
            filled += size
        if block is not None:
            libc.free(block)
    libc.free(_reserve)
    _reserve = None
    return filled


def _on_the_heap(libc: ctypes.CDLL) -> int | None:
    """A block of `RESERVE` bytes of address space.

    None where the heap cannot grow so far, or another allocator stands in for glibc's.
    """
    block = libc.malloc(RESERVE)
    if block is not None and block + RESERVE > libc.sbrk(0):
        libc.free(block)
        return None
    return block


def _sizes() -> Iterator[int]:
    """From large to small, each an eighth less than the one before."""
    sizes = itertools.accumulate(
        itertools.repeat(RESERVE), lambda size, _: size * 7 // 8
    )
    return itertools.takewhile(
        lambda size: size >= HOLE, itertools.islice(sizes, 1, None)
    )


def _advise(libc: ctypes.CDLL, start: int, size: int, page: int, advice: int) -> None:
    """Tell the kernel about the whole pages of a block; it may decline."""
    first, last = -(-start // page), (start + size) // page
    if last > first:
        libc.madvise(first * page, (last - first) * page, advice)


def _glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc."""
    try:
        libc = ctypes.CDLL(None)
        _ = libc.gnu_get_libc_version, libc.mallopt, libc.madvise, libc.sbrk
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return None
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.sbrk.restype = ctypes.c_void_p
    libc.sbrk.argtypes = [ctypes.c_ssize_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc
