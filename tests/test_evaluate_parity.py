"""The same features through other libraries' measures.

What each library says is kept in ``tests/parity.json``, so that ours is held against
all of them wherever the tests run. Where a library is installed it is asked again.
"""

import importlib.metadata
import json

import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.evaluate.frechet import frechet_distance
from gan_jax.evaluate.inception_score import inception_score_of_logits
from gan_jax.evaluate.kernels import kernel_distance
from gan_jax.evaluate.moments import moments
from gan_jax.evaluate.neighbours import (
    density_coverage,
    precision_recall,
    squared_radii,
)
from gan_jax.evaluate.similarity import ms_ssim, ssim
from gan_jax.evaluate.sliced import sliced_wasserstein
from tests.parity import (
    DIRECTIONS,
    FAKE,
    FILE,
    IMAGES,
    KEY,
    LIBRARIES,
    NEIGHBOURS,
    NOISY,
    REAL,
)

KEPT = json.loads(FILE.read_text())
# How far a figure may differ, relative. Where it is not said, both are whole counts, or
# sums in float32 of few terms.
FAR = {
    ("torch-fidelity", "FD"): 1e-9,
    ("torchmetrics", "FD"): 1e-9,
    ("torchmetrics", "KD"): 1e-9,
    ("torch-fidelity", "KD"): 1e-5,
    ("torchmetrics", "SSIM"): 1e-5,
    ("pytorch-msssim", "SSIM"): 1e-5,
    ("pytorch-msssim", "MS-SSIM"): 1e-5,
}


@pytest.fixture(scope="module")
def ours() -> dict[str, float]:
    score = inception_score_of_logits(FAKE)
    found = {
        "FD": frechet_distance(moments(REAL), moments(FAKE)),
        "KD": kernel_distance(REAL[:300], FAKE).value,
        "CS": score[0],
        "CS deviation": score[1],
        "SSIM": ssim(IMAGES, NOISY).mean(),
        "MS-SSIM": ms_ssim(IMAGES, NOISY).mean(),
    }
    for k in NEIGHBOURS:
        both = precision_recall(REAL, FAKE, k)._asdict()
        both |= density_coverage(REAL, FAKE, k)._asdict()
        found |= {f"{name} {k}": value for name, value in both.items()}
    for p in (1, 2):
        pair = jnp.asarray(REAL[:300]), jnp.asarray(FAKE)
        found[f"SW{p}"] = float(sliced_wasserstein(*pair, KEY, DIRECTIONS, power=p))
    return found


@pytest.mark.parametrize("library", LIBRARIES)
def test_ours_is_what_they_said(library: str, ours: dict[str, float]) -> None:
    theirs = KEPT[library]["figures"]
    assert theirs
    for name, figure in theirs.items():
        far = FAR.get((library, name), 1e-6)
        assert ours[name] == pytest.approx(figure, rel=far), name


def test_every_measure_is_said_by_another(ours: dict[str, float]) -> None:
    assert KEPT.keys() == LIBRARIES.keys()
    said = {name for library in KEPT.values() for name in library["figures"]}
    assert said == ours.keys()


@pytest.mark.filterwarnings("ignore")  # what they warn of is theirs
@pytest.mark.parametrize("library", LIBRARIES)
def test_they_say_so_still(library: str) -> None:
    try:
        importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("another library to ask again: pip install gan_jax[parity]")
    assert LIBRARIES[library]() == pytest.approx(KEPT[library]["figures"], rel=1e-5)


def test_scikit_learn() -> None:
    neighbors = pytest.importorskip("sklearn.neighbors").NearestNeighbors(n_neighbors=6)
    distance, _ = neighbors.fit(REAL.astype("f8")).kneighbors(REAL.astype("f8"))
    found = np.sqrt(squared_radii(REAL.astype("f8"), 5))
    np.testing.assert_allclose(found, distance[:, 5], rtol=1e-9)
