"""f-divergences against their sums, their suprema, and at any size of logit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import rel_entr, wrightomega

from gan_jax import divergences, losses
from gan_jax.divergences import f_gan
from tests.atoms import (
    FAKE,
    REAL,
    P,
    Q,
    assert_finite_and_exact,
    best_logits,
    evaluated,
)

DIVERGENCES = {
    "total_variation": divergences.total_variation(),
    "kl": divergences.kl(),
    "reverse_kl": divergences.reverse_kl(),
    "squared_difference": divergences.squared_difference(),
    "relative_squared_difference": divergences.relative_squared_difference(),
    "squared_hellinger": divergences.squared_hellinger(),
    "jeffrey": divergences.jeffrey(),
    "jensen_shannon": divergences.jensen_shannon(),
    "weighted_jensen_shannon": divergences.jensen_shannon(0.3),
    "twice_jensen_shannon": divergences.twice_jensen_shannon(),
    "logistic": divergences.logistic(),
}
RATIO = [name for name in DIVERGENCES if name != "total_variation"]
BOUNDED = ["total_variation", "logistic"]
BOUNDED += [name for name in DIVERGENCES if name.endswith("jensen_shannon")]


def kl(p, q):
    return rel_entr(p, q).sum()


def js(p, q, w):
    m = w * p + (1 - w) * q
    return w * kl(p, m) + (1 - w) * kl(q, m)


# What each divergence is, without an f.
SUMS = {
    "total_variation": lambda p, q: np.abs(p - q).sum() / 2,
    "kl": kl,
    "reverse_kl": lambda p, q: kl(q, p),
    "squared_difference": lambda p, q: ((p - q) ** 2 / q).sum(),
    "relative_squared_difference": lambda p, q: ((p - q) ** 2 / p).sum(),
    "squared_hellinger": lambda p, q: ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(),
    "jeffrey": lambda p, q: kl(p, q) + kl(q, p),
    "jensen_shannon": lambda p, q: js(p, q, 0.5),
    "weighted_jensen_shannon": lambda p, q: js(p, q, 0.3),
    "twice_jensen_shannon": lambda p, q: kl(p, (p + q) / 2) + kl(q, (p + q) / 2),
    "logistic": lambda p, q: 2 * js(p, q, 0.5) - 2 * np.log(2),
}
# Values of t within the domain of f*, at and beyond its ends.
PLACES = {
    "total_variation": ([-0.7, -0.5, -0.2, 0.3, 0.5], [0.51, 2.0]),
    "kl": ([-3.0, 0.0, 1.0, 4.0], []),
    "reverse_kl": ([-30.0, -1.0, -0.1], [0.0, 1.0]),
    "squared_difference": ([-9.0, -2.0, -1.9, 0.0, 5.0], []),
    "relative_squared_difference": ([-50.0, -1.0, 0.0, 0.9], [1.1, 9.0]),
    "squared_hellinger": ([-50.0, -1.0, 0.0, 0.9], [1.0, 3.0]),
    "jeffrey": ([-900.0, -1.0, 0.0, 1.0, 9.0], []),
    "jensen_shannon": ([-3.0, 0.0, 0.3], [0.36, 1.0]),
    "weighted_jensen_shannon": ([-2.0, 0.0, 0.3], [0.37, 1.0]),
    "twice_jensen_shannon": ([-3.0, 0.0, 0.6], [0.7, 2.0]),
    "logistic": ([-3.0, -1.0, -0.1], [0.0, 1.0]),
}


def derivative(function, x, h=1e-6):
    return (function(x + h) - function(x - h)) / (2 * h)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_f_gives_the_divergence(name):
    f = DIVERGENCES[name].f
    for p, q in ((P, Q), (Q, P)):
        value = (q * evaluated(f, p / q)).sum()
        assert value == pytest.approx(SUMS[name](p, q), rel=1e-12)
    zero = -2 * np.log(2) if name == "logistic" else 0.0
    assert evaluated(f, [1.0])[0] == pytest.approx(zero, abs=1e-15)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_conjugate_is_the_supremum(name):
    """sup {t u - f(u)} by brute force, on a grid of u from next to 0 to e^25."""
    divergence, (inside, outside) = DIVERGENCES[name], PLACES[name]
    u = np.exp(np.linspace(-25, 25, 200001))
    f = evaluated(divergence.f, u)
    brute = [(t * u - f).max() for t in inside]
    np.testing.assert_allclose(
        evaluated(divergence.conjugate, inside), brute, rtol=1e-6, atol=1e-6
    )
    for t in outside:
        # No supremum: it grows with the grid.
        assert (t * u - f).max() > 20
        assert evaluated(divergence.conjugate, [t])[0] == np.inf


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_composite_is_the_conjugate_of_the_activation(name):
    divergence, v = DIVERGENCES[name], np.linspace(-6, 6, 25)
    plain = evaluated(lambda v: divergence.conjugate(divergence.activation(v)), v)
    np.testing.assert_allclose(
        evaluated(divergence.composite, v), plain, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("name", RATIO)
def test_the_activation_is_the_slope_of_f_at_the_ratio(name):
    divergence, v = DIVERGENCES[name], np.linspace(-3, 3, 13)
    slope = derivative(lambda u: evaluated(divergence.f, u), np.exp(v))
    np.testing.assert_allclose(
        evaluated(divergence.activation, v), slope, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_best_free_logits_give_the_divergence(name):
    """Dual = primal, with D's loss as it is trained; and the logits are log p/q."""
    logits, value = best_logits(f_gan(DIVERGENCES[name]))
    assert -value == pytest.approx(SUMS[name](P, Q), rel=1e-8)
    if name in RATIO:
        np.testing.assert_allclose(logits, np.log(P / Q), atol=1e-5)
    else:
        np.testing.assert_array_equal(np.sign(logits), np.sign(P - Q))


PAPERS = {
    # Other activations: Nowozin et al.'s and Su's. The best v for each u = p/q.
    "kl": (lambda v: v, lambda u: 1 + np.log(u)),
    "reverse_kl": (lambda v: -jnp.exp(v), lambda u: -np.log(u)),
    "squared_difference": (lambda v: v, lambda u: 2 * (u - 1)),
    "relative_squared_difference": (lambda v: 1 - jnp.exp(v), lambda u: -2 * np.log(u)),
    "squared_hellinger": (lambda v: 1 - jnp.exp(v), lambda u: -np.log(u) / 2),
    "jeffrey": (lambda v: v, lambda u: 1 + np.log(u) - 1 / u),
}


@pytest.mark.parametrize("name", PAPERS)
def test_another_activation_is_the_same_game(name):
    activation, best = PAPERS[name]
    other = f_gan(DIVERGENCES[name].with_activation(activation))
    with jax.enable_x64():
        v = jnp.asarray(best(P / Q))
        value, slope = jax.value_and_grad(lambda v: -other.disc(v[REAL], v[FAKE]))(v)
        value, slope = float(value), np.asarray(slope)
    assert value == pytest.approx(SUMS[name](P, Q), rel=1e-10)
    np.testing.assert_allclose(slope, 0, atol=1e-10)


@pytest.mark.parametrize("name", RATIO)
def test_the_generators_gradient_at_the_best_d_is_that_of_the_divergence(name):
    """By the masses of q, which move no logit: D is held fixed."""
    best = np.log(P / Q)
    saturating, other = (
        np.array(
            [
                f_gan(DIVERGENCES[name], saturating=s).gen(jnp.zeros(1), jnp.array([v]))
                for v in best
            ]
        )
        for s in (True, False)
    )
    moves = np.eye(6)[1:] - np.eye(6)[:-1]  # mass from one atom to the next

    def slopes(function):
        return [derivative(lambda h, d=d: function(P, Q + h * d), 0.0) for d in moves]

    np.testing.assert_allclose(moves @ saturating, slopes(SUMS[name]), rtol=1e-4)
    if name in ("kl", "squared_hellinger"):
        # The non-saturating one follows another divergence: q's from p.
        follows = {
            "kl": lambda p, q: kl(q, p),
            "squared_hellinger": lambda p, q: 2 / 3 * (q**1.5 / p**0.5).sum(),
        }[name]
        np.testing.assert_allclose(moves @ other, slopes(follows), rtol=1e-4)
    # The plug-in estimate E f(p/q) follows D_f for the reverse KL alone.
    plugged = evaluated(DIVERGENCES[name].f, P / Q)
    same = np.allclose(moves @ plugged, slopes(SUMS[name]), rtol=1e-3)
    assert same == (name == "reverse_kl")


@pytest.mark.parametrize("name", DIVERGENCES)
def test_values_and_gradients_in_single_precision(name):
    """Against central differences of f*(t) and a(v) in float64."""
    r, f = np.array([2.0, -1.0]), np.array([0.5, -3.0])
    divergence = DIVERGENCES[name]
    a = lambda v: evaluated(divergence.activation, v)
    h = lambda v: evaluated(lambda v: divergence.conjugate(divergence.activation(v)), v)
    zero = np.zeros(2)
    wanted = {
        "disc": (
            h(f).mean() - a(r).mean(),
            -derivative(a, r) / 2,
            derivative(h, f) / 2,
        ),
        "gen": (-h(f).mean(), zero, -derivative(h, f) / 2),
        "other": (-a(f).mean(), zero, -derivative(a, f) / 2),
    }
    loss, other = f_gan(divergence), f_gan(divergence, saturating=False)
    real, fake = jnp.asarray(r, jnp.float32), jnp.asarray(f, jnp.float32)
    parts = {"disc": loss.disc, "gen": loss.gen, "other": other.gen}
    for part, function in parts.items():
        value, slopes = jax.value_and_grad(function, argnums=(0, 1))(real, fake)
        for got, right in zip((value, *slopes), wanted[part], strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-7)
    assert loss.couples == "none"


@pytest.mark.parametrize("name", RATIO)
def test_large_logits_lose_nothing(name):
    """h'(v) = e^v a'(v), in float32 where numbers only just hold it."""
    divergence, v = DIVERGENCES[name], np.array([-40.0, 40.0])
    single = jnp.asarray(v, jnp.float32)
    value, slope = jax.jvp(divergence.composite, (single,), (jnp.ones(2),))
    with jax.enable_x64():
        double = jnp.asarray(v)
        rise = jax.jvp(divergence.activation, (double,), (jnp.ones(2),))[1]
        wanted = np.exp(v) * np.asarray(rise)
    assert np.isfinite(value).all()
    np.testing.assert_allclose(slope, wanted, rtol=1e-5)


@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("name", [*BOUNDED, "linear"])
def test_huge_logits_are_finite_and_exact(name, size):
    divergence = (
        divergences.squared_difference().with_activation(lambda v: v)
        if name == "linear"
        else DIVERGENCES[name]
    )
    both = f_gan(divergence), f_gan(divergence, saturating=False)
    assert_finite_and_exact(both, size)


def test_jeffreys_conjugate_at_any_size():
    """Where W and e^(1 - t) are no numbers any more; SciPy knows W(e^s) as omega(s)."""
    t = np.array([-1e6, -900.0, -30.0, 0.0, 1.0, 2.0, 30.0, 80.0])
    w = wrightomega(1 - t)
    conjugate = divergences.jeffrey().conjugate
    with jax.enable_x64():
        value, slope = jax.jvp(conjugate, (jnp.asarray(t),), (jnp.ones(8),))
        value, slope = np.asarray(value), np.asarray(slope)
    np.testing.assert_allclose(value, 1 / w - 1 - np.log(w), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(slope, 1 / w, rtol=1e-12)
    single = jnp.asarray(t, jnp.float32)
    np.testing.assert_allclose(conjugate(single), value, rtol=1e-5, atol=1e-6)
    slopes = jax.grad(lambda t: conjugate(t).sum())(single)
    np.testing.assert_allclose(slopes, slope, rtol=1e-5)


DISJOINT = {
    "total_variation": 1.0,
    "squared_hellinger": 2.0,
    "jensen_shannon": np.log(2),
    "weighted_jensen_shannon": -0.3 * np.log(0.3) - 0.7 * np.log(0.7),
    "twice_jensen_shannon": 2 * np.log(2),
    "logistic": 0.0,
}


@pytest.mark.parametrize("name", DIVERGENCES)
def test_two_points_apart(name):
    """Where D wins the value no longer tells how far apart they are, or is infinite;
    G's slope by the logit is gone if it saturates."""
    real, fake = jnp.array([60.0]), jnp.array([-60.0])
    loss = f_gan(DIVERGENCES[name])
    value = -float(loss.disc(real, fake))
    if name in DISJOINT:
        assert value == pytest.approx(DISJOINT[name], abs=1e-6)
        slope = float(jax.grad(loss.gen, argnums=1)(real, fake)[0])
        assert abs(slope) < 1e-12
    else:
        assert value > 50


def test_the_logistic_game_is_the_original_one():
    real, fake = jnp.array([2.0, -1.0]), jnp.array([0.5, -3.0])
    for saturating, known in (
        (True, losses.minimax()),
        (False, losses.nonsaturating()),
    ):
        loss = f_gan(divergences.logistic(), saturating=saturating)
        for part in ("disc", "gen"):
            got, wanted = getattr(loss, part), getattr(known, part)
            assert float(got(real, fake)) == pytest.approx(float(wanted(real, fake)))


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0])
def test_a_prior_that_is_no_probability_is_refused(prior):
    with pytest.raises(ValueError, match=r"prior is .*between 0 and 1"):
        divergences.jensen_shannon(prior)
