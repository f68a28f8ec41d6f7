"""Games as objectives: one file per system, each returning an `Objective`."""

from gan_jax.objectives.ac_gan import ac_gan
from gan_jax.objectives.adversarial import adversarial
from gan_jax.objectives.alpha_gan import alpha_gan
from gan_jax.objectives.bigan_qp import bigan_qp
from gan_jax.objectives.cascade import cascade
from gan_jax.objectives.energy import energy_model
from gan_jax.objectives.games import bilinear, dirac, linear_quadratic
from gan_jax.objectives.glann import glo, imle
from gan_jax.objectives.infogan import infogan
from gan_jax.objectives.meg import meg
from gan_jax.objectives.mmd_gan import mmd_gan
from gan_jax.objectives.ogan import ogan
from gan_jax.objectives.ot_gan import ot_gan
from gan_jax.objectives.unrolled import unrolled

__all__ = [
    "ac_gan",
    "adversarial",
    "alpha_gan",
    "bigan_qp",
    "bilinear",
    "cascade",
    "dirac",
    "energy_model",
    "glo",
    "imle",
    "infogan",
    "linear_quadratic",
    "meg",
    "mmd_gan",
    "ogan",
    "ot_gan",
    "unrolled",
]
