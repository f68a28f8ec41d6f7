"""What is kept beside a checkpoint's numbers, sealed against a flipped bit."""

import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from gan_jax.digest import Leaf

# 1 had every leaf in an array of its own, 1 and 2 arrays as Orbax writes them.
FORMAT = 3
READABLE = (1, 2, 3)
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "gan_jax")


def sealed(
    step: int,
    found: Sequence[Leaf],
    digest: str,
    config: Mapping[str, Any],
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """The facts about the checkpoint of ``step``, of JSON's types."""
    facts = {
        "format": FORMAT,
        "step": step,
        "digest": digest,
        "config": config,
        "extra": extra,
        "versions": versions(),
        "leaves": [[leaf.path, leaf.dtype, list(leaf.shape)] for leaf in found],
    }
    return facts | {"seal": _seal(facts)}


def opened(read: Any, step: int) -> dict[str, Any]:
    """The facts as they were `sealed`.

    Raises:
      ValueError: if they were altered, or are about another step.
    """
    if not isinstance(read, dict) or read.get("step") != step:
        raise ValueError(f"these are not the facts about step {step}")
    facts = {name: value for name, value in read.items() if name != "seal"}
    if read.get("seal") != _seal(facts):
        raise ValueError(f"the facts about the checkpoint of step {step} were altered")
    return facts


def leaves_of(facts: Mapping[str, Any]) -> list[Leaf]:
    """What the checkpoint is made of.

    Raises:
      ValueError: if it was written in a format that is not known here.
    """
    if facts["format"] not in READABLE:
        raise ValueError(
            f"the checkpoint of step {facts['step']} is of format {facts['format']}, "
            f"but this gan_jax reads formats {READABLE}; it was written by gan_jax "
            f"{facts['versions']['gan_jax']}: use that one"
        )
    return [Leaf(path, dtype, tuple(shape)) for path, dtype, shape in facts["leaves"]]


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries whose numbers these are."""
    return dict(_versions())


@functools.cache  # to look into seven packages' metadata takes a millisecond
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _seal(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
