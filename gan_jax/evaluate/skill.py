"""Skill rating: generators and discriminators of many moments or runs as players.

Every discriminator is put before every generator's samples. A match says how often the
generator had it wrong; ratings sum up all matches in one number a player. Snapshots of
one run show whether it still learns; several runs can be ranked.

A rating is relative to the players of its tournament: it says nothing by itself, and
nothing beside a rating from another one. Nor does a tournament know what none of its
discriminators can see.

Reference: Olsson et al., "Skill Rating for Generative Models", 2018, arXiv:1808.04888.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Array, Float

Judge = Callable[[Array], Array]  # samples (n, ...) -> logits (n,)
Rule = Literal["sign", "pairs"]
Table = Float[np.ndarray, "players players"]
PerPlayer = Float[np.ndarray, " players"]

# Of Glicko's scale in one natural unit of strength, and of Elo's: 400 points are odds
# of 10 to 1.
POINTS = 400 / math.log(10)


class Strengths(NamedTuple):
    """Ratings by maximum likelihood.

    Attributes:
      strength: s, in natural units, of mean 0: i beats j with odds exp(s_i - s_j).
      deviation: of each s from its own true value, by the curvature of the likelihood.
    """

    strength: PerPlayer
    deviation: PerPlayer


class Ratings(NamedTuple):
    """What Glicko-2 knows of every player.

    Attributes:
      rating: in points, 1500 for a newcomer.
      deviation: how uncertain the rating is, in points, 350 for a newcomer.
      volatility: how much the rating is expected to move in a period, 0.06 by custom.
    """

    rating: PerPlayer
    deviation: PerPlayer
    volatility: PerPlayer


def newcomers(players: int) -> Ratings:
    """Ratings of players of whom nothing is known."""
    return Ratings(*(np.full(players, value) for value in (1500.0, 350.0, 0.06)))


def win_rate(
    real: Float[np.ndarray, " n"], fake: Float[np.ndarray, " m"], rule: Rule = "sign"
) -> float:
    """How often the generator wins a match, 1/2 against a discriminator that guesses.

    sign:   (P(r < 0) + P(f > 0)) / 2, the share of D's errors,
    pairs:  P(f > r) over all pairs of a real and a generated sample;

    a tie counts half. The first is the paper's, and is for logits that mean odds. The
    second sees order only: it is right for losses whose logits have no zero, the
    relativistic and the Wasserstein ones.

    Args:
      real, fake: D's logits of real and of generated samples, high for real.
      rule: which.

    Returns:
      The rate, in [0, 1].

    Raises:
      ValueError: for an unknown rule, or logits that are not finite.

    >>> import numpy as np
    >>> real, fake = np.array([4.0, 5.0]), np.array([1.0, 3.0])
    >>> win_rate(real, fake), win_rate(real, fake, "pairs")
    (0.5, 0.0)
    """
    if rule not in get_args(Rule):
        raise ValueError(f"rule is {rule!r}, but it must be one of {get_args(Rule)}.")
    finite = np.isfinite(real).all() and np.isfinite(fake).all()
    if not finite or not len(real) or not len(fake):
        raise ValueError(
            f"{len(real)} real and {len(fake)} generated logits were given, and there "
            "must be some, and finite ones: a NaN wins no match and loses none. Leave "
            "this player out."
        )
    if rule == "sign":
        return float((_share_below(real, 0.0) + 1 - _share_below(fake, 0.0)) / 2)
    return float(np.mean([_share_below(real, f) for f in fake]))


def _share_below(x: np.ndarray, bound: float) -> float:
    return float(np.mean(x < bound) + np.mean(x == bound) / 2)


def tournament(
    discs: Sequence[Judge],
    fakes: Sequence[Array],
    real: Array,
    rule: Rule = "sign",
) -> Float[np.ndarray, "gens discs"]:
    """The generators' win rates in all matches.

    Args:
      discs: discriminators, not training: ``samples -> logits (n,)``.
      fakes: the samples of each generator.
      real: data that none of the discriminators was trained on, or they win too often.
      rule: see `win_rate`.

    Returns:
      One row a generator, one column a discriminator. A row's mean is the generator's
      tournament win rate, and 1 less a column's mean the discriminator's.

    Raises:
      ValueError: as `win_rate`.
    """
    of_real = [np.asarray(disc(real)) for disc in discs]
    return np.array(
        [
            [
                win_rate(known, np.asarray(disc(fake)), rule)
                for disc, known in zip(discs, of_real, strict=True)
            ]
            for fake in fakes
        ]
    )


def score_table(rates: Float[np.ndarray, "gens discs"], games: float) -> Table:
    """Wins of all against all, generators first: only generators meet discriminators.

    Args:
      rates: from `tournament`.
      games: how many games a match is worth. Judgements of one match are no
        independent games of one strength; one sample of each kind is a bold choice.

    Returns:
      ``wins[i, j]``, how often i beat j, fractions among them.

    >>> import numpy as np
    >>> score_table(np.array([[0.75]]), games=4.0).tolist()
    [[0.0, 3.0], [1.0, 0.0]]
    """
    gens, discs = rates.shape
    return np.block(
        [
            [np.zeros((gens, gens)), games * rates],
            [games * (1 - rates.T), np.zeros((discs, discs))],
        ]
    )


def bradley_terry(wins: Table, *, prior: float = 0.0) -> Strengths:
    """The strengths that make what happened most likely.

    P(i beats j) = sigmoid(s_i - s_j),
    s = argmax sum_ij wins_ij log P(i beats j),  sum_i s_i = 0,

    by Newton's method in float64. The likelihood is concave, and has one maximum
    where, however players are split in two, each side won against the other at least
    once. Else a strength would run off to infinity; a prior holds it.

    Args:
      wins: ``wins[i, j]``, how often i beat j; see `score_table`. A draw is half a win
        for each.
      prior: drawn games that are added to every pair that met. Strengths shrink.

    Returns:
      The strengths.

    Raises:
      ValueError: for a table that is not of counts, and where no maximum exists.

    Reference: Bradley and Terry, "Rank analysis of incomplete block designs", 1952;
    Ford, "Solution of a ranking problem from binary comparisons", 1957.

    >>> import numpy as np
    >>> found = bradley_terry(np.array([[0.0, 9.0], [3.0, 0.0]]))
    >>> round(float(np.exp(found.strength[0] - found.strength[1])), 6)
    3.0
    """
    from scipy.sparse.csgraph import connected_components

    wins = _checked(wins)
    games = wins + wins.T
    wins = wins + prior / 2 * (games > 0)
    games = wins + wins.T
    parts, _ = connected_components(wins > 0, connection="strong")
    if parts > 1:
        raise ValueError(
            f"the players fall into {parts} groups of which one never won, or never "
            "met, another, so that their strengths are infinitely far apart, or not to "
            "be compared. Give a prior above 0, or let all groups meet."
        )
    strength = np.zeros(len(wins))
    for _ in range(200):
        slope, curvature = _slope_and_curvature(strength, wins, games)
        step = np.linalg.solve(curvature, slope)
        # Far from the maximum the curvature vanishes, and a full step would overshoot.
        step *= min(1.0, 1.0 / max(np.abs(step).max(), 1e-300))
        strength = strength + step
        if np.abs(step).max() < 1e-12:
            break
    strength -= strength.mean()
    _, curvature = _slope_and_curvature(strength, wins, games)
    flat = np.full_like(curvature, 1 / len(wins))
    variance = np.diag(np.linalg.inv(curvature) - flat)
    return Strengths(strength, np.sqrt(np.maximum(variance, 0)))


def _slope_and_curvature(
    strength: PerPlayer, wins: Table, games: Table
) -> tuple[PerPlayer, Table]:
    """Of the log-likelihood, whose sign is turned; and 1/n where all move at once.

    That direction changes nothing. Its curvature of 0 would be in the way of solving.
    """
    expected = _logistic(strength[:, None] - strength[None])
    slope = (wins - games * expected).sum(axis=1)
    weight = games * expected * (1 - expected)
    curvature = np.diag(weight.sum(axis=1)) - weight
    return slope, curvature + 1 / len(strength)


def elo(strength: PerPlayer, mean: float = 1500.0) -> PerPlayer:
    """Strengths in Elo's points: 400 of them are odds of 10 to 1.

    Args:
      strength: of `bradley_terry`.
      mean: the points of strength 0.

    Reference: Elo, "The Rating of Chessplayers", 1978.

    >>> import numpy as np
    >>> elo(np.log(np.array([10.0, 1.0]))).tolist()
    [1900.0, 1500.0]
    """
    return mean + POINTS * np.asarray(strength)


def glicko2(before: Ratings, wins: Table, *, tau: float = 0.5) -> Ratings:
    """Ratings after one period of games: a sequential rating, with its uncertainty.

    On the scale mu = (rating - 1500) / 173.7178, phi = deviation / 173.7178:

    g(phi) = 1 / sqrt(1 + 3 phi^2 / pi^2),  E_ij = sigmoid(g(phi_j) (mu_i - mu_j)),
    1/v_i = sum_j games_ij g(phi_j)^2 E_ij (1 - E_ij),
    phi_i'^2 = 1 / (1 / (phi_i^2 + sigma_i'^2) + 1/v_i),
    mu_i' = mu_i + phi_i'^2 sum_j g(phi_j) (wins_ij - games_ij E_ij),

    with the new volatility sigma' from the paper's one-dimensional equation. All games
    of a period count at once. Call it once per moment of a run to let ratings move with
    it; for one tournament, `bradley_terry` uses the same games better.

    Args:
      before: ratings before the period, such as `newcomers`.
      wins: ``wins[i, j]``, how often i beat j; see `score_table`. A player without
        games keeps the rating, and its deviation grows.
      tau: how far volatilities may move; 0.3 to 1.2.

    Returns:
      The ratings after it.

    Raises:
      ValueError: for a table that is not of counts, or of other players.

    Reference: Glickman, "Dynamic paired comparison models with stochastic variances",
    2001, and "Example of the Glicko-2 system", 2013.
    """
    wins = _checked(wins)
    if len(wins) != len(before.rating):
        raise ValueError(
            f"the table is of {len(wins)} players, but there are ratings of "
            f"{len(before.rating)}. Give both of the same ones, in one order."
        )
    mu, phi = (before.rating - 1500) / POINTS, before.deviation / POINTS
    games = wins + wins.T
    g = 1 / np.sqrt(1 + 3 * np.square(phi / np.pi))
    expected = _logistic(g[None] * (mu[:, None] - mu[None]))
    information = (games * np.square(g)[None] * expected * (1 - expected)).sum(axis=1)
    surplus = (g[None] * (wins - games * expected)).sum(axis=1)
    sigma = np.array(
        [
            s if i == 0 else _volatility(s, p, 1 / i, d / i, tau)
            for s, p, i, d in zip(
                before.volatility, phi, information, surplus, strict=True
            )
        ]
    )
    after = 1 / (1 / (np.square(phi) + np.square(sigma)) + information)
    return Ratings(
        1500 + POINTS * (mu + after * surplus), POINTS * np.sqrt(after), sigma
    )


def _volatility(sigma: float, phi: float, v: float, delta: float, tau: float) -> float:
    """sigma' = exp(x/2), at the root x of Glickman's f, which falls with x."""
    from scipy.optimize import brentq

    a = math.log(sigma**2)

    def f(x: float) -> float:
        spread = phi**2 + v + math.exp(x)
        pull = math.exp(x) * (delta**2 - spread) / (2 * spread**2)
        return pull - (x - a) / tau**2

    low = high = a
    while f(low) < 0:
        low -= tau
    while f(high) > 0:
        high += tau
    return math.exp(brentq(f, low, high, xtol=1e-12) / 2) if low < high else sigma


def _checked(wins: Table) -> Float[np.ndarray, "players players"]:
    wins = np.asarray(wins, np.float64)
    bad = not np.isfinite(wins).all() or (wins < 0).any() or np.diag(wins).any()
    if bad or wins.ndim != 2 or wins.shape[0] != wins.shape[1] or len(wins) < 2:
        raise ValueError(
            f"the table has shape {wins.shape}, but wins of at least two players "
            "against each other are wanted: square, finite, nowhere negative, and 0 on "
            "the diagonal, where a player would meet itself."
        )
    return wins


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -700, 700)))
