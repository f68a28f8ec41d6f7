"""R3GAN's recipe for small players, with everything on a schedule."""

import dataclasses
from typing import Any

from gan_jax import gan, latents, losses, penalties
from gan_jax.gan import Gan
from gan_jax.kernel import Network
from gan_jax.optimizers import adam
from gan_jax.schedules import cosine, exponential


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A relativistic pair with R1 and R2, one backward pass, Adam without momentum.

    Attributes:
      steps: in all; every schedule ends there.
      batch_size: real samples of a step, and as many fake ones.
      signs, normal: elements of the latent, see `gan_jax.latents`.
      gamma: weight of R1 and of R2 at the beginning and at the end, by equal factors.
      rate: D's learning rate, along half a cosine.
      share: G's learning rate in units of D's. Below 1 D follows what G does, and
        modes that circle about their places come to rest (two time scales: Heusel et
        al., 2017, arXiv:1706.08500).
      b2: Adam's.
      ema: decay of the generator's average, from which samples are drawn.
      width: units of a hidden layer of either player, or channels.
      depth: hidden layers, where players are fully connected.
      waves: how many sines and cosines of a sample D sees beside it, see `waves`.
      penalty_every: steps between two penalties, each so many times as strong.
    """

    steps: int
    batch_size: int
    signs: int
    normal: int
    gamma: tuple[float, float]
    rate: tuple[float, float]
    share: float = 1.0
    b2: float = 0.99
    ema: float = 0.999
    width: int = 128
    depth: int = 2
    waves: int = 0
    penalty_every: int = 1

    def shortened(self, steps: int) -> "Recipe":
        """The same over fewer steps."""
        return dataclasses.replace(self, steps=min(steps, self.steps))

    def latent(self) -> latents.Latent:
        """Signs, beside normal numbers."""
        normal = latents.normal(self.normal)
        if not self.signs:
            return normal
        return latents.joined(latents.signs(self.signs), normal)

    def gan(self, gen: Network, disc: Network) -> Gan:
        """The model."""
        gamma = exponential(*self.gamma, self.steps)
        penalty = penalties.total(penalties.r1(gamma), penalties.r2(gamma))
        start, end = self.rate
        rates = {
            "gen": cosine(self.share * start, self.share * end, self.steps),
            "disc": cosine(start, end, self.steps),
        }
        return gan(
            gen,
            disc,
            loss=losses.relativistic_pairing(),
            penalty=penalties.lazy(penalty, self.penalty_every),
            gradient="one_backward",
            latent=self.latent(),
            optimizers={p: adam(rate, 0.0, self.b2) for p, rate in rates.items()},
            ema=self.ema,
        )


def facts(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON has it."""
    return {
        k: list(v) if isinstance(v, tuple) else v
        for k, v in dataclasses.asdict(recipe).items()
    }
