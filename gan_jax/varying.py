"""Arrays that every device of a mapped axis holds for itself."""

from typing import TypeVar

import jax

Tree = TypeVar("Tree")


def varying(tree: Tree, axis_name: str | None) -> Tree:
    """``tree`` as each device's own, so that a gradient by it is each device's own too.

    Under `jax.shard_map` an array that is the same everywhere, as the parameters of a
    player who does not move, would get its gradient summed over the devices; an
    objective that takes a gradient itself and averages it wants each device's.

    Args:
      tree: arrays.
      axis_name: the mapped axis; None leaves all as it is.

    Returns:
      The same numbers.
    """
    if axis_name is None:
        return tree

    # Whatever is added to a number that varies, varies; this one is always zero.
    zero = 0 * jax.lax.axis_index(axis_name)
    return jax.tree.map(lambda x: x + zero.astype(x.dtype), tree)
