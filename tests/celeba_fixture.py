"""A tiny celeb_a directory in the real format, written without TensorFlow."""

import contextlib
import io
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np

SHARES = (0.75, 0.125, 0.125)  # train, validation, test


def write_celeba(directory: Path, count: int = 64) -> Path:
    """Writes `directory`/celeb_a/2.1.0 in array_record format; returns that path.

    The registered builder does the writing; only its `_split_generators`, which opens
    the zip with TensorFlow, is replaced. Images are 178x218 like the originals.
    """
    import tensorflow_datasets as tfds

    directory = Path(directory)
    files = draw_celeba(directory / "downloads" / "manual", count)
    builder = tfds.builder("celeb_a", data_dir=directory, file_format="array_record")

    def split_generators(dl_manager: object) -> list[object]:
        del dl_manager
        with zipfile.ZipFile(files["img_align_celeba"]) as archive:
            images = {
                Path(name).name: io.BytesIO(archive.read(name))
                for name in archive.namelist()
            }
        return [
            tfds.core.SplitGenerator(
                name=name,
                gen_kwargs={
                    "file_id": number,
                    "downloaded_dirs": files,
                    "downloaded_images": images,
                },
            )
            for number, name in enumerate(("train", "validation", "test"))
        ]

    with (
        mock.patch.object(builder, "_split_generators", split_generators),
        contextlib.redirect_stdout(io.StringIO()),  # its announcements
    ):
        builder.download_and_prepare(
            download_dir=directory / "downloads",
            download_config=tfds.download.DownloadConfig(try_download_gcs=False),
        )
    return Path(builder.data_dir)


def draw_celeba(folder: Path, count: int) -> dict[str, Path]:
    """Writes the five source files of celeb_a for `count` drawn images."""
    from tensorflow_datasets.datasets.celeb_a import celeb_a_dataset_builder as names

    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "img_align_celeba": folder / "img_align_celeba.zip",
        "list_eval_partition": folder / "list_eval_partition.txt",
        "list_attr_celeba": folder / "list_attr_celeba.txt",
        "landmarks_celeba": folder / "list_landmarks_align_celeba.txt",
        "identity_celeba": folder / "identity_CelebA.txt",
    }
    rows = [f"{i + 1:06d}.jpg" for i in range(count)]
    splits = np.searchsorted(np.cumsum(SHARES) * count, np.arange(count), side="right")
    random = np.random.default_rng(0)
    with zipfile.ZipFile(files["img_align_celeba"], "w") as archive:
        for i, row in enumerate(rows):
            archive.writestr(f"img_align_celeba/{row}", _portrait(i))
    _table(files["list_eval_partition"], rows, splits[:, None], None)
    signs = random.integers(0, 2, (count, 40)) * 2 - 1
    _table(files["list_attr_celeba"], rows, signs, names.ATTR_HEADINGS)
    marks = random.integers(60, 120, (count, 10))
    _table(files["landmarks_celeba"], rows, marks, names.LANDMARK_HEADINGS)
    people = random.integers(1, 10, (count, 1))
    _table(files["identity_celeba"], rows, people, None)
    return files


def _table(
    path: Path, rows: list[str], values: np.ndarray, headings: list[str] | None
) -> None:
    lines = [f"{r} {' '.join(map(str, v))}" for r, v in zip(rows, values, strict=True)]
    head = [] if headings is None else [str(len(rows)), " ".join(headings)]
    path.write_text("\n".join([*head, *lines]) + "\n")


def _portrait(index: int) -> bytes:
    """A JPEG of 178x218: an ellipse whose colour tells the index."""
    from PIL import Image, ImageDraw

    hue = (40 + index * 37 % 200, 40 + index * 91 % 200, 40 + index * 53 % 200)
    image = Image.new("RGB", (178, 218), tuple(255 - value for value in hue))
    ImageDraw.Draw(image).ellipse((39, 49, 139, 179), fill=hue)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()
