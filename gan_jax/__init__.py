"""GANs in JAX as one pure function: one merged loss, one compiled step.

The files that the common case does not need are imported when first named.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from gan_jax import (
    augment,
    devices,
    latents,
    losses,
    networks,
    objectives,
    optimizers,
    penalties,
    regularizers,
    schedules,
)
from gan_jax.gan import Gan, gan
from gan_jax.kernel import (
    Kernel,
    Network,
    Objective,
    State,
    alternating,
    kernel,
    simultaneous,
)
from gan_jax.r3gan import r3gan
from gan_jax.stop import stop

if TYPE_CHECKING:
    from gan_jax import (
        comparisons,
        convergence,
        distances,
        divergences,
        dynamics,
        langevin,
        moments,
        orthogonality,
        ratios,
        reconstruction,
        robust,
        rowwise,
        transport,
    )

__version__ = "0.1.0"
__all__ = [
    "Gan",
    "Kernel",
    "Network",
    "Objective",
    "State",
    "alternating",
    "augment",
    "comparisons",
    "convergence",
    "devices",
    "distances",
    "divergences",
    "dynamics",
    "gan",
    "kernel",
    "langevin",
    "latents",
    "losses",
    "moments",
    "networks",
    "objectives",
    "optimizers",
    "orthogonality",
    "penalties",
    "r3gan",
    "ratios",
    "reconstruction",
    "regularizers",
    "robust",
    "rowwise",
    "schedules",
    "simultaneous",
    "stop",
    "transport",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
