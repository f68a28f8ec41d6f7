"""Ways to compare: D's best logit, G's gradient, and what couples a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import divergences, losses
from gan_jax.comparisons import class_probability, moment_matching, ratio_matching
from tests.atoms import P, Q, best_logits

REVERSE = divergences.reverse_kl()
LOSSES = {
    "logistic": class_probability("logistic", REVERSE),
    "brier": class_probability("brier", REVERSE),
    "exponential": class_probability("exponential", REVERSE),
    "lsif": ratio_matching(divergences.squared_difference(), REVERSE),
    "kliep": ratio_matching(divergences.kl(), REVERSE),
    "jeffrey": ratio_matching(divergences.jeffrey(), REVERSE),
}
REAL, FAKE = np.array([2.0, -1.0]), np.array([0.5, -3.0])
WANTED = {
    # D's loss at those logits, written out with numpy, and what it is a multiple of.
    "logistic": (np.log1p(np.exp(-REAL)).mean() + np.log1p(np.exp(FAKE)).mean(), 1, 0),
    "brier": (
        (1 - 1 / (1 + np.exp(-REAL))).dot(1 - 1 / (1 + np.exp(-REAL))) / 2
        + ((1 / (1 + np.exp(-FAKE))) ** 2).mean(),
        1,
        0,
    ),
    "exponential": (np.exp(-REAL / 2).mean() + np.exp(FAKE / 2).mean(), 1, 0),
    "lsif": (np.exp(2 * FAKE).mean() / 2 - np.exp(REAL).mean(), 2, 1),
    "kliep": (np.exp(FAKE).mean() - REAL.mean(), 1, -1),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_best_logit_is_the_log_ratio(name):
    logits, _ = best_logits(LOSSES[name])
    np.testing.assert_allclose(logits, np.log(P / Q), atol=1e-5)


@pytest.mark.parametrize("name", WANTED)
def test_values(name):
    real, fake = jnp.asarray(REAL, jnp.float32), jnp.asarray(FAKE, jnp.float32)
    value, scale, shift = WANTED[name]
    loss = LOSSES[name]
    assert float(loss.disc(real, fake)) == pytest.approx(
        scale * value + shift, rel=1e-6
    )
    # KL(Q || P) with log p/q given: -E_q log p/q, up to a constant.
    assert float(loss.gen(real, fake)) == pytest.approx(1 - FAKE.mean(), rel=1e-6)
    slope = jax.grad(loss.disc, argnums=0)(real, fake)
    assert (np.asarray(slope) < 0).all()  # high is real


def test_the_bregman_distance():
    """L_D less its least value is E_q of the distance from p/q to u, by definition."""
    fit = divergences.squared_hellinger()
    f = lambda u: (np.sqrt(u) - 1) ** 2
    slope = lambda u: 1 - 1 / np.sqrt(u)
    loss = ratio_matching(fit, REVERSE)
    u, r = np.array([0.5, 1.5, 3.0, 2.0, 0.3, 0.7]), P / Q
    distance = f(r) - f(u) - slope(u) * (r - u)

    def expected(u):
        at = lambda i: jnp.full(1, np.log(u[i]), jnp.float32)
        zero = jnp.zeros(1)  # where this fit's a and h are both 0
        real = sum(p * loss.disc(at(i), zero) for i, p in enumerate(P))
        return real + sum(q * loss.disc(zero, at(i)) for i, q in enumerate(Q))

    assert float(expected(u) - expected(r)) == pytest.approx(
        (Q * distance).sum(), rel=1e-4
    )


@pytest.mark.parametrize(
    "name", ["kl", "jensen_shannon", "squared_hellinger", "squared_difference"]
)
def test_the_generator_minimises_the_divergence_of_its_own(name):
    """Whatever D was trained by: the gradient by q's masses, D held at its best."""
    value = {
        "kl": lambda q: (P * np.log(P / q)).sum(),
        "jensen_shannon": lambda q: (
            (P * np.log(2 * P / (P + q))).sum() / 2
            + (q * np.log(2 * q / (P + q))).sum() / 2
        ),
        "squared_hellinger": lambda q: ((np.sqrt(P) - np.sqrt(q)) ** 2).sum(),
        "squared_difference": lambda q: ((P - q) ** 2 / q).sum(),
    }[name]
    divergence = getattr(divergences, name)()
    moves = np.eye(6)[1:] - np.eye(6)[:-1]  # mass from one atom to the next
    wanted = [(value(Q + 1e-6 * m) - value(Q - 1e-6 * m)) / 2e-6 for m in moves]
    for loss in (
        class_probability("brier", divergence),
        ratio_matching(divergences.kl(), divergence),
    ):
        gen = [loss.gen(jnp.zeros(1), jnp.array([s])) for s in np.log(P / Q)]
        np.testing.assert_allclose(moves @ np.array(gen), wanted, rtol=1e-4)


def product_of_different_samples(r, f):
    """E (r - f) E (r' - f') without bias, by a loop over pairs."""
    n = len(r)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    same = np.mean([r[i] * r[j] + f[i] * f[j] for i, j in pairs])
    return same - 2 * np.mean(r) * np.mean(f)


def test_moments():
    loss = moment_matching()
    r, f = np.array([2.0, -1.0, 0.7]), np.array([0.5, -3.0, 1.0])
    wanted = product_of_different_samples(r, f)
    real, fake = jnp.asarray(r, jnp.float32), jnp.asarray(f, jnp.float32)
    assert float(loss.gen(real, fake)) == pytest.approx(wanted, rel=1e-5)
    assert float(loss.disc(real, fake)) == pytest.approx(-wanted, rel=1e-5)
    slope = jax.grad(loss.gen, argnums=1)(real, fake)
    moves = [
        product_of_different_samples(r, f + h) - product_of_different_samples(r, f - h)
        for h in 0.5e-6 * np.eye(3)
    ]
    np.testing.assert_allclose(slope, np.array(moves) / 1e-6, rtol=1e-4)
    with pytest.raises(ValueError, match="at least 2"):
        loss.gen(real[:1], fake[:1])


def test_moments_are_taken_over_all_devices():
    loss = moment_matching(axis_name="batch")
    real, fake = (
        jnp.array([[3.0, 1.0], [2.5, 0.0]]),
        jnp.array([[0.0, 0.5], [-2.0, 1.0]]),
    )
    wanted = product_of_different_samples(np.ravel(real), np.ravel(fake))
    for part, sign in ((loss.gen, 1), (loss.disc, -1)):
        own = jax.vmap(part, axis_name="batch")(real, fake)
        np.testing.assert_allclose(own, [sign * wanted] * 2, rtol=1e-5)


@pytest.mark.parametrize("name", [*LOSSES, "moments"])
def test_couples_is_told_truly(name):
    """Whether the loss of a batch is the mean of the losses of its halves."""
    loss = LOSSES.get(name, moment_matching())
    real, fake = jnp.array([2.0, -1.0, 0.3, 0.1]), jnp.array([0.5, -3.0, 1.0, 0.2])
    for part in (loss.disc, loss.gen):
        each = [part(real[i : i + 2], fake[i : i + 2]) for i in (0, 2)]
        separate = np.allclose(np.mean(each), part(real, fake), rtol=1e-5)
        assert separate == (loss.couples == "none")
    assert loss.couples in ("none", "batch")


@pytest.mark.parametrize(
    "divergence",
    [
        divergences.total_variation(),
        divergences.kl().with_activation(lambda v: v),
        divergences.squared_hellinger().with_activation(lambda v: 1 - jnp.exp(-v)),
    ],
)
def test_a_divergence_without_the_log_ratio_is_refused(divergence):
    for wrong in (
        lambda: class_probability("logistic", divergence),
        lambda: ratio_matching(divergence, REVERSE),
        lambda: ratio_matching(REVERSE, divergence),
    ):
        with pytest.raises(ValueError, match="logit is log p/q"):
            wrong()


def test_an_unknown_kind_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"kind is 'hinge'.*brier"):
        class_probability("hinge", REVERSE)


def test_the_logistic_class_probability_is_the_original_game():
    loss = class_probability("logistic", divergences.logistic())
    real, fake = jnp.array([2.0, -1.0]), jnp.array([0.5, -3.0])
    for part in ("disc", "gen"):
        wanted = float(getattr(losses.minimax(), part)(real, fake))
        assert float(getattr(loss, part)(real, fake)) == pytest.approx(wanted)
