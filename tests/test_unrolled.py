"""The unrolled discriminator by hand, and players alone on several devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from jax.sharding import PartitionSpec

from gan_jax import alternating, devices, kernel, losses
from gan_jax.dynamics import consensus, field
from gan_jax.kernel import Network
from gan_jax.objectives import adversarial
from gan_jax.objectives.unrolled import unrolled
from gan_jax.optimizers import adam
from tests.games import LATENT, dense, largest_gap, points

POINT = {"real": np.zeros((2, 1))}
SGD = optax.sgd(0.1)

PHI = Network(
    lambda key, z: (jnp.array(0.7), {}), lambda phi, stats, z, train: (phi + 0 * z, {})
)
PSI = Network(
    lambda key, x: (jnp.array(0.4), {}),
    lambda psi, stats, x, train: (psi * x[:, 0], {}),
)


def line(loss, steps, **options):
    """The Dirac-GAN on a line, its D unrolled."""
    return unrolled(
        PHI,
        PSI,
        loss=loss,
        latent=lambda key: jnp.zeros(1),
        steps=steps,
        inner=options.pop("inner", optax.sgd(0.3)),
        **options,
    )


def slopes(objective, batch):
    params, stats = objective.init(jax.random.key(0), batch)
    keys = jax.random.split(jax.random.key(1), len(batch["real"]))
    v = jax.jit(field(objective))(params, stats, batch, keys, 0)
    return jax.device_get(v)


def test_one_step_ahead_by_hand():
    """d/dphi of -softplus(psi_1 phi) with psi_1 = psi - h sigmoid(psi phi) phi, and
    D's own gradient as ever."""
    sigmoid = lambda t: 1 / (1 + np.exp(-t))
    psi, phi, h = 0.4, 0.7, 0.3
    s = sigmoid(psi * phi)
    ahead = psi - h * s * phi
    by_phi = -h * (s + phi * s * (1 - s) * psi)
    with jax.enable_x64():
        found = slopes(line(losses.minimax(), 1), POINT)
    wanted = -sigmoid(ahead * phi) * (ahead + phi * by_phi)
    assert found["gen"] == pytest.approx(wanted, rel=1e-12)
    assert found["disc"] == pytest.approx(s * phi, rel=1e-12)


def test_one_step_ahead_is_the_second_order_formula():
    """-d_phi L + h (d_theta d_phi L)^T d_theta L, all at theta_1 but the mixed one."""
    gen, disc = dense((3, 2)), dense((3, 1), logits=True)
    loss, h = losses.relativistic_pairing(), 0.3
    with jax.enable_x64():
        batch = points(4)
        objective = unrolled(
            gen, disc, loss=loss, latent=LATENT, steps=1, inner=optax.sgd(h)
        )
        params, stats = objective.init(jax.random.key(0), batch)
        keys = jax.random.split(jax.random.key(1), 4)
        found = jax.jit(field(objective))(params, stats, batch, keys, 0)
        z = jax.vmap(LATENT)(jax.vmap(lambda k: jax.random.split(k, 3))(keys)[:, 0])
        theta, by_theta = ravel_pytree(params["disc"])
        phi, by_phi = ravel_pytree(params["gen"])

        def value(theta, phi):
            fake = gen.apply(by_phi(phi), {}, z, train=True)[0]
            judged = lambda x: disc.apply(by_theta(theta), {}, x, train=True)[0]
            return loss.disc(judged(batch["real"]), judged(fake))

        @jax.jit
        def formula(theta, phi):
            ahead = theta - h * jax.grad(value)(theta, phi)
            mixed = jax.jacfwd(jax.grad(value), argnums=1)(theta, phi)
            by_ahead, direct = jax.grad(value, (0, 1))(ahead, phi)
            return -direct + h * mixed.T @ by_ahead

        found, wanted = jax.device_get(
            (ravel_pytree(found["gen"])[0], formula(theta, phi))
        )
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("aim", ["zero_sum", "own"])
def test_no_step_ahead_is_the_ordinary_game(aim):
    """For the minimax loss, G maximises what D minimises either way."""
    gen, disc = dense((3, 2)), dense((3, 1), logits=True)
    pair = {"gen": gen, "disc": disc, "loss": losses.minimax(), "latent": LATENT}
    batch = points(4)
    own = slopes(unrolled(**pair, steps=0, inner=SGD, aim=aim), batch)
    ordinary = adversarial(**pair)
    params, stats = unrolled(**pair, steps=0, inner=SGD).init(jax.random.key(0), batch)
    keys = jax.random.split(jax.random.key(1), 4)
    wanted = jax.jit(field(ordinary))(params, stats, batch, keys, 0)
    assert largest_gap(own, jax.device_get(wanted)) < 1e-6


def test_steps_ahead_by_adam():
    """One of Adam's first steps has the length of the rate, whatever the gradient."""
    inner = optax.adam(0.3, eps_root=1e-12)
    psi, phi = 0.4 - 0.3, 0.7
    with jax.enable_x64():
        found = slopes(line(losses.wasserstein(), 1, inner=inner), POINT)
    # d/dphi of -psi_1 phi; psi_1 hangs on phi by its sign alone.
    assert found["gen"] == pytest.approx(-psi, rel=1e-6)
    assert found["disc"] == pytest.approx(phi, rel=1e-12)


def test_unrolled_refuses_what_it_cannot_do(unchecked):
    with pytest.raises(ValueError, match="steps is -1"):
        line(losses.minimax(), -1)
    with pytest.raises(ValueError, match="aim is 'gen'"):
        line(losses.minimax(), 1, aim="gen")


def measured(optimizer):
    """``optimizer``, and how long the parameters have been: 0, the same everywhere, at
    first, and then made of what may be each device's own."""

    def update(grads, state, params):
        own, length = state
        moves, own = optimizer.update(grads, own, params)
        return moves, (own, length + optax.tree.norm(params))

    return optax.GradientTransformation(
        lambda params: (optimizer.init(params), jnp.zeros(())), update
    )


MAPPED = {
    "consensus": lambda name: consensus(
        adversarial(
            PHI, PSI, loss=losses.nonsaturating(), latent=lambda key: jnp.zeros(1)
        ),
        lambda step: 1.0 + step,
        axis_name=name,
    ),
    "unrolled": lambda name: line(losses.nonsaturating(), 2, axis_name=name),
    "unrolled_measured": lambda name: line(
        losses.nonsaturating(), 2, inner=measured(optax.sgd(0.3)), axis_name=name
    ),
    # Its rate is written as a constant: the same everywhere.
    "unrolled_adam": lambda name: line(
        losses.nonsaturating(), 2, inner=adam(0.3), axis_name=name
    ),
}


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("name", MAPPED)
def test_a_player_alone_under_shard_map(name, checked):
    """Where one player moves, the others' parameters are the same everywhere, and a
    gradient by them must still be each device's own before it is averaged."""
    data = {"real": jax.random.normal(jax.random.key(3), (24, 1))}

    def built(axis_name):
        return kernel(
            MAPPED[name](axis_name),
            dict.fromkeys(("gen", "disc"), optax.sgd(0.1)),
            play=alternating("disc", "gen", first=2),
            axis_name=axis_name,
        )

    mapped = jax.shard_map(
        built("data").step,
        mesh=devices.data_mesh(jax.devices()[:4]),
        in_specs=(PartitionSpec(), PartitionSpec("data")),
        out_specs=PartitionSpec(),
        check_vma=checked,
    )
    states = []
    for step in (jax.jit(built(None).step), jax.jit(mapped)):
        state = built(None).init(jax.random.key(0), data)
        for _ in range(2):
            state, _ = step(state, data)
        states.append(jax.device_get(state.params))
    assert largest_gap(*states) < 1e-5
