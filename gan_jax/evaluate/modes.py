"""Modes that are known by construction: how many are seen, how evenly, and how well.

`gan_jax.data.mixture_report` counts those of Gaussian mixtures. Here are stacked
digits, and what a perfect generator reaches on both: a figure above a ceiling is as
wrong as one far below.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from gan_jax.evaluate.points import AnyArray


class StackedReport(NamedTuple):
    """How samples spread over the combinations of classes.

    Attributes:
      covered: modes with at least one sample.
      modes: how many there are.
      reverse_kl: KL(histogram of modes || uniform) in nats.
      floor: `reverse_kl_floor`, what a perfect generator has at this many samples.
    """

    covered: int
    modes: int
    reverse_kl: float
    floor: float


def stacked_report(
    predictions: Int[AnyArray, "n channels"], classes: int = 10
) -> StackedReport:
    """Modes of stacked images, three digits in the colours red, green and blue.

    Args:
      predictions: a classifier's class for each channel. Its errors smear the modes, so
        the report of real stacks belongs beside. 26,000 samples by custom.
      classes: the classifier's; 10 of them in 3 channels are 1,000 modes.

    Raises:
      ValueError: for no samples, or classes outside of 0 ... classes - 1.

    References: Srivastava et al., "VEEGAN", 2017, arXiv:1705.07761; Lin et al.,
    "PacGAN", 2018, arXiv:1712.04086.

    >>> import numpy as np
    >>> stacked_report(np.array([[0, 1], [1, 1], [0, 0], [1, 0]]), classes=2)
    StackedReport(covered=4, modes=4, reverse_kl=0.0, floor=0.375)
    """
    found = np.asarray(predictions)
    if found.ndim != 2 or not found.size or found.min() < 0 or found.max() >= classes:
        raise ValueError(
            f"the predictions have the shape {found.shape}, but (n, channels) is "
            f"wanted, of classes 0 ... {classes - 1}. Give the argmax of each channel."
        )
    modes = classes ** found.shape[1]
    place = classes ** np.arange(found.shape[1])
    share = np.bincount(found.astype(np.int64) @ place, minlength=modes) / len(found)
    present = share[share > 0]
    return StackedReport(
        covered=len(present),
        modes=modes,
        reverse_kl=float((present * np.log(modes * present)).sum()),
        floor=reverse_kl_floor(modes, len(found)),
    )


def reverse_kl_floor(modes: int, n: int) -> float:
    """E KL(histogram || uniform) = (k - 1) / 2n to first order, for a perfect sampler.

    2n KL is about chi-squared with k - 1 degrees of freedom, so the value of one
    sample lies within sqrt(2 (k - 1)) / 2n of it, for n well above k.

    Args:
      modes: k, equally likely ones.
      n: samples.

    >>> reverse_kl_floor(25, 2500)
    0.0048
    """
    return (modes - 1) / (2 * n)


def expected_modes(modes: int, n: int) -> float:
    """E covered = k (1 - (1 - 1/k)^n), for a perfect sampler of k equal modes.

    >>> round(expected_modes(1000, 1000))
    632
    """
    return modes * -math.expm1(n * math.log1p(-1 / modes)) if modes > 1 else 1.0


def high_quality_ceiling(sds: float = 3.0) -> float:
    """P(|x| <= sds) = 1 - exp(-sds^2 / 2), of a round Gaussian in the plane.

    The share of a perfect sampler's points within three standard deviations of their
    mode. More says that the modes have shrunk.

    >>> round(high_quality_ceiling(), 4)
    0.9889
    """
    return -math.expm1(-(sds**2) / 2)
