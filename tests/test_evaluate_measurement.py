"""A figure and its protocol; reference statistics on disk."""

import dataclasses
import json
import math
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.evaluate import references
from gan_jax.evaluate.frechet import frechet_distance
from gan_jax.evaluate.measurement import (
    FeatureSpace,
    Measurement,
    from_json,
    real_halves,
    table,
    to_json,
)
from gan_jax.evaluate.moments import moments
from gan_jax.evaluate.references import reference

PCA = FeatureSpace(
    name="pca64", digest="1f2e3d4c5b", dimension=64, resize="none", quantisation="uint8"
)
INCEPTION = dataclasses.replace(
    PCA, name="inception", resize="bilinear to 299", inception=True
)


def measured(**changes) -> Measurement:
    fields = {
        "measure": "FD",
        "value": 0.83,
        "features": PCA,
        "real_count": 2000,
        "fake_count": 2000,
        "split": "test",
        "weights": "ema",
        "seed": 3,
        "floor": 0.81,
        "floor_count": 2000,
    }
    return Measurement(**(fields | changes))


# ----------------------------------------------------------------- the record


def test_the_name_says_what_the_figure_depends_on():
    assert measured().name == "FD[pca64-1f2e3d4c, N=2000, resize none, uint8]"
    other = measured(real_count=10_000, features=dataclasses.replace(PCA, digest=""))
    assert other.name == "FD[pca64, N=10000/2000, resize none, uint8]"
    assert measured(measure="SW2", features=None).name == "SW2[N=2000]"
    assert measured(measure="FID", features=INCEPTION).name.startswith(
        "FID[inception-1f"
    )
    assert {"python", "jax", "numpy", "gan_jax"} <= set(measured().versions)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("FID", "FD"),
        ("sFID", "FD"),
        ("fid10k", "FD"),
        ("FID-infinity", "FD"),
        ("KID", "KD"),
        ("IS", "CS"),
        ("IS (10 splits)", "CS"),
    ],
)
def test_inception_s_names_are_for_its_features_only(name, instead):
    for space in (PCA, None):
        with pytest.raises(ValueError, match=f"Call it {instead}"):
            measured(measure=name, features=space)
    assert measured(measure=name, features=INCEPTION).measure == name
    assert measured(measure="discrepancy").measure == "discrepancy"  # has an "is"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dataclasses.replace(INCEPTION, digest=""), "no digest of the weights"),
        (lambda: measured(fake_count=0), "2000 real and 0 fake"),
        (lambda: measured(weights="averaged"), "'ema', 'raw' or 'none'"),
        (lambda: from_json("[1]"), "not list"),
        (lambda: from_json('{"value": 1}'), "lacks .*'measure'"),
        (lambda: from_json(altered(lucky=True)), "unknown fields .'lucky'."),
        (lambda: from_json(altered(features={"name": "x"})), "FeatureSpace lacks"),
        (lambda: real_halves(np.zeros((5, 2)), 0, 3), "from 1 to 2"),
    ],
)
def test_records_of_nothing_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def altered(**changes) -> str:
    return json.dumps(json.loads(to_json(measured())) | changes)


def strict(line: str):
    """JSON as the standard has it, without NaN."""

    def refuse(word):
        raise ValueError(word)

    return json.loads(line, parse_constant=refuse)


@pytest.mark.parametrize("value", [0.1 + 0.2, math.nan, math.inf, -math.inf])
def test_json_and_back(value):
    for own in (
        measured(value=value, deviation=0.5, interval=(value, 2.0)),
        measured(features=None, floor=value, floor_count=None, seed=0),
        measured(measure="KD 100x1000", floor_measure="KD 1x500"),
    ):
        line = to_json(own)
        assert strict(line)["name"] == own.name
        assert "\n" not in line
        assert repr(from_json(line)) == repr(own)  # NaN is not equal to itself
    if math.isnan(value):
        assert strict(to_json(measured(value=value)))["value"] == "NaN"


def test_a_figure_that_was_read_keeps_its_own_versions():
    line = altered(versions={"jax": "0.0.1"}, value=1)
    assert from_json(line).versions == {"jax": "0.0.1"}
    assert isinstance(from_json(line).value, float)
    bare = {k: v for k, v in json.loads(line).items() if k != "versions"}
    with pytest.raises(ValueError, match=r"lacks \['versions'\]"):
        from_json(json.dumps(bare))


def test_the_table_has_each_value_beside_its_floor():
    lines = table(
        [
            measured(),
            measured(value=12345.6, deviation=0.0123, interval=(1.0, 2.5), floor=None),
            measured(measure="a|b", floor=math.nan, floor_count=None),
            measured(measure="KD 100x1000", floor_measure="KD 1x500"),
        ]
    ).split("\n")
    assert len(lines) == 6
    assert {line.replace("\\|", "").count("|") for line in lines} == {7}
    assert lines[2].split(" | ")[1:3] == ["0.83", "0.81 (N=2000)"]
    assert lines[3].split(" | ")[1:3] == [
        "1.235e+04 ± 0.012 (1 to 2.5)",
        "not measured",
    ]
    assert lines[4].split(" | ")[2] == "nan"
    assert lines[5].split(" | ")[2] == "0.81 (KD 1x500, N=2000)"


def test_halves_are_disjoint_and_random():
    x = np.arange(21.0)[:, None]
    a, b = real_halves(x, 0)
    assert len(a) == len(b) == 10
    assert len(np.unique(np.concatenate([a, b]))) == 20
    assert abs(a.mean() - b.mean()) < 9
    other, _ = real_halves(jnp.asarray(x), 1, 4)
    assert len(other) == 4
    assert set(other.ravel()) != set(a[:4].ravel())


# ----------------------------------------------------------------- the reference

X = np.random.default_rng(0).standard_normal((50, 4)).astype("f4")
FACTS = {"data": "sha256=1", "features": "pca4", "split": "train", "n": 50}


class Stream:
    """Batches of X, and how often they were asked for."""

    def __init__(self, size=7):
        self.size, self.calls = size, 0

    def __call__(self):
        self.calls += 1
        return (X[i : i + self.size] for i in range(0, len(X), self.size))


def same(a, b) -> bool:
    pairs = zip((*a.moments, a.features), (*b.moments, b.features), strict=True)
    return a.digest == b.digest and all(np.array_equal(x, y) for x, y in pairs)


def test_a_reference_is_computed_once(tmp_path):
    stream = Stream()
    found = reference(stream, tmp_path / "new", FACTS, keep=20)
    assert same(found, reference(stream, tmp_path / "new", FACTS, keep=20))
    assert stream.calls == 1
    assert len(list((tmp_path / "new").iterdir())) == 1
    assert frechet_distance(found.moments, moments(X)) < 1e-20
    assert int(found.moments.n) == 50
    # Twenty rows of X, in its order, from all over it.
    place = [int(np.flatnonzero((row == X).all(axis=1))[0]) for row in found.features]
    assert place == sorted(set(place))
    assert len(place) == 20
    assert place[-1] > 35
    assert found.features.dtype == np.float32


def test_other_facts_are_another_entry(tmp_path):
    stream = Stream()
    digests = {
        reference(stream, tmp_path, facts, **options).digest
        for facts, options in (
            (FACTS, {}),
            (FACTS | {"split": "test"}, {}),
            (FACTS, {"keep": 20}),
            (FACTS, {"keep": 20, "seed": 1}),
        )
    }
    assert stream.calls == len(digests) == len(list(tmp_path.iterdir())) == 4


def test_how_a_stream_is_cut_changes_no_sample(tmp_path):
    a, b = (
        reference(Stream(size), tmp_path / str(size), FACTS, keep=20)
        for size in (7, 50)
    )
    np.testing.assert_array_equal(a.features, b.features)
    assert len(reference(Stream(), tmp_path, FACTS).features) == 50


@pytest.mark.parametrize("name", ["seed", "keep", "format"])
def test_a_fact_may_have_any_name(tmp_path, name):
    stream = Stream()
    for value in (1, 2):
        reference(stream, tmp_path, FACTS | {name: value})
    assert stream.calls == len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["flip", "cut", "junk", "other"])
def test_a_damaged_entry_is_computed_anew(tmp_path, damage):
    stream = Stream()
    found = reference(stream, tmp_path, FACTS)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    if damage == "flip":  # past the zip's own check of sums, as if written like that
        arrays = dict(np.load(path))
        arrays["mean"] = arrays["mean"] + np.array([1e-12, 0, 0, 0])
        np.savez(path, **arrays)
    elif damage == "other":  # whole, but about other facts
        reference(stream, tmp_path, FACTS | {"split": "test"})
        (other,) = set(tmp_path.iterdir()) - {path}
        path.write_bytes(other.read_bytes())
    else:
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"PK junk")
    before = stream.calls
    with pytest.warns(UserWarning, match="damaged reference .* computed anew"):
        again = reference(stream, tmp_path, FACTS)
    assert same(found, again)
    assert stream.calls == before + 1
    assert same(found, reference(stream, tmp_path, FACTS))


@pytest.mark.parametrize("place", range(0, 1800, 90))
def test_no_flipped_bit_goes_unseen(tmp_path, place):
    """It changes nothing that is read, or the entry is computed anew."""
    found = reference(Stream(), tmp_path, FACTS, keep=1)
    (path,) = tmp_path.iterdir()
    whole = bytearray(path.read_bytes())
    whole[place % len(whole)] ^= 4
    path.write_bytes(whole)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        again = reference(Stream(), tmp_path, FACTS, keep=1)
    assert same(found, again)


def test_nothing_half_written_stays(tmp_path):
    class StopsError(Exception):
        pass

    def stops():
        yield X[:7]
        raise StopsError

    with pytest.raises(StopsError):
        reference(stops, tmp_path, FACTS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"facts": {}}, "facts are {}"), ({"keep": 0}, "keep is 0")],
)
def test_a_reference_to_nothing_is_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        reference(Stream(), tmp_path, **({"facts": FACTS} | options))


def test_a_disk_that_loses_what_is_written_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(references, "_write", lambda *_: None)
    with pytest.raises(OSError, match="does not read back"):
        reference(Stream(), tmp_path, FACTS)
