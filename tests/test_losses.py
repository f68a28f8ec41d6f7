"""Losses against their closed forms, at their optima, and at any size of logit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from gan_jax import losses
from tests.games import LOSSES

# Two distributions on six atoms.
P = np.array([0.30, 0.05, 0.20, 0.25, 0.15, 0.05])
Q = np.array([0.10, 0.25, 0.15, 0.05, 0.20, 0.25])


def optimum(loss, penalty=lambda s: 0.0):
    """D's best logit of each atom, by gradient descent on the expected loss."""

    def expected(s):
        # A batch of all atoms, weighted by how often each would be drawn.
        real = sum(
            p * loss.disc(s[i : i + 1], jnp.full(1, OUT)) for i, p in enumerate(P)
        )
        fake = sum(
            q * loss.disc(jnp.full(1, IN), s[i : i + 1]) for i, q in enumerate(Q)
        )
        return real + fake + penalty(s)

    found = minimize(
        lambda s: tuple(map(np.asarray, jax.value_and_grad(expected)(jnp.asarray(s)))),
        np.zeros(6),
        jac=True,
        method="BFGS",
        options={"gtol": 1e-10},
    )
    return found.x


# Constants for the side that is not under study: its term is constant in s.
IN, OUT = 0.0, 0.0


@pytest.mark.parametrize("name", ["minimax", "nonsaturating"])
def test_the_logistic_optimum_is_the_log_ratio(name):
    with jax.enable_x64():
        np.testing.assert_allclose(
            optimum(LOSSES[name]), np.log(P / Q), rtol=1e-5, atol=1e-6
        )


def test_the_least_squares_optimum_is_the_weighted_mean_of_the_targets():
    with jax.enable_x64():
        loss = losses.least_squares(real=1.0, fake=-1.0, gen=0.0)
        np.testing.assert_allclose(optimum(loss), (P - Q) / (P + Q), atol=1e-6)


def test_the_relativistic_optimum_is_the_log_ratio_up_to_a_constant():
    with jax.enable_x64():
        loss = losses.relativistic_pairing()

        def expected(s):
            pairs = [
                p * q * loss.disc(s[i : i + 1], s[j : j + 1])
                for i, p in enumerate(P)
                for j, q in enumerate(Q)
            ]
            return sum(pairs)

        s = minimize(
            lambda s: tuple(
                map(np.asarray, jax.value_and_grad(expected)(jnp.asarray(s)))
            ),
            np.zeros(6),
            jac=True,
            options={"gtol": 1e-10},
        ).x
        wanted = np.log(P / Q)
        np.testing.assert_allclose(s - s.mean(), wanted - wanted.mean(), atol=1e-5)


VALUES = {
    # Written out with numpy at r = (2, -1), f = (0.5, -3).
    "minimax": lambda r, f: (sp(-r).mean() + sp(f).mean(), -sp(f).mean()),
    "nonsaturating": lambda r, f: (sp(-r).mean() + sp(f).mean(), sp(-f).mean()),
    "hinge": lambda r, f: (
        np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(),
        -f.mean(),
    ),
    "least_squares": lambda r, f: (
        ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2,
        ((f - 1) ** 2).mean() / 2,
    ),
    "wasserstein": lambda r, f: (f.mean() - r.mean(), -f.mean()),
    "relativistic_pairing": lambda r, f: (sp(f - r).mean(), sp(r - f).mean()),
    "relativistic_average": lambda r, f: (
        (sp(-(r - f.mean())).mean() + sp(f - r.mean()).mean()) / 2,
        (sp(-(f - r.mean())).mean() + sp(r - f.mean()).mean()) / 2,
    ),
    "relativistic_average_least_squares": lambda r, f: (
        ((r - f.mean() - 1) ** 2).mean() / 2 + ((f - r.mean() + 1) ** 2).mean() / 2,
        ((f - r.mean() - 1) ** 2).mean() / 2 + ((r - f.mean() + 1) ** 2).mean() / 2,
    ),
    "relativistic_average_hinge": lambda r, f: (
        np.maximum(0, 1 - (r - f.mean())).mean() / 2
        + np.maximum(0, 1 + (f - r.mean())).mean() / 2,
        np.maximum(0, 1 - (f - r.mean())).mean() / 2
        + np.maximum(0, 1 + (r - f.mean())).mean() / 2,
    ),
}


def sp(t):
    return np.log1p(np.exp(t))


@pytest.mark.parametrize("name", LOSSES)
def test_values(name):
    r, f = np.array([2.0, -1.0]), np.array([0.5, -3.0])
    disc, gen = VALUES[name](r, f)
    loss = LOSSES[name]
    real, fake = jnp.asarray(r, jnp.float32), jnp.asarray(f, jnp.float32)
    assert float(loss.disc(real, fake)) == pytest.approx(disc, rel=1e-6)
    assert float(loss.gen(real, fake)) == pytest.approx(gen, rel=1e-6)


@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_finite_and_exact_for_huge_logits(name, size):
    """In float32 as in float64: nothing overflows, nothing is lost to a log of 0."""

    def evaluated(dtype):
        real, fake = jnp.array([size, 1.0], dtype), jnp.array([-size, 2.0], dtype)
        loss = LOSSES[name]
        return [
            jax.value_and_grad(part, argnums=(0, 1))(real, fake)
            for part in (loss.disc, loss.gen)
        ]

    single = evaluated(jnp.float32)
    with jax.enable_x64():
        double = evaluated(jnp.float64)
    for a, b in zip(jax.tree.leaves(single), jax.tree.leaves(double), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-30)


def test_saturation():
    """Where D wins, G's minimax gradient is gone and the non-saturating one is not."""
    real, fake = jnp.array([30.0]), jnp.array([-30.0])
    slope = {
        name: float(jax.grad(LOSSES[name].gen, argnums=1)(real, fake)[0])
        for name in ("minimax", "nonsaturating")
    }
    assert abs(slope["minimax"]) < 1e-12
    assert slope["nonsaturating"] == pytest.approx(-1)


def test_an_unknown_kind_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"kind is 'brier'.*hinge"):
        losses.relativistic_average("brier")
