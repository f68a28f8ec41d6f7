"""What may stand on either side of a score: a run, files of images, a data set.

runs/digits                     a run's directory: its samples
pictures/   pictures.zip        JPEG, PNG and WebP files
images.npz  images.npy          uint8 images; floats (n, d) are features already
fashion-mnist/   a-idx3-ubyte   IDX files; of a folder with several, those to train
tfds:cifar10:test               a split that tensorflow-datasets prepared
faces:2000:32:7                 2,000 drawn faces of 32 pixels, of seed 7
digits                          scikit-learn's
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np

from experiments import image, sample, toy
from gan_jax import data
from gan_jax.data.cache import read
from gan_jax.data.folder import ImageFiles, image_folder, image_zip
from gan_jax.data.source import Sample
from gan_jax.digest import digest
from gan_jax.gan import latents
from gan_jax.images import to_uint8
from gan_jax.latents import normal

Weights = Literal["ema", "raw", "none"]
AT_ONCE = 100  # samples of a generator in one call


class Side(NamedTuple):
    """One side of a score.

    Attributes:
      name: for people.
      fingerprint: of its content.
      total: how many samples there are; None for as many as are asked for.
      take: (n, seed) -> arrays of n samples in random order: "real" holds uint8 images
        (n, h, w, c) or features (n, d); "label", if there are labels.
      resize: how its images were resized.
      weights: the generator's, if it is one.
      labels: how many labels it draws for, each as often as the others.
    """

    name: str
    fingerprint: str
    total: int | None
    take: Callable[[int, int], dict[str, np.ndarray]]
    resize: str = "none"
    weights: Weights = "none"
    labels: int = 0


def side(
    word: str, size: int | None = None, weights: Literal["ema", "raw"] = "ema"
) -> Side:
    """What ``word`` on the command line means.

    Args:
      word: as above.
      size: side of the images in pixels; None leaves them as they are.
      weights: which of a run's weights draw its samples.

    Raises:
      FileNotFoundError: if there is nothing of that name.
      ValueError: for something that holds no images or features.
    """
    if word == "digits":
        return of_source(word, data.digits(), size)
    if word.startswith("faces:"):
        return of_source(word, drawn_faces(word), size)
    if word.startswith("tfds:"):
        return prepared(word, size)
    path = Path(word)
    if not path.exists():
        raise FileNotFoundError(
            f"{word}: nothing is there. Give a run's directory, a folder or .zip of "
            "images, a .npz or .npy, an IDX file or the folder of one, tfds:NAME:SPLIT,"
            " faces:N:SIZE:SEED, or digits."
        )
    if (path / "config.json").exists():
        return generator(path, size, weights)
    if path.is_dir() and (found := sorted(path.glob("*images[-.]idx3-ubyte*"))):
        train = [file for file in found if file.name.startswith("train")]
        path = (train or found)[0]
    if path.is_dir() or path.suffix.lower() == ".zip":
        return files(path, size)
    if path.suffix.lower() in (".npz", ".npy"):
        return of_source(path.name, data.numpy_arrays(path), size)
    return of_source(path.name, data.idx_images(path), size)


def of_source(name: str, source: data.Source, size: int | None = None) -> Side:
    """The samples of a data set, its images brought to ``size``."""
    shape, resize = source[0]["real"].shape, "none"
    if size is not None and len(shape) == 3 and shape[:2] != (size, size):
        source = data.Resized(source, size, None, 3 if shape[2] > 2 else 1)
        resize = f"lanczos to {size}"

    def take(n: int, seed: int) -> dict[str, np.ndarray]:
        rows = np.random.default_rng(seed).permutation(len(source))[:n]
        return dict(read(source, rows, source[0]))

    return Side(name, source.fingerprint, len(source), take, resize)


def drawn_faces(word: str) -> data.Source:
    """Faces for ``faces:N:SIZE:SEED``, of which SIZE and SEED may be left out."""
    try:
        given = [int(number) for number in word.split(":")[1:]]
        n, size, seed = given + [32, 0][len(given) - 1 :]
    except ValueError as error:
        raise ValueError(
            f"{word}: drawn faces are written faces:N:SIZE:SEED, as faces:2000:32:0."
        ) from error
    return data.faces(n, size, seed)


def prepared(word: str, size: int | None) -> Side:
    """``tfds:NAME:SPLIT``, whose images are brought to ``size`` as they are decoded."""
    name, _, split = word.removeprefix("tfds:").partition(":")
    if size is None:
        raise ValueError(
            f"{word}: images of tensorflow-datasets are decoded to one size; give it "
            "as --size."
        )
    source = data.tfds_images(
        name,
        split or "train",
        size=size,
        # As experiments.celeba trains on them.
        crop=140 if name == "celeb_a" else None,
        channels=3,
    )
    return of_source(word, source)._replace(resize=f"lanczos to {size}")


class AsTheyAre:
    """Square image files of one size, none of them resized.

    Args:
      files: fitted to their size.
      size: width and height of the first one.
    """

    def __init__(self, files: ImageFiles, size: tuple[int, int]) -> None:
        self._files, self._size = files, size
        self.fingerprint = files.fingerprint

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        image = self._files.image(index)
        if image.size != self._size or image.width != image.height:
            names = self._files.names
            raise ValueError(
                f"{names[index]} is {image.width}x{image.height} and {names[0]} "
                f"{self._size[0]}x{self._size[1]}: as they are, only squares of one "
                "size are compared. Give --size, to which the largest square in the "
                f"centre of each is brought, as --size {min(image.size + self._size)}."
            )
        return self._files.fitted(index, image)


def files(path: Path, size: int | None) -> Side:
    """Image files: grey if all are, and of one size unless ``size`` is given."""
    opened = image_folder if path.is_dir() else image_zip
    try:
        found = opened(path, 1)
    except ValueError as error:
        raise ValueError(
            f"{error} It is no run's directory either, for it has no config.json."
        ) from error
    first = found.image(0)
    grey, alike = True, size is not None
    for one in map(found.image, range(len(found))):
        grey, alike = grey and one.mode == "L", alike and one.size == (size, size)
        if not grey and not alike:
            break
    side = min(first.size) if size is None else size
    fitted = opened(path, side, channels=1 if grey else 3)
    if size is None:
        return of_source(path.name, AsTheyAre(fitted, first.size))
    resize = "none" if alike else f"lanczos to {size}"
    return of_source(path.name, fitted)._replace(resize=resize)


def generator(run: Path, size: int | None, weights: Literal["ema", "raw"]) -> Side:
    """The samples of a run, as the PNG files would hold them."""
    trained = sample.opened(run)
    cfg, state = trained.cfg, trained.state
    if weights == "raw":
        state = state._replace(ema=state.ema | {"gen": state.params["gen"]})
    points = isinstance(cfg, toy.Config)
    labels = 0 if points else cfg.classes
    if not points:
        state = image.settled(cfg, trained.model, state)
    draw = jax.jit(trained.model.sample)

    def take(n: int, seed: int) -> dict[str, np.ndarray]:
        z_key, label_key = jax.random.split(jax.random.key(seed))
        z = latents(normal(cfg.latent), z_key, n)
        label = jax.random.randint(label_key, (n,), 0, max(labels, 1))
        parts = []
        for i in range(0, n, AT_ONCE):
            # The last call as large as the others: one program serves all.
            rows = np.minimum(np.arange(i, i + AT_ONCE), n - 1)
            given = (label[rows],) if labels else ()
            drawn = np.asarray(draw(state, z[rows], *given), np.float32)
            parts.append(drawn if points else to_uint8(drawn))
        found = {"real": np.concatenate(parts)[:n]}
        if not points and size is not None and size != cfg.size:
            own = of_source(run.name, data.Arrays(found), size)
            found = own.take(n, seed)
        return found

    resized = not points and size not in (None, cfg.size)
    return Side(
        f"{run.name} step {trained.step}",
        f"run {digest(state)}",
        None,
        take,
        f"lanczos to {size}" if resized else "none",
        weights,
        labels,
    )
