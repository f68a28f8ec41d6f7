"""The tasks on which ways of playing are compared, and the entries of each.

All entries of a task share one recipe, that of `experiments.toy` or of
`experiments.digits`. Nothing was tuned for any of them.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import digits, image, toy
from experiments.quality.mixtures import SAMPLES, figures
from experiments.quality.plays_figure import REAL, Panel
from experiments.quality.task import Numbers
from gan_jax.data import mixture_points
from gan_jax.data.cache import read
from gan_jax.evaluate import high_quality_ceiling, reverse_kl_floor
from gan_jax.gan import Gan, latents
from gan_jax.kernel import State
from gan_jax.latents import normal

WAYS: dict[str, dict[str, str]] = {
    "merged": {"play": "simultaneous", "gradient": "merged"},
    "one backward": {"play": "simultaneous", "gradient": "one_backward"},
    "alternating": {"play": "alternating", "gradient": "merged"},
}
Scores = Callable[[State], Numbers]


class Entry(NamedTuple):
    """What is compared; its fields are the table's first columns."""

    penalty: str
    loss: str
    way: str

    @property
    def name(self) -> str:
        """Among the results."""
        return " / ".join(self)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Contest:
    """A task on which all entries are run.

    Attributes:
      name: on the command line.
      title: above its table.
      config: of the experiment whose recipe all entries share.
      model: config -> GAN.
      data: config -> all real samples.
      scores: config -> state -> the table's numbers.
      look: config -> state -> those of them that make curves.
      losses: by the config's names.
      penalties: what each changes in the config.
      seconds: of a run.
      steps_per_call: of a compiled call, the grain of a run's length.
      measures: the table's last columns.
      panels: what is drawn.
    """

    name: str
    title: str
    config: Any
    model: Callable[[Any], Gan]
    data: Callable[[Any], np.ndarray]
    scores: Callable[[Any], Scores]
    look: Callable[[Any], Scores]
    losses: tuple[str, ...]
    penalties: dict[str, dict[str, Any]]
    seconds: float
    steps_per_call: int
    measures: tuple[str, ...]
    panels: tuple[Panel, ...]

    def entries(self) -> list[Entry]:
        """All that are compared."""
        parts = itertools.product(self.penalties, self.losses, WAYS)
        return [Entry(*names) for names in parts]

    def of(self, entry: Entry, steps: Any) -> Any:
        """The entry's config."""
        changes = WAYS[entry.way] | self.penalties[entry.penalty]
        return dataclasses.replace(self.config, loss=entry.loss, steps=steps, **changes)

    def steps(self, seconds: float, step_seconds: float) -> int:
        """How many steps fit: the nearest number of whole calls, at least one."""
        calls = round(seconds / (step_seconds * self.steps_per_call))
        return max(1, calls) * self.steps_per_call


def ring_scores(cfg: toy.Config) -> Scores:
    """The modes that samples cover, their quality and their balance."""
    model, truth = toy.model(cfg), toy.mixture(cfg)
    z = latents(normal(cfg.latent), jax.random.key(cfg.seed + 1), SAMPLES)
    sample = jax.jit(model.sample)

    def scores(state: State) -> Numbers:
        return figures(np.asarray(sample(state, z)), truth) | {
            f"modes{REAL}": float(len(truth.modes)),
            f"high quality %{REAL}": 100 * high_quality_ceiling(),
            f"reverse KL{REAL}": reverse_kl_floor(len(truth.modes), SAMPLES),
        }

    return scores


def ring_data(cfg: toy.Config) -> np.ndarray:
    """All points of `experiments.toy`."""
    return mixture_points(toy.mixture(cfg), cfg.points, cfg.seed).arrays["real"]


def digits_scores(cfg: digits.Config) -> Scores:
    """The distances of `experiments.digits`, and how many digits have a fake near."""
    found = image.distances(cfg, image.model(cfg), digits.source(cfg))
    names = {"distance": "distance", "fd_pca64": "FD[pca64]", "coverage": "coverage"}

    def scores(state: State) -> Numbers:
        seen = found(state)
        told = {name: seen[own] for own, name in names.items() if own in seen}
        floors = {f"{names[own]}{REAL}": f"{own}_floor" for own in names}
        return told | {name: seen[own] for name, own in floors.items() if own in seen}

    return scores


def digits_data(cfg: digits.Config) -> np.ndarray:
    """All digits."""
    source = digits.source(cfg)
    return read(source, range(len(source)), source[0])["real"]


RING = Contest(
    name="ring",
    title="Ring of 8 Gaussians (2x128 MLPs, batches of 256)",
    # Seed 50, relativistic with R1 + R2, 4,000 steps: 65 % of high quality with two
    # latents, 43 % with four, 30 % with the 64 of `experiments.toy`.
    config=toy.Config(latent=2),
    model=toy.model,
    data=ring_data,
    scores=ring_scores,
    look=ring_scores,
    losses=("nonsaturating", "hinge", "relativistic"),
    penalties={"none": {"gamma": None}, "R1 + R2": {}},
    seconds=7.0,
    steps_per_call=50,
    measures=("modes", "high quality %", "reverse KL"),
    panels=(
        Panel("high quality %", "dots"),
        Panel("reverse KL", "dots", log=True),
        Panel("high quality %", "curves"),
    ),
)
DIGITS = Contest(
    name="digits",
    title="Digits, 16x16 (DCGAN of width 32, batches of 64)",
    config=digits.Config(),
    model=image.model,
    data=digits_data,
    scores=digits_scores,
    look=lambda cfg: digits_scores(dataclasses.replace(cfg, evaluate="distance")),
    losses=("nonsaturating", "relativistic"),
    penalties={"none": {"gamma": (0.0, 0.0)}, "R1 + R2": {"penalise_fakes": True}},
    seconds=8.0,
    steps_per_call=10,
    measures=("distance", "FD[pca64]", "coverage"),
    panels=(
        Panel("distance", "dots"),
        Panel("FD[pca64]", "dots"),
        Panel("distance", "curves"),
    ),
)
CONTESTS = {contest.name: contest for contest in (RING, DIGITS)}
