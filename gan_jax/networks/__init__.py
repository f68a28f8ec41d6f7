"""Networks: one file per family, and adapters for any other linen or nnx module.

The files are imported when first named, so that the kernel stays free of flax.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gan_jax.networks import (
        adapters,
        cascade,
        conditioning,
        dcgan,
        energies,
        layers,
        minibatch,
        mlp,
        r3,
        resnet,
    )

__all__ = [
    "adapters",
    "cascade",
    "conditioning",
    "dcgan",
    "energies",
    "layers",
    "minibatch",
    "mlp",
    "r3",
    "resnet",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
