"""The Dirac-GAN: a game of two numbers whose course is known.

The data is the point 0, the generator the point theta, the discriminator the slope
psi. Distances from the equilibrium (0, 0) are those of the literature and of a plain
loop written without this package. They test moves, signs, penalty and optimizer alike.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import alternating, kernel, losses, penalties, simultaneous
from gan_jax.kernel import Network
from gan_jax.objectives import adversarial

DISC = Network(
    lambda key, x: (jnp.ones(()), {}),
    lambda psi, stats, x, train: (psi * x[:, 0], stats),
)
GEN = Network(
    lambda key, z: (jnp.ones(()), {}),
    lambda theta, stats, z, train: (theta + 0 * z, stats),
)
PLAYS = {
    "simultaneous": simultaneous("gen", "disc"),
    "disc_first": alternating("disc", "gen"),
    "gen_first": alternating("gen", "disc"),
}


def distance(loss, play, gamma, rate, steps, gradient="merged"):
    """How far from the equilibrium the game is after ``steps`` from (1, 1)."""
    game = adversarial(
        GEN,
        DISC,
        loss=loss,
        latent=lambda key: jnp.zeros(1),
        penalty=penalties.r1(gamma) if gamma else None,
        gradient=gradient,
    )
    rates = {"gen": optax.sgd(rate), "disc": optax.sgd(rate)}
    trained = kernel(game, rates, play=PLAYS[play])
    batch = {"real": jnp.zeros((2, 1))}
    state = trained.init(jax.random.key(0), batch)

    def run(state):
        step = lambda state, _: (trained.step(state, batch)[0], None)
        return jax.lax.scan(step, state, None, length=steps)[0]

    params = jax.jit(run)(state).params
    return float(jnp.hypot(params["gen"], params["disc"]))


@pytest.mark.parametrize("gradient", ["merged", "article", "one_backward"])
def test_the_bilinear_game(gradient):
    """sqrt(2) (1 + rate^2)^(n/2) for simultaneous steps; a closed orbit for alternating
    ones; with R1 of gamma 1 it contracts."""
    with jax.enable_x64():
        norms = {
            (play, gamma, steps): distance(
                losses.wasserstein(), play, gamma, 0.1, steps, gradient
            )
            for play, gamma in [
                ("simultaneous", 0.0),
                ("gen_first", 0.0),
                ("simultaneous", 1.0),
            ]
            for steps in (100, 1000)
        }
    grown = [np.sqrt(2) * (1 + 0.1**2) ** (n / 2) for n in (100, 1000)]
    assert norms["simultaneous", 0.0, 100] == pytest.approx(grown[0], rel=1e-12)
    assert norms["simultaneous", 0.0, 1000] == pytest.approx(grown[1], rel=1e-12)
    assert norms["gen_first", 0.0, 100] == pytest.approx(1.436, abs=5e-4)
    assert norms["gen_first", 0.0, 1000] == pytest.approx(1.431, abs=5e-4)
    # (psi, theta) -> (psi - rate (theta + gamma psi), theta + rate psi)
    contraction = np.array([[1 - 0.1, -0.1], [0.1, 1.0]])
    for steps in (100, 1000):
        wanted = np.linalg.norm(np.linalg.matrix_power(contraction, steps) @ [1, 1])
        assert norms["simultaneous", 1.0, steps] == pytest.approx(wanted, rel=1e-9)
    assert norms["simultaneous", 1.0, 1000] < 1e-20


@pytest.mark.parametrize("play", PLAYS)
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", ["minimax", "nonsaturating", "wasserstein"])
def test_the_dirac_gan(name, gamma, play):
    with jax.enable_x64():
        ours = distance(getattr(losses, name)(), play, gamma, 0.2, 500)
    assert ours == pytest.approx(by_hand(name, play, gamma, 0.2, 500), rel=1e-9)


PUBLISHED = {  # simultaneous; G first, then D; both without penalty
    "minimax": (3.35, 1.50),
    "nonsaturating": (0.64, 0.27),
    "wasserstein": (2.56e4, 1.43),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_loop_by_hand_gives_the_known_table(name):
    for play, wanted in zip(
        ("simultaneous", "gen_first"), PUBLISHED[name], strict=True
    ):
        assert by_hand(name, play, 0.0, 0.2, 500) == pytest.approx(wanted, rel=0.01)
        assert by_hand(name, play, 1.0, 0.2, 500) < 1e-15


def by_hand(name, play, gamma, rate, steps):
    """The same game in plain floats, its derivatives by hand."""
    sigmoid = lambda t: 1 / (1 + np.exp(-t))
    # dL_D / ds and dL_G / ds at the fake's logit s.
    by_logit = {
        "minimax": (sigmoid, lambda s: -sigmoid(s)),
        "nonsaturating": (sigmoid, lambda s: -sigmoid(-s)),
        "wasserstein": (lambda s: 1.0, lambda s: -1.0),
    }
    disc, gen = by_logit[name]
    theta = psi = 1.0
    for _ in range(steps):
        old = theta, psi
        if play == "gen_first":
            theta -= rate * gen(psi * theta) * psi
        seen = theta if play == "gen_first" else old[0]
        psi -= rate * (disc(old[1] * seen) * seen + gamma * old[1])
        if play == "disc_first":
            theta -= rate * gen(psi * theta) * psi
        if play == "simultaneous":
            theta -= rate * gen(old[1] * old[0]) * old[1]
    return np.hypot(theta, psi)
