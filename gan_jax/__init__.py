"""GANs in JAX as one pure function: one merged loss, one compiled step."""

from gan_jax import devices, latents, losses, networks, objectives, penalties
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
from gan_jax.stop import stop

__version__ = "0.1.0"
__all__ = [
    "Gan",
    "Kernel",
    "Network",
    "Objective",
    "State",
    "alternating",
    "devices",
    "gan",
    "kernel",
    "latents",
    "losses",
    "networks",
    "objectives",
    "penalties",
    "simultaneous",
    "stop",
]
