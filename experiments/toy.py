"""Two-dimensional mixtures, in a minute: does a GAN find every mode?

    python -m experiments.toy                    a ring of eight Gaussians
    python -m experiments.toy --preset grid      a grid of twenty-five
    python -m experiments.toy --preset plain     the ring without penalties: it fails

The recipe is R3GAN's: relativistic pairing with R1 and R2, whose weight falls over the
run, in one simultaneous step with one backward pass through D.

Reference: Huang et al., "The GAN is dead; long live the GAN!", 2024, arXiv:2501.05441.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments.run import Run, Task, command, main, say, train
from gan_jax import data, images, losses, penalties
from gan_jax.gan import Gan, gan, latents
from gan_jax.kernel import State, alternating, simultaneous
from gan_jax.latents import normal
from gan_jax.networks import mlp
from gan_jax.objectives.adversarial import Gradient
from gan_jax.optimizers import adam, cosine, exponential

LOSSES = {
    "relativistic": losses.relativistic_pairing,
    "nonsaturating": losses.nonsaturating,
    "hinge": losses.hinge,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Run):
    """Options of the toy runs."""

    shape: Literal["ring", "grid"] = "ring"
    loss: Literal["relativistic", "nonsaturating", "hinge"] = "relativistic"
    gradient: Gradient = "one_backward"
    play: Literal["simultaneous", "alternating"] = "simultaneous"
    """Alternating players, D first, share each batch between their moves."""
    rate: tuple[float, float] = (2e-3, 1e-4)
    """Learning rate at the beginning and at the end."""
    gamma: tuple[float, float] | None = (1.0, 0.001)
    """Weight of R1 and R2 at the beginning and at the end; None for no penalty."""
    width: int = 128
    latent: int = 64
    points: int = 50_000
    steps: int = 12_000
    batch_size: int = 256
    steps_per_call: int = 100
    log_every: int = 1000
    sample_every: int = 2000
    checkpoint_every: int = 4000


PRESETS = {
    "ring": Config(),
    "grid": Config(shape="grid", gamma=(0.3, 0.001), latent=4, steps=24_000),
    "plain": Config(loss="nonsaturating", gamma=None),
}


def mixture(cfg: Config) -> data.Mixture:
    """The true distribution."""
    return data.ring() if cfg.shape == "ring" else data.grid()


def model(cfg: Config, axis_name: str | None = None) -> Gan:
    """Two MLPs and R3GAN's recipe."""
    penalty = None
    if cfg.gamma is not None:
        gamma = exponential(*cfg.gamma, cfg.steps)
        penalty = penalties.total(penalties.r1(gamma), penalties.r2(gamma))
    return gan(
        mlp.generator(2, cfg.width),
        mlp.discriminator(cfg.width),
        loss=LOSSES[cfg.loss](),
        penalty=penalty,
        gradient=cfg.gradient,
        latent=normal(cfg.latent),
        optimizers={
            player: adam(cosine(*cfg.rate, cfg.steps), b1=0.0, b2=0.99)
            for player in ("gen", "disc")
        },
        play=simultaneous("gen", "disc")
        if cfg.play == "simultaneous"
        else alternating("disc", "gen"),
        accumulate=cfg.accumulate,
        axis_name=axis_name,
    )


def task(cfg: Config) -> Task:
    """What `train` needs to know."""
    truth = mixture(cfg)
    z = latents(normal(cfg.latent), jax.random.key(cfg.seed + 1), 2500)

    def picture(model: Gan, state: State) -> np.ndarray:
        edge = float(np.abs(truth.modes).max()) + 0.5
        drawn = np.asarray(model.sample(state, z))
        return images.scatter(drawn, truth.modes, (-edge, edge, -edge, edge))

    def evaluate(model: Gan, source: data.Source) -> Any:
        def scores(state: State) -> Mapping[str, float]:
            report = data.mixture_report(np.asarray(model.sample(state, z)), truth)
            return {
                "modes": report.covered,
                "high_quality": report.high_quality,
                "reverse_kl": report.reverse_kl,
            }

        return scores

    return Task(
        source=lambda: data.mixture_points(truth, cfg.points, cfg.seed),
        example=lambda n: {"real": jax.ShapeDtypeStruct((n, 2), jnp.float32)},
        model=lambda axis_name: model(cfg, axis_name),
        picture=picture,
        evaluate=evaluate,
    )


def run(cfg: Config) -> None:
    """Train; then say how many modes the samples cover."""
    experiment = task(cfg)
    result = train("toy", cfg, experiment)
    if result is not None and not result.interrupted:
        scores = experiment.evaluate(model(cfg), experiment.source())(result.state)
        say(
            f"{cfg.shape}: {scores['modes']:.0f} of {len(mixture(cfg).modes)} modes, "
            f"{scores['high_quality']:.1%} of high quality, "
            f"reverse KL {scores['reverse_kl']:.4f} (2,500 samples of the average)"
        )


if __name__ == "__main__":
    main(run, command("toy", Config, PRESETS, __doc__))
