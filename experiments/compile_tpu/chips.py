"""The chips: what their maker says of them, and slices of them that need not exist."""

import importlib.util
import os
from typing import Any, NamedTuple

import jax


class Chip(NamedTuple):
    """The published rates of a chip.

    Attributes:
      flops: operations a second in bfloat16, at the peak.
      bandwidth: bytes a second between the chip and its memory.
      memory: bytes. The compiler keeps a little of them for itself.
    """

    flops: float
    bandwidth: float
    memory: int


# "System architecture" in docs.cloud.google.com/tpu/docs/v4, /v5e and /v6e. The pages
# say GB where a chip has powers of two.
CHIPS = {
    "v4": Chip(275e12, 1200e9, 32 * 2**30),
    "v5e": Chip(197e12, 819e9, 16 * 2**30),
    "v6e": Chip(918e12, 1638e9, 32 * 2**30),
}


class Bound(NamedTuple):
    """The least time that a program can take.

    Attributes:
      seconds: what the slower side takes alone.
      by: which side that is, "operations" or "memory".
    """

    seconds: float
    by: str


def bound(chip: Chip, flops: float, moved: float) -> Bound:
    """The roofline: all operations at the peak rate, all bytes at the full rate.

    The two overlap entirely, and what travels between chips is left out.

    Args:
      chip: with its rates.
      flops, moved: operations of one chip, and bytes between it and its memory.

    >>> bound(Chip(flops=100.0, bandwidth=10.0, memory=0), flops=200.0, moved=30.0)
    Bound(seconds=3.0, by='memory')
    """
    sides = {"operations": flops / chip.flops, "memory": moved / chip.bandwidth}
    by = max(sides, key=lambda side: sides[side])
    return Bound(sides[by], by)


def chip_of(topology: str) -> Chip:
    """The chip of a slice that is written as in "v5e:2x4".

    Raises:
      ValueError: if nothing is known of such a chip.
    """
    chip, _, layout = topology.partition(":")
    if chip not in CHIPS or not layout:
        raise ValueError(
            f"--topologies {topology}: give a chip and a layout, as in v5e:2x4; the "
            f"chips are {', '.join(CHIPS)}."
        )
    return CHIPS[chip]


def slice_devices(topology: str) -> list[Any]:
    """The devices of a slice as the TPU compiler describes them, one for each chip.

    Raises:
      ImportError: if the compiler is not installed.
      ValueError: for a slice that it does not know.
    """
    chip_of(topology)
    if importlib.util.find_spec("libtpu") is None:
        raise ImportError(
            "the TPU compiler, libtpu, is not installed. It comes with the extra tpu: "
            'pip install -c constraints.txt ".[tpu]"'
        )
    from jax.experimental import topologies

    # No machine is asked which TPU it has: there is none. So there is none to be locked
    # for one process, either.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    # The two cores of a v4 act as one device.
    options = {"chip_config_name": "megacore"} if topology.startswith("v4:") else {}
    try:
        described = topologies.get_topology_desc(
            platform="tpu", topology_name=topology, **options
        )
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f"--topologies {topology}: {error}") from error
    return list(described.devices)
