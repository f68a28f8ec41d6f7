"""Ratings against planted strengths, a published example, and faults of generators."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gan_jax.data.mixtures import Mixture, mixture_points, ring
from gan_jax.evaluate.skill import (
    Ratings,
    bradley_terry,
    elo,
    glicko2,
    newcomers,
    score_table,
    tournament,
    win_rate,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def chances(strength):
    return sigmoid(strength[:, None] - strength[None])


def test_planted_strengths_are_recovered_where_only_two_sides_meet():
    """What happens as often as it should is explained by the strengths exactly."""
    gens, discs = np.array([-6.0, -0.5, 0.3, 2.0]), np.array([1.0, -1.5, 0.7])
    rates = sigmoid(gens[:, None] - discs[None])
    planted = np.concatenate([gens, discs])
    found = bradley_terry(score_table(rates, games=100.0))
    np.testing.assert_allclose(found.strength, planted - planted.mean(), atol=1e-8)


def test_strengths_of_games_that_were_played_lie_within_their_deviations():
    random = np.random.default_rng(0)
    planted = np.array([-1.0, -0.2, 0.0, 0.4, 0.8])
    errors = []
    for _ in range(200):
        wins = np.triu(random.binomial(100, chances(planted)), 1).astype(float)
        games = np.triu(np.full((5, 5), 100.0), 1)
        found = bradley_terry(wins + np.tril((games - wins).T))
        errors.append((found.strength - planted) / found.deviation)
    errors = np.array(errors)
    assert np.abs(errors.mean(axis=0)).max() < 5 / np.sqrt(200)
    np.testing.assert_allclose(errors.std(axis=0), 1, atol=5 / np.sqrt(400))


def test_the_deviation_of_two_players():
    """var(s_1 - s_2) = 1 / (n p q), and each s is half of that difference."""
    found = bradley_terry(np.array([[0.0, 30.0], [10.0, 0.0]]))
    wanted = np.sqrt(1 / (40 * 0.75 * 0.25)) / 2
    np.testing.assert_allclose(found.deviation, wanted, rtol=1e-9)


def test_who_never_lost_has_a_rating_by_a_prior_only():
    wins = np.array([[0.0, 5.0, 3.0], [0.0, 0.0, 2.0], [0.0, 2.0, 0.0]])
    with pytest.raises(ValueError, match="fall into 2 groups"):
        bradley_terry(wins)
    strength = bradley_terry(wins, prior=1.0).strength
    assert np.isfinite(strength).all()
    assert strength.argmax() == 0
    apart = np.kron(np.eye(2), np.array([[0.0, 1.0], [1.0, 0.0]]))
    with pytest.raises(ValueError, match="let all groups meet"):
        bradley_terry(apart, prior=1.0)


def test_elo_s_points_are_odds():
    points = elo(np.array([0.0, 1.0]), mean=1000.0)
    odds = 10 ** ((points[1] - points[0]) / 400)
    assert odds == pytest.approx(np.e)
    assert points[0] == 1000


def test_glicko2_gives_glickman_s_example():
    before = Ratings(
        np.array([1500.0, 1400.0, 1550.0, 1700.0]),
        np.array([200.0, 30.0, 100.0, 300.0]),
        np.full(4, 0.06),
    )
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[2, 0] = wins[3, 0] = 1
    after = glicko2(before, wins, tau=0.5)
    assert after.rating[0] == pytest.approx(1464.06, abs=0.015)
    assert after.deviation[0] == pytest.approx(151.52, abs=0.005)
    assert after.volatility[0] == pytest.approx(0.05999, abs=1e-5)


def test_glicko2_grows_unsure_of_who_does_not_play_and_wary_of_who_surprises():
    before = newcomers(3)._replace(deviation=np.full(3, 50.0))
    after = glicko2(before, np.array([[0, 9.0, 0], [9, 0, 0], [0, 0, 0]]), tau=1.0)
    np.testing.assert_allclose(after.rating, 1500)
    points = 400 / np.log(10)
    idle = points * np.hypot(50 / points, 0.06)
    assert after.deviation[2] == pytest.approx(idle, rel=1e-12)
    assert after.volatility[2] == 0.06
    assert after.deviation[0] < 50
    shock = glicko2(before, np.array([[0, 200.0, 0], [0, 0, 0], [0, 0, 0]]), tau=1.0)
    assert shock.volatility[0] > 0.1 > after.volatility[0]
    assert shock.rating[0] > 1500 > shock.rating[1]


def test_many_periods_of_glicko2_find_the_planted_order():
    planted = np.array([-1.5, -0.5, 0.5, 1.5])
    wins = 10 * chances(planted) * (1 - np.eye(4))
    ratings = newcomers(4)
    for _ in range(60):
        ratings = glicko2(ratings, wins)
    np.testing.assert_allclose(ratings.rating, elo(planted), atol=25)


@pytest.mark.parametrize("rule", ["sign", "pairs"])
def test_a_win_rate_counts_errors_and_half_of_ties(rule):
    real = np.array([-1.0, 0.0, 2.0, 2.0, 5.0])
    fake = np.array([0.0, 2.0, -3.0])

    def half(a, b):
        return 1.0 if a > b else 0.5 if a == b else 0.0

    if rule == "sign":
        wanted = np.mean([half(0, r) for r in real]) + np.mean(
            [half(f, 0) for f in fake]
        )
        wanted /= 2
    else:
        wanted = np.mean([half(f, r) for f in fake for r in real])
        assert win_rate(real + 7, fake + 7, rule) == pytest.approx(wanted)
    assert win_rate(real, fake, rule) == pytest.approx(wanted)


def log_density(x, mixture):
    """Of a mixture that may leave modes out."""
    apart = np.square(np.asarray(x)[:, None] - mixture.modes[None]).sum(axis=-1)
    log_p = -apart / (2 * mixture.sd**2) - np.log(2 * np.pi * mixture.sd**2)
    return np.logaddexp.reduce(log_p, axis=1) - np.log(len(mixture.modes))


@pytest.mark.parametrize("rule", ["sign", "pairs"])
def test_generators_with_faults_are_rated_below_one_without(rule):
    """Each D is the best one against its G: data against that G's density."""
    data = ring(modes=4, sd=0.2)
    gens = {
        "good": data,
        "mode missing": Mixture(data.modes[1:], data.sd),
        "spread doubled": Mixture(data.modes, 2 * data.sd),
        "one mode": Mixture(data.modes[-1:], data.sd),
    }

    def points(mixture, seed):
        return jnp.asarray(mixture_points(mixture, 1000, seed).arrays["real"])

    discs = [
        lambda x, g=g: np.clip(log_density(x, data) - log_density(x, g), -50, 50)
        for g in gens.values()
    ]
    fakes = [points(g, seed) for seed, g in enumerate(gens.values())]
    rates = tournament(discs, fakes, points(data, 9), rule)
    assert rates.shape == (4, 4)
    assert np.abs(rates[0] - 0.5).max() < 5 * np.sqrt(1 / 1000)
    # The best D's accuracy: 1/2 + total variation / 2.
    if rule == "sign":
        wanted = 1 - np.diag(rates)[1:]
        radius = 2 * np.log(4) * 4 / 3  # where the two spreads' densities cross
        wider = np.exp(-radius / 8) - np.exp(-radius / 2)
        np.testing.assert_allclose(
            wanted, (1 + np.array([0.25, wider, 0.75])) / 2, atol=0.04
        )
    skill = bradley_terry(score_table(rates, games=1000.0), prior=1.0).strength[:4]
    assert skill.argmax() == 0
    assert skill.argmin() == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: win_rate(np.zeros(2), np.array([np.nan])), "wins no match"),
        (lambda: win_rate(np.zeros(0), np.zeros(2)), "0 real"),
        (lambda: win_rate(np.zeros(2), np.zeros(0)), "0 generated"),
        (lambda: bradley_terry(np.ones((2, 2))), "meet itself"),
        (lambda: bradley_terry(-1 + np.eye(2)), "nowhere negative"),
        (lambda: glicko2(newcomers(3), np.zeros((2, 2))), "table is of 2 players"),
    ],
)
def test_tables_that_are_none_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_unknown_rule_is_refused(unchecked):
    with pytest.raises(ValueError, match="rule is 'odds'"):
        win_rate(np.zeros(2), np.zeros(2), "odds")


def test_the_mann_whitney_statistic_is_the_rate_of_pairs():
    random = np.random.default_rng(3)
    real, fake = random.integers(0, 9, 40) * 1.0, random.integers(2, 11, 30) * 1.0
    wanted = stats.mannwhitneyu(fake, real).statistic / (40 * 30)
    assert win_rate(real, fake, "pairs") == pytest.approx(wanted)
