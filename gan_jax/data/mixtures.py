"""Distributions in the plane whose truth is known: what a small GAN is tested on."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gan_jax.data.source import Arrays


class Mixture(NamedTuple):
    """Equally likely round Gaussians.

    Attributes:
      modes: their centres.
      sd: their standard deviation along each axis.
    """

    modes: Float[np.ndarray, "k 2"]
    sd: float


class MixtureReport(NamedTuple):
    """How well samples cover a mixture.

    Attributes:
      covered: modes with at least one high-quality sample.
      modes: number of modes.
      high_quality: share of samples within 3 sd of the nearest mode. A perfect sampler
        reaches 1 − exp(−4.5) = 0.9889; more than 0.993 means that the sd has shrunk.
      reverse_kl: KL(histogram of nearest modes ‖ uniform) in nats. A perfect sampler of
        n samples has about (k − 1) / 2n.
    """

    covered: int
    modes: int
    high_quality: float
    reverse_kl: float


def ring(modes: int = 8, radius: float = 2.0, sd: float = 0.02) -> Mixture:
    """Modes evenly on a circle.

    Reference:
      Srivastava et al., "VEEGAN: Reducing mode collapse in GANs using implicit
      variational learning", 2017, arXiv:1705.07761.
    """
    angle = 2 * np.pi * np.arange(modes) / modes
    centres = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Mixture(centres.astype(np.float32), sd)


def grid(side: int = 5, spacing: float = 2.0, sd: float = 0.05) -> Mixture:
    """Modes on a square grid about the origin: 25 at {−4, −2, 0, 2, 4}² by default.

    Reference:
      Lin et al., "PacGAN: The power of two samples in generative adversarial networks",
      2018, arXiv:1712.04086.
    """
    line = spacing * (np.arange(side) - (side - 1) / 2)
    centres = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    return Mixture(centres.astype(np.float32), sd)


def mixture_points(mixture: Mixture, n: int, seed: int) -> Arrays:
    """Draws n points of a mixture; the label is the mode.

    Args:
      mixture: what to draw from.
      n: number of points.
      seed: of the draw.

    Returns:
      A source of float32 points (n, 2).
    """
    random = np.random.default_rng(seed)
    label = random.integers(len(mixture.modes), size=n)
    noise = mixture.sd * random.standard_normal((n, 2))
    return _points(mixture.modes[label] + noise, label)


def swiss_roll(n: int, seed: int, sd: float = 0.05) -> Arrays:
    """Draws n points of a spiral of one and a half turns, inside radius 2 or so."""
    random = np.random.default_rng(seed)
    turn = 1.5 * np.pi * (1 + 2 * random.uniform(size=n))
    spiral = np.stack([np.cos(turn), np.sin(turn)], axis=1) * turn[:, None]
    return _points(spiral / (2.25 * np.pi) + sd * random.standard_normal((n, 2)))


def parallel_lines(n: int, seed: int, lines: int = 2, sd: float = 0.05) -> Arrays:
    """Draws n points of level lines of length 4, evenly spaced over heights [−1, 1]."""
    random = np.random.default_rng(seed)
    label = random.integers(lines, size=n)
    height = np.linspace(-1, 1, lines)[label] + sd * random.standard_normal(n)
    return _points(np.stack([random.uniform(-2, 2, n), height], axis=1), label)


def mixture_report(
    samples: Float[np.ndarray, "n 2"], mixture: Mixture
) -> MixtureReport:
    """Counts the modes that samples cover, their quality and their balance.

    With d the distance to the nearest mode and p the histogram of nearest modes:
    high quality = P(d ≤ 3 sd), reverse KL = Σ p log(k p).

    Args:
      samples: points; 2,500 of them by custom. Non-finite ones count as bad.
      mixture: the truth.

    Returns:
      The report.

    Reference:
      Srivastava et al., 2017, arXiv:1705.07761; Lin et al., 2018, arXiv:1712.04086.
    """
    finite = samples[np.isfinite(samples).all(axis=1)].astype(np.float64)
    k = len(mixture.modes)
    if not len(finite):
        return MixtureReport(0, k, 0.0, float("inf"))
    distance = np.linalg.norm(finite[:, None] - mixture.modes[None], axis=-1)
    nearest = distance.argmin(axis=1)
    good = distance.min(axis=1) <= 3 * mixture.sd
    share = np.bincount(nearest, minlength=k) / len(finite)
    present = share[share > 0]
    return MixtureReport(
        covered=len(np.unique(nearest[good])),
        modes=k,
        high_quality=float(good.sum() / len(samples)),
        reverse_kl=float(np.sum(present * np.log(k * present))),
    )


def _points(points: np.ndarray, label: np.ndarray | None = None) -> Arrays:
    arrays = {"real": points.astype(np.float32)}
    return Arrays(arrays if label is None else arrays | {"label": label})
