"""Likelihood-ratio games and the ways to compare: what D learns, what G follows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from gan_jax import losses, ratios
from gan_jax.ratios import designed, likelihood_ratio
from tests.atoms import P, Q, assert_finite_and_exact, best_logits, evaluated


# A game of one's own, whose phi and psi have no closed form.
def weight(t):
    return jnp.exp(-t / 2) / jnp.sqrt(1 + t**2)


PAIRS = {
    # A pair, omega at r = 1/4, 1 and 4, and d(r) up to a constant.
    "cross_entropy": (
        ratios.cross_entropy(),
        (-1.386294, 0, 1.386294),
        lambda r: -np.log(1 + r) - r * np.log(1 + 1 / r),
    ),
    "exponential": (
        ratios.exponential(),
        (-0.693147, 0, 0.693147),
        lambda r: -2 * np.sqrt(r),
    ),
    "least_squares": (
        ratios.least_squares(),
        (-0.6, 0, 0.6),
        lambda r: -4 * r / (1 + r),
    ),
    "least_squares_0_1": (
        ratios.least_squares(0.0, 1.0),
        (0.2, 0.5, 0.8),
        lambda r: -r / (1 + r),
    ),
    "probability": (
        ratios.probability(),
        (0.2, 0.5, 0.8),
        lambda r: -np.log(1 + r) - r * np.log(1 + 1 / r),
    ),
    "power": (ratios.power(), (0.25, 1, 4), lambda r: r**2 / 2 - r + 0.5),
    "power_2_1": (
        ratios.power(2.0, 1.0),
        (1 / 16, 1, 16),
        lambda r: r**5 / 10 - r / 2 + 2 / 5,
    ),
    "power_1_-1": (
        ratios.power(1.0, -1.0),
        (0.25, 1, 4),
        lambda r: 1 - r + r * np.log(r),
    ),
    "total_variation": (ratios.total_variation(), (-1, None, 1), lambda r: abs(r - 1)),
    "designed": (
        designed(lambda log_r: log_r, weight),
        (-1.386294, 0, 1.386294),
        lambda r: np.array([drawn_out(x) for x in np.log(r)]),
    ),
    "designed_bounded": (
        # rho(t) omega'(v) = sigmoid(-v): cross-entropy with bounded outputs.
        designed(
            jnp.arctan, lambda t: (1 + jnp.tan(t) ** 2) / (1 + jnp.exp(jnp.tan(t)))
        ),
        (-0.945886, 0, 0.945886),
        lambda r: (1 + r) * np.log(2) - np.log(1 + r) - r * np.log(1 + 1 / r),
    ),
}


def drawn_out(log_r):
    """d of the first designed game: SciPy's integrals of -e^t rho(t) and of rho(t)."""
    rho = lambda t: np.exp(-t / 2) / np.sqrt(1 + t**2)
    phi = quad(lambda t: -np.exp(t) * rho(t), 0, log_r)[0]
    return phi + np.exp(log_r) * quad(rho, 0, log_r)[0]


@pytest.mark.parametrize("name", PAIRS)
def test_d_learns_omega(name):
    """By brute force: where phi + r psi is largest, and that the pair knows it."""
    pair, omega, _ = PAIRS[name]
    v = np.linspace(-8, 8, 64001)
    phi, psi, t = (evaluated(f, v) for f in (pair.phi, pair.psi, pair.activation))
    for r, wanted in zip((0.25, 1, 4), omega, strict=True):
        if wanted is None:
            continue  # any t is as good
        assert t[np.argmax(phi + r * psi)] == pytest.approx(wanted, rel=1e-3, abs=1e-3)
        known = evaluated(
            lambda x, pair=pair: pair.activation(pair.output(x)), np.log(r)
        )
        assert known == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_the_best_free_logits_give_the_divergence(name):
    """The game's value is E_p d(q/p), with D's loss as it is trained."""
    pair, _, d = PAIRS[name]
    logits, value = best_logits(likelihood_ratio(pair))
    r = Q / P
    assert -value == pytest.approx((P * d(r)).sum(), rel=1e-7)
    if name != "total_variation":
        wanted = evaluated(pair.output, np.log(r))
        np.testing.assert_allclose(-logits, wanted, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in PAIRS if name != "total_variation"])
def test_the_generator_follows_d(name):
    """d'(r) = psi at the best D: the gradient by q's masses, and 0 at r = 1 or not."""
    pair, _, d = PAIRS[name]
    r = np.array([0.2, 0.5, 1.0, 1.7, 6.0])
    loss = likelihood_ratio(pair)
    logits = -evaluated(pair.output, np.log(r))
    with jax.enable_x64():
        slopes = np.array(
            [loss.gen(jnp.zeros(1), jnp.asarray(s).reshape(1)) for s in logits]
        )
    wanted = (d(r + 1e-5) - d(r - 1e-5)) / 2e-5
    np.testing.assert_allclose(slopes, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["designed", "designed_bounded"])
def test_a_designed_game_has_the_slopes_that_were_asked_for(name):
    """phi'(t) = -r rho(t) and psi'(t) = rho(t), once more differentiable, exactly."""
    pair = PAIRS[name][0]
    rho = {
        "designed": lambda t: np.exp(-t / 2) / np.sqrt(1 + t**2),
        "designed_bounded": lambda t: (1 + np.tan(t) ** 2) / (1 + np.exp(np.tan(t))),
    }[name]

    @jax.jit
    def slopes(v):
        first = [jax.grad(f) for f in (pair.activation, pair.phi, pair.psi)]
        second = [jax.grad(jax.grad(f)) for f in (pair.phi, pair.psi)]
        return [jax.vmap(f)(v) for f in (pair.activation, *first, *second)]

    v = np.array([-3.0, -0.5, 0.0, 2.0])
    with jax.enable_x64():
        t, dt, phi, psi, phi_2, psi_2 = jax.device_get(slopes(jnp.asarray(v)))
        _, _, *ahead = jax.device_get(slopes(jnp.asarray(v + 1e-6)))
        _, _, *behind = jax.device_get(slopes(jnp.asarray(v - 1e-6)))
    np.testing.assert_allclose(psi / dt, rho(t), rtol=1e-10)
    np.testing.assert_allclose(phi / dt, -np.exp(v) * rho(t), rtol=1e-10)
    for exact, i in ((phi_2, 0), (psi_2, 1)):
        np.testing.assert_allclose(exact, (ahead[i] - behind[i]) / 2e-6, rtol=1e-6)


def test_known_games_come_out():
    real, fake = jnp.array([2.0, -1.0]), jnp.array([0.5, -3.0])
    softplus = lambda v: jax.nn.softplus(v)
    square = lambda v: v**2
    same = {
        losses.minimax(): likelihood_ratio(ratios.cross_entropy()),
        losses.nonsaturating(): likelihood_ratio(
            ratios.cross_entropy(), alpha=softplus, beta=softplus
        ),
    }
    for known, loss in same.items():
        for part in ("disc", "gen"):
            wanted = float(getattr(known, part)(real, fake))
            assert float(getattr(loss, part)(real, fake)) == pytest.approx(wanted)
    # LSGAN with targets (1, -1, 0), without its halves.
    known = losses.least_squares(1.0, -1.0, 0.0)
    loss = likelihood_ratio(ratios.least_squares(), alpha=square, beta=square)
    for part in ("disc", "gen"):
        wanted = 2 * float(getattr(known, part)(real, fake))
        assert float(getattr(loss, part)(real, fake)) == pytest.approx(wanted)


CROSS = ratios.cross_entropy()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: likelihood_ratio(CROSS, alpha=jnp.exp), "without beta"),
        (lambda: likelihood_ratio(CROSS, beta=lambda v: -v), "no line below"),
        (lambda: likelihood_ratio(CROSS, beta=jnp.ones_like), "no line below"),
        # d = r (log r - 1)^2 is least at r = e and at 0, not at 1.
        (lambda: likelihood_ratio(CROSS, beta=lambda v: (v - 1) ** 2), "no line below"),
        (lambda: likelihood_ratio(CROSS, beta=lambda v: 1 / v), "not finite"),
        # d = r log r again, but what moves G is turned round.
        (
            lambda: likelihood_ratio(
                CROSS, alpha=lambda v: 2 * v * jnp.exp(v), beta=lambda v: -v
            ),
            "falls at r = 1",
        ),
        # High for real: phi and psi the wrong way round.
        (
            lambda: likelihood_ratio(CROSS._replace(phi=CROSS.psi, psi=CROSS.phi)),
            "would not learn",
        ),
        (
            lambda: likelihood_ratio(CROSS._replace(output=lambda x: x / 2)),
            "would not learn",
        ),
        (lambda: designed(lambda x: -x, jnp.exp), "omega' is -1"),
        (lambda: designed(lambda x: x, lambda t: t), "rho is -6 at log r = -6"),
        (lambda: ratios.least_squares(1.0, -1.0), "real < fake"),
        (lambda: ratios.power(-1.0), "must rise"),
    ],
)
def test_what_is_no_game_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_allowed_extensions():
    """Each beta, and what one step of G follows by it: d' = beta(omega(r))."""
    reverse_kl = likelihood_ratio(CROSS, beta=lambda v: v)
    assert float(reverse_kl.gen(jnp.zeros(2), jnp.array([1.0, 2.0]))) == -1.5
    # d = -log r, where alpha is needed: alone beta has d = -1.
    beta = lambda v: -jnp.exp(-v)
    kl = likelihood_ratio(CROSS, alpha=lambda v: -v, beta=beta)
    assert float(kl.gen(jnp.zeros(1), jnp.log(jnp.array([3.0])))) == pytest.approx(-3)
    with pytest.raises(ValueError, match="no line below"):
        likelihood_ratio(CROSS, beta=beta)
    # A non-convex d that is least at 1, with alpha = 0.
    likelihood_ratio(ratios.least_squares(), beta=jnp.square)


def test_a_game_can_be_made_while_tracing():
    made = jax.jit(
        lambda s: likelihood_ratio(
            designed(lambda x: x, weight), beta=lambda v: v
        ).disc(s, s)
    )(jnp.zeros(2))
    assert float(made) == 0.0


@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize(
    "name", ["cross_entropy", "least_squares", "probability", "total_variation"]
)
def test_huge_logits_are_finite_and_exact(name, size):
    assert_finite_and_exact([likelihood_ratio(PAIRS[name][0])], size)
