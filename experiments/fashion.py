"""Fashion-MNIST, or any other images in IDX files, at 32x32.

    python -m experiments.fashion --data path/to/fashion-mnist
    python -m experiments.fashion --data path/to/images-idx3-ubyte.gz

The path is a folder that holds train-images-idx3-ubyte[.gz] (and labels), or one file
of images. Images of 28x28 are enlarged to 32x32.
"""

import dataclasses
from pathlib import Path

from experiments import image
from experiments.run import command, main
from gan_jax import data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(image.Images):
    """Options of the Fashion-MNIST runs."""

    data: Path = Path("fashion-mnist")
    """A folder with the official files, or one file of images."""
    size: int = 32
    channels: int = 1
    width: int = 32
    latent: int = 64
    batch_size: int = 64
    steps: int = 10_000
    gamma: tuple[float, float] = (4.0, 1.0)
    rate_gen: tuple[float, float] = (1e-3, 1e-4)
    rate_disc: tuple[float, float] = (1e-3, 1e-4)
    flip: bool = False
    """Not by default: all shoes of the data point to the left."""
    log_every: int = 200
    sample_every: int = 2_000
    checkpoint_every: int = 1_000
    evaluate_every: int | None = 2_000


PRESETS = {
    "plain": Config(),
    "classes": Config(classes=10),
}


def source(cfg: Config) -> data.Source:
    """The images, and their labels if there are any."""
    path = cfg.data
    if path.is_dir():
        found = sorted(path.glob("train-images[-.]idx3-ubyte*"))
        if not found:
            raise FileNotFoundError(
                f"--data {path}: the folder holds no train-images-idx3-ubyte[.gz]. "
                "Give a folder with the official files, or one file of images."
            )
        path = found[0]
    return data.Resized(data.idx_images(path), cfg.size, channels=cfg.channels)


def run(cfg: Config) -> None:
    """Train as ``cfg`` says."""
    image.run("fashion", cfg, lambda: source(cfg))


if __name__ == "__main__":
    main(run, command("fashion", Config, PRESETS, __doc__))
