"""Jacobians and eigenvalues of games against closed forms and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gan_jax import alternating, losses, penalties, simultaneous
from gan_jax.convergence import eigenvalues, jacobian
from gan_jax.dynamics import field
from gan_jax.kernel import Objective
from gan_jax.networks import mlp
from gan_jax.objectives import adversarial
from gan_jax.objectives.games import bilinear, dirac, linear_quadratic
from tests.games import LATENT, dense, points


def settled(objective, batch, params=None):
    """The arguments that an analysis takes, at the objective's start or at params."""
    start, stats = objective.init(jax.random.key(0), batch)
    keys = jax.random.split(jax.random.key(2), len(batch["real"]))
    return objective, start if params is None else params, stats, batch, keys


def origin():
    return {"real": jnp.zeros((2, 2))}


def together(found, wanted):
    """Whether two lists of complex numbers are the same up to their order."""
    found, wanted = list(found), list(wanted)
    assert len(found) == len(wanted)
    for number in wanted:
        nearest = min(found, key=lambda other: abs(other - number))
        assert abs(nearest - number) < 1e-9, (number, found)
        found.remove(nearest)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.5])
@pytest.mark.parametrize(("loss", "slope"), [("nonsaturating", 0.5), ("hinge", 1.0)])
def test_dirac_flow(gamma, loss, slope):
    """-gamma/2 +- sqrt(gamma^2/4 - f'(0)^2), once for each dimension."""
    with jax.enable_x64():
        penalty = penalties.r1(gamma)
        game = dirac(
            np.zeros(2), np.zeros(2), loss=getattr(losses, loss)(), penalty=penalty
        )
        found = eigenvalues(*settled(game, origin()))
    root = np.sqrt(complex(gamma**2 / 4 - slope**2))
    together(found, [-gamma / 2 + root, -gamma / 2 - root] * 2)
    assert found[0].real == max(found.real)


MOMENT = np.array([3.0, 2.0, 0.5, 0.1])


def principal(rank, mu):
    """The linear quadratic game at the principal components, in float64."""
    batch = {"real": jnp.diag(jnp.sqrt(4 * jnp.asarray(MOMENT)))}
    left = np.where(np.arange(4) < rank, 0, MOMENT)
    params = {
        "gen": jnp.asarray(np.diag(np.sqrt(MOMENT))[:, :rank]),
        "disc": jnp.asarray(np.diag(left / mu)),
    }
    return settled(linear_quadratic(rank, mu), batch, params)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("side", [0.95, 1.05])
def test_linear_quadratic_is_stable_above_one_strength(rank, side):
    """mu^2 > 2 l: by the 2x2 blocks of the derivation, and by the whole matrix."""
    mu = side * np.sqrt(2 * MOMENT[rank])
    with jax.enable_x64():
        game = principal(rank, mu)
        v = jax.device_get(field(game[0])(*game[1:], 0))
        found = eigenvalues(*game)
    assert max(np.abs(x).max() for x in v.values()) < 1e-12  # a fixed point
    # Rotating G's columns changes nothing: rank (rank - 1) / 2 zeros.
    zeros = np.abs(found) < 1e-9
    assert zeros.sum() == rank * (rank - 1) // 2
    leading = found[~zeros].real.max()
    blocks = [
        np.linalg.eigvals([[2 * left / mu, 2 * np.sqrt(own)], [-np.sqrt(own), -mu]])
        for own in MOMENT[:rank]
        for left in MOMENT[rank:]
    ]
    assert leading == pytest.approx(np.concatenate(blocks).real.max(), abs=1e-9)
    assert (leading < 0) == (side > 1)


def test_linear_quadratic_with_two_rates():
    """The bound on mu^2 falls by the ratio of the rates, as they get small."""
    mu = np.sqrt(MOMENT[1])  # mu^2 = l: half of what equal rates want
    with jax.enable_x64():
        game = principal(1, mu)
        equal, fourfold, twofold = (
            eigenvalues(*game, rates={"gen": 1e-4, "disc": ratio * 1e-4})
            for ratio in (1, 4, 1.9)
        )
    assert abs(equal[0]) > 1
    assert abs(twofold[0]) > 1
    assert abs(fourfold[0]) < 1


def smooth():
    """A small game of tanh networks with a penalty, 35 parameters."""
    return adversarial(
        dense((3, 2)),
        dense((3, 1), logits=True),
        loss=losses.relativistic_pairing(),
        latent=LATENT,
        penalty=penalties.r2(0.5),
    )


def test_jacobian_is_that_of_finite_differences():
    with jax.enable_x64():
        game = settled(smooth(), points(6))
        found = jacobian(*game)
        objective, params, *rest = game
        w, tree = ravel_pytree(params)
        v = jax.jit(lambda w: ravel_pytree(field(objective)(tree(w), *rest, 0))[0])
        shifts = 1e-5 * np.eye(w.size)
        columns = [np.asarray(v(w + h) - v(w - h)) / 2e-5 for h in shifts]
        gen = slice(ravel_pytree(params["disc"])[0].size, None)
    wanted = np.stack(columns, axis=1)
    np.testing.assert_allclose(found, wanted, atol=1e-8)
    assert np.abs(found[gen, : gen.start]).max() > 0.01  # the cross derivatives


@pytest.mark.parametrize("rates", [None, {"gen": 0.5, "disc": 0.1}])
def test_arnoldi_is_the_dense_answer(rates):
    with jax.enable_x64():
        game = settled(linear_quadratic(2), points(6))
        dense_ones = eigenvalues(*game, rates=rates)
        few = eigenvalues(*game, rates=rates, largest=2)
    wanted = dense_ones[:2]
    key = (lambda x: x.real) if rates is None else abs
    np.testing.assert_allclose(
        [key(x) for x in few[:2]], [key(x) for x in wanted], atol=1e-8
    )


@pytest.mark.parametrize("rates", [(0.1, 0.1), (0.3, 0.05)])
def test_bilinear_steps(rates):
    """At once: 1 +- i h, outside the unit circle. In turn: on it, cos = 1 - h^2/2."""
    own = dict(zip(("gen", "disc"), rates, strict=True))
    with jax.enable_x64():
        game = settled(bilinear([0.0], [0.0]), {"real": jnp.zeros((2, 1))})
        at_once = eigenvalues(*game, rates=own, play=simultaneous("gen", "disc"))
        in_turn = eigenvalues(*game, rates=own, play=alternating("disc", "gen"))
        twice = eigenvalues(*game, rates=own, play=(("disc",), ("disc",), ("gen",)))
    h = np.sqrt(rates[0] * rates[1])
    together(at_once, [1 + 1j * h, 1 - 1j * h])
    angle = np.arccos(1 - h**2 / 2)
    together(in_turn, [np.exp(1j * angle), np.exp(-1j * angle)])
    angle = np.arccos(1 - h**2)  # two of D's moves are one of twice the rate
    together(twice, [np.exp(1j * angle), np.exp(-1j * angle)])


def constant_for_good(objective):
    """The same game, held fixed by JAX's own stop: each player's loss by itself."""

    def loss(params, *rest):
        held = jax.lax.stop_gradient(params)
        by_disc, aux = objective.loss({**held, "disc": params["disc"]}, *rest)
        by_gen, _ = objective.loss({**held, "gen": params["gen"]}, *rest)
        return by_disc + by_gen, aux

    return Objective(objective.init, loss)


def test_a_constant_for_good_is_refused():
    game = settled(bilinear([1.0, 0.5], [0.3, 0.2]), origin())
    jacobian(*game)
    wrong = constant_for_good(game[0])
    with pytest.raises(ValueError, match=r"gan_jax\.stop, not jax\.lax\.stop_gradient"):
        jacobian(wrong, *game[1:])
    with pytest.raises(ValueError, match="gen's gradient along a direction of disc"):
        eigenvalues(wrong, *game[1:], largest=1)


def test_leaky_networks_in_float32_are_not_refused():
    game = adversarial(
        mlp.generator(2, 8),
        mlp.discriminator(8),
        loss=losses.nonsaturating(),
        latent=LATENT,
        penalty=penalties.r1(),
    )
    game = settled(game, points(16))
    (first, *_) = eigenvalues(*game, largest=1)
    assert np.isfinite(first)


def test_what_cannot_be_analysed_is_refused():
    game = settled(bilinear([1.0], [1.0]), {"real": jnp.zeros((2, 1))})
    for options, message in (
        ({"play": (("gen",),)}, "Give rates too"),
        ({"rates": {"gen": 0.1}, "play": (("disc",),)}, "only .'gen'. have rates"),
        ({"rates": {"critic": 0.1}}, "the players are"),
        ({"largest": 1}, "finds 1 to 0 of 2"),
    ):
        with pytest.raises(ValueError, match=message):
            eigenvalues(*game, **options)
