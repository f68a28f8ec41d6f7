"""A state's identity: what its leaves are, and one digest of every number in them."""

import functools
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

# How the dtype of a typed key is written -> the name that JAX knows it by.
KEYS = {
    "key<fry>": "threefry2x32",
    "key<rbg>": "rbg",
    "key<urbg>": "unsafe_rbg",
}


class Leaf(NamedTuple):
    """What is known of an array without its numbers.

    Attributes:
      path: its place in the tree, as in ``params/gen/dense/kernel``.
      dtype: as numpy writes it, or ``key<...>`` for a typed key.
      shape: of the array; of the numbers in it, for a typed key.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def is_key(self) -> bool:
        """Whether it is a typed key."""
        return self.dtype.startswith("key<")

    @property
    def numbers(self) -> str:
        """The dtype of the numbers in it."""
        return "uint32" if self.is_key else self.dtype

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def digest(tree: Any) -> str:
    """The sha256 over path, dtype, shape and bytes of every leaf, as hexadecimal.

    Two runs are equal bit for bit if their states' digests are.

    Args:
      tree: a pytree of arrays, typed keys among them.
    """
    return digest_of(leaves(tree), on_host(tree))


def digest_of(found: Sequence[Leaf], arrays: Sequence[np.ndarray]) -> str:
    """`digest` of a tree that is taken apart already by `leaves` and `on_host`."""
    total = hashlib.sha256()
    for leaf, array in zip(found, arrays, strict=True):
        total.update(repr((leaf.path, leaf.dtype, leaf.shape)).encode())
        total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def leaves(tree: Any) -> list[Leaf]:
    """Path, dtype and shape of every leaf of ``tree``, whose arrays may be abstract.

    Raises:
      ValueError: if two leaves have one path.
    """
    arrays, structure = jax.tree.flatten(tree)
    return list(_leaves(structure, tuple((x.shape, x.dtype) for x in arrays)))


@functools.lru_cache(maxsize=8)  # a run asks at every checkpoint, and waits
def _leaves(structure: Any, kinds: tuple[tuple[Any, Any], ...]) -> tuple[Leaf, ...]:
    tree = structure.unflatten(jax.ShapeDtypeStruct(*kind) for kind in kinds)
    found = []
    for path, x in jax.tree.leaves_with_path(tree):
        numbers = jax.eval_shape(jax.random.key_data, x) if is_key(x) else x
        found.append(Leaf(path_name(path), str(x.dtype), tuple(numbers.shape)))
    names = [leaf.path for leaf in found]
    if len(set(names)) < len(names):
        doubled = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"several leaves have the path {doubled}; rename them")
    return tuple(found)


def path_name(path: Any) -> str:
    """``params/gen/dense/kernel`` for a key path as `jax.tree` gives it."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def on_host(tree: Any) -> list[np.ndarray]:
    """A copy of every leaf that stays as it is when the leaf is donated."""
    numbers = [
        jax.random.key_data(x) if is_key(x) else x for x in jax.tree.leaves(tree)
    ]
    # On a CPU the array that comes from the device is the device's own memory.
    return [np.array(x) for x in jax.device_get(numbers)]


def is_key(x: Any) -> bool:
    """Whether ``x`` is an array, maybe abstract, of typed keys."""
    return jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def placed(like: Any, arrays: Sequence[np.ndarray]) -> Any:
    """The inverse of `on_host`: arrays in the structure and on the devices of ``like``.

    Raises:
      ValueError: for a kind of typed key that JAX has no name for here.
    """
    found = []
    for leaf, array, x in zip(leaves(like), arrays, jax.tree.leaves(like), strict=True):
        # A copy (no alias), for what is on the devices may be donated.
        where = getattr(x, "sharding", None)
        on_device = jax.device_put(array, where, may_alias=False)
        found.append(_as_key(on_device, leaf.dtype) if leaf.is_key else on_device)
    return jax.tree.unflatten(jax.tree.structure(like), found)


def finite_leaves(found: Sequence[Leaf], arrays: Sequence[np.ndarray]) -> set[str]:
    """The paths of those leaves of floats that hold neither NaN nor infinity."""
    return {
        leaf.path
        for leaf, array in zip(found, arrays, strict=True)
        if jax.dtypes.issubdtype(array.dtype, np.inexact) and np.isfinite(array).all()
    }


def check_structure(
    stored: Sequence[Leaf], expected: Sequence[Leaf], name: str
) -> None:
    """Refuse leaves that are not the expected ones.

    Args:
      stored: what there is.
      expected: what there should be.
      name: of what is stored, for the message.

    Raises:
      ValueError: with the path of each leaf that differs and both shapes.
    """
    there = {leaf.path: leaf for leaf in stored}
    here = {leaf.path: leaf for leaf in expected}
    lines = [
        f"  {path}: {there.get(path, 'absent')} there, {here.get(path, 'absent')} here"
        for path in {**there, **here}
        if there.get(path) != here.get(path)
    ]
    if len(lines) > 10:
        lines = [*lines[:10], f"  and {len(lines) - 10} more"]
    if not lines and list(there) != list(here):
        lines = ["  the same leaves, in another order"]
    if lines:
        raise ValueError(
            "\n".join([f"{name} is of another model than this one:", *lines])
            + "\nBuild the model as it was then, or start in another directory."
        )


def _as_key(data: jax.Array, dtype: str) -> jax.Array:
    if dtype not in KEYS:
        raise ValueError(f"keys of dtype {dtype} are unknown; known: {sorted(KEYS)}")
    return jax.random.wrap_key_data(data, impl=KEYS[dtype])
