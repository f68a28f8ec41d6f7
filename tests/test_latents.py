"""Priors: their laws, and that parts of a joined one are independent."""

import jax
import numpy as np
import pytest

from gan_jax import latents
from gan_jax.gan import latents as drawn


def test_signs_are_fair_and_independent():
    z = np.asarray(drawn(latents.signs(3), jax.random.key(0), 20_000))
    assert set(np.unique(z)) == {-1.0, 1.0}
    # Each of the eight corners: 2,500 with a deviation of 47.
    _, corners = np.unique(z, axis=0, return_counts=True)
    assert len(corners) == 8
    assert np.abs(corners - 2500).max() < 5 * 47


def test_joined_parts_lie_end_to_end_and_are_independent():
    prior = latents.joined(latents.normal(2), latents.normal(2), latents.signs(1))
    z = np.asarray(drawn(prior, jax.random.key(0), 20_000))
    assert z.shape == (20_000, 5)
    assert set(np.unique(z[:, 4])) == {-1.0, 1.0}
    # Two normal parts on one key would be equal.
    np.testing.assert_allclose(np.cov(z.T), np.eye(5), atol=5 / np.sqrt(20_000))


def test_nothing_joined_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        latents.joined()
