"""Images of tensorflow-datasets, read with random access and without TensorFlow."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gan_jax.data.pixels import decode, fit, preprocessing
from gan_jax.data.source import Sample, checked

# Names and sizes in bytes from tensorflow-datasets' own checksums.tsv.
CELEB_A_FILES = {
    "img_align_celeba.zip": 1_443_490_838,
    "list_eval_partition.txt": 2_836_386,
    "list_attr_celeba.txt": 26_721_026,
    "list_landmarks_align_celeba.txt": 12_156_055,
    "identity_CelebA.txt": 3_424_458,
}


class TfdsImages:
    """One split of a prepared data set; build it with `tfds_images`."""

    def __init__(
        self,
        records: Sequence[Mapping[str, Any]],
        title: str,
        size: int,
        crop: int | None,
        channels: int,
        classes: tuple[str, ...] | None,
        attribute_names: tuple[str, ...] | None,
    ) -> None:
        self.classes, self.attribute_names = classes, attribute_names
        self._records, self._title = records, title
        self._size, self._crop, self._channels = size, crop, channels
        digest = hashlib.sha256(
            records[0]["image"] + records[len(records) - 1]["image"]
        )
        words = preprocessing(size, crop, channels)
        columns = f"attributes={len(attribute_names)} " if attribute_names else ""
        self.fingerprint = (
            f"{title} n={len(records)} ends={digest.hexdigest()[:16]} {columns}{words}"
        )

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Sample:
        record = self._records[checked(index, len(self))]
        name = f"{self._title} record {index}"
        image = decode(record["image"], name)
        sample: Sample = {
            "real": fit(image, self._size, self._crop, self._channels, name)
        }
        if self.classes is not None:
            sample["label"] = np.asarray(record["label"], np.int32)
        if self.attribute_names is not None:
            values = [record["attributes"][name] for name in self.attribute_names]
            sample["attributes"] = np.array(values, np.int32)
        return sample


def tfds_images(
    name: str = "celeb_a",
    split: str = "train",
    data_dir: str | os.PathLike[str] | None = None,
    size: int = 64,
    crop: int | None = 140,
    channels: int = 3,
    attributes: bool = False,
) -> TfdsImages:
    """Opens a split of a data set that tensorflow-datasets prepared as array_record.

    No network is used and no TensorFlow is needed. Only the image is decoded, by the
    same code as a folder's images, and with it the class label if there is one.

    Args:
      name: "celeb_a", "cifar10", …; a config or version may follow: "name/config",
        "name:2.0.1". Without a version the newest one on disk is opened.
      split: "train", "test", "train[:10%]", "train+test", ….
      data_dir: where data sets were prepared; by default $TFDS_DATA_DIR or
        ~/tensorflow_datasets. The version's own directory is accepted, too.
      size: side of the images, in pixels.
      crop: side of the centre square, in pixels of the original (CelebA: 140 or 108);
        None for the largest square.
      channels: 1 (grey) or 3 (RGB).
      attributes: whether to read the columns of 0/1 attributes as well.

    Returns:
      A source whose samples are in the order on disk.

    Raises:
      FileNotFoundError: if the data set is not there, saying three ways on.
      ValueError: for a directory in another format than array_record or of another data
        set, several configs of which none is named, a split that does not exist, or a
        data set without images (or attributes, where asked for).
      ModuleNotFoundError: if tensorflow-datasets is not installed.
    """
    preprocessing(size, crop, channels)
    directory = _version_directory(name, _data_dir(data_dir))
    _check_format(directory)
    try:
        import tensorflow_datasets as tfds
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "reading a tensorflow-datasets directory needs the package: "
            "pip install tensorflow-datasets (TensorFlow itself is not needed)."
        ) from error
    builder = tfds.builder_from_directory(directory)
    features = builder.info.features
    if "image" not in features or (attributes and "attributes" not in features):
        raise ValueError(
            f"{directory}: has the features {sorted(features)}; wanted 'image'"
            + (" and 'attributes'." if attributes else ".")
        )
    labelled = "label" in features and isinstance(
        features["label"], tfds.features.ClassLabel
    )
    records = builder.as_data_source(
        split=_known_split(split, builder.info.splits, directory),
        decoders={"image": tfds.decode.SkipDecoding()},  # the file's own bytes
    )
    if not len(records):
        raise ValueError(f"{directory}: split {split!r} is empty; give another one.")
    title = f"tfds {builder.info.full_name} {split}"
    classes = tuple(features["label"].names) if labelled else None
    names = tuple(features["attributes"]) if attributes else None
    return TfdsImages(records, title, size, crop, channels, classes, names)


def _data_dir(data_dir: str | os.PathLike[str] | None) -> Path:
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(chosen).expanduser()


def _version_directory(name: str, data_dir: Path) -> Path:
    """Finds the directory that holds dataset_info.json; the newest version wins."""
    path, _, version = name.partition(":")
    if (own := data_dir / "dataset_info.json").exists():
        info = json.loads(own.read_text())
        there = info["name"], info.get("configName", ""), info.get("version", "")
        wanted, _, config = path.partition("/")
        asked = wanted, config or there[1], version or there[2]
        if asked != there:
            title = "/".join(filter(None, there[:2]))
            raise ValueError(
                f"{data_dir} holds {title}:{there[2]}, not {name}. Give its own name, "
                "or the folder in which data sets were prepared."
            )
        return data_dir
    if not re.fullmatch(r"\w+(/[\w.-]+)?", path) or ".." in path:
        raise ValueError(
            f"name is {name!r}; give 'name', 'name/config' or 'name:version'."
        )
    found = [
        (tuple(map(int, info.parent.name.split("."))), info.parent)
        for info in data_dir.glob(f"{path}/**/dataset_info.json")
        if re.fullmatch(r"\d+\.\d+\.\d+", info.parent.name)
        and version in ("", info.parent.name)
    ]
    if not found:
        raise FileNotFoundError(_ways_on(name, path, data_dir))
    newest = max(number for number, _ in found)
    best = sorted(place for number, place in found if number == newest)
    if len(best) > 1:
        raise ValueError(
            f"{name} is prepared in several ways; give one of "
            f"{', '.join(f'{path}/{place.parent.name}' for place in best)}."
        )
    return best[0]


def _ways_on(name: str, path: str, data_dir: Path) -> str:
    prepare = (
        f"   pip install tensorflow-cpu importlib_resources\n"
        f"   tfds build {path} --file_format=array_record --data_dir={data_dir}"
    )
    if path == "celeb_a":
        files = "\n".join(f"     {f}  {n:,} bytes" for f, n in CELEB_A_FILES.items())
        manual = data_dir / "downloads" / "manual"
        prepare += (
            f" --manual_dir={manual}\n"
            "   If the download is refused (its quota is often used up), first put\n"
            f"   these five files, unchanged, into {manual}/ :\n{files}"
        )
    return (
        f"{name} is not prepared in {data_dir}. Three ways on:\n"
        f"1. Prepare it once (only this step needs TensorFlow):\n{prepare}\n"
        "2. Train on any folder or zip of images, such as img_align_celeba.zip: "
        "--data PATH\n"
        "3. Train on the drawn faces that need no file: --preset demo"
    )


def _check_format(directory: Path) -> None:
    """Refuses all but array_record: parquet, for one, ignores sub-splits silently."""
    info = json.loads((directory / "dataset_info.json").read_text())
    found = info.get("fileFormat") or "tfrecord"  # the field's default
    if found != "array_record":
        raise ValueError(
            f"{directory} is in the format {found}; random access without TensorFlow "
            "needs array_record. Convert it once (tfrecord: with TensorFlow installed):"
            f"\n   tfds convert_format --dataset_version_dir={directory} "
            f"--out_file_format=array_record --out_dir=NEW/{directory.parent.name}/"
            f"{directory.name}\nand give data_dir=NEW."
        )


def _known_split(split: str, known: Mapping[str, Any], directory: Path) -> str:
    for part in split.split("+"):
        if part.partition("[")[0].strip() not in known:
            raise ValueError(
                f"{directory}: there is no split {part!r}; there are {sorted(known)}. "
                "Slices such as 'train[:10%]' are possible."
            )
    return split
