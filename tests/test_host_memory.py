"""What the C library is told: asked of the process that has told it."""

import json
import subprocess
import sys

# Holes of 64 to 192 KiB, as compiling leaves them, between blocks that stay.
HOLES = """if True:
    import ctypes, json, sys
    from gan_jax import host_memory as memory
    libc = memory._glibc()
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    def block(size):
        start = libc.malloc(size)
        ctypes.memset(start, 1, size)
        return start
    def flags(of):
        with open("/proc/self/smaps") as file:
            for line in file:
                first = line.split()[0]
                if "-" in first:
                    start, end = (int(x, 16) for x in first.split("-"))
                elif first == "VmFlags:" and start <= of < end:
                    return line.split()[1:]
    if sys.argv[1] == "kept":
        assert memory.keep_memory()
    reserve = memory._reserve
    large = reserve is not None and "hg" in flags(reserve + memory.LARGE_PAGE)
    blocks = [block(2**16 + 2**9 * (i % 256)) for i in range(2048)]
    for start in blocks[::2]:
        libc.free(start)
    before = resident()
    filled = memory.settle_memory()
    given_back = before - resident()
    again = memory.settle_memory()
    start = libc.malloc(2**17)
    place = None if reserve is None else start - reserve
    print(json.dumps([filled, given_back, again, place, large, memory.RESERVE]))
"""


def told(code, mode):
    run = [sys.executable, "-c", code, mode]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_steps_get_the_reserve_and_the_holes_go_back_to_the_system():
    filled, given_back, again, place, large, reserve = told(HOLES, "kept")
    print(f"{filled / 2**20:.0f} MiB of holes, {given_back / 2**20:.0f} given back")
    assert filled > 100 * 2**20  # of 128 MiB
    assert given_back > 100 * 2**20
    assert again is None
    assert 0 <= place < reserve
    with open("/sys/kernel/mm/transparent_hugepage/enabled") as file:
        assert large or "[never]" in file.read()


def test_nothing_is_settled_where_nothing_was_kept():
    filled, given_back, again, place, large, _ = told(HOLES, "given back")
    assert (filled, again, place, large) == (None, None, None, False)
    assert abs(given_back) < 2**20


def test_kept_memory_is_not_asked_for_again():
    """Page faults of a block that is used and given back again and again."""
    code = """if True:
        import resource, sys
        import numpy as np
        if sys.argv[1] == "kept":
            from gan_jax.host_memory import keep_memory
            assert keep_memory()
        def faults():
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(2**23)
        before = faults()
        for _ in range(5):
            np.ones(2**23)
        print(faults() - before)
    """

    given_back, kept = told(code, "given back"), told(code, "kept")
    print(f"page faults: {kept} where memory is kept, else {given_back}")
    assert kept < given_back / 10
