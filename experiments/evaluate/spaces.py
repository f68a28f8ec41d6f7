"""The feature spaces of a score by their names on the command line.

pixels               the pixels in [-1, 1]
pca64                their first 64 principal components, fitted to the real images
classifier           of a small network trained on the real images' labels
FILE.npz             of such a network, kept before
inception            of the 2015 Inception network, whose weights you must have
"""

import dataclasses
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.run import say
from gan_jax.data.source import content_digest
from gan_jax.evaluate.features import (
    Classifier,
    Features,
    classifier,
    inception,
    load,
    pca,
    pixels,
)
from gan_jax.evaluate.measurement import FeatureSpace
from gan_jax.evaluate.references import reference

EPOCHS = 3  # of a classifier; it is to be cheap, not the best
MOST_TRAINED_ON = 20_000  # images


class Space(NamedTuple):
    """A feature function and how figures name it.

    Attributes:
      features: the function.
      record: what a figure says of it.
      costly: whether what it makes of real images is worth a file.
    """

    features: Features
    record: FeatureSpace
    costly: bool


class Labelled(NamedTuple):
    """Real images to train a classifier on, and the line that names them."""

    images: np.ndarray
    labels: np.ndarray
    fingerprint: str


def space(
    word: str,
    real: np.ndarray,
    resize: str,
    *,
    labelled: Callable[[], Labelled],
    cache: Path | None,
    weights: Path | None = None,
) -> Space:
    """The feature space that ``word`` names.

    Args:
      word: as above.
      real: uint8 images, for their shape and for the components.
      resize: how images were resized before.
      labelled: what a classifier is trained on; called only if there is one to train.
      cache: where it is kept; None for nowhere.
      weights: of Inception.

    Raises:
      ValueError: for another name, or weights that are missing.
    """
    kept = word.endswith(".npz")
    if word == "pixels":
        found = pixels(real.shape[1:])
    elif number := re.fullmatch(r"pca(\d+)", word):
        found = pca(real, int(number[1]))
    elif word == "inception":
        if weights is None:
            raise ValueError(
                "--features inception wants --inception-weights FILE; none come with "
                "this package. docs/inception.md says how to convert those that FID "
                "is quoted with."
            )
        found = inception(weights)
    elif kept or word == "classifier":
        network = load(word) if kept else trained(labelled(), cache)
        found = network.features()
        if len(network.heads) > 1:  # their logits are no one distribution
            found = dataclasses.replace(found, head=None)
    else:
        raise ValueError(
            f"--features {word}: there are pixels, pca64 (or another number), "
            "classifier, inception, and the .npz file of a classifier."
        )
    is_inception = word == "inception"
    return Space(
        found,
        record(found, resize, is_inception),
        is_inception or found.head is not None,
    )


def record(features: Features, resize: str, is_inception: bool = False) -> FeatureSpace:
    """What a figure says of its features. The digest stands in its own field."""
    own = f", then {features.preprocessing}" if is_inception else ""
    return FeatureSpace(
        name=features.name.split("@")[0],
        digest=features.digest,
        dimension=features.dimension,
        resize=resize + own,
        quantisation="uint8",
        inception=is_inception,
    )


def trained(on: Labelled, cache: Path | None) -> Classifier:
    """A classifier of these images, from the cache if it was trained before."""
    facts = f"{on.fingerprint} epochs={EPOCHS} n={len(on.images)} {on.images.shape}"
    name = f"classifier-{hashlib.sha256(facts.encode()).hexdigest()[:40]}.npz"
    if cache is not None and (cache / name).exists():
        try:
            return load(cache / name)
        except ValueError as error:
            say(f"{error} It is trained anew.")
    say(f"training a classifier on {len(on.images):,} images, {EPOCHS} epochs")
    found = classifier(on.images, on.labels, name="classifier", epochs=EPOCHS)
    if cache is not None:
        found.save(cache / name)
    return found


def real_features(
    space: Space, images: np.ndarray, fingerprint: str, cache: Path | None
) -> np.ndarray:
    """Features of the real images, from the cache if they are there.

    Args:
      space: what makes them.
      images: to look at.
      fingerprint: of the data set that they are from.
      cache: where they are kept; None for nowhere.
    """
    if cache is None or not space.costly:
        return space.features(images)
    facts = {
        "images": fingerprint,
        # A folder's fingerprint knows sizes and times, an .npy's some rows besides.
        "content": content_digest({"real": images}),
        "features": space.features.digest,
        "preprocessing": space.features.preprocessing,
        "resize": space.record.resize,
    }
    found = reference(lambda: [space.features(images)], cache, facts, keep=len(images))
    return found.features
