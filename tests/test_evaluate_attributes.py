"""The attributes of drawn faces: counted against the truth, and read off pixels."""

from itertools import combinations

import numpy as np
import pytest

from gan_jax.data.faces import ATTRIBUTES, PROBABILITIES, draw_attributes
from gan_jax.evaluate import attributes as module
from gan_jax.evaluate.attributes import (
    attribute_report,
    drawn,
    face_reader,
    reader_of,
)

NAMES = list(ATTRIBUTES)
SIZES = np.array([len(values) for values in ATTRIBUTES.values()])
PAIRS = sum(a * b for a, b in combinations(SIZES.tolist(), 2))
CODES = draw_attributes(7, np.arange(20_000)).codes


def test_probabilities_are_those_that_faces_are_drawn_by():
    for i, (name, truth) in enumerate(PROBABILITIES.items()):
        assert name == NAMES[i]
        assert sum(truth) == pytest.approx(1)
        found = np.bincount(CODES[:, i], minlength=SIZES[i]) / len(CODES)
        sd = np.sqrt(np.array(truth) / len(CODES))
        assert (np.abs(found - truth) < 5 * sd).all(), name


def test_true_faces_cover_everything():
    found = attribute_report(CODES)
    assert found.values == (1.0, 1.0)
    assert found.pairs == (1.0, 1.0)
    assert 0 < found.gap < 0.02
    assert (found.n, found.fraction) == (20_000, 0.5)
    assert found.shares["hat"] == pytest.approx(PROBABILITIES["hat"], abs=0.02)


def test_one_face_covers_one_value_an_attribute():
    found = attribute_report(np.repeat(CODES[:1], 50, axis=0))
    assert found.values == pytest.approx((13 / SIZES.sum(),) * 2)
    assert found.pairs == pytest.approx((13 * 12 / 2 / PAIRS,) * 2)
    rarest = max(
        1 - truth[code]
        for truth, code in zip(PROBABILITIES.values(), CODES[0], strict=True)
    )
    assert found.gap == pytest.approx(rarest)


def test_a_value_that_never_comes_is_missed_with_all_its_pairs():
    column = NAMES.index("hat")
    found = attribute_report(CODES[CODES[:, column] != 1])
    assert found.values.once == pytest.approx(1 - 1 / SIZES.sum())
    assert found.pairs.once == pytest.approx(1 - (SIZES.sum() - SIZES[column]) / PAIRS)
    assert found.gap == pytest.approx(PROBABILITIES["hat"][1], abs=0.02)


def test_a_value_that_is_rare_occurs_but_not_enough():
    column = NAMES.index("glasses")
    sun = CODES[:, column] == 3
    some = np.concatenate([CODES[~sun], CODES[sun][: sun.sum() // 4]])
    found = attribute_report(some)
    assert found.values == (1.0, pytest.approx(1 - 1 / SIZES.sum()))
    assert attribute_report(some, fraction=0.2).values == (1.0, 1.0)


def test_values_may_all_come_and_their_pairs_not():
    pose, hat = NAMES.index("pose"), NAMES.index("hat")
    tied = CODES[CODES[:, pose] == CODES[:, hat]]
    found = attribute_report(tied)
    assert found.values.once == 1
    assert found.pairs.once <= 1 - 6 / PAIRS


def test_codes_that_say_nothing_are_refused(unchecked):
    for codes, fraction in ((CODES[:0], 0.5), (CODES[:, :12], 0.5), (CODES, 0.0)):
        with pytest.raises(ValueError, match="give at least one row"):
            attribute_report(codes, fraction)


@pytest.fixture(scope="module")
def reader():
    return face_reader(16, n=800, epochs=6, held_out=400, batch=32, width=16)


def test_a_reader_learns_the_attributes_that_are_seen(reader):
    for name in ("background", "clothes", "skin"):
        assert reader.accuracy[name] > reader.chance[name] + 0.25, name
    assert list(reader.accuracy) == NAMES
    assert reader.chance["hat"] == 0.7


def test_a_reader_sees_a_value_that_a_generator_leaves_out(reader):
    images, codes = drawn(600, 16, 3)
    column = NAMES.index("background")
    floor = reader.floor(600)
    fakes = images[codes[:, column] > 2]
    found = reader.report(fakes)
    assert floor.shares["background"][:3].sum() > 0.4
    assert found.shares["background"][:3].sum() < 0.3
    assert found.values.enough < floor.values.enough
    assert found.pairs.enough < floor.pairs.enough


def test_a_kept_classifier_reads_again(reader):
    again = reader_of(reader.classifier, held_out=400)
    assert again.accuracy == reader.accuracy
    with pytest.raises(ValueError, match="heads of"):
        reader_of(reader.classifier._replace(heads=(3, 4)))


def test_training_and_held_out_faces_are_not_the_same():
    assert len({module.TRAINING, module.HELD_OUT, module.FLOOR}) == 3
    a, b = (drawn(4, 16, seed)[0] for seed in (module.TRAINING, module.HELD_OUT))
    assert a.shape == (4, 16, 16, 3)
    assert not np.array_equal(a, b)
