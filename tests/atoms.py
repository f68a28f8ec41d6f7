"""Two distributions on six atoms, and what a loss must be at any size of logit."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

# As samples: 20 real ones and 20 fakes.
REAL = np.repeat(np.arange(6), [6, 1, 4, 5, 3, 1])
FAKE = np.repeat(np.arange(6), [2, 5, 3, 1, 4, 5])
P, Q = (np.bincount(atoms) / 20 for atoms in (REAL, FAKE))


def evaluated(function, x):
    with jax.enable_x64():
        return np.asarray(function(jnp.asarray(x, jnp.float64)))


def best_logits(loss, start=0.0):
    """D's best logits of the atoms, and its least loss."""
    with jax.enable_x64():
        expected = jax.jit(jax.value_and_grad(lambda s: loss.disc(s[REAL], s[FAKE])))
        found = minimize(
            lambda s: tuple(np.asarray(x) for x in expected(jnp.asarray(s))),
            np.full(6, start),
            jac=True,
            options={"gtol": 1e-9},
        )
    return found.x, found.fun


def assert_finite_and_exact(losses, size):
    """Values and slopes at logits of this size: in float32 what they are in float64."""

    def results(dtype):
        real, fake = jnp.array([size, 1.0], dtype), jnp.array([-size, 2.0], dtype)
        return [
            jax.value_and_grad(part, argnums=(0, 1))(real, fake)
            for loss in losses
            for part in (loss.disc, loss.gen)
        ]

    single = results(jnp.float32)
    with jax.enable_x64():
        double = jax.device_get(results(jnp.float64))
    for a, b in zip(jax.tree.leaves(single), jax.tree.leaves(double), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-30)
