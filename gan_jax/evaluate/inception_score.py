"""The inception score: samples that are each of one class, and together of all."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gan_jax.evaluate.points import AnyArray, points


class InceptionScore(NamedTuple):
    """The score over splits.

    Attributes:
      value: its mean over splits, from 1 to the number of classes.
      deviation: over splits; a spread of the estimate on one set of samples, no error
        of the model.
    """

    value: float
    deviation: float


def inception_score(
    probabilities: Float[AnyArray, "n k"], splits: int = 10
) -> InceptionScore:
    """IS = exp(mean_i KL(p(y | x_i) || mean_j p(y | x_j))) in each split.

    It knows the classifier's classes only: a generator of one perfect image for each
    has the highest score there is, and what lies outside of them is not seen.

    Args:
      probabilities: of the classes for each sample, in rows that sum to 1. Samples are
        cut into splits as they come, so they must come in random order.
      splits: how many.

    Raises:
      ValueError: for rows that are no distributions, or fewer samples than splits.

    References: Salimans et al., "Improved Techniques for Training GANs", 2016,
    arXiv:1606.03498; Barratt and Sharma, "A Note on the Inception Score", 2018,
    arXiv:1801.01973.

    >>> import numpy as np
    >>> inception_score(np.tile(np.eye(4), (5, 1)), splits=5)
    InceptionScore(value=4.0, deviation=0.0)
    """
    p = points(probabilities, "probability")
    if p.min() < 0 or abs(p.sum(axis=1) - 1).max() > 1e-3:
        raise ValueError(
            "the probabilities are negative or do not sum to 1 in every row. Give "
            "softmax's outputs; `inception_score_of_logits` takes logits."
        )
    if not 1 <= splits <= len(p):
        raise ValueError(
            f"splits is {splits} for {len(p)} samples, but every split needs one."
        )
    scores = [_score(part) for part in np.array_split(p, splits)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def inception_score_of_logits(
    logits: Float[AnyArray, "n k"], splits: int = 10
) -> InceptionScore:
    """`inception_score` of softmax(logits).

    Raises:
      ValueError: as there.
    """
    found = points(logits, "logit")
    p = np.exp(found - found.max(axis=1, keepdims=True))
    return inception_score(p / p.sum(axis=1, keepdims=True), splits)


def _score(p: np.ndarray) -> float:
    mean = p.mean(axis=0, keepdims=True)
    # p log(p / q) is 0 where p is; there 1 stands in for both, whose log is 0.
    logs = np.log(np.where(p > 0, p, 1)) - np.log(np.where(p > 0, mean, 1))
    return float(np.exp((p * logs).sum(axis=1).mean()))
