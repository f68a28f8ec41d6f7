"""The inception score and known modes against their closed forms."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.data.mixtures import grid, mixture_points, mixture_report, ring
from gan_jax.evaluate.inception_score import (
    inception_score,
    inception_score_of_logits,
)
from gan_jax.evaluate.modes import (
    expected_modes,
    high_quality_ceiling,
    reverse_kl_floor,
    stacked_report,
)

RNG = np.random.default_rng(0)

# ----------------------------------------------------------------- inception score


def test_the_score_of_certain_and_of_constant_answers():
    certain = np.tile(np.eye(7), (20, 1))
    assert inception_score(certain) == (pytest.approx(7), pytest.approx(0))
    constant = np.tile(RNG.dirichlet(np.ones(7)), (50, 1))
    assert inception_score(constant) == (pytest.approx(1), pytest.approx(0))
    # Half of the samples of one class, half of another one.
    assert inception_score(certain[np.arange(40) % 2], 4).value == pytest.approx(2)


def test_the_score_by_its_definition():
    p = RNG.dirichlet(np.ones(5), 103)
    scores = []
    for part in (p[:35], p[35:69], p[69:]):
        kl = [sum(q * np.log(q / part.mean(0))) for q in part]
        scores.append(np.exp(np.mean(kl)))
    wanted = np.mean(scores), np.std(scores)
    assert inception_score(p, 3) == pytest.approx(wanted)
    logits = np.log(p) + RNG.standard_normal((103, 1)) * 3000
    assert inception_score_of_logits(logits, 3) == pytest.approx(wanted)
    single = inception_score_of_logits(jnp.asarray(np.log(p), jnp.float32), 3)
    assert single == pytest.approx(wanted, rel=1e-5)


# ----------------------------------------------------------------- modes


@pytest.mark.parametrize(("mixture", "k"), [(ring(), 8), (grid(), 25)])
def test_a_perfect_sampler_reaches_the_ceiling_and_the_floor(mixture, k):
    """On average over 40 samples, so that a wrong constant shows."""
    n = 2500
    reports = [
        mixture_report(mixture_points(mixture, n, seed).arrays["real"], mixture)
        for seed in range(40)
    ]
    ceiling, floor = high_quality_ceiling(), reverse_kl_floor(k, n)
    assert ceiling == pytest.approx(0.98889, abs=1e-5)
    error = np.sqrt(ceiling * (1 - ceiling) / n / 40)
    assert abs(np.mean([r.high_quality for r in reports]) - ceiling) < 3 * error
    error = np.sqrt(2 * (k - 1)) / (2 * n) / np.sqrt(40)
    assert abs(np.mean([r.reverse_kl for r in reports]) - floor) < 3 * error
    assert {r.covered for r in reports} == {k}
    assert high_quality_ceiling(1.0) == pytest.approx(1 - np.exp(-0.5))


def test_perfect_stacks():
    digits = np.random.default_rng(1).integers(0, 10, (26_000, 3))
    report = stacked_report(digits)
    assert (report.covered, report.modes) == (1000, 1000)
    assert report.floor == pytest.approx(999 / 52_000)
    assert abs(report.reverse_kl - report.floor) < 3 * np.sqrt(2 * 999) / 52_000
    few = stacked_report(digits[:1500])
    wanted = expected_modes(1000, 1500)
    assert wanted == pytest.approx(1000 * (1 - 0.999**1500))
    # Whether a mode is seen varies less than independently.
    assert abs(few.covered - wanted) < 3 * np.sqrt(wanted * (1 - wanted / 1000))


def test_stacks_by_counting():
    labels = RNG.integers(0, 3, (40, 2)) * [1, 0]
    report = stacked_report(jnp.asarray(labels), classes=3)
    share = [np.mean(labels[:, 0] == i) for i in range(3)]
    assert (report.covered, report.modes) == (3, 9)
    assert report.reverse_kl == pytest.approx(sum(p * np.log(9 * p) for p in share))
    # Each combination is a mode of its own.
    every = np.array(list(itertools.product(range(4), repeat=3)))
    assert stacked_report(every, classes=4)[:3] == (64, 64, pytest.approx(0, abs=1e-12))
    assert stacked_report(every[:1], classes=4).reverse_kl == pytest.approx(np.log(64))
    assert expected_modes(1, 5) == 1


# ----------------------------------------------------------------- errors


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inception_score(np.full((20, 3), 0.5)), "do not sum to 1"),
        (lambda: inception_score(np.tile([[1.5, -0.5]], (20, 1))), "are negative"),
        (lambda: inception_score(np.eye(3)), "splits is 10 for 3 samples"),
        (lambda: inception_score(np.eye(3), 0), "splits is 0"),
        (lambda: inception_score(np.eye(12) * np.nan), "not finite"),
        (lambda: stacked_report(np.array([[0, 10, 3]])), r"classes 0 \.\.\. 9"),
        (lambda: stacked_report(np.array([[0, -1, 3]])), r"classes 0 \.\.\. 9"),
        (lambda: stacked_report(np.arange(3)), r"\(n, channels\) is"),
        (lambda: stacked_report(np.zeros((0, 3), int)), r"shape \(0, 3\)"),
    ],
)
def test_answers_that_mean_nothing_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
