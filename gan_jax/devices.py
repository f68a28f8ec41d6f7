"""Devices: the same step on one of them or on a pod.

A `Parallel` says how a call ``(state, arrays, got) -> (state, infos)`` is compiled for
several devices and how host arrays get there. There are two, from the same step:

* `sharded` (the default): `jax.jit` with named shardings. The program is written for
  the global batch; the state is replicated and donated, the batch split over the axis
  "data", and the compiler adds the collectives.
* `pmapped`: `jax.pmap`. Each device runs the step on its own part of the batch, so the
  kernel (and any BatchNorm) must be given ``axis_name="data"`` to average over it.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"
Call = Callable[[Any, Any, Any], tuple[Any, Any]]


class Parallel(NamedTuple):
    """How calls run on devices.

    Attributes:
      axis_name: what the kernel and the networks must be given.
      devices: how many devices share the batch, over all processes.
      compile: ``(call, batch_axis) -> compiled call``; ``got``'s arrays hold the batch
        along ``batch_axis``. The state is donated.
      put: ``(got, batch_axis) -> arrays on the devices``, from this process's part.
      replicate: ``tree -> the tree on every device``.
    """

    axis_name: str | None
    devices: int
    compile: Callable[[Call, int], Call]
    put: Callable[[Any, int], Any]
    replicate: Callable[[Any], Any]


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """All devices in a row, as a mesh with the one axis "data".

    The axis is an `Auto` one: the step is written for the global batch and the compiler
    decides what is split.
    """
    devices = jax.devices() if devices is None else list(devices)
    # By process, so that a process's part of the global batch lies on its own devices.
    devices = sorted(devices, key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def sharded(mesh: Mesh | None = None) -> Parallel:
    """`jax.jit` with the batch split over ``mesh`` and the state on every device."""
    mesh = data_mesh() if mesh is None else mesh
    everywhere = NamedSharding(mesh, PartitionSpec())

    def split(batch_axis: int) -> NamedSharding:
        return NamedSharding(mesh, PartitionSpec(*[None] * batch_axis, AXIS))

    def compiled(call: Call, batch_axis: int = 0) -> Call:
        return jax.jit(
            call,
            in_shardings=(everywhere, everywhere, split(batch_axis)),
            out_shardings=everywhere,
            donate_argnums=0,
        )

    def put(got: Any, batch_axis: int = 0) -> Any:
        to = split(batch_axis)
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(to, x), got
        )

    def replicate(tree: Any) -> Any:
        if jax.process_count() == 1:
            return jax.device_put(tree, everywhere)
        # It would gather the copies of all processes first, to see that they are equal:
        # as many times the data on every device.
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(
                everywhere, np.asarray(x), np.shape(x)
            ),
            tree,
        )

    return Parallel(None, mesh.size, compiled, put, replicate)


def pmapped(devices: Sequence[jax.Device] | None = None) -> Parallel:
    """`jax.pmap` over the devices, each with its own part of the batch."""
    devices = jax.devices() if devices is None else list(devices)
    local = [d for d in devices if d.process_index == jax.process_index()]
    base = sharded(data_mesh(devices))

    def compiled(call: Call, batch_axis: int = 0) -> Call:
        return jax.pmap(
            call,
            axis_name=AXIS,
            in_axes=(None, None, batch_axis),
            out_axes=None,
            devices=devices if jax.process_count() == 1 else None,
            donate_argnums=0,
        )

    def put(got: Any, batch_axis: int = 0) -> Any:
        def by_device(x: np.ndarray) -> np.ndarray:
            n = x.shape[batch_axis] // len(local)
            shape = (*x.shape[:batch_axis], len(local), n, *x.shape[batch_axis + 1 :])
            return x.reshape(shape)

        return jax.tree.map(by_device, got)

    return Parallel(AXIS, len(devices), compiled, put, base.replicate)


def mapped_step(step: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """``(state, batch) -> (state, info)`` by `jax.shard_map`, as `pmapped` runs it.

    Args:
      step: of a kernel made with ``axis_name="data"``.
      mesh: over whose axis "data" the batch is split.
    """
    return jax.shard_map(
        step,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(AXIS)),
        out_specs=PartitionSpec(),
    )


def lowered(step: Callable[..., Any], mesh: Mesh, state: Any, batch: Any) -> Any:
    """A step for the devices of ``mesh``, which need not exist, ready to compile.

    Args:
      step: ``(state, batch) -> (state, info)``; the state is donated.
      mesh: over whose axis "data" the batch is split.
      state, batch: abstract, as `jax.eval_shape` gives them.
    """

    def placed(tree: Any, *axes: str) -> Any:
        where = NamedSharding(mesh, PartitionSpec(*axes))
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree
        )

    return jax.jit(step, donate_argnums=0).lower(placed(state), placed(batch, AXIS))


def memory_for_data() -> int:
    """How many bytes of data may lie on each device: 40 % of what it has.

    The rest is for the state and for what the step works on. A CPU's memory is the
    host's, shared by all its devices. Several processes, which must all ask, get one
    answer, that of the least.
    """
    limits = [(d.memory_stats() or {}).get("bytes_limit") for d in jax.local_devices()]
    known = [limit for limit in limits if limit]
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    least = 0.4 * (min(known) if known else host / jax.local_device_count())
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        least = multihost_utils.process_allgather(np.float32(least)).min()
    return int(least)


def check_divisible(batch_size: int, devices: int) -> None:
    """Refuse a global batch that the devices cannot share equally.

    Raises:
      ValueError: naming the nearest sizes that they can.

    >>> check_divisible(64, 8)
    """
    if batch_size % devices:
        below, above = batch_size // devices * devices, -(-batch_size // devices)
        nearest = [size for size in (below, above * devices) if size]
        raise ValueError(
            f"a batch of {batch_size} cannot be split equally over {devices} devices; "
            f"the nearest sizes are {' and '.join(map(str, nearest))}."
        )
