"""Which of the known attributes of drawn faces a generator has learned to show.

Of drawn faces the truth is known: every attribute, every value, how often it comes,
and that all attributes are independent. A classifier reads them off generated images,
and what it finds is put beside that truth.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from gan_jax.data.faces import ATTRIBUTES, PROBABILITIES, draw_attributes, render
from gan_jax.evaluate.features.classifier import Classifier, classifier

AT_ONCE = 1024  # faces drawn at once
# Added to seeds, so that no face is met twice, or in a generator's training images.
TRAINING, HELD_OUT, FLOOR = 1_000_000, 2_000_000, 3_000_000


class Coverage(NamedTuple):
    """Shares of the possible values.

    Attributes:
      once: that occur at least once.
      enough: that occur at least at the asked fraction of their true frequency.
    """

    once: float
    enough: float


class AttributeReport(NamedTuple):
    """What a set of faces shows.

    Attributes:
      shares: for each attribute how often each value was read.
      values: how many of the attributes' values are covered.
      pairs: how many pairs of values of two attributes are.
      gap: the largest total variation between an attribute's shares and its truth.
      n: number of faces; coverage rises with it.
      fraction: that of the true frequency which is enough.
    """

    shares: dict[str, Float[np.ndarray, " values"]]
    values: Coverage
    pairs: Coverage
    gap: float
    n: int
    fraction: float


class FaceReader(NamedTuple):
    """Reads the attributes of faces: build it with `face_reader`.

    Attributes:
      classifier: with one head an attribute.
      accuracy: of each head, on faces it has not seen. Where a thing is hidden, as
        eyes by sunglasses or hair by a hat, nothing can be read.
      chance: what naming each attribute's commonest value would reach.
    """

    classifier: Classifier
    accuracy: dict[str, float]
    chance: dict[str, float]

    def report(
        self, images: UInt8[np.ndarray, "n size size 3"], fraction: float = 0.5
    ) -> AttributeReport:
        """What images show, as far as it can be read; see `attribute_report`."""
        return attribute_report(self.classifier.predict(images), fraction)

    def floor(self, n: int, fraction: float = 0.5, seed: int = 0) -> AttributeReport:
        """The same of real faces, as many: what a perfect generator would reach."""
        size = self.classifier.shape[0]
        images, _ = drawn(n, size, seed + FLOOR)
        return self.report(images, fraction)


def face_reader(
    size: int = 32,
    *,
    n: int = 40_000,
    epochs: int = 6,
    held_out: int = 2_000,
    seed: int = 0,
    batch: int = 128,
    width: int = 32,
) -> FaceReader:
    """Trains a classifier with a head for each attribute of drawn faces.

    At 32 pixels it takes a minute of two cores. Keep it with its classifier's ``save``;
    `reader_of` makes a reader of what was kept.

    Args:
      size: side of the faces, in pixels: that of the generated ones.
      n: faces to train on, of a seed of their own.
      epochs: passes over them.
      held_out: faces on which its accuracy is measured, of another seed.
      seed: of the faces and of the training.
      batch: faces a step.
      width: channels of the network's first convolution.

    Returns:
      The reader, with its accuracy.

    Raises:
      ValueError: for a size at which no faces are drawn.
    """
    images, codes = drawn(n, size, seed + TRAINING)
    trained = classifier(
        images,
        codes,
        name=f"drawn-faces-{size}",
        classes=[len(values) for values in ATTRIBUTES.values()],
        seed=seed,
        epochs=epochs,
        batch=batch,
        width=width,
    )
    return reader_of(trained, held_out, seed)


def reader_of(trained: Classifier, held_out: int = 2_000, seed: int = 0) -> FaceReader:
    """A reader from a classifier that was kept, its accuracy measured anew.

    Raises:
      ValueError: for a classifier of other labels.
    """
    heads = tuple(len(values) for values in ATTRIBUTES.values())
    if trained.heads != heads:
        raise ValueError(
            f"{trained.name} has heads of {trained.heads} classes, but the attributes "
            f"of drawn faces have {heads}; take one that face_reader has trained."
        )
    images, codes = drawn(held_out, trained.shape[0], seed + HELD_OUT)
    accuracy = trained.accuracy(images, codes)
    return FaceReader(
        trained,
        dict(zip(ATTRIBUTES, accuracy.tolist(), strict=True)),
        {name: max(values) for name, values in PROBABILITIES.items()},
    )


def attribute_report(
    codes: Int[np.ndarray, "n attributes"], fraction: float = 0.5
) -> AttributeReport:
    """Puts the attributes of faces beside their true frequencies.

    A value with true probability p is covered once if it occurs, and enough if its
    share is at least ``fraction`` p; a pair of values of two attributes, which are
    independent, likewise with p q. All values count alike, all pairs too.

    Args:
      codes: the number of each attribute's value, as in `ATTRIBUTES`.
      fraction: in (0, 1].

    Returns:
      The report. Rare pairs are missing from any small set: compare with real faces.

    Raises:
      ValueError: for no faces, another number of attributes, or another fraction.
    """
    if not len(codes) or codes.shape[1] != len(ATTRIBUTES) or not 0 < fraction <= 1:
        raise ValueError(
            f"codes have shape {codes.shape} and fraction is {fraction}; give at least "
            f"one row of {len(ATTRIBUTES)} attributes, and a fraction in (0, 1]."
        )
    truth = [np.array(values) for values in PROBABILITIES.values()]
    one_hot = [
        codes[:, i, None] == np.arange(len(values)) for i, values in enumerate(truth)
    ]
    shares = [hot.mean(axis=0) for hot in one_hot]
    both = [
        (one_hot[i].T.astype(np.float64) @ one_hot[j] / len(codes)).ravel()
        for i, j in _pairs()
    ]
    expected = [np.outer(truth[i], truth[j]).ravel() for i, j in _pairs()]
    gaps = [np.abs(s - p).sum() / 2 for s, p in zip(shares, truth, strict=True)]
    return AttributeReport(
        shares=dict(zip(ATTRIBUTES, shares, strict=True)),
        values=_coverage(np.concatenate(shares), np.concatenate(truth), fraction),
        pairs=_coverage(np.concatenate(both), np.concatenate(expected), fraction),
        gap=float(max(gaps)),
        n=len(codes),
        fraction=fraction,
    )


def drawn(
    n: int, size: int, seed: int
) -> tuple[UInt8[np.ndarray, "n size size 3"], Int[np.ndarray, "n attributes"]]:
    """Faces 0 .. n - 1 of a seed, and their attributes."""
    attributes = draw_attributes(seed, np.arange(n))
    images = [
        render(type(attributes)(*(part[i : i + AT_ONCE] for part in attributes)), size)
        for i in range(0, n, AT_ONCE)
    ]
    return np.concatenate(images), attributes.codes


def _pairs() -> Iterator[tuple[int, int]]:
    return combinations(range(len(ATTRIBUTES)), 2)


def _coverage(found: np.ndarray, truth: np.ndarray, fraction: float) -> Coverage:
    once = (found > 0).mean()
    return Coverage(float(once), float((found >= fraction * truth).mean()))
