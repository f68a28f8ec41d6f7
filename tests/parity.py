"""Other libraries' measures of the same features, their numbers, and how to renew them.

    pip install -e ".[test,parity]"
    python -m tests.parity

writes tests/parity.json anew, with the versions that said so. Do so to hear newer
releases of theirs; the features never change.
"""

import importlib.metadata
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from scipy.ndimage import gaussian_filter

FILE = Path(__file__).with_name("parity.json")

RNG = np.random.default_rng(0)
# Of one sign and unequally wide, as features behind a ReLU are.
WIDTH = RNG.uniform(0.1, 2, 32)
REAL = np.maximum(RNG.standard_normal((400, 32)) * WIDTH, 0).astype("f4")
FAKE = np.maximum(RNG.standard_normal((300, 32)) * WIDTH[::-1] + 0.1, 0).astype("f4")
NEIGHBOURS = (3, 5)

KEY, DIRECTIONS = jax.random.key(0), 64  # of sliced Wasserstein

# Smooth pictures, and the same with noise of their own.
SMOOTH = gaussian_filter(RNG.standard_normal((3, 176, 176, 2)), (0, 3, 3, 0))
IMAGES = np.clip(128 + 400 * SMOOTH, 0, 255).astype("u1")
NOISY = np.clip(IMAGES + RNG.normal(0, 25, IMAGES.shape), 0, 255).astype("u1")

Figures = dict[str, float]


def tensors(*arrays: np.ndarray, dtype: str = "f4") -> Iterator:
    """As PyTorch's, with the channels of images first."""
    import torch

    for array in arrays:
        moved = np.moveaxis(array, -1, 1) if array.ndim == 4 else array
        yield torch.from_numpy(moved.astype(dtype))


def torch_fidelity() -> Figures:
    """Of the features; for IS these are taken for a classifier's logits."""
    from torch_fidelity import metric_fid, metric_isc, metric_kid, metric_prc

    real, fake = tensors(REAL, FAKE)
    pair = tensors(REAL, FAKE, dtype="f8")
    statistics = map(metric_fid.fid_features_to_statistics, pair)
    fid = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
    kid = metric_kid.kid_features_to_metric(
        real[:300], fake, kid_subsets=1, kid_subset_size=300, verbose=False
    )
    prc = metric_prc.prc_features_to_metric(fake, real, verbose=False)
    isc = metric_isc.isc_features_to_metric(fake, 10, shuffle=False)
    return {
        "FD": fid["frechet_inception_distance"],
        "KD": kid["kernel_inception_distance_mean"],
        "precision 3": prc["precision"],
        "recall 3": prc["recall"],
        "CS": isc["inception_score_mean"],
        "CS deviation": isc["inception_score_std"],
    }


def torchmetrics() -> Figures:
    """Of the features, in float64; and SSIM where no window leaves the image."""
    from torchmetrics.functional.image import structural_similarity_index_measure
    from torchmetrics.image.fid import _compute_fid
    from torchmetrics.image.kid import poly_mmd

    statistics = [
        part
        for x in (REAL, FAKE)
        for part in tensors(x.mean(0, "f8"), np.cov(x, rowvar=False), dtype="f8")
    ]
    _, whole = structural_similarity_index_measure(
        *tensors(IMAGES, NOISY, dtype="f8"), data_range=255.0, return_full_image=True
    )
    return {
        "FD": float(_compute_fid(*statistics)),
        "KD": float(poly_mmd(*tensors(REAL[:300], FAKE, dtype="f8"))),
        "SSIM": float(whole[:, :, 5:-5, 5:-5].mean()),
    }


def pytorch_msssim() -> Figures:
    """Of the images."""
    from pytorch_msssim import ms_ssim, ssim

    pair = tuple(tensors(IMAGES, NOISY, dtype="f8"))
    return {
        "SSIM": float(ssim(*pair)),
        "MS-SSIM": float(ms_ssim(*pair)),
    }


def prdc() -> Figures:
    """Of the features."""
    from prdc import compute_prdc

    return {
        f"{name} {k}": float(value)
        for k in NEIGHBOURS
        for name, value in compute_prdc(REAL, FAKE, k).items()
    }


def pot() -> Figures:
    """Of as many features of each, along the directions that ours draws."""
    from ot.sliced import sliced_wasserstein_distance

    u = np.asarray(jax.random.normal(KEY, (REAL.shape[1], DIRECTIONS)), "f8")
    u /= np.linalg.norm(u, axis=0)
    return {
        f"SW{p}": float(
            sliced_wasserstein_distance(
                REAL[:300].astype("f8"), FAKE.astype("f8"), projections=u, p=p
            )
        )
        for p in (1, 2)
    }


LIBRARIES: dict[str, Callable[[], Figures]] = {
    "torch-fidelity": torch_fidelity,
    "torchmetrics": torchmetrics,
    "pytorch-msssim": pytorch_msssim,
    "prdc": prdc,
    "POT": pot,
}


if __name__ == "__main__":
    said = {
        name: {"version": importlib.metadata.version(name), "figures": figures()}
        for name, figures in LIBRARIES.items()
    }
    FILE.write_text(json.dumps(said, indent=1) + "\n")
    print(f"wrote {FILE.name} after {', '.join(LIBRARIES)}")
