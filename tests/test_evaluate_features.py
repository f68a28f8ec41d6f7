"""Features: names, sums and files; pixels, components, a classifier, and Inception."""

import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.evaluate import features
from gan_jax.evaluate.features import weights
from gan_jax.evaluate.features.classifier import _run
from gan_jax.evaluate.features.inception import (
    folded,
    inception_shapes,
    layers,
    pool3,
    prepared,
)
from gan_jax.evaluate.features.pca import _principal


def images_of(n, size=8, channels=1, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (n, size, size, channels), np.uint8)


# One record


def test_features_are_given_batches_of_one_size_and_come_back_in_order():
    sizes = []

    def function(images):
        sizes.append(len(images))
        return images.reshape(len(images), -1)[:, :2].astype(np.float64)

    found = features.of("first two", function, 2, batch=4)
    images = images_of(11)
    values = found(images)
    assert sizes == [4, 4, 4]
    assert values.dtype == np.float32
    assert np.array_equal(values, images.reshape(11, -1)[:, :2])
    assert found(images[:3]).shape == (3, 2)
    assert sizes[3:] == [3]


def test_features_refuse_what_would_falsify_a_figure(unchecked):
    bright = features.of("bright", lambda x: x.mean(axis=(1, 2)), 1)
    for wrong in (images_of(2).astype(np.float32), images_of(2)[..., 0], images_of(0)):
        with pytest.raises(ValueError, match="at least one uint8 image"):
            bright(wrong)
    with pytest.raises(ValueError, match="gave shape"):
        features.of("bad", lambda x: x.mean(axis=(1, 2)), 2)(images_of(2))
    with pytest.raises(ValueError, match="not finite"):
        features.of("nan", lambda x: np.full((len(x), 1), np.nan), 1)(images_of(2))
    with pytest.raises(ValueError, match="knows no classes"):
        bright.logits(bright(images_of(2)))
    for name, dimension in (("", 1), ("x", 0)):
        with pytest.raises(ValueError, match="say what they rest on"):
            features.of(name, lambda x: x, dimension)


# Pixels and components


def test_pixels_are_box_means_in_row_order():
    images = np.arange(32, dtype=np.uint8).reshape(1, 4, 4, 2)
    found = features.pixels((4, 4, 2), size=2)
    boxes = images[0].reshape(2, 2, 2, 2, 2).mean(axis=(1, 3)).ravel()
    assert found(images)[0] == pytest.approx(boxes / 127.5 - 1)
    whole = features.pixels((4, 4, 2))
    assert whole(images)[0] == pytest.approx(images.ravel() / 127.5 - 1)
    assert (whole.dimension, found.dimension) == (32, 8)
    assert whole.digest != found.digest
    assert str(found) == "pixels2x2x2, 2 x 2 box means, pixels / 127.5 - 1"
    with pytest.raises(ValueError, match="common divisor"):
        features.pixels((4, 4, 2), size=3)
    with pytest.raises(ValueError, match="resize both sets"):
        whole(images_of(1))


@pytest.mark.parametrize(("n", "size"), [(300, None), (40, None), (300, 4)])
def test_components_are_those_of_the_singular_values(n, size):
    real = (images_of(n) * np.linspace(0.2, 1, 64).reshape(1, 8, 8, 1)).astype(np.uint8)
    found = features.pca(real, 6, size=size)
    flat = features.pixels((8, 8, 1), size)(real).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    wanted = left[:, :6] * values[:6]
    ours = found(real)
    assert np.abs(ours) == pytest.approx(np.abs(wanted), abs=2e-4)
    white = features.pca(real, 6, size=size, whiten=True)(real)
    assert np.cov(white.T) == pytest.approx(np.eye(6), abs=1e-4)


def test_components_are_named_by_what_was_found():
    real = images_of(100)
    first, again = features.pca(real, 5), features.pca(real.copy(), 5)
    other = features.pca(images_of(100, seed=1), 5)
    assert first.digest == again.digest != other.digest
    assert first.name == f"pca5@{first.digest[:12]}"
    assert np.array_equal(first(real), again(real))
    largest = np.abs(parts := _principal(real.reshape(100, -1) - 127.0, 5)[1])
    assert (parts[np.arange(5), largest.argmax(axis=1)] > 0).all()
    turned = features.pca(np.ascontiguousarray(real[::-1]), 5)  # signs are fixed
    assert turned(real) == pytest.approx(first(real), abs=1e-4)
    for count, wanted in ((100, 0), (5, 5)):
        with pytest.raises(ValueError, match="principal components"):
            features.pca(real[:count], wanted)
    with pytest.raises(ValueError, match="vary in fewer"):
        features.pca(np.repeat(real[:3], 20, axis=0), 5)


# Files


def safetensors(arrays, names, header=None):
    """The bytes of a file, written by hand from the format's description."""
    entries, body = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        begin, body = len(body), body + array.tobytes()
        entries[name] = {
            "dtype": names[name],
            "shape": list(array.shape),
            "data_offsets": [begin, len(body)],
        }
    text = json.dumps(entries if header is None else header(entries)).encode()
    return struct.pack("<Q", len(text)) + text + body


ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array(3, np.int64),
    "c": np.arange(4, dtype=jnp.bfloat16),
    "d": np.zeros((0, 5), np.float16),
}
NAMES = {"a": "F32", "b": "I64", "c": "BF16", "d": "F16"}


def test_both_formats_give_the_arrays_back(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors(ARRAYS, NAMES))
    np.savez(tmp_path / "w.npz", a=ARRAYS["a"], b=ARRAYS["b"])
    found = weights.read_weights(path)
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)
    assert np.array_equal(weights.read_weights(tmp_path / "w.npz")["a"], ARRAYS["a"])


def shifted(entries):
    entries["b"]["data_offsets"] = [0, 8]
    return entries


def larger(entries):
    entries["c"]["shape"] = [5]
    return entries


def unknown(entries):
    entries["a"]["dtype"] = "Q4"
    return entries


@pytest.mark.parametrize(
    "header", [shifted, larger, unknown, lambda _: [1], lambda _: {}]
)
def test_a_header_that_does_not_fit_its_bytes_is_refused(tmp_path, header):
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors(ARRAYS, NAMES, header))
    with pytest.raises(ValueError, match=r"not a whole \.safetensors"):
        weights.read_weights(path)


def test_damaged_files_and_pickles_are_refused(tmp_path):
    whole = safetensors(ARRAYS, NAMES)
    path = tmp_path / "w.safetensors"
    for cut in (0, 5, 40, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"not a whole \.safetensors"):
            weights.read_weights(path)
    path.write_bytes(struct.pack("<Q", 2**62) + whole[8:])
    with pytest.raises(ValueError, match="bytes"):
        weights.read_weights(path)
    np.savez(tmp_path / "w.npz", a=np.array([{}], object))
    with pytest.raises(ValueError, match=r"not a whole \.npz"):
        weights.read_weights(tmp_path / "w.npz")
    (tmp_path / "w.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"inception\.md"):
        weights.read_weights(tmp_path / "w.pth")


# A classifier


def bars(n, seed):
    """Three classes, and a second label of two: a bar lies, stands or is not there."""
    random = np.random.default_rng(seed)
    labels = np.stack([random.integers(0, 3, n), random.integers(0, 2, n)], axis=1)
    images = random.integers(0, 60, (n, 8, 8, 1))
    for image, (kind, bright), place in zip(
        images, labels, random.integers(0, 7, n), strict=True
    ):
        if kind < 2:
            rows = image if kind else image.swapaxes(0, 1)
            rows[place : place + 2] += 120
        image += 60 * bright
    return images.astype(np.uint8), labels.astype(np.int32)


TRAIN, TEST = bars(768, 0), bars(200, 1)
SMALL = {"name": "bars", "width": 8, "dimension": 16, "batch": 32, "rate": 3e-3}


def trained(**how):
    return features.classifier(*TRAIN, epochs=10, **SMALL, **how)


@pytest.fixture(scope="module")
def one():
    return trained()


def test_a_classifier_learns_every_label(one):
    assert one.heads == (3, 2)
    kind, bright = one.accuracy(*TEST)
    assert kind > 0.95
    assert bright > 0.95


def test_the_weights_are_a_function_of_the_arguments(one):
    losses = []
    again = trained(report=lambda epoch, loss: losses.append((epoch, loss)))
    assert again.digest == one.digest
    assert [epoch for epoch, _ in losses] == list(range(10))
    assert losses[-1][1] < losses[0][1] / 2
    assert features.classifier(*TRAIN, epochs=10, seed=1, **SMALL).digest != one.digest


def test_its_logits_are_those_of_its_features(one):
    found = one.features()
    assert found.name == f"bars@{one.digest[:12]}"
    values = found(TEST[0])
    assert values.shape == (200, 16)
    assert values.min() == 0
    _, logits = _run(one._network)(one.params, TEST[0])
    assert found.logits(values) == pytest.approx(np.asarray(logits), abs=1e-4)
    assert np.array_equal(
        one.predict(TEST[0])[:, 0], np.asarray(logits)[:, :3].argmax(1)
    )
    with pytest.raises(ValueError, match="was trained on"):
        found(images_of(2, 16))


def test_a_kept_classifier_is_the_same_and_any_other_is_refused(one, tmp_path):
    path = tmp_path / "bars.npz"
    one.save(path)
    found = features.load(path, one.digest)
    assert (found.digest, found.name, found.heads) == (one.digest, "bars", (3, 2))
    assert found.shape == one.shape
    assert np.array_equal(found.predict(TEST[0]), one.predict(TEST[0]))
    assert [file.name for file in tmp_path.iterdir()] == ["bars.npz"]
    with pytest.raises(ValueError, match="the one wanted is"):
        features.load(path, "0" * 64)
    with pytest.raises(ValueError, match=r"kept as \.npz"):
        one.save(tmp_path / "bars.pkl")


def test_a_flipped_bit_is_refused(one, tmp_path):
    path = tmp_path / "bars.npz"
    one.save(path)
    whole = bytearray(path.read_bytes())
    middle = whole.find(one.params["Dense_0"]["kernel"].tobytes()) + 9
    whole[middle] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="not a whole"):  # by the archive's own sum
        features.load(path)
    one.save(path)
    arrays = dict(np.load(path))
    arrays["params/Dense_1/bias"].view(np.uint8)[0] ^= 1
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="its seal says"):
        features.load(path)
    del arrays["seal"]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="its seal says nothing"):
        features.load(path)


def test_weights_of_another_network_are_refused(one, tmp_path):
    one._replace(width=9).save(tmp_path / "wide.npz")
    with pytest.raises(ValueError, match="arrays differ"):
        features.load(tmp_path / "wide.npz")
    one._replace(params={}).save(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="holds no classifier"):
        features.load(tmp_path / "none.npz")


def test_labels_that_do_not_fit_are_refused(unchecked):
    images, labels = TRAIN
    with pytest.raises(ValueError, match="767 labels"):
        features.classifier(images, labels[1:], **SMALL)
    for wrong, classes in ((labels - 1, None), (labels, (3, 1)), (labels, (3,))):
        with pytest.raises(ValueError, match="do not fit"):
            features.classifier(images, wrong, classes=classes, **SMALL)


# Inception


def test_there_are_94_convolutions_of_the_published_sizes():
    shapes = inception_shapes()
    assert len(layers()) == 94
    assert len(shapes) == 94 * 5 + 2
    count = dict.fromkeys(("conv.weight", "bn.weight"), 0)
    for name, shape in shapes.items():
        for kind in count:
            count[kind] += int(np.prod(shape)) if name.endswith(kind) else 0
    # What Keras counts without its top, 21,802,784, has 3 numbers a norm.
    assert count["bn.weight"] == 17_216
    assert count["conv.weight"] == 21_802_784 - 3 * 17_216
    assert shapes["Mixed_7c.branch_pool.conv.weight"] == (192, 2048, 1, 1)
    assert shapes["Mixed_6c.branch7x7_2.conv.weight"] == (160, 160, 1, 7)


def random_weights():
    """Weights under which numbers neither vanish nor grow from layer to layer."""
    random = np.random.default_rng(0)
    arrays = {}
    for name, shape in inception_shapes().items():
        x = random.standard_normal(shape, np.float32)
        if name.endswith("running_var"):
            x = 1 + np.abs(x)
        elif name.endswith("bn.weight"):
            x = 1.5 + 0.1 * x
        elif len(shape) == 1:
            x = 0.1 * x
        else:
            x *= np.float32(np.sqrt(2 / np.prod(shape[1:])))
        arrays[name] = x
    return arrays


@pytest.fixture(scope="module")
def arrays():
    return random_weights()


class Reference:
    """The network written down once more, in numpy, layer by layer."""

    def __init__(self, arrays):
        self.arrays = arrays

    def conv(self, name, x, stride=1, pad=(0, 0)):
        a = {
            k.removeprefix(f"{name}."): v
            for k, v in self.arrays.items()
            if f"{name}." in k
        }
        kernel = a["conv.weight"]
        x = np.pad(x, ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2))
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], (2, 3))
        windows = windows[:, :, ::stride, ::stride]
        y = np.tensordot(windows, kernel, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
        of = lambda part: a[f"bn.{part}"].reshape(1, -1, 1, 1)
        y = (y - of("running_mean")) / np.sqrt(of("running_var") + 1e-3)
        return np.maximum(y * of("weight") + of("bias"), 0)

    def pool(self, x, kind):
        if kind != "half":
            x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=np.nan)
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
        if kind == "half":
            windows = windows[:, :, ::2, ::2]
        return (np.nanmean if kind == "mean" else np.nanmax)(windows, axis=(4, 5))

    def __call__(self, x):
        c, p = self.conv, self.pool
        x = c("Conv2d_1a_3x3", x, 2)
        x = c("Conv2d_2b_3x3", c("Conv2d_2a_3x3", x), pad=(1, 1))
        x = c("Conv2d_4a_3x3", c("Conv2d_3b_1x1", p(x, "half")))
        x = p(x, "half")
        for b in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            five = c(f"{b}.branch5x5_2", c(f"{b}.branch5x5_1", x), pad=(2, 2))
            three = c(f"{b}.branch3x3dbl_2", c(f"{b}.branch3x3dbl_1", x), pad=(1, 1))
            three = c(f"{b}.branch3x3dbl_3", three, pad=(1, 1))
            pooled = c(f"{b}.branch_pool", p(x, "mean"))
            x = np.concatenate([c(f"{b}.branch1x1", x), five, three, pooled], 1)
        b = "Mixed_6a"
        three = c(f"{b}.branch3x3dbl_2", c(f"{b}.branch3x3dbl_1", x), pad=(1, 1))
        three = c(f"{b}.branch3x3dbl_3", three, 2)
        x = np.concatenate([c(f"{b}.branch3x3", x, 2), three, p(x, "half")], 1)
        for b in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            seven = c(f"{b}.branch7x7_2", c(f"{b}.branch7x7_1", x), pad=(0, 3))
            seven = c(f"{b}.branch7x7_3", seven, pad=(3, 0))
            double = c(f"{b}.branch7x7dbl_1", x)
            for i, pad in ((2, (3, 0)), (3, (0, 3)), (4, (3, 0)), (5, (0, 3))):
                double = c(f"{b}.branch7x7dbl_{i}", double, pad=pad)
            pooled = c(f"{b}.branch_pool", p(x, "mean"))
            x = np.concatenate([c(f"{b}.branch1x1", x), seven, double, pooled], 1)
        b = "Mixed_7a"
        three = c(f"{b}.branch3x3_2", c(f"{b}.branch3x3_1", x), 2)
        seven = c(f"{b}.branch7x7x3_2", c(f"{b}.branch7x7x3_1", x), pad=(0, 3))
        seven = c(f"{b}.branch7x7x3_4", c(f"{b}.branch7x7x3_3", seven, pad=(3, 0)), 2)
        x = np.concatenate([three, seven, p(x, "half")], 1)
        for b, kind in (("Mixed_7b", "mean"), ("Mixed_7c", "max")):
            outs = [c(f"{b}.branch1x1", x)]
            three = c(f"{b}.branch3x3_1", x)
            double = c(f"{b}.branch3x3dbl_1", x)
            double = c(f"{b}.branch3x3dbl_2", double, pad=(1, 1))
            for y, n in ((three, "branch3x3_2"), (double, "branch3x3dbl_3")):
                outs += [c(f"{b}.{n}a", y, pad=(0, 1)), c(f"{b}.{n}b", y, pad=(1, 0))]
            x = np.concatenate([*outs, c(f"{b}.branch_pool", p(x, kind))], 1)
        return x.mean(axis=(2, 3))


def test_the_network_is_the_one_written_down_once_more(arrays):
    x = np.random.default_rng(1).uniform(-1, 1, (1, 107, 107, 3)).astype(np.float32)
    wanted = Reference(arrays)(x.transpose(0, 3, 1, 2))
    found = np.asarray(jax.jit(pool3)(folded(arrays), x))
    assert found.shape == (1, 2048)
    assert 0.01 < wanted.std() < 100
    assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_images_are_enlarged_by_tensorflow_1s_rule():
    images = images_of(1, 32, 3)
    found = np.asarray(jax.jit(prepared)(images))[0]
    assert found.shape == (299, 299, 3)
    place = np.arange(299) * 32 / 299
    low = np.floor(place).astype(int)
    high, share = np.minimum(low + 1, 31), (place - low)[:, None]
    x = images[0].astype(np.float64)
    rows = x[low] + (x[high] - x[low]) * share[..., None]
    both = rows[:, low] + (rows[:, high] - rows[:, low]) * share
    assert found == pytest.approx((both - 128) / 128, abs=1e-5)
    assert np.array_equal(found[0, 0], (x[0, 0] - 128) / 128)


def test_inception_is_read_by_path_and_named_by_its_sum(arrays, tmp_path, monkeypatch):
    from gan_jax.evaluate.features import inception as function

    path = tmp_path / "w.npz"
    np.savez(path, **arrays)
    digest = weights.file_sha256(path)
    found = function(path, digest.upper())
    assert (found.dimension, found.digest) == (2048, digest)
    assert found.name == f"inception-v3-2015@{digest[:12]}"
    assert "FID" not in str(found)
    ones = np.ones((1, 2048), np.float32)
    assert found.logits(ones) == pytest.approx(
        ones @ arrays["fc.weight"].T, rel=1e-4, abs=1e-3
    )
    with pytest.raises(ValueError, match="other weights"):
        function(path, "0" * 64)
    with pytest.raises(ValueError, match="4 channels"):
        found(images_of(1, 8, 4))


def test_other_inceptions_are_refused(arrays):
    other = arrays | {"fc.weight": arrays["fc.weight"][:1000], "aux": np.zeros(2)}
    wanted = r"2 arrays differ(.|\n)*\(1000, 2048\) there, \(1008, 2048\) here"
    with pytest.raises(ValueError, match=wanted):
        weights.checked_shapes(other, inception_shapes(), "torchvision's")
    del other["aux"], other["Mixed_5b.branch1x1.bn.bias"]
    with pytest.raises(ValueError, match=r"bn\.bias: absent there, \(64,\) here"):
        weights.checked_shapes(other, inception_shapes(), "torchvision's")


def test_features_are_torch_fidelitys(arrays, tmp_path):
    torch = pytest.importorskip("torch")
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    state = {k: torch.tensor(v) for k, v in arrays.items()}
    for layer in layers():
        state[f"{layer.name}.bn.num_batches_tracked"] = torch.tensor(0)
    torch.save(state, tmp_path / "w.pth")
    np.savez(tmp_path / "w.npz", **arrays)
    theirs = fidelity.FeatureExtractorInceptionV3(
        "inception", ["2048", "logits_unbiased"], str(tmp_path / "w.pth")
    )
    images = images_of(2, 40, 3)
    pool, logits = theirs(torch.tensor(images.transpose(0, 3, 1, 2).copy()))
    ours = features.inception(tmp_path / "w.npz")
    found = ours(images)
    assert np.abs(found - pool.numpy()).max() < 1e-4 * np.abs(pool.numpy()).max()
    assert ours.logits(found) == pytest.approx(logits.numpy(), rel=1e-3, abs=1e-3)
