"""A stop that holds for the move: gradients as with JAX's own, Jacobians true."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gan_jax import losses, penalties, stop
from gan_jax.objectives import adversarial
from tests.games import GRADIENTS, LATENT, players, points


def test_it_is_the_identity_and_passes_no_gradient():
    tree = {"a": jnp.arange(3.0), "b": (jnp.ones(()),)}

    def value(tree):
        held = stop(tree)
        return (held["a"] ** 2).sum() * held["b"][0] + (tree["a"] * held["a"]).sum()

    assert value(tree) == 10
    got = jax.grad(value)(tree)
    np.testing.assert_array_equal(got["a"], tree["a"])
    assert got["b"][0] == 0


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_the_jacobian_of_the_players_field_is_true(gradient):
    """Against differences of the field itself, which know of no stop."""
    nets = players()
    game = adversarial(
        nets["gen"],
        nets["disc"],
        loss=losses.nonsaturating(),
        latent=LATENT,
        penalty=penalties.r1(),
        gradient=gradient,
    )
    with jax.enable_x64():
        batch = points()
        params, stats = game.init(jax.random.key(0), batch)
        keys = jax.random.split(jax.random.key(1), 6)
        flat, unravel = ravel_pytree(params)

        def field(flat):
            def merged(params):
                return game.loss(params, stats, batch, keys, jnp.asarray(0))[0]

            return ravel_pytree(jax.grad(merged)(unravel(flat)))[0]

        along = jax.random.normal(jax.random.key(2), flat.shape)
        small = 1e-5
        seen, by_jvp, by_difference = jax.device_get(
            jax.jit(
                lambda: (
                    field(flat),
                    jax.jvp(field, (flat,), (along,))[1],
                    (field(flat + small * along) - field(flat - small * along))
                    / (2 * small),
                )
            )()
        )
    assert np.abs(seen).max() > 0
    np.testing.assert_allclose(by_jvp, by_difference, rtol=1e-5, atol=1e-7)
