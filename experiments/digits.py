"""The 1,797 handwritten digits that come with scikit-learn, in half a minute.

    python -m experiments.digits
    python -m experiments.digits --preset classes     one row a digit

Needs the extra ``digits`` (scikit-learn). Images of 8x8 are enlarged to 16x16.
"""

import dataclasses

from experiments import image
from experiments.run import command, main
from gan_jax import data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(image.Images):
    """Options of the digits runs."""

    size: int = 16
    channels: int = 1
    width: int = 32
    latent: int = 32
    batch_size: int = 64
    steps: int = 3_000
    gamma: tuple[float, float] = (4.0, 1.0)
    rate_gen: tuple[float, float] = (1e-3, 1e-4)
    rate_disc: tuple[float, float] = (1e-3, 1e-4)
    flip: bool = False
    log_every: int = 200
    sample_every: int = 500
    checkpoint_every: int = 1_000
    evaluate_every: int | None = 500
    evaluate_images: int = 800


PRESETS = {
    "plain": Config(),
    "classes": Config(classes=10),
}


def source(cfg: Config) -> data.Source:
    """The digits."""
    return data.digits(cfg.size, cfg.channels)


def run(cfg: Config) -> None:
    """Train as ``cfg`` says."""
    image.run("digits", cfg, lambda: source(cfg))


if __name__ == "__main__":
    main(run, command("digits", Config, PRESETS, __doc__))
