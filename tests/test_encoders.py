"""Encoders: codes of O-GAN, the signs of alpha-GAN, neighbours, tables, pyramids."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from gan_jax import devices, kernel, latents
from gan_jax.kernel import Network
from gan_jax.objectives.alpha_gan import alpha_gan
from gan_jax.objectives.glann import glo, imle, nearest, on_sphere, spherical
from gan_jax.objectives.ogan import (
    code,
    correlation,
    normalised,
    ogan,
    reconstruct,
    secant,
)
from gan_jax.reconstruction import laplacian, squared_error
from gan_jax.rowwise import rowwise
from tests.games import LATENT, points

STEP = jnp.asarray(0)


def linear(size: int, *, logits: bool = False) -> Network:
    """x W: what can be differentiated by hand."""

    def init(key, x):
        return jax.random.normal(key, (x.shape[-1], size)) / 2, {}

    def apply(w, stats, x, *, train):
        y = x @ w
        return (y[:, 0] if logits else y), stats

    return Network(init, apply)


GEN, ENC = linear(5), linear(3)
DISC, CODE = linear(1, logits=True), linear(1, logits=True)


def played(objective, n=6, batch=None):
    """One evaluation in float64: params, z, x, gradients and info, as NumPy arrays.

    All objectives here draw z from the first of the streams that they split keys into.
    """
    with jax.enable_x64():
        real = jax.random.normal(jax.random.key(7), (n, 5)) + 0.5
        batch = {"real": real, **(batch or {})}
        params, stats = objective.init(jax.random.key(0), batch)
        keys = jax.random.split(jax.random.key(1), n)

        @jax.jit
        def gradients(params):
            return jax.grad(
                lambda p: objective.loss(p, stats, batch, keys, STEP), has_aux=True
            )(params)

        grads, (_, info) = gradients(params)
        words = jax.random.key_data(keys)
        return jax.device_get((params, words, real, grads, info))


def z_of(keys, streams):
    """z as the objectives draw it."""
    with jax.enable_x64():
        keys = jax.random.wrap_key_data(jnp.asarray(keys))
        first = jax.vmap(lambda key: jax.random.split(key, streams)[0])(keys)
        return jax.device_get(jax.vmap(LATENT)(first))


# O-GAN


def test_the_correlation_is_pearsons_and_knows_neither_shift_nor_scale():
    random = np.random.default_rng(0)
    z, codes = random.normal(size=(2, 4, 6))
    with jax.enable_x64():
        z, codes = jnp.asarray(z), jnp.asarray(codes)
        rho = correlation(z, codes)
        moved = correlation(z, 3.0 * codes - 7.0)
        turned = correlation(z, -codes)
        n = normalised(codes)
        slope = jax.grad(lambda v: correlation(z, v).sum())(jnp.ones_like(codes))
        rho, moved, turned, n, slope = jax.device_get((rho, moved, turned, n, slope))
        z, codes = jax.device_get((z, codes))
    wanted = [np.corrcoef(a, b)[0, 1] for a, b in zip(z, codes, strict=True)]
    np.testing.assert_allclose(rho, wanted, rtol=1e-12)
    np.testing.assert_allclose(moved, rho, rtol=1e-12)
    np.testing.assert_allclose(turned, -rho, rtol=1e-12)
    np.testing.assert_allclose(n.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose((n**2).mean(1), 1, rtol=1e-12)
    # A constant code has no direction, and no NaN either.
    np.testing.assert_array_equal(slope, 0)


def test_ogan_is_the_papers_game_with_low_for_real():
    """The source minimises avg E(x) - avg E(x_n) + t1^2 / 4d - rho / 2, and G
    avg E(x_f) - rho / 2, of an encoder whose mean is turned about."""
    params, keys, x, _, info = played(ogan(GEN, ENC, latent=LATENT))
    z = z_of(keys, 2)
    fake = z @ params["gen"]
    turned = params["enc"] @ (np.eye(3) - np.full((3, 3), 2 / 3))
    real_codes, fake_codes = x @ turned, fake @ turned
    rho = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(z, fake_codes, strict=True)])
    t1 = real_codes.mean(1) - fake_codes.mean(1)
    cost = 0.25 * np.mean(t1**2 / ((x - fake) ** 2).mean(1))
    np.testing.assert_allclose(info["enc/loss"], t1.mean() - rho / 2, rtol=1e-10)
    np.testing.assert_allclose(
        info["gen/loss"], fake_codes.mean() - rho / 2, rtol=1e-10
    )
    np.testing.assert_allclose(info["enc/penalty"], cost, rtol=1e-10)
    np.testing.assert_allclose(info["enc/correlation"], rho, rtol=1e-10)


@pytest.mark.parametrize("player", ["gen", "enc"])
def test_the_correlation_pulls_both_players_the_same_way(player):
    """What a weight of 1 adds to a player's gradient, by differences of NumPy."""
    with_rho, without = (
        played(ogan(GEN, ENC, latent=LATENT, penalty=None, weight=w))
        for w in (lambda step: 1.0 + step, 0.0)
    )
    params, keys, *_ = with_rho
    z = z_of(keys, 2)

    def rho(w):
        own = {**params, player: w}
        codes = z @ own["gen"] @ own["enc"]
        return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(z, codes, strict=True)])

    w, slope = params[player], np.zeros_like(params[player])
    for place in np.ndindex(w.shape):
        tiny = np.zeros_like(w)
        tiny[place] = 1e-5
        slope[place] = (rho(w + tiny) - rho(w - tiny)) / 2e-5
    assert np.abs(slope).max() > 1e-3
    added = with_rho[3][player] - without[3][player]
    np.testing.assert_allclose(added, -slope, rtol=1e-5, atol=1e-8)


def test_the_secant_is_the_squared_slope_and_nothing_between_equals():
    with jax.enable_x64():
        w = jnp.array([3.0, -1.0])
        real, fake = jnp.array([[1.0, 0.0], [2.0, 2.0]]), jnp.array([[0.0, 2.0]] * 2)
        args = jax.random.split(jax.random.key(0), 2), STEP
        cost = lambda w, fake: secant(0.5)(lambda x: x @ w, real, fake, *args)
        value = jax.device_get(cost(w, fake))
        equal = jax.device_get(jax.grad(cost)(w, real))
    # (3 + 2)^2 / 2.5 and 6^2 / 2, half of their mean.
    np.testing.assert_allclose(value, 0.5 * (25 / 2.5 + 36 / 2) / 2, rtol=1e-12)
    np.testing.assert_array_equal(equal, 0)


def test_a_reconstruction_is_the_generator_of_the_code():
    params = {"gen": jnp.eye(3), "enc": 5.0 * jnp.eye(3)}
    x = jnp.array([[1.0, 2.0, 6.0], [0.0, 1.0, -1.0]])
    made = reconstruct(GEN, ENC, params, {"gen": {}, "enc": {}}, x, scale=0.5)
    wanted = (x - x.mean(1)[:, None]) / np.asarray(x).std(1)[:, None]
    np.testing.assert_allclose(made, 0.5 * wanted, rtol=1e-6)
    grey = jnp.array([[0, 127, 255]], jnp.uint8)
    n = code(ENC, params, {"enc": {}}, grey)
    np.testing.assert_allclose(n, [[-1.2247, 0, 1.2247]], atol=0.01)


# Alpha-GAN


@pytest.mark.parametrize("critic", [True, False])
def test_the_gradients_of_alpha_gan_by_hand(critic):
    params, keys, x, grads, info = played(
        alpha_gan(GEN, ENC, DISC, CODE if critic else None, latent=LATENT, weight=4.0)
    )
    z = z_of(keys, 3)
    a, b, w = params["enc"], params["gen"], params["disc"]
    u = params["code"] if critic else np.zeros((3, 1))
    codes, fake, n = x @ a, z @ b, len(x)
    remade = codes @ b
    sigmoid = lambda t: 1 / (1 + np.exp(-t))
    pull = 4.0 * np.sign(remade - x) / x.size  # of the reconstruction
    np.testing.assert_allclose(
        grads["enc"], x.T @ (pull @ b.T - u.T / n), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(
        grads["gen"],
        codes.T @ pull - (codes + z).sum(0)[:, None] * w.T / n,
        rtol=1e-9,
        atol=1e-12,
    )
    by_disc = fake.T @ sigmoid(fake @ w) + remade.T @ sigmoid(remade @ w)
    by_disc -= x.T @ sigmoid(-x @ w)
    np.testing.assert_allclose(grads["disc"], by_disc / n, rtol=1e-9, atol=1e-12)
    if critic:
        # High for the prior: what the first version of the paper has the other way.
        by_code = codes.T @ sigmoid(codes @ u) - z.T @ sigmoid(-z @ u)
        np.testing.assert_allclose(grads["code"], by_code / n, rtol=1e-9, atol=1e-12)
    assert set(grads) == {"enc", "gen", "disc"} | ({"code"} if critic else set())
    np.testing.assert_allclose(
        info["enc/reconstruction"], np.abs(x - remade).mean(), rtol=1e-10
    )


# GLO


def test_glo_moves_the_rows_of_the_batch_along_the_sphere():
    index = np.array([4, 0, 7])
    objective = glo(GEN, count=9, latent=LATENT)
    params, words, x, grads, info = played(objective, 3, {"index": index})
    table, gradient = params["codes"], grads["codes"]
    np.testing.assert_allclose((table**2).sum(1), 1, rtol=1e-12)
    untouched = np.delete(gradient, index, axis=0)
    np.testing.assert_array_equal(untouched, 0)
    assert (np.abs(gradient[index]).max(1) > 1e-3).all()
    # Tangent: a step along the row itself would change its length only.
    np.testing.assert_allclose((gradient * table).sum(1), 0, atol=1e-12)
    error = ((x - table[index] @ params["gen"]) ** 2).sum(1)
    np.testing.assert_allclose(info["loss"], error.mean(), rtol=1e-12)
    # Of the length of a row nothing depends.
    with jax.enable_x64():
        batch = {"real": jnp.asarray(x), "index": index}
        longer = {**params, "codes": jnp.asarray(3 * table)}
        again = objective.loss(longer, {"gen": {}}, batch, jnp.asarray(words), STEP)[0]
        np.testing.assert_allclose(jax.device_get(again), info["loss"], rtol=1e-12)


def test_an_index_beyond_the_table_is_no_other_row():
    batch = {**points(3), "index": jnp.array([0, 9, 1])}
    built = kernel(
        glo(linear(2), count=9, latent=LATENT),
        {"gen": optax.sgd(0.1), "codes": optax.sgd(0.1)},
    )
    state = built.init(jax.random.key(0), batch)
    after, info = jax.jit(built.step)(state, batch)
    assert int(info["bad"]) == 1
    np.testing.assert_array_equal(after.params["codes"], state.params["codes"])


def test_rowwise_is_the_optimizer_of_each_row_alone():
    """Rows in turn, rarely, often: each as if it had its own Adam, none moves else."""
    adam, random = optax.adam(0.1), np.random.default_rng(0)
    table = random.normal(size=(3, 2)).astype(np.float32)
    touched = random.random((12, 3)) < [0.9, 0.5, 0.2]
    grads = (random.normal(size=(12, 3, 2)) * touched[..., None]).astype(np.float32)
    built = rowwise(adam)
    update = jax.jit(built.update)
    moving, state = jnp.asarray(table), built.init(jnp.asarray(table))
    for g in grads:
        updates, state = update(g, state, moving)
        moving = moving + updates
    alone = jax.jit(adam.update)
    for row in range(3):
        v, own = table[row], adam.init(table[row])
        for g in grads[touched[:, row], row]:
            step, own = alone(g, own, v)
            v = v + step
        np.testing.assert_allclose(moving[row], v, rtol=1e-6)
    with pytest.raises(ValueError, match="one a row"):
        rowwise(optax.inject_hyperparams(optax.adam)(0.1)).init(jnp.asarray(table))


def test_the_pyramid_against_a_plain_one():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(2, 2, 8, 9, 3))
    with jax.enable_x64():
        pair = jnp.asarray(x), jnp.asarray(y)
        got, squared = jax.device_get((laplacian(2)(*pair), squared_error(*pair)))
    taps = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    for i in range(2):
        image, wanted = x[i] - y[i], 0.0
        for level in range(2):
            h, w = image.shape[:2]
            padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
            low = np.zeros_like(image)
            for r in range(h):
                for c in range(w):
                    window = padded[r : r + 5, c : c + 5]
                    low[r, c] = (taps[..., None] * window).sum((0, 1))
            wanted += 4**level * np.abs(image - low).sum()
            image = low[::2, ::2]
        wanted += 16 * np.abs(image).sum()
        np.testing.assert_allclose(got[i], wanted, rtol=1e-10)
        np.testing.assert_allclose(squared[i], ((x[i] - y[i]) ** 2).sum(), rtol=1e-10)


# IMLE


def brute_force(x, y):
    x, y = (np.asarray(v, np.float64).reshape(len(v), -1) for v in (x, y))
    return ((x[:, None] - y[None]) ** 2).sum(-1).argmin(1)


def test_the_nearest_is_the_nearest_also_far_from_the_origin():
    random = np.random.default_rng(2)
    x, y = random.normal(size=(40, 2, 3)), random.normal(size=(70, 2, 3))
    for away in (0.0, 3000.0):
        a, b = (jnp.asarray(v, jnp.float32) + away for v in (x, y))
        np.testing.assert_array_equal(nearest(a, b), brute_force(a, b))


def test_the_nearest_is_found_in_float32_whatever_the_samples_are_in():
    random = np.random.default_rng(3)
    a, b = (jnp.asarray(random.normal(size=(n, 600)), jnp.bfloat16) for n in (40, 70))
    np.testing.assert_array_equal(nearest(a, b), brute_force(a, b))


@pytest.mark.parametrize("count", [1, 4])
def test_imle_finds_the_neighbours_among_all_devices_candidates(count):
    """The loss is that of a search by hand, on one device and on four."""
    x, m = points(8)["real"], 3
    keys = jax.random.split(jax.random.key(3), 8)
    gen = linear(2)
    one = imle(gen, latent=LATENT, candidates=m)
    params, stats = one.init(jax.random.key(0), {"real": x})
    mapped = imle(gen, latent=LATENT, candidates=m, axis_name=devices.AXIS)

    def own(x, keys):
        value = mapped.loss(params, stats, {"real": x}, keys, STEP)[0]
        return jax.lax.pmean(value, devices.AXIS)

    split = PartitionSpec(devices.AXIS)
    loss = jax.jit(
        jax.shard_map(
            own,
            mesh=devices.data_mesh(jax.devices()[:count]),
            in_specs=(split, split),
            out_specs=PartitionSpec(),
        )
    )(x, keys)
    many = jax.vmap(lambda key: jax.random.split(key, m))(keys).reshape(-1)
    offered = np.asarray(jax.vmap(LATENT)(many) @ params["gen"])
    chosen = offered[brute_force(x, offered)]
    wanted = ((np.asarray(x) - chosen) ** 2).sum(1).mean()
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    # Among one device's own candidates the neighbours would be others.
    parts = [
        ((a - b[brute_force(a, b)]) ** 2).sum(1)
        for a, b in zip(np.split(np.asarray(x), 4), np.split(offered, 4), strict=True)
    ]
    assert np.concatenate(parts).mean() > 1.1 * wanted


def test_imle_follows_every_sample_and_no_candidate():
    """dL/dW = -2/n sum z_j (x_i - z_j W) over the pairs (i, j) of nearest ones."""
    params, keys, x, grads, info = played(imle(GEN, latent=LATENT, candidates=2))
    with jax.enable_x64():
        many = jax.vmap(lambda key: jax.random.split(key, 2))(
            jax.random.wrap_key_data(jnp.asarray(keys))
        ).reshape(-1)
        z = jax.device_get(jax.vmap(LATENT)(many))
    chosen = z[brute_force(x, z @ params["gen"])]
    error = x - chosen @ params["gen"]
    np.testing.assert_allclose(info["gen/loss"], (error**2).sum(1).mean(), rtol=1e-10)
    np.testing.assert_allclose(grads["gen"], -2 / len(x) * chosen.T @ error, rtol=1e-9)


def test_a_spherical_network_ends_on_the_sphere():
    mapper = spherical(linear(4))
    z = jax.random.normal(jax.random.key(0), (5, 3))
    params, stats = mapper.init(jax.random.key(1), z)
    made, _ = mapper.apply(params, stats, z, train=True)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, rtol=1e-6)
    plain = np.asarray(z @ params)
    np.testing.assert_allclose(
        made, plain / np.linalg.norm(plain, axis=1, keepdims=True), rtol=1e-5
    )
    np.testing.assert_array_equal(on_sphere(jnp.zeros(3)), 0)


# Mistakes


def test_mistakes_are_named(unchecked):
    real, key = points(4), jax.random.key(0)
    gen, enc, disc = linear(2), linear(3), linear(1, logits=True)
    rows = {**real, "index": jnp.arange(4)}
    with pytest.raises(ValueError, match="at least 3 elements"):
        ogan(gen, linear(2), latent=latents.normal(2)).init(key, real)
    with pytest.raises(ValueError, match="Give the encoder the latent's size"):
        ogan(gen, linear(4), latent=LATENT).init(key, real)
    with pytest.raises(ValueError, match="no critic of codes"):
        alpha_gan(gen, enc, disc, None, latent=LATENT, code_penalty=secant())
    with pytest.raises(ValueError, match="z has shape"):
        alpha_gan(gen, linear(4), disc, None, latent=LATENT).init(key, real)
    with pytest.raises(ValueError, match="the data have shape"):
        alpha_gan(linear(5), enc, disc, None, latent=LATENT).init(key, real)
    with pytest.raises(ValueError, match="'index'"):
        glo(gen, count=4, latent=LATENT).init(key, real)
    wrong = {**real, "index": jnp.arange(4.0)}
    with pytest.raises(ValueError, match="integers of shape"):
        glo(gen, count=4, latent=LATENT).init(key, wrong)
    with pytest.raises(ValueError, match="Give the generator the data's size"):
        glo(linear(5), count=4, latent=LATENT).init(key, rows)
    with pytest.raises(ValueError, match="Give the generator the data's size"):
        imle(linear(5), latent=LATENT).init(key, real)
    with pytest.raises(ValueError, match="at least 1"):
        glo(gen, count=0, latent=LATENT)
    with pytest.raises(ValueError, match="at least 1"):
        imle(gen, latent=LATENT, candidates=0)
    with pytest.raises(ValueError, match="at least 1"):
        laplacian(0)
    with pytest.raises(ValueError, match="levels=3 at most"):
        laplacian(4)(jnp.zeros((1, 9, 8, 1)), jnp.zeros((1, 9, 8, 1)))
