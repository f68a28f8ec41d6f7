"""Dynamics of small games against matrix powers, plain loops and conserved numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import alternating, kernel, losses, penalties, simultaneous
from gan_jax.dynamics import (
    consensus,
    extragradient,
    field,
    optimistic_adam,
    optimistic_sgd,
)
from gan_jax.objectives.games import bilinear, dirac, linear_quadratic
from gan_jax.optimizers import adam

POINT = {"real": np.zeros((2, 1))}
AT_ONCE = simultaneous("gen", "disc")


def run(game, optimizer, steps, play=AT_ONCE, ema=None, batch=POINT):
    """A run's last state, and all points that it passed, (steps, all numbers)."""
    alike = not isinstance(optimizer, dict)
    optimizers = dict.fromkeys(("gen", "disc"), optimizer) if alike else optimizer
    built = kernel(game, optimizers, play=play, ema=ema)
    if len(play) > 1:
        batch = jax.tree.map(lambda x: jnp.concatenate([x] * len(play)), batch)

    def step(state, _):
        state, info = built.step(state, batch)
        flat = [state.params["disc"].ravel(), state.params["gen"].ravel()]
        return state, (jnp.concatenate(flat), info)

    @jax.jit
    def whole(key):
        return jax.lax.scan(step, built.init(key, batch), length=steps)

    return jax.device_get(whole(jax.random.key(0)))


# w = (psi, phi): the field is J w.
TURN = np.array([[0.0, 1.0], [-1.0, 0.0]])
ONE, RATE = np.eye(2), 0.1


def powers(matrix, start, n):
    return np.linalg.matrix_power(matrix, n) @ start


def optimistic(n):
    """(w_t, w_(t-1)) as one vector; the first step is an ordinary one."""
    both = np.block([[ONE - 2 * RATE * TURN, RATE * TURN], [ONE, 0 * ONE]])
    return powers(both, np.ones(4), n)[:2]


BY_HAND = {
    "simultaneous": lambda n: powers(ONE - RATE * TURN, np.ones(2), n),
    "gen_first": lambda n: powers(
        (ONE - RATE * np.diag([1, 0]) @ TURN) @ (ONE - RATE * np.diag([0, 1]) @ TURN),
        np.ones(2),
        n,
    ),
    "optimistic": optimistic,
    "extragradient": lambda n: powers(
        ONE - RATE * TURN @ (ONE - RATE * TURN), np.ones(2), n
    ),
    "consensus": lambda n: powers(ONE - RATE * (TURN + TURN.T @ TURN), np.ones(2), n),
    "r1": lambda n: powers(ONE - RATE * (TURN + np.diag([1, 0])), np.ones(2), n),
}
GAME = lambda: bilinear(np.ones(1), np.ones(1))
SGD = optax.sgd(RATE)
PLAYED = {
    "simultaneous": lambda n: run(GAME(), SGD, n),
    "gen_first": lambda n: run(GAME(), SGD, n, alternating("gen", "disc")),
    "optimistic": lambda n: run(GAME(), optimistic_sgd(RATE), n),
    "extragradient": lambda n: run(GAME(), extragradient(SGD), 2 * n),
    "consensus": lambda n: run(consensus(GAME(), 1.0), SGD, n),
    "r1": lambda n: run(
        dirac(
            np.ones(1), np.ones(1), loss=losses.wasserstein(), penalty=penalties.r1(1.0)
        ),
        SGD,
        n,
    ),
}
KNOWN = {  # distances after 100 and 1000 iterations
    "simultaneous": (2.326, 204.7),
    "gen_first": (1.436, 1.431),
    "optimistic": (0.860, 0.0089),
    "extragradient": (0.860, 0.0098),
    "consensus": (6.9e-5, 1.0e-43),
    "r1": (0.01396, 5.0e-21),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_bilinear_game(name):
    with jax.enable_x64():
        _, (path, _) = PLAYED[name](1000)
    every = len(path) // 1000
    for n, known in zip((100, 1000), KNOWN[name], strict=True):
        wanted = BY_HAND[name](n)
        np.testing.assert_allclose(path[every * n - 1], wanted, rtol=1e-8)
        assert np.linalg.norm(wanted) == pytest.approx(known, rel=0.06)


def test_extragradient_looks_ahead():
    """Odd steps end at the extrapolated point, even ones start from the stored one."""
    with jax.enable_x64():
        _, (path, _) = run(GAME(), extragradient(SGD), 4)
    start = np.ones(2)
    for ahead, after in zip(path[::2], path[1::2], strict=True):
        np.testing.assert_allclose(ahead, (ONE - RATE * TURN) @ start)
        np.testing.assert_allclose(after, start - RATE * TURN @ ahead)
        start = after
    with pytest.raises(ValueError, match="was not given the parameters"):
        extragradient(SGD).update(jnp.ones(2), extragradient(SGD).init(jnp.ones(2)))


def adam_direction(moments, g, b1, b2, eps=1e-8):
    """Adam's moments after ``g``, and its direction, in plain numbers."""
    m, v, t = moments
    m, v, t = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2, t + 1
    return (m, v, t), (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)


def dirac_slope(w):
    """(dL_D / dpsi, dL_G / dphi) of the non-saturating Dirac-GAN on a line."""
    psi, phi = w
    s = psi * phi
    return np.array([phi / (1 + np.exp(-s)), -psi / (1 + np.exp(s))])


def test_extra_adam_is_the_plain_loop():
    """Both gradients enter the moments; the step starts from the stored point."""
    with jax.enable_x64():
        optimizer = extragradient(adam(0.05, b1=0.5, b2=0.9))
        game = dirac(np.array([0.7]), np.array([0.4]))
        _, (path, info) = run(game, optimizer, 60)
    w, moments = np.array([0.4, 0.7]), (0.0, 0.0, 0)
    for after in path[1::2]:
        moments, u = adam_direction(moments, dirac_slope(w), 0.5, 0.9)
        moments, u = adam_direction(moments, dirac_slope(w - 0.05 * u), 0.5, 0.9)
        w = w - 0.05 * u
        np.testing.assert_allclose(after, w, rtol=1e-9)
    np.testing.assert_allclose(info["gen/learning_rate"], 0.05)


def test_optimistic_adam_is_the_plain_loop():
    rate = lambda step: 0.05 / (1 + step / 10)
    with jax.enable_x64():
        game = dirac(np.array([0.7]), np.array([0.4]))
        _, (path, info) = run(game, optimistic_adam(rate, b1=0.5, b2=0.9), 30)
    w, moments, last = np.array([0.4, 0.7]), (0.0, 0.0, 0), None  # the rate: float32
    for t, after in enumerate(path):
        moments, u = adam_direction(moments, dirac_slope(w), 0.5, 0.9)
        w = w - rate(t) * (2 * u - (u if last is None else last))
        last = u
        np.testing.assert_allclose(after, w, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(info["disc/learning_rate"], rate(np.arange(30)))


def test_optimistic_rate_is_reported():
    _, (_, info) = run(GAME(), optimistic_sgd(lambda step: 1.0 / (1 + step)), 3)
    np.testing.assert_allclose(info["gen/learning_rate"], [1, 1 / 2, 1 / 3], rtol=1e-6)


def by_flow(objective, batch, params, time, steps):
    """Runge and Kutta's fourth order along -v, in one call."""
    v = field(objective)
    keys = jax.random.split(jax.random.key(0), len(batch["real"]))
    stats = {player: {} for player in params}
    h = time / steps

    def slope(w):
        return jax.tree.map(jnp.negative, v(w, stats, batch, keys, 0))

    def ahead(w, k, by):
        return jax.tree.map(lambda x, dx: x + by * dx, w, k)

    def step(w, _):
        a = slope(w)
        b = slope(ahead(w, a, h / 2))
        c = slope(ahead(w, b, h / 2))
        d = slope(ahead(w, c, h))
        w = jax.tree.map(
            lambda x, a, b, c, d: x + h / 6 * (a + 2 * b + 2 * c + d), w, a, b, c, d
        )
        return w, w

    return jax.device_get(
        jax.jit(lambda w: jax.lax.scan(step, w, length=steps)[1])(params)
    )


def quadratic_potential(weight):
    """GAN-QP's term: (D(x) - D(x_f))^2 / (2 weight |x - x_f|)."""

    def penalty(disc, real, fake, keys, step):
        gap = disc(real) - disc(fake)
        far = jnp.sqrt(jnp.square(real - fake).sum(axis=1))
        return (jnp.square(gap) / (2 * weight * far)).mean()

    return penalty


START = {"gen": np.array([0.2, 0.1]), "disc": np.array([0.1, 0.2])}
CROSS = 0.03
FLOWS = {
    "nonsaturating": (losses.nonsaturating, None, 50.0),
    "wgan_gp": (losses.wasserstein, penalties.wgan_gp(0.5), 100.0),
    "zero_centred": (losses.wasserstein, penalties.zero_centred(0.1), 40.0),
    "quadratic": (losses.wasserstein, quadratic_potential(0.5), 200.0),
}


@pytest.mark.parametrize("name", FLOWS)
def test_dirac_flow_keeps_what_it_must(name):
    loss, penalty, time = FLOWS[name]
    with jax.enable_x64():
        game = dirac(START["gen"], START["disc"], loss=loss(), penalty=penalty)
        params = {p: jnp.asarray(x) for p, x in START.items()}
        batch = {"real": jnp.zeros((1, 2))}
        path = by_flow(game, batch, params, time, int(20 * time))
    phi, psi = path["gen"], path["disc"]
    cross = phi[:, 0] * psi[:, 1] - phi[:, 1] * psi[:, 0]
    far = np.linalg.norm(phi, axis=1), np.linalg.norm(psi, axis=1)
    if name in ("nonsaturating", "quadratic"):
        np.testing.assert_allclose(cross, CROSS, rtol=1e-6)
        # |phi| |psi| >= |phi x psi|: the equilibrium stays out of reach.
        assert min(far[0] ** 2 + far[1] ** 2) >= 2 * CROSS * (1 - 1e-5)
    if name == "quadratic":  # the circle on which phi and psi are at right angles
        np.testing.assert_allclose([x[-1] for x in far], CROSS**0.5, rtol=1e-5)
    if name == "wgan_gp":
        np.testing.assert_allclose([x[-1] for x in far], 1.0, rtol=1e-6)
    if name == "zero_centred":  # phi'' + 2 weight phi' + phi = 0
        times = np.linspace(0, time, len(phi) + 1)[1:, None]
        w = np.sqrt(1 - 0.1**2)
        phi0, psi0 = START["gen"][None], START["disc"][None]
        swing = phi0 * np.cos(w * times) + (psi0 + 0.1 * phi0) / w * np.sin(w * times)
        np.testing.assert_allclose(phi, np.exp(-0.1 * times) * swing, atol=1e-6)


def test_dirac_learns_where_the_data_are():
    """The equilibrium is at the data, wherever they are."""
    batch = {"real": jnp.full((2, 2), 3.0)}
    game = dirac(np.zeros(2), np.ones(2), penalty=penalties.r1(2.0))
    state, _ = run(game, SGD, 2000, batch=batch)
    np.testing.assert_allclose(state.params["gen"], 3.0, atol=0.05)


def test_games_refuse_what_does_not_fit(unchecked):
    with pytest.raises(ValueError, match=r"shapes \(2,\).*of one size"):
        dirac(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match=r"M of shape \(2, 2\) joins"):
        bilinear(np.ones(2), np.ones(3), np.eye(2))
    with pytest.raises(ValueError, match="at least 1 column"):
        linear_quadratic(0)
    with pytest.raises(ValueError, match=r"takes vectors"):
        linear_quadratic(1).init(jax.random.key(0), {"real": jnp.ones((2, 3, 1))})


# Two rates, several moves, averages: the kernel's own.


def weighted(weight):
    plain = losses.nonsaturating()
    return losses.Loss(plain.disc, lambda r, f: weight * plain.gen(r, f))


@pytest.mark.parametrize(
    ("name", "ratio"), [("sgd", 10), ("adam", 1), ("rmsprop", 1), ("momentum", 10)]
)
def test_a_weight_is_no_rate_under_adam(name, ratio):
    optimizer = {
        "sgd": optax.sgd(1e-2),
        "momentum": optax.sgd(1e-2, momentum=0.9),
        "adam": adam(1e-2),
        "rmsprop": optax.rmsprop(1e-2, decay=0.99),
    }[name]
    with jax.enable_x64():
        norms = [
            run(dirac([0.7], [0.4], loss=weighted(weight)), optimizer, 1)[1][1]
            for weight in (1.0, 10.0)
        ]
    found = norms[1]["gen/update_norm"] / norms[0]["gen/update_norm"]
    assert found == pytest.approx(ratio, rel=1e-4)
    assert norms[1]["disc/update_norm"] == norms[0]["disc/update_norm"]


def test_two_rates_are_two_rates_under_adam():
    rates = {"gen": adam(1e-4), "disc": adam(4e-4)}
    _, (_, info) = run(dirac([0.7], [0.4]), rates, 1)
    assert info["disc/update_norm"] / info["gen/update_norm"] == pytest.approx(4)


def test_the_average_of_an_orbit_is_its_centre():
    """The orbit w(t) stays out; sum of (1 - d) d^k w(t - k) is (1 - d) / h of it."""
    ema = {"gen": lambda step: jnp.float32(0.999)}
    play = alternating("disc", "gen")
    state, (path, _) = run(GAME(), SGD, 20_000, play, ema)
    away = np.linalg.norm(path[-1])
    assert away > 1
    assert abs(state.ema["gen"][0]) < 2 * 0.001 / RATE * away
