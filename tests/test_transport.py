"""Moments and transport against double loops, matchings, and closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import linear_sum_assignment

from gan_jax import devices, distances, kernel, moments, penalties, transport
from gan_jax.objectives.mmd_gan import mmd_gan
from gan_jax.objectives.ot_gan import ot_gan
from gan_jax.parts import split_keys
from tests.games import LATENT, dense, largest_gap, points

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((5, 3)), RNG.standard_normal((4, 3)) + 0.5


def double(f, *arrays):
    """``f`` compiled and evaluated in float64; NumPy in and out."""
    with jax.enable_x64():
        return jax.device_get(jax.jit(f)(*map(jnp.asarray, arrays)))


# ----------------------------------------------------------------- distances


def test_distances():
    x, y = X.copy(), Y.copy()
    x[0] = 0  # the zero vector, whose cosine is 0 by agreement
    y[1] = x[1]
    found = {
        name: double(getattr(distances, name), x, y)
        for name in ("squared_euclidean", "euclidean", "cosine")
    }
    for i, j in itertools.product(range(5), range(4)):
        gap, norms = x[i] - y[j], np.linalg.norm(x[i]) * np.linalg.norm(y[j])
        assert found["squared_euclidean"][i, j] == pytest.approx(sum(gap**2), abs=1e-14)
        assert found["euclidean"][i, j] == pytest.approx(np.linalg.norm(gap), abs=1e-14)
        cosine = sum(x[i] * y[j]) / norms if norms else 0
        assert found["cosine"][i, j] == pytest.approx(1 - cosine, abs=1e-14)


@pytest.mark.parametrize("name", ["squared_euclidean", "euclidean", "cosine"])
def test_distances_have_gradients_everywhere(name):
    x = jnp.array([[0.0, 0.0], [1.0, 2.0]])
    slope = jax.grad(lambda x: getattr(distances, name)(x, 1 * x).sum())(x)
    assert np.isfinite(slope).all()


def test_small_distances_between_large_vectors_survive():
    x = jnp.full((1, 4), 1000.0)
    assert float(distances.squared_euclidean(x, x + 0.125)[0, 0]) == 4 / 64


# ----------------------------------------------------------------- moments

KERNELS = {
    "gaussian": (
        moments.gaussian((0.5, 2.0)),
        lambda x, y: sum(np.exp(-sum((x - y) ** 2) / (2 * s * s)) for s in (0.5, 2)),
    ),
    "rational_quadratic": (
        moments.rational_quadratic(linear=0.1),
        lambda x, y: (
            sum((1 + sum((x - y) ** 2) / (2 * a)) ** -a for a in (0.1, 1, 10))
            + 0.1 * sum(x * y)
        ),
    ),
    "linear": (moments.linear(), lambda x, y: sum(x * y)),
}


def average(k, a, b):
    return np.mean([k(x, y) for x, y in itertools.product(a, b)])


def average_of_others(k, a):
    return np.mean([k(x, y) for x, y in itertools.permutations(a, 2)])


@pytest.mark.parametrize("name", KERNELS)
def test_mmd_and_witness_by_loops(name):
    kernel, k = KERNELS[name]
    at = np.concatenate([X[:2], Y[:1]])
    mmd, witness = double(
        lambda x, y, at: (
            moments.mmd2(kernel, x, y),
            moments.witness(kernel, at, x, y),
        ),
        X,
        Y,
        at,
    )
    wanted = average_of_others(k, X) + average_of_others(k, Y) - 2 * average(k, X, Y)
    assert mmd == pytest.approx(wanted, rel=1e-12)
    wanted = [average(k, [t], X) - average(k, [t], Y) for t in at]
    np.testing.assert_allclose(witness, wanted, rtol=1e-12)


def test_the_default_kernels_are_the_authors():
    x, y = np.zeros((1, 1)), np.full((1, 1), 3.0)
    by_gaussian, by_rational = double(
        lambda x, y: (moments.gaussian()(x, y), moments.rational_quadratic()(x, y)),
        x,
        y,
    )
    scales, alphas = (2, 5, 10, 20, 40, 80), (0.1, 1, 10)
    assert by_gaussian[0, 0] == pytest.approx(
        sum(np.exp(-9 / 2 / s**2) for s in scales)
    )
    assert by_rational[0, 0] == pytest.approx(sum((1 + 4.5 / a) ** -a for a in alphas))


def test_linear_mmd_is_the_distance_of_means_less_the_noise_in_them():
    mmd = double(lambda x, y: moments.mmd2(moments.linear(), x, y), X, Y)
    gap = X.mean(axis=0) - Y.mean(axis=0)
    noise = sum(np.trace(np.cov(s, rowvar=False)) / len(s) for s in (X, Y))
    assert mmd == pytest.approx(gap @ gap - noise, rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_mean_of_mmd_is_the_distance_of_the_distributions(shift):
    """For N(0, 1), N(d, 1) and scale s it is known; at d = 0 it is 0."""
    scale, draws = 1.5, 20_000

    def one(key):
        x, y = jax.random.normal(key, (2, 4, 1))
        return moments.mmd2(moments.gaussian((scale,)), x, y + shift)

    keys = jax.random.split(jax.random.key(0), draws)
    found = np.asarray(jax.jit(jax.vmap(one))(keys), np.float64)
    spread = scale**2 + 2
    wanted = 2 * scale / spread**0.5 * (1 - np.exp(-(shift**2) / (2 * spread)))
    error = found.std() / draws**0.5
    assert abs(found.mean() - wanted) < 5 * error
    if shift:
        assert found.mean() > 20 * error
    else:
        assert 0.3 < (found < 0).mean() < 0.8


def test_what_moments_refuse(unchecked):
    with pytest.raises(ValueError, match=r"have 1 and 4 points.*at least 2"):
        moments.mmd2(moments.linear(), jnp.zeros((1, 2)), jnp.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"scales is \(1.0, 0.0\).*positive"):
        moments.gaussian((1.0, 0.0))
    with pytest.raises(ValueError, match=r"alphas is \(\).*at least one"):
        moments.rational_quadratic(())


# --------------------------------------------------------------- transport


def test_sharp_plans_sort():
    x, y = (RNG.permutation(7) + RNG.uniform(0, 0.5, size=7) for _ in range(2))
    plan = double(
        lambda x, y: transport.sinkhorn(distances.squared_euclidean(x, y), 50.0, 100),
        x[:, None],
        3 * y[:, None],
    )
    matching = np.zeros((7, 7))
    matching[np.argsort(x), np.argsort(y)] = 1 / 7
    np.testing.assert_allclose(plan, matching, atol=1e-9)


COST = RNG.uniform(size=(3, 4))


def test_marginals_and_the_scaling_form():
    """P = diag(a) exp(-lambda C) diag(b) with the right sums: there is just one."""
    plan, once, gap = double(
        lambda c: (
            transport.sinkhorn(c, 5.0, 100),
            once := transport.sinkhorn(c, 5.0, 1),
            transport.column_gap(once),
        ),
        COST,
    )
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 3, rtol=1e-12)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 4, rtol=1e-12)
    scaled = np.log(plan) + 5 * COST  # = log a + log b
    scaled -= scaled[:1] + scaled[:, :1] - scaled[0, 0]
    np.testing.assert_allclose(scaled, 0, atol=1e-12)
    assert gap == pytest.approx(abs(once.sum(axis=0) - 1 / 4).sum(), rel=1e-10)
    assert gap > 1e-4
    np.testing.assert_allclose(once.sum(axis=1), 1 / 3, rtol=1e-12)


def test_the_plan_is_as_good_as_its_temperature():
    """The best matching <= <P, C> <= the best matching + log n / lambda."""
    n, draws = 8, 20
    costs = RNG.uniform(size=(draws, n, n))
    found = double(jax.vmap(lambda c: transport.transport_cost(c, 50.0, 500)), costs)
    best = [cost[linear_sum_assignment(cost)].mean() for cost in costs]
    assert (found >= np.array(best) - 1e-9).all()
    assert (found <= np.array(best) + np.log(n) / 50).all()


def converged(cost, sharpness=5.0):
    """min <P, C> - H(P) / lambda and its P by scaling in plain numbers."""
    gibbs = np.exp(-sharpness * cost)
    b = np.ones(cost.shape[1])
    for _ in range(500):
        a = 1 / cost.shape[0] / (gibbs @ b)
        b = 1 / cost.shape[1] / (gibbs.T @ a)
    plan = a[:, None] * gibbs * b
    return (plan * cost).sum() + (plan * np.log(plan)).sum() / sharpness, plan


def differences(f, at, size=1e-5):
    """df / d at[i, j], by central differences, along the last two axes."""
    steps = size * np.eye(at.size).reshape(-1, *at.shape)
    slopes = [(f(at + step) - f(at - step)) / (2 * size) for step in steps]
    return np.moveaxis(np.array(slopes), 0, -1).reshape(*np.shape(f(at)), *at.shape)


def test_the_gradient_is_that_of_the_regularised_minimum():
    """The envelope theorem; and not that of the value <P, C>, which is another."""
    gradient = double(jax.grad(lambda c: transport.transport_cost(c, 5.0, 300)), COST)
    envelope = differences(lambda c: converged(c)[0], COST)
    np.testing.assert_allclose(gradient, envelope, rtol=1e-6)
    naive = differences(lambda c: (converged(c)[1] * c).sum(), COST)
    assert abs(naive - gradient).max() > 0.01


def test_what_is_held_fixed_moves_in_outer_derivatives():
    jacobian = double(
        jax.jacfwd(jax.grad(lambda c: transport.transport_cost(c, 5.0, 300))), COST
    )
    moved = differences(lambda c: converged(c)[1], COST)
    np.testing.assert_allclose(jacobian, moved, rtol=1e-5, atol=1e-9)


def test_single_precision_at_the_authors_sharpness():
    """log-domain: exp(-500 C) itself is 0 in float32 for most of these."""
    costs = RNG.uniform(0, 2, size=(16, 16))
    double_plan = double(lambda c: transport.sinkhorn(c, 500.0, 500), costs)
    single_plan = jax.jit(lambda c: transport.sinkhorn(c, 500.0, 500))(
        jnp.asarray(costs, jnp.float32)
    )
    np.testing.assert_allclose(single_plan, double_plan, atol=2e-5)
    np.testing.assert_allclose(single_plan.sum(axis=1), 1 / 16, rtol=1e-4)


def test_what_transport_refuses(unchecked):
    with pytest.raises(ValueError, match=r"iterations is 0.*positive"):
        transport.sinkhorn(jnp.zeros((2, 2)), 1.0, 0)
    for real, fake in ((3, 3), (4, 2)):
        with pytest.raises(ValueError, match=rf"{real} real and {fake} fake.*even"):
            transport.half_batch_costs(
                distances.cosine, jnp.zeros((real, 2)), jnp.zeros((fake, 2))
            )


# --------------------------------------------------------- energy distance


def test_the_six_terms_of_the_energy_distance():
    """By hand, on points whose halves lie in known places of the line."""
    real = np.array([0.0, 1, 0, 1])[:, None]  # X at 0, X' at 1
    fake = np.array([3.0, 7, 3, 7])[:, None]  # Y at 3, Y' at 7
    found = double(
        lambda x, y: transport.energy_distance(distances.euclidean, x, y, 1.0, 5),
        real,
        fake,
    )
    assert found == pytest.approx((3 + 7 + 2 + 6) - 2 * 1 - 2 * 4)


@pytest.mark.parametrize(
    ("name", "each"), [("euclidean", 3.0), ("squared_euclidean", 9.0)]
)
def test_energy_of_shifted_diracs(name, each):
    real = jnp.zeros((4, 1))
    distance = getattr(distances, name)
    found = jax.jit(lambda x: transport.energy_distance(distance, x, x + 3))(real)
    assert float(found) == pytest.approx(4 * each)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.5, 2.0)])
def test_the_mean_of_the_energy_distance(shift, scale):
    """On the line, by squared distance, it is 4 ||difference of mean quantiles||^2 / n.

    Uniform samples of size n have the mean quantiles i / (n + 1).
    """
    half, draws = 3, 4000

    def one(key):
        x, y = jax.random.uniform(key, (2, 2 * half, 1))
        return transport.energy_distance(
            distances.squared_euclidean, x, shift + scale * y, 200.0, 50
        )

    keys = jax.random.split(jax.random.key(3), draws)
    found = np.asarray(jax.jit(jax.vmap(one))(keys), np.float64)
    gaps = shift + (scale - 1) * np.arange(1, half + 1) / (half + 1)
    error = found.std() / draws**0.5
    assert abs(found.mean() - 4 * (gaps**2).mean()) < 5 * error
    assert not shift or found.mean() > 20 * error


# ------------------------------------------------------------- the two games

GEN, DISC = dense((8, 2)), dense((8, 4))


def by_moments(disc, axis_name=None, penalty=None):
    return mmd_gan(GEN, disc, latent=LATENT, penalty=penalty, axis_name=axis_name)


def by_transport(disc, axis_name=None):
    return ot_gan(
        GEN, disc, latent=LATENT, sharpness=10.0, iterations=20, axis_name=axis_name
    )


GAMES = {
    "moments": (by_moments, DISC),
    "moments without D": (by_moments, None),
    "transport": (by_transport, DISC),
}


@pytest.mark.parametrize("name", GAMES)
def test_eight_devices_give_the_gradient_of_one(name):
    """Statistics are the global batch's, though a device holds two samples of it."""
    game, disc = GAMES[name]
    batch = jax.tree.map(np.asarray, points(16))
    rates = {player: optax.sgd(1.0) for player in ("gen", "disc")[: 1 + bool(disc)]}
    start = jax.jit(kernel(game(disc), rates).init)(jax.random.key(0), batch)
    answers = []
    for parallel in (
        devices.sharded(devices.data_mesh(jax.devices()[:1])),
        devices.sharded(),
        devices.pmapped(),
    ):
        axis_name = parallel.axis_name
        built = kernel(game(disc, axis_name), rates, axis_name=axis_name)
        call = parallel.compile(lambda s, _, got, b=built: b.step(s, got), 0)
        state = parallel.replicate(jax.tree.map(jnp.copy, start))  # it is donated
        state, info = call(state, parallel.replicate(()), parallel.put(batch, 0))
        answers.append(jax.device_get((state.params, info)))
    (params, info), *others = answers
    for other, other_info in others:
        assert largest_gap(params, other) < 1e-5
        for key, value in info.items():
            np.testing.assert_allclose(other_info[key], value, rtol=1e-4, atol=1e-5)


def test_without_a_discriminator_samples_are_their_own_features():
    batch, keys = points(6), jax.random.split(jax.random.key(1), 6)
    z_keys = {"moments": split_keys(keys, 2)[0], "transport": keys}

    @jax.jit
    def played(key):
        answers = {}
        for name, game in (("moments", by_moments), ("transport", by_transport)):
            params, stats = game(None).init(key, batch)
            assert set(params) == set(stats) == {"gen"}
            loss, _ = game(None).loss(params, stats, batch, keys, jnp.asarray(0))
            z = jax.vmap(LATENT)(z_keys[name])
            fake, _ = GEN.apply(params["gen"], {}, z, train=True)
            answers[name] = loss, fake
        fake = answers["transport"][1]
        wanted = transport.energy_distance(
            distances.cosine, batch["real"], fake, 10.0, 20
        )
        return *answers["moments"], answers["transport"][0], wanted

    by_mmd, fake, by_ot, wanted_ot = jax.device_get(played(jax.random.key(0)))
    assert by_ot == pytest.approx(wanted_ot, rel=1e-5)
    real, fake = (np.asarray(x, np.float64) for x in (batch["real"], fake))

    def k(x, y):
        return sum((1 + sum((x - y) ** 2) / (2 * a)) ** -a for a in (0.1, 1, 10))

    wanted = average_of_others(k, real) + average_of_others(k, fake)
    assert by_mmd == pytest.approx(wanted - 2 * average(k, real, fake), rel=1e-4)


def traced(game, batch):
    """One look at the loss: what it refuses, it refuses when it is traced."""
    params, stats = jax.eval_shape(game.init, jax.random.key(0), batch)
    keys = jax.random.split(jax.random.key(0), len(batch["real"]))
    jax.eval_shape(game.loss, params, stats, batch, keys, jnp.asarray(0))


def test_what_the_games_refuse(unchecked):
    with pytest.raises(ValueError, match=r"penalty was given.*Give a discriminator"):
        by_moments(None, None, penalties.r1())
    with pytest.raises(ValueError, match=r"features of shape \(4,\).*\(4, d\)"):
        traced(by_moments(dense((4, 1), logits=True)), points(4))
    with pytest.raises(ValueError, match=r"samples of shape \(3,\).*shape \(2,\)"):
        traced(mmd_gan(dense((4, 3)), None, latent=LATENT), points(4))
    with pytest.raises(ValueError, match=r"5 real and 5 fake.*even"):
        traced(by_transport(DISC), points(5))
