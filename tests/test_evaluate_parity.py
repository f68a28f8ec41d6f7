"""The same features through other libraries' measures, where these are installed."""

from functools import partial

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

# What they warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

RNG = np.random.default_rng(0)
# Of one sign and unequally wide, as features behind a ReLU are.
WIDTH = RNG.uniform(0.1, 2, 32)
REAL = np.maximum(RNG.standard_normal((400, 32)) * WIDTH, 0).astype("f4")
FAKE = np.maximum(RNG.standard_normal((300, 32)) * WIDTH[::-1] + 0.1, 0).astype("f4")

needed = partial(pytest.importorskip, reason="another library to compare with")


def test_torch_fidelity():
    torch = needed("torch")
    needed("torch_fidelity")
    from torch_fidelity import metric_fid, metric_isc, metric_kid, metric_prc

    real, fake = map(torch.from_numpy, (REAL, FAKE))
    theirs = [metric_fid.fid_features_to_statistics(x.double()) for x in (real, fake)]
    fid = metric_fid.fid_statistics_to_metric(*theirs, verbose=False)
    ours = frechet_distance(moments(REAL), moments(FAKE))
    assert ours == pytest.approx(fid["frechet_inception_distance"], rel=1e-9)
    kid = metric_kid.kid_features_to_metric(
        real[:300], fake, kid_subsets=1, kid_subset_size=300, verbose=False
    )
    ours = kernel_distance(REAL[:300], FAKE).value
    assert ours == pytest.approx(kid["kernel_inception_distance_mean"], rel=1e-5)
    prc = metric_prc.prc_features_to_metric(fake, real, verbose=False)
    ours = precision_recall(REAL, FAKE)
    assert ours == pytest.approx((prc["precision"], prc["recall"]), abs=1e-6)
    isc = metric_isc.isc_features_to_metric(fake, 10, shuffle=False)
    ours = inception_score_of_logits(FAKE)
    assert ours == pytest.approx(
        (isc["inception_score_mean"], isc["inception_score_std"]), rel=1e-6
    )


def test_torchmetrics():
    torch = needed("torch")
    needed("torchmetrics")
    from torchmetrics.image.fid import _compute_fid
    from torchmetrics.image.kid import poly_mmd

    statistics = [
        torch.from_numpy(f(x.astype("f8")))
        for x in (REAL, FAKE)
        for f in (lambda x: x.mean(0), partial(np.cov, rowvar=False))
    ]
    ours = frechet_distance(moments(REAL), moments(FAKE))
    assert ours == pytest.approx(float(_compute_fid(*statistics)), rel=1e-9)
    theirs = poly_mmd(*(torch.from_numpy(x.astype("f8")) for x in (REAL[:300], FAKE)))
    ours = kernel_distance(REAL[:300], FAKE).value
    assert ours == pytest.approx(float(theirs), rel=1e-9)


@pytest.mark.parametrize("k", [3, 5])
def test_prdc(k):
    theirs = needed("prdc").compute_prdc(REAL, FAKE, k)
    ours = precision_recall(REAL, FAKE, k)._asdict()
    ours |= density_coverage(REAL, FAKE, k)._asdict()
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_scikit_learn():
    neighbors = needed("sklearn.neighbors").NearestNeighbors(n_neighbors=6)
    distance, _ = neighbors.fit(REAL.astype("f8")).kneighbors(REAL.astype("f8"))
    ours = np.sqrt(squared_radii(REAL.astype("f8"), 5))
    np.testing.assert_allclose(ours, distance[:, 5], rtol=1e-9)
