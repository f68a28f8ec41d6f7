"""Energies against arithmetic, their buffer against brute force."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import devices, kernel, latents, losses
from gan_jax.kernel import Network
from gan_jax.langevin import langevin
from gan_jax.networks.energies import reconstruction
from gan_jax.objectives.energy import energies, energy_model
from gan_jax.objectives.meg import meg
from tests.games import dense, players, points


def keys_of(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


def test_the_margin():
    """-E r + E max(0, m + f), by hand; beyond the margin a fake is let be."""
    loss = losses.margin(2.0)
    real = jnp.array([-0.5, -1.5, -1.0])
    fake = jnp.array([-3.0, -1.0, -2.5])
    assert float(loss.disc(real, fake)) == pytest.approx(1.0 + 1.0 / 3)
    assert float(loss.gen(real, fake)) == pytest.approx(6.5 / 3)
    of_real, of_fake = jax.grad(loss.disc, argnums=(0, 1))(real, fake)
    np.testing.assert_allclose(of_real, [-1 / 3] * 3, rtol=1e-6)
    np.testing.assert_allclose(of_fake, [0, 1 / 3, 0], rtol=1e-6)
    # The generator is pulled to low energies from everywhere.
    np.testing.assert_allclose(jax.grad(loss.gen, argnums=1)(real, fake), [-1 / 3] * 3)
    with pytest.raises(ValueError, match="a margin is positive"):
        losses.margin(0.0)


def test_the_energy_of_a_reconstruction():
    halves = Network(
        lambda key, x: (jnp.ones(()), {"calls": 0}),
        lambda w, stats, x, train: (w * x / 2, {"calls": stats["calls"] + 1}),
    )
    judge = reconstruction(halves)
    x = jnp.array([[[3.0], [4.0]], [[0.0], [0.0]]])
    params, stats = judge.init(jax.random.key(0), x)
    logits, stats = judge.apply(params, stats, x, train=True)
    np.testing.assert_allclose(logits, [-2.5, 0.0])
    assert stats == {"calls": 1}
    slope = jax.grad(lambda x: judge.apply(params, stats, x, train=True)[0].sum())(x)
    np.testing.assert_allclose(slope[:, :, 0], [[-0.3, -0.4], [0, 0]], rtol=1e-6)
    flat = Network(halves.init, lambda w, stats, x, train: (x[:, 0], stats))
    with pytest.raises(ValueError, match="last layer of the samples' shape"):
        reconstruction(flat).apply(params, stats, x, train=True)


# An energy of one number: U(x) = theta x.
LINE = Network(
    lambda key, x: (jnp.ones(()), {}),
    lambda theta, stats, x, train: (-theta * x[:, 0], stats),
)


def test_the_sign_of_an_energy():
    np.testing.assert_allclose(
        energies(LINE, jnp.float32(2), {}, jnp.array([[1.0], [-3.0]]))[0], [2, -6]
    )


def test_the_energy_s_loss_has_a_floor():
    """Data at 1 and chains that end at -1: 2 theta + 2 weight theta^2.

    Its least value is -1 / (2 weight), at theta = -1 / (2 weight). With the sign that
    one article prints it would be 2 theta, without end.
    """
    weight = 0.25
    game = energy_model(
        LINE,
        chain=lambda keys, start, energy: -jnp.ones_like(start),
        fresh=latents.normal(1),
        weight=weight,
    )
    batch = {"real": jnp.ones((4, 1))}
    _, stats = game.init(jax.random.key(0), batch)

    def loss(theta):
        return game.loss({"energy": theta}, stats, batch, keys_of(4), jnp.array(0))[0]

    thetas = jnp.array([-50.0, -2.0, 0.0, 3.0])
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(loss)))(thetas)
    np.testing.assert_allclose(values, [1150.0, -2.0, 0.0, 10.5], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(slopes, [-48.0, 0.0, 2.0, 5.0], rtol=1e-6, atol=1e-6)


def test_the_chain_goes_downhill_in_the_energy_of_the_moment():
    """Without noise, a step of U(x) = theta x moves x by -e/2 theta."""
    game = energy_model(
        LINE,
        chain=partial(langevin, step_size=0.2, steps=3, noise=0.0),
        fresh=lambda key: jnp.full(1, 7.0),
        slots=1,
    )
    batch = {"real": jnp.zeros((2, 1))}
    _, stats = game.init(jax.random.key(0), batch)
    theta = {"energy": jnp.array(4.0)}
    _, (stats, info) = jax.jit(game.loss)(theta, stats, batch, keys_of(2), jnp.array(0))
    wanted = 7 - 3 * 0.1 * 4
    np.testing.assert_allclose(stats["energy"]["buffer"], [[[wanted]] * 2], rtol=1e-6)
    assert float(info["energy/fake"]) == pytest.approx(4 * wanted, rel=1e-6)
    assert float(info["energy/moved"]) == pytest.approx(1.2, rel=1e-5)


def test_a_derivative_of_the_energy_s_gradient_sees_the_chain_move():
    """E x - E y with y = y0 - 3 e/2 theta: its derivative by theta is 3 e/2."""
    game = energy_model(
        LINE,
        chain=partial(langevin, step_size=0.2, steps=3),
        fresh=latents.normal(1),
        weight=0.0,
    )
    batch = {"real": jnp.zeros((2, 1))}
    _, stats = game.init(jax.random.key(0), batch)

    def loss(theta):
        return game.loss({"energy": theta}, stats, batch, keys_of(2), jnp.array(0))[0]

    field = jax.jit(jax.jacfwd(jax.grad(loss)))
    assert float(field(jnp.array(2.0))) == pytest.approx(0.3, rel=1e-5)


def test_a_longer_chain_needs_no_more_memory():
    def memory(steps):
        chain = partial(langevin, step_size=0.1, steps=steps)
        game = model(chain=chain, slots=1)
        batch = points(256)
        like = jax.eval_shape(game.init, jax.random.key(0), batch)
        gradient = jax.jit(jax.grad(game.loss, has_aux=True))
        program = gradient.lower(*like, batch, keys_of(256), jnp.array(0)).compile()
        return program.memory_analysis().temp_size_in_bytes

    assert memory(100) < 1.2 * memory(5)


def test_the_buffer():
    """Each sample takes up one place of its own column, or begins anew, and writes
    there; places and restarts come up as often as they should."""
    slots, n, rounds, restart = 3, 4, 2000, 0.3
    game = energy_model(
        LINE,
        chain=lambda keys, start, energy: start + 1000,
        fresh=lambda key: jnp.full(1, -5.0),
        slots=slots,
        restart=restart,
    )
    batch = {"real": jnp.zeros((n, 1))}
    params, stats = game.init(jax.random.key(0), batch)
    np.testing.assert_array_equal(stats["energy"]["buffer"], np.full((3, 4, 1), -5.0))
    # Every place has a number of its own.
    old = np.arange(12.0, dtype=np.float32).reshape(slots, n, 1)
    stats = {"energy": {"network": {}, "buffer": jnp.asarray(old)}}

    @jax.jit
    @jax.vmap
    def after(seed):
        keys = jax.random.split(jax.random.key(seed), n)
        return game.loss(params, stats, batch, keys, jnp.array(0))[1][0]

    new = np.asarray(after(jnp.arange(rounds))["energy"]["buffer"])[..., 0]
    changed = new != old[None, ..., 0]
    assert (changed.sum(axis=1) == 1).all()  # one place of every column
    anew = (new == 995) & changed
    taken = changed & ~anew
    assert (np.where(taken, new - 1000, old[None, ..., 0]) == old[None, ..., 0]).all()
    draws = rounds * n
    share = anew.sum() / draws
    assert abs(share - restart) < 5 * np.sqrt(restart * (1 - restart) / draws)
    for slot in range(slots):
        share = changed[:, slot].sum() / draws
        assert abs(share - 1 / 3) < 5 * np.sqrt(2 / 9 / draws)
    # Samples draw apart: the first two take the same place a third of the time.
    same = (changed[:, :, 0] & changed[:, :, 1]).any(axis=1).mean()
    assert abs(same - 1 / 3) < 5 * np.sqrt(2 / 9 / rounds)


def test_the_buffer_is_the_same_on_four_devices():
    def trained(axis_name):
        game = energy_model(
            players()["disc"],
            chain=partial(langevin, step_size=0.1, steps=2),
            fresh=latents.normal(2),
            slots=2,
            restart=0.3,
            axis_name=axis_name,
        )
        return kernel(game, {"energy": optax.sgd(0.1)}, axis_name=axis_name)

    batch = jax.tree.map(np.asarray, points(8))
    alone, four = trained(None), devices.pmapped(jax.devices()[:4])
    state = jax.jit(alone.init)(jax.random.key(0), batch)
    before = np.asarray(state.stats["energy"]["buffer"])
    step = jax.jit(alone.step)
    wanted = jax.device_get(step(step(state, batch)[0], batch)[0].stats)
    call = four.compile(
        lambda state, arrays, got: trained(four.axis_name).step(state, got), 0
    )
    state = four.replicate(state)
    for _ in range(2):
        state, _ = call(state, four.replicate(()), four.put(batch, 0))
    found = jax.device_get(state.stats)
    np.testing.assert_allclose(
        found["energy"]["buffer"], wanted["energy"]["buffer"], atol=1e-6
    )
    assert ((wanted["energy"]["buffer"] != before).any(axis=-1)).sum() > 8


def model(**options):
    return energy_model(
        players()["disc"],
        **{
            "chain": partial(langevin, step_size=0.1, steps=1),
            "fresh": latents.normal(2),
        }
        | options,
    )


@pytest.mark.parametrize("options", [{"slots": 0}, {"restart": 1.5}])
def test_a_buffer_that_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match=r"but a (buffer|share)"):
        model(**options)


def test_what_does_not_fit_the_buffer_is_refused():
    with pytest.raises(ValueError, match="fresh sample has shape"):
        model(fresh=latents.normal(3)).init(jax.random.key(0), points(8))
    parts = kernel(model(), {"energy": optax.sgd(0.1)}, accumulate=2)
    state = jax.eval_shape(parts.init, jax.random.key(0), points(8))
    with pytest.raises(ValueError, match="has 4 samples, but the replay buffer"):
        jax.eval_shape(parts.step, state, points(8))


# A generator of one number, x = a z, and a flat energy.
SCALED = Network(
    lambda key, z: (jnp.ones(()), {}), lambda a, stats, z, train: (a * z, stats)
)
FLAT = Network(
    lambda key, x: (jnp.zeros(()), {}),
    lambda c, stats, x, train: (c + 0 * x[:, 0], stats),
)


def test_generator_and_encoder_want_the_same():
    """M = E (z - b a z)^2 = (1 - a b)^2 E z^2: both descend it, times the weight."""
    game = meg(
        SCALED,
        FLAT,
        SCALED,
        latent=lambda key: jnp.full(1, 3.0),
        estimator="encoder",
        weight=lambda step: 1.0 + step,
        penalty=None,
    )
    params = {"gen": jnp.array(0.5), "disc": jnp.zeros(()), "mutual": jnp.array(0.8)}
    stats = {player: {} for player in params}
    batch = {"real": jnp.zeros((2, 1))}
    (total, (_, info)), slopes = jax.value_and_grad(game.loss, has_aux=True)(
        params, stats, batch, keys_of(2), jnp.array(1)
    )
    assert float(info["mutual/loss"]) == pytest.approx(0.36 * 9, rel=1e-6)
    assert float(total) == pytest.approx(2 * 0.36 * 9, rel=1e-6)
    assert float(slopes["gen"]) == pytest.approx(-2 * 2 * 0.6 * 0.8 * 9, rel=1e-5)
    assert float(slopes["mutual"]) == pytest.approx(-2 * 2 * 0.6 * 0.5 * 9, rel=1e-5)


PAIRS = dense((16, 16, 1), logits=True)
CRITIC = Network(
    lambda key, x, z: PAIRS.init(key, jnp.concatenate([x, z, x * z], 1)),
    lambda params, stats, x, z, train: PAIRS.apply(
        params, stats, jnp.concatenate([x, z, x * z], 1), train=train
    ),
)


def test_the_critic_reads_log_2_of_what_does_not_depend_on_z_and_less_of_what_does():
    """Trained alone, on G(z) = 0 and on G(z) = z.

    The best H has the logit log p(x, z) / (p(x) p(z)). On sign(z) = +-1 that is
    M = 3/4 log 3 - 1/2 log 2: paired z always agree, others half of the time.
    """
    sign = lambda key: jnp.sign(latents.normal(1)(key))
    game = meg(SCALED, FLAT, CRITIC, latent=sign, penalty=None)
    trained = kernel(game, {"mutual": optax.adam(1e-2)})
    batch = {"real": jnp.zeros((256, 1))}

    @jax.jit
    @jax.vmap
    def run(a):
        state = trained.init(jax.random.key(0), batch)
        state = state._replace(params={**state.params, "gen": a})
        _, info = jax.lax.scan(
            lambda state, _: trained.step(state, batch), state, length=300
        )
        return info["mutual/loss"][-100:].mean()

    independent, dependent = np.asarray(run(jnp.array([0.0, 1.0])))
    assert independent == pytest.approx(np.log(2), abs=2e-3)
    assert dependent == pytest.approx(0.75 * np.log(3) - 0.5 * np.log(2), abs=0.01)


def test_the_negatives_do_not_depend_on_the_batch():
    """A sample's term is the same beside any others; with shuffled z it is not."""
    nets = players()
    game = meg(nets["gen"], nets["disc"], CRITIC_2D, latent=latents.normal(3))
    params, stats = jax.jit(game.init)(jax.random.key(0), points(8))

    @jax.jit
    def loss(real, keys):
        return game.loss(params, stats, {"real": real}, keys, jnp.array(0))[0]

    real, keys = points(8)["real"], keys_of(8)
    halves = loss(real[:4], keys[:4]) + loss(real[4:], keys[4:])
    assert float(loss(real, keys)) == pytest.approx(float(halves) / 2, rel=1e-5)


CRITIC_2D = Network(
    lambda key, x, z: PAIRS.init(key, jnp.concatenate([x, z], 1)),
    lambda params, stats, x, z, train: PAIRS.apply(
        params, stats, jnp.concatenate([x, z], 1), train=train
    ),
)


def test_what_meg_refuses(unchecked):
    with pytest.raises(ValueError, match="estimator is 'shuffle'"):
        meg(SCALED, FLAT, SCALED, latent=latents.normal(1), estimator="shuffle")
    wide = Network(SCALED.init, lambda a, stats, x, train: (x[:, 0], stats))
    game = meg(SCALED, FLAT, wide, latent=latents.normal(1), estimator="encoder")
    batch = {"real": jnp.zeros((2, 1))}
    params, stats = game.init(jax.random.key(0), batch)
    with pytest.raises(ValueError, match="Give the encoder the latent's size"):
        game.loss(params, stats, batch, keys_of(2), jnp.array(0))
