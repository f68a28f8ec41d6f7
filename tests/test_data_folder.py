"""Image folders and zips: every mode comes out right, and nothing hostile gets in."""

import contextlib
import io
import os
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_jax.data.folder import classes_of, image_folder, image_zip
from gan_jax.data.paths import open_images
from gan_jax.data.pixels import decode

EMOJI = Path(__file__).parents[2] / "shared/data/noto-emoji-72/images.zip"


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def flat(colour: object, mode: str = "RGB", size: tuple[int, int] = (8, 8)) -> bytes:
    return encoded(Image.new(mode, size, colour))


def png(width: int, height: int) -> bytes:
    """A valid PNG header of any size with hardly any data behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return root


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, data in files.items():
            target.writestr(name, data)
    return path


@pytest.fixture(params=["folder", "zip"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable:
    """Opens the same files as a folder or as a zip."""

    def opener(files: dict[str, bytes], *arguments: object) -> object:
        if request.param == "zip":
            path = archive(tmp_path / "images.zip", files)
            return image_zip(path, *arguments)
        return image_folder(folder(tmp_path / "images", files), *arguments)

    return opener


def test_names_are_sorted_and_other_files_left_out(opened: Callable) -> None:
    files = {"b.PNG": flat("red"), "a.png": flat("blue"), "c.txt": b"no image"}
    files |= {".hidden/d.png": flat("red"), "__MACOSX/._b.png": b"junk"}
    source = opened(files, 8)
    assert source.names == ("a.png", "b.PNG")
    assert source.classes is None
    assert source[0]["real"][0, 0].tolist() == [0, 0, 255]
    assert "label" not in source[0]


def test_sub_folders_are_classes(opened: Callable) -> None:
    files = {"top/dog/1.png": flat("red"), "top/cat/sub/2.png": flat("blue")}
    files["top/ant/3.png"] = flat("green")
    source = opened(files, 8)
    assert source.classes == ("ant", "cat", "dog")
    assert [int(source[i]["label"]) for i in range(3)] == [0, 1, 2]
    assert source[0]["label"].dtype == np.int32


def test_one_folder_or_a_stray_image_is_no_class() -> None:
    assert classes_of(["x/1.png", "x/2.png"]) is None
    assert classes_of(["x/1.png", "y/2.png", "3.png"]) is None
    assert classes_of(["x/1.png", "y/2.png"]) == ("x", "y")
    assert classes_of(["one.png"]) is None


@pytest.mark.parametrize(
    ("data", "pixel"),
    [
        (flat((255, 0, 0, 0), "RGBA"), (255, 255, 255)),
        (flat((255, 0, 0, 128), "RGBA"), (255, 127, 127)),
        (flat(77, "L"), (77, 77, 77)),
        (flat((0, 0), "LA"), (255, 255, 255)),
        (flat(1, "1"), (255, 255, 255)),
        (encoded(Image.new("RGB", (8, 8), "#102030").quantize(4)), (16, 32, 48)),
        (encoded(Image.new("P", (8, 8), 0), transparency=0), (255, 255, 255)),
        (
            encoded(Image.new("RGB", (8, 8), "red"), transparency=(255, 0, 0)),
            (255,) * 3,
        ),
        (encoded(Image.fromarray(np.full((8, 8), 65535 // 2, np.uint16))), (127,) * 3),
        (encoded(Image.new("RGB", (8, 8), "blue"), "WEBP", lossless=True), (0, 0, 255)),
        (encoded(Image.new("RGB", (8, 8), "white"), "JPEG"), (255, 255, 255)),
        (encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG"), (0, 0, 0)),
    ],
    ids=[
        *("clear", "half", "grey", "LA", "bit", "palette"),
        *("palette-clear", "key", "deep", "webp", "jpeg", "cmyk"),
    ],
)
def test_every_mode_becomes_rgb_on_white(
    tmp_path: Path, data: bytes, pixel: tuple[int, ...]
) -> None:
    source = image_folder(folder(tmp_path, {"x.png": data}), 8)
    assert source[0]["real"].shape == (8, 8, 3)
    assert np.abs(source[0]["real"].astype(int) - pixel).max() <= 1


def test_grey_output(tmp_path: Path) -> None:
    files = {"a.png": flat((255, 0, 0)), "b.png": flat(77, "L")}
    source = image_folder(folder(tmp_path, files), 8, None, 1)
    assert source[0]["real"].shape == (8, 8, 1)
    assert source[0]["real"][0, 0, 0] == 76  # 0.299 · 255
    assert source[1]["real"][0, 0, 0] == 77


def test_the_centre_square_is_cut_and_resized_with_antialiasing(tmp_path: Path) -> None:
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, 16:80] = (np.indices((64, 64)).sum(0) % 2 * 255)[..., None]
    pixels[:, :16] = [255, 0, 0]
    data = encoded(Image.fromarray(pixels))
    path = folder(tmp_path, {"x.png": data})
    small = image_folder(path, 16)[0]["real"]
    assert np.abs(small.astype(int) - 127).max() < 12  # checks average to grey, no red
    cut = image_folder(path, 32, 32)[0]["real"]
    assert np.array_equal(cut, pixels[16:48, 32:64])
    with pytest.raises(ValueError, match=r"x\.png.*96x64.*smaller than the crop of 65"):
        image_folder(path, 16, 65)[0]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255  # white on top; orientation 3 turns it by 180 degrees
    exif = Image.Exif()
    exif[274] = 3
    data = encoded(Image.fromarray(pixels), "JPEG", exif=exif)
    real = image_folder(folder(tmp_path, {"x.jpg": data}), 16)[0]["real"]
    assert real[2, 8, 0] < 30
    assert real[13, 8, 0] > 225


@pytest.mark.parametrize(
    "data",
    [b"", b"no image at all", flat("red")[:40], b"RIFF\0\0\0\0WEBPVP8X"],
    ids=["empty", "text", "half", "webp"],
)
def test_unreadable_images_are_named(opened: Callable, data: bytes) -> None:
    source = opened({"good.png": flat("red"), "bad.png": data}, 8)
    with pytest.raises(ValueError, match=r"bad\.png.*not a readable"):
        source[0]
    assert source[1]["real"].shape == (8, 8, 3)


def test_truncated_jpegs_are_named_not_greyed(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    data = encoded(Image.fromarray(noise), "JPEG")
    source = image_folder(folder(tmp_path, {"x.jpg": data[: len(data) // 2]}), 64)
    with pytest.raises(ValueError, match=r"x\.jpg"):
        source[0]


def test_mutated_images_never_do_worse_than_a_value_error() -> None:
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (24, 24, 3)).astype(np.uint8))
    for kind in ("PNG", "JPEG", "WEBP"):
        good = np.frombuffer(encoded(noise, kind), np.uint8)
        for _ in range(300):
            bad = good.copy()
            bad[random.integers(len(bad), size=3)] = random.integers(256, size=3)
            with contextlib.suppress(ValueError):  # any other error fails the test
                assert decode(bad.tobytes(), "mutant").mode in ("L", "RGB")


@pytest.mark.parametrize(
    "side", [(9000, 9000), (12_000, 12_000), (2**31 - 1, 2**31 - 1)]
)
def test_bombs_are_refused_by_their_header(
    opened: Callable, side: tuple[int, int]
) -> None:
    source = opened({"bomb.png": png(*side)}, 8)
    decode(flat("red"), "warm up")
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"bomb\.png"):
        source[0]
    assert time.perf_counter() - start < 0.5
    assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    tracemalloc.stop()


def test_webp_bombs_are_refused_before_their_reader_opens() -> None:
    canvas = struct.pack("<HBHB", 16_382, 0, 16_382, 0)
    data = b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + canvas
    with pytest.raises(ValueError, match="16383x16383 is more"):
        decode(data, "bomb.webp")


def test_a_file_of_another_format_is_not_tried() -> None:
    with pytest.raises(ValueError, match="no known format"):
        decode(encoded(Image.new("RGB", (8, 8)), "BMP"), "x.png")


@pytest.mark.parametrize(
    "name",
    ["../x.png", "/x.png", "a/../../x.png", "C:/x.png", "a\\..\\x.png", "../.x.png"],
)
def test_zip_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr(zipfile.ZipInfo("ok.png"), flat("red"))
        info = zipfile.ZipInfo("placeholder.png")
        info.filename = name
        target.writestr(info, flat("red"))
    if name == "../.x.png":  # hidden files are left out whatever their folder
        assert len(image_zip(path, 8)) == 1
        return
    with pytest.raises(ValueError, match="leads out of the archive"):
        image_zip(path, 8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.zip"]


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as target:
        target.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match="a link"):
        image_zip(tmp_path / "x.zip", 8)


def test_links_out_of_a_folder_are_refused(tmp_path: Path) -> None:
    outside = folder(tmp_path / "outside", {"secret.png": flat("red")})
    root = folder(tmp_path / "root", {"a.png": flat("red")})
    (root / "b.png").symlink_to("a.png")
    assert len(image_folder(root, 8)) == 2  # a link that stays inside is a file
    (root / "c.png").symlink_to(outside / "secret.png")
    with pytest.raises(ValueError, match=r"c\.png.*leads out"):
        image_folder(root, 8)
    (root / "c.png").unlink()
    (root / "d").symlink_to(outside)
    with pytest.raises(ValueError, match="link to a folder"):
        image_folder(root, 8)


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ValueError, match="not a regular file"):
        image_folder(tmp_path, 8)


def test_damaged_zips_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(ValueError, match="not a zip file"):
        image_zip(tmp_path / "x.zip", 8)
    path = archive(tmp_path / "y.zip", {"a.png": flat("red")})
    data = bytearray(path.read_bytes())
    data[60] ^= 255  # inside the stored PNG: the checksum no longer fits
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.png.*damaged"):
        image_zip(path, 8)[0]


def test_a_damaged_member_that_was_compressed_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 4, (64, 64, 3), np.uint8) * 80
    path, pixels = tmp_path / "x.zip", encoded(Image.fromarray(noise), compress_level=0)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("a.png", pixels)
    data = bytearray(path.read_bytes())
    data[40:60] = b"\xff" * 20  # no code of deflate
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.png.*damaged"):
        image_zip(path, 8)[0]


def test_a_folder_that_may_not_be_read_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{name}/0.png": flat("red") for name in ("ant", "cat", "dog")}
    root, listed = folder(tmp_path / "images", files), os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "ant":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError, match="ant"):
        image_folder(root, 8)


def test_a_zip_is_read_from_many_threads(tmp_path: Path) -> None:
    files = {f"{i:03d}.png": flat((i, 255 - i, 0)) for i in range(200)}
    source = image_zip(archive(tmp_path / "x.zip", files), 8)
    with ThreadPoolExecutor(8) as pool:
        reals = list(pool.map(lambda i: source[i]["real"], list(range(200)) * 3))
    assert all(real[0, 0, 0] == i % 200 for i, real in enumerate(reals))


def test_fingerprints_follow_content_and_preprocessing(opened: Callable) -> None:
    files = {"a.png": flat("red"), "b.png": flat("blue")}
    one = opened(files, 8).fingerprint
    assert one != opened(files, 16).fingerprint
    assert one != opened(files, 8, 4).fingerprint
    assert one != opened(files, 8, None, 1).fingerprint
    larger = {"a.png": flat("red", size=(80, 80)), "b.png": flat("blue")}
    assert one != opened(larger, 8).fingerprint
    assert one != opened(files | {"c.png": flat("red")}, 8).fingerprint


@pytest.mark.parametrize("arguments", [(0,), (8, 0), (8, None, 2)])
def test_bad_sizes_are_refused(opened: Callable, arguments: tuple) -> None:
    with pytest.raises(ValueError, match="give"):
        opened({"a.png": flat("red")}, *arguments)


def test_open_images_says_what_it_accepts(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a folder or \.zip"):
        open_images(tmp_path / "nowhere", 8)
    with pytest.raises(ValueError, match="no image found"):
        open_images(tmp_path, 8)
    (tmp_path / "x.bin").write_bytes(b"1234")
    with pytest.raises(ValueError, match=r"not a kind of data.*idx3-ubyte"):
        open_images(tmp_path / "x.bin", 8)
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(ValueError, match="tfds_images"):
        open_images(tmp_path, 8)


def test_open_images_chooses_by_what_is_there(tmp_path: Path) -> None:
    files = {"a.png": flat("red"), "b.png": flat("blue")}
    at = folder(tmp_path / "f", files)
    from_folder = open_images(at, 4)
    from_zip = open_images(archive(tmp_path / "f.zip", files), 4)
    for i in range(2):
        assert np.array_equal(from_folder[i]["real"], from_zip[i]["real"])
    with pytest.raises(IndexError):
        from_folder[2]


@pytest.mark.skipif(not EMOJI.exists(), reason=f"{EMOJI} is not there")
def test_emoji() -> None:
    source = open_images(EMOJI, 32)
    assert len(source) == 3583
    assert source[100]["real"].shape == (32, 32, 3)
    corners = [source[i]["real"][0, 0].tolist() for i in range(0, 3583, 100)]
    assert corners.count([255, 255, 255]) > len(corners) / 2
