"""The distances on real images, each against faults that it must and must not see.

2,000 images of Fashion-MNIST against 2,000 others, by their first 64 principal
components. What the evaluator says of a known fault is what its word is worth.
"""

import itertools
from pathlib import Path

import numpy as np
import pytest

from gan_jax.data.idx import idx_images
from gan_jax.evaluate.frechet import frechet_distance
from gan_jax.evaluate.kernels import kernel_distance
from gan_jax.evaluate.moments import moments
from gan_jax.evaluate.neighbours import (
    density_coverage,
    expected_coverage,
    nearest_neighbour_test,
    precision_recall,
)

FASHION = Path(__file__).parents[2] / "shared/data/fashion-mnist"
FASHION = FASHION / "t10k-images-idx3-ubyte.gz"
N = 2000

pytestmark = pytest.mark.skipif(not FASHION.exists(), reason=f"{FASHION} is not there")


def blurred(images):
    """The mean of each 3 x 3 pixels, the edges repeated."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    shifted = [padded[:, i : i + 28, j : j + 28] for i in range(3) for j in range(3)]
    return np.mean(shifted, axis=0)


@pytest.fixture(scope="module")
def sets():
    """Features of the real images, and of each set that is compared with them."""
    rng = np.random.default_rng(0)
    arrays = idx_images(FASHION).arrays
    images = arrays["real"][..., 0] / 127.5 - 1
    real, other = images[:N], images[N : 2 * N]
    rest, labels = images[N:], arrays["label"][N:]
    each_pixel = np.argsort(rng.random(other.shape), axis=0)
    compared = {
        "floor": other,
        "noise": other + 0.1 * rng.standard_normal(other.shape),
        "class missing": rest[labels != 0][:N],
        "blur": blurred(other),
        "100 images": other[rng.integers(0, 100, N)],
        "independent pixels": np.take_along_axis(other, each_pixel, axis=0),
    }
    flat = real.reshape(N, -1)
    mean = flat.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(flat, rowvar=False))
    axes = vectors[:, -64:]

    def features(x):
        return (x.reshape(len(x), -1) - mean) @ axes

    return features(real), {name: features(x) for name, x in compared.items()}


def test_the_frechet_distance_orders_the_faults(sets):
    real, others = sets
    of_real = moments(real)
    fd = {name: frechet_distance(of_real, moments(x)) for name, x in others.items()}
    assert 2 * fd["floor"] < fd["class missing"]
    # It is blind to noise, which 64 components hold little of.
    assert fd["noise"] == pytest.approx(fd["floor"], rel=0.15)
    order = ["floor", "class missing", "blur", "100 images", "independent pixels"]
    for nearer, farther in itertools.pairwise(order):
        assert fd[nearer] < fd[farther], (nearer, farther, fd)


def test_the_kernel_distance_orders_the_faults(sets):
    real, others = sets
    kd = {
        name: kernel_distance(real, x, subsets=4, size=500)
        for name, x in others.items()
    }
    spread = kd["floor"].deviation
    assert abs(kd["floor"].value) < 3 * spread
    assert kd["independent pixels"].value > 10 * kd["blur"].value > 30 * spread


def test_neighbours_see_copies_and_blur(sets):
    real, others = sets
    coverage = {name: density_coverage(real, x).coverage for name, x in others.items()}
    assert coverage["floor"] == pytest.approx(expected_coverage(N, N), abs=0.02)
    assert coverage["100 images"] < 0.4
    assert coverage["independent pixels"] < 0.1
    copies, blur = (
        precision_recall(real, others[name]) for name in ("100 images", "blur")
    )
    assert (copies.precision > 0.8, copies.recall) == (True, 0)
    assert blur.precision > 0.9 > 1.5 * blur.recall
    test = {
        name: nearest_neighbour_test(real, others[name])
        for name in ("floor", "blur", "100 images")
    }
    assert abs(test["floor"].accuracy - 0.5) < 0.05
    assert test["blur"].fake > 0.8 > 1.2 * test["blur"].real
    assert test["100 images"].fake == 1
