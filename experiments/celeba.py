"""Faces: CelebA on a TPU VM, any folder of pictures, or drawn faces on a laptop.

    python -m experiments.celeba                      CelebA at 64x64, from TFDS
    python -m experiments.celeba --preset celeba128   at 128x128, a residual network
    python -m experiments.celeba --preset r3          R3GAN's network and recipe, 64x64
    python -m experiments.celeba --preset demo        drawn faces, 5 minutes on 2 cores
    python -m experiments.celeba --data pictures/     one's own: a folder, zip or npz

Started again with the same options, a run goes on where it was stopped.
"""

import dataclasses
from pathlib import Path

from experiments import image
from experiments.run import command, main
from gan_jax import data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(image.Images):
    """Options of the face runs."""

    data: str = "celeb_a"
    """A TFDS data set, "faces" for drawn ones, or a path: folder, zip, npz."""
    data_dir: Path | None = None
    """Where TFDS keeps its data sets; by default its own place."""
    crop: int | None = None
    """Side of the square cut from the middle; by default 140 of CelebA's 178x218
    pixels, and of other pictures the largest."""
    faces: int = 20_000
    """How many faces are drawn."""
    batch_size: int = 256
    steps: int = 100_000
    log_every: int = 100
    sample_every: int = 2_000
    checkpoint_every: int = 2_000
    evaluate_every: int | None = 10_000
    bfloat16: bool = True


PRESETS = {
    "celeba64": Config(),
    "celeba128": Config(size=128, network="resnet", batch_size=128),
    "r3": Config(
        network="r3",
        width=256,
        latent=64,
        loss="relativistic",
        penalise_fakes=True,
    ),
    "demo": Config(
        data="faces",
        size=32,
        width=32,
        latent=64,
        bfloat16=False,
        batch_size=64,
        steps=3_500,
        gamma=(4.0, 2.0),
        rate_gen=(1e-3, 1e-4),
        rate_disc=(1e-3, 1e-4),
        ema=0.998,
        log_every=100,
        sample_every=500,
        checkpoint_every=500,
        evaluate_every=500,
    ),
}


def source(cfg: Config) -> data.Source:
    """The faces."""
    if cfg.data == "faces":
        faces = data.faces(cfg.faces, cfg.size, seed=0)
        if cfg.crop is None and cfg.channels == 3:
            return faces
        return data.Resized(faces, cfg.size, cfg.crop, cfg.channels)
    if Path(cfg.data).exists():
        return data.open_images(cfg.data, cfg.size, cfg.crop, cfg.channels)
    if "/" in cfg.data or Path(cfg.data).suffix:
        raise FileNotFoundError(
            f"--data {cfg.data}: there is no such folder or file. Give a path to a "
            "folder, zip, npz or npy of images, the name of a TFDS data set, or faces."
        )
    return data.tfds_images(
        cfg.data,
        data_dir=cfg.data_dir,
        size=cfg.size,
        crop=140 if cfg.crop is None and cfg.data == "celeb_a" else cfg.crop,
        channels=cfg.channels,
    )


def run(cfg: Config) -> None:
    """Train as ``cfg`` says."""
    image.run("celeba", cfg, lambda: source(cfg))


if __name__ == "__main__":
    main(run, command("celeba", Config, PRESETS, __doc__))
