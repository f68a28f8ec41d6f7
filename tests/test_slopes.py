"""Wasserstein critics, GAN-QP and worst samples, against their closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import brentq, minimize

from gan_jax import Objective, kernel, losses, optimizers, penalties, robust
from gan_jax.objectives.bigan_qp import bigan_qp
from tests.cases.slopes import TRIO
from tests.games import LATENT, dense, largest_gap, points

WASSERSTEIN = losses.wasserstein()
STEP = jnp.asarray(0)
REAL = np.array([[1.0, 2.0], [0.0, -1.0], [2.0, 2.0], [0.3, 0.1]])
FAKE = np.array([[-1.0, 0.5], [3.0, 3.0], [0.0, 0.0], [0.5, 0.2]])
# Two Diracs, and the unit vector from the fake one to the real one.
AWAY = np.array([0.6, -0.8])
HERE = np.array([[0.2, 0.5]])


def best(disc_of, size, penalty, real, fake, loss=WASSERSTEIN):
    """D's best parameters and the loss there, by BFGS in float64."""
    with jax.enable_x64():
        real, fake = jnp.asarray(real), jnp.asarray(fake)
        keys = jax.random.split(jax.random.key(0), len(real))

        def value(w):
            disc = lambda x: disc_of(w, x)
            cost = penalty(disc, real, fake, keys, STEP)
            return loss.disc(disc(real), disc(fake)) + cost

        both = jax.jit(jax.value_and_grad(value))
        found = minimize(
            lambda w: tuple(map(np.asarray, both(jnp.asarray(w)))),
            np.linspace(0.2, 0.3, size),
            jac=True,
            options={"gtol": 1e-11},
        )
    return found.x, found.fun


def linear(w, x):
    return x @ w


def in_double(penalty, disc, real=REAL, fake=FAKE):
    """A penalty's value in float64."""
    with jax.enable_x64():
        real, fake = jnp.asarray(real), jnp.asarray(fake)
        keys = jax.random.split(jax.random.key(0), len(real))
        return float(jax.jit(lambda: penalty(disc, real, fake, keys, STEP))())


# Two Diracs.


@pytest.mark.parametrize(("d", "weight"), [(2.0, 10.0), (0.5, 0.1)])
def test_wgan_gp_on_two_diracs(d, weight):
    """Slope 1 + d / (2 lambda), value d + d^2 / (4 lambda)."""
    real = HERE + d * AWAY
    w, loss = best(linear, 2, penalties.wgan_gp(weight), real, HERE)
    np.testing.assert_allclose(w, (1 + d / (2 * weight)) * AWAY, rtol=1e-6)
    assert -loss == pytest.approx(d + d**2 / (4 * weight), rel=1e-9)


@pytest.mark.parametrize(
    ("d", "k", "p"),
    [(2.0, 2.0, 6.0), (0.5, 1.0, 3.0), (3.0, 4.0, 2.0), (1.0, 2.0, 1.5)],
)
def test_wgan_div_on_two_diracs(d, k, p):
    """Slope s = (d / kp)^(1 / (p - 1)), value d s - k s^p."""
    real = HERE + d * AWAY
    w, loss = best(linear, 2, penalties.wgan_div(k, p), real, HERE)
    slope = (d / (k * p)) ** (1 / (p - 1))
    np.testing.assert_allclose(w, slope * AWAY, rtol=1e-5)
    assert -loss == pytest.approx(d * slope - k * slope**p, rel=1e-9)


def test_wgan_div_takes_slopes_at_real_and_at_fake_samples():
    disc = lambda x: jnp.square(x).sum(-1) / 2  # its slope at x is x
    powers = [np.linalg.norm(x) ** 3 for x in (*REAL, *FAKE)]
    wanted = 5 / 2 * (sum(powers[:4]) / 4 + sum(powers[4:]) / 4)
    assert in_double(penalties.wgan_div(5.0, 3.0), disc) == pytest.approx(wanted)


def test_wgan_div_at_a_flat_discriminator_has_a_gradient_without_nan():
    keys = jax.random.split(jax.random.key(0), 4)

    def cost(w):
        real, fake = jnp.asarray(REAL), jnp.asarray(FAKE)
        return penalties.wgan_div(power=1.5)(lambda x: x @ w, real, fake, keys, STEP)

    np.testing.assert_array_equal(jax.grad(cost)(jnp.zeros(2)), 0)


def test_wgan_div_and_r1_leave_the_way_between_the_samples_free():
    """A critic that is flat at both Diracs may rise between them as it likes; only
    WGAN-GP, who looks there, sees it."""
    real, fake = np.array([[3.0]]), np.array([[0.0]])

    def cubic(x):
        t = x[:, 0] / 3
        return 100 * (3 * t**2 - 2 * t**3)

    for penalty in (
        penalties.wgan_div(),
        penalties.total(penalties.r1(), penalties.r2()),
    ):
        assert in_double(penalty, cubic, real, fake) < 1e-12
    assert in_double(penalties.wgan_gp(), cubic, real, fake) > 10


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_gan_qp_on_two_diracs(norm):
    """delta = lambda d, value lambda d / 2, with d a mean over elements."""
    real, fake = np.array([[3.0, -1.0, 2.0]]), np.array([[1.0, 0.5, 2.5]])
    d = {"l1": (2 + 1.5 + 0.5) / 3, "l2": ((4 + 2.25 + 0.25) / 3) ** 0.5}[norm]
    w, loss = best(linear, 3, penalties.quadratic_potential(7.0, norm), real, fake)
    assert ((real - fake) @ w).item() == pytest.approx(7 * d, rel=1e-6)
    assert -loss == pytest.approx(7 * d / 2, rel=1e-9)


@pytest.mark.parametrize("name", ["wgan_gp", "dragan"])
def test_a_target_slope_in_the_non_saturating_game(name):
    """Of GAN-GP and DRAGAN-NS the best linear D between points d apart has the slope s
    that solves d sigmoid(-s d / 2) = 2 lambda (s - 1)."""
    d, weight = 4.0, 0.3
    disc = lambda w, x: x @ w[:2] + w[2]
    w, _ = best(
        disc,
        3,
        getattr(penalties, name)(weight),
        HERE + d * AWAY,
        HERE,
        losses.nonsaturating(),
    )
    slope = brentq(
        lambda s: d / (1 + np.exp(s * d / 2)) - 2 * weight * (s - 1), 0.0, 9.0
    )
    assert slope > 1.1  # the loss has its say
    np.testing.assert_allclose(w[:2], slope * AWAY, rtol=1e-6)


# Two distributions on six atoms, in twentieths, c_i along the i-th axis.

P = np.array([6, 1, 4, 5, 3, 1])
Q = np.array([2, 5, 3, 1, 4, 5])
AT = np.array([1.0, -2.0, 0.5, 3.0, 1.5, -0.7])
ATOMS = np.diag(AT)
APART = (abs(ATOMS[:, None] - ATOMS[None]).mean(axis=-1)) + np.eye(6)


def pairs(chosen):
    """All pairs of a real and a fake atom, as often as they are drawn."""
    real, fake = np.repeat(chosen, P[chosen]), np.repeat(chosen, Q[chosen])
    return ATOMS[np.repeat(real, len(fake))], ATOMS[np.tile(fake, len(real))]


def best_scores(chosen, scale):
    w, loss = best(linear, 6, penalties.quadratic_potential(scale), *pairs(chosen))
    return AT * w, loss


@pytest.mark.parametrize(("r", "f"), [(0, 1), (3, 2), (4, 5)])
def test_gan_qp_on_two_atoms(r, f):
    """delta = lambda d (p_r q_f - p_f q_r) / (p_r q_f + p_f q_r)."""
    scores, _ = best_scores(np.array([r, f]), scale=3.0)
    one, other = P[r] * Q[f], P[f] * Q[r]
    wanted = 3 * APART[r, f] * (one - other) / (one + other)
    assert scores[r] - scores[f] == pytest.approx(wanted, rel=1e-6)


def test_gan_qp_on_six_atoms():
    """One score an atom is no free delta: the best ones solve a Laplacian system, of
    pairs weighted by how often they meet and by 1 / (lambda d)."""
    scores, loss = best_scores(np.arange(6), scale=3.0)
    often = np.outer(P / P.sum(), Q / Q.sum())
    stiff = (often + often.T) / (3 * APART)
    laplacian = np.diag(stiff.sum(axis=1)) - stiff
    wanted = np.linalg.lstsq(laplacian, (often - often.T).sum(axis=1))[0]
    np.testing.assert_allclose(
        scores - scores.mean(), wanted - wanted.mean(), rtol=1e-5, atol=1e-8
    )
    # At the optimum of a quadratic form the loss is half its linear part.
    assert -loss == pytest.approx((often * (wanted[:, None] - wanted)).sum() / 2)


def test_the_potential_of_equal_samples_is_nothing():
    same = REAL.copy()
    penalty = penalties.quadratic_potential(norm="l2")
    assert in_double(penalty, lambda x: x.sum(-1), REAL, same) == 0
    slope = jax.grad(lambda x: penalties.mean_distance(x, x[::-1], "l2").sum())
    assert bool(jnp.isfinite(slope(jnp.ones((2, 3)))).all())


def test_bigan_qp_judges_samples_and_codes_together():
    """The best judge of one pair has delta = lambda (d(x, x_f) + d(z_e, z))."""
    with jax.enable_x64():
        batch = {"real": points(1)["real"].astype(float)}
        game = bigan_qp(**TRIO, latent=LATENT, scale=5.0)
        params, stats = game.init(jax.random.key(0), batch)
        keys = jax.random.split(jax.random.key(1), 1)

        z = jax.vmap(LATENT)(keys)
        fake, _ = TRIO["gen"].apply(params["gen"], {}, z, train=True)
        code, _ = TRIO["enc"].apply(params["enc"], {}, batch["real"], train=True)
        d = abs(fake - batch["real"]).mean() + abs(code - z).mean()

        def cost(theta):
            moved = {**params, "disc": theta}
            told = game.loss(moved, stats, batch, keys, STEP)[1][1]
            return told["disc/loss"] + told["disc/penalty"], told

        def down(theta, _):
            slope, told = jax.grad(cost, has_aux=True)(theta)
            return jax.tree.map(lambda w, g: w - 0.3 * g, theta, slope), told

        _, told = jax.jit(lambda w: jax.lax.scan(down, w, length=300))(params["disc"])
        told, d = jax.device_get((told, d))
        told = {name: values[-1] for name, values in told.items()}
    assert told["disc/gap"] == pytest.approx(5 * d, rel=1e-5)
    assert told["disc/loss"] + told["disc/penalty"] == pytest.approx(-2.5 * d, rel=1e-6)


# Clipped weights.


@pytest.mark.parametrize("bound", [0.01, 1.0])
def test_weights_lie_in_the_box_after_every_step_and_move_freely_within(bound):
    inner = optax.adam(0.3 * bound)
    clipped = optimizers.clipped_weights(inner, bound)
    # Some begin outside, as initialisers have it; sizes over many powers of ten.
    size, grads = jnp.exp(2 * jax.random.normal(jax.random.key(0), (2, 5000)))
    params = bound * size * jnp.sign(grads - 1)
    grads *= jnp.sign(size - 0.5)

    @jax.jit
    def step(params, opt):
        updates, after = clipped.update(grads, opt, params)
        free, _ = inner.update(grads, opt, params)
        wanted = jnp.clip(params + free, -bound, bound)
        return optax.apply_updates(params, updates), after, wanted

    opt = clipped.init(params)
    for _ in range(4):
        params, opt, wanted = step(params, opt)
        assert bool((jnp.abs(params) <= jnp.float32(bound)).all())
        np.testing.assert_allclose(params, wanted, atol=2e-3 * bound)
    inside = np.mean(np.abs(wanted) < bound)
    assert 0.01 < inside < 0.99


def test_a_clipped_linear_critic_measures_the_sum_of_differences():
    """W = bound * ||x_r - x_f||_1; on the line that is bound times the distance."""
    optimizer = optimizers.clipped_weights(optax.sgd(0.1), bound=0.5)
    real, fake = jnp.array([[2.0, -1.0, 0.5]]), jnp.array([[1.0, 3.0, 0.25]])
    w = jnp.zeros(3)
    for _ in range(30):
        grads = jax.grad(lambda w: WASSERSTEIN.disc(real @ w, fake @ w))(w)
        updates, _ = optimizer.update(grads, optimizer.init(w), w)
        w = optax.apply_updates(w, updates)
    assert float(-WASSERSTEIN.disc(real @ w, fake @ w)) == pytest.approx(
        0.5 * (1 + 4 + 0.25)
    )


def test_a_clipped_player_says_its_rate_and_the_other_one_is_free():
    def init(key, batch):
        return {"gen": jnp.ones(2), "disc": jnp.ones(2)}, {"gen": {}, "disc": {}}

    def loss(params, stats, batch, keys, step):
        value = sum(jnp.square(w - 3).sum() for w in params.values())
        return value, (stats, {})

    clipped = optimizers.clipped_weights(optimizers.adam(3e-4), 0.5)
    free = optimizers.adam(2e-3)
    trained = kernel(Objective(init, loss), {"gen": free, "disc": clipped})
    state = trained.init(jax.random.key(0), points(2))
    state, info = jax.jit(trained.step)(state, points(2))
    assert float(info["disc/learning_rate"]) == pytest.approx(3e-4)
    np.testing.assert_array_equal(state.params["disc"], 0.5)
    np.testing.assert_allclose(state.params["gen"], 1.002, rtol=1e-5)


# The worst samples nearby.

SLOPE = np.array([3.0, -4.0])
DUAL = {"l2": 5.0, "linf": 7.0}


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("ball", DUAL)
def test_a_linear_discriminator_at_its_worst_samples(ball, steps):
    """Of a linear D all attacks lower real logits by epsilon * ||w||_dual, and raise
    fake ones, whatever epsilon is."""
    penalty = robust.adversarial_training(losses.nonsaturating(), 0.7, ball, steps)
    gap = in_double(penalty, lambda x: x @ SLOPE)
    shift = 0.7 * DUAL[ball]
    real, fake = REAL @ SLOPE, FAKE @ SLOPE

    def loss(real, fake):
        return np.log1p(np.exp(-real)).mean() + np.log1p(np.exp(fake)).mean()

    wanted = loss(real - shift, fake + shift) - loss(real, fake)
    assert gap == pytest.approx(wanted, rel=1e-9)


def test_slopes_too_small_to_be_squared_are_followed():
    """In float32: logits of +-50 have slopes of 2e-22."""
    penalty = robust.adversarial_training(losses.nonsaturating(), 1.0, "l2", 1)
    samples = jnp.array([[0.5, 0.0]])
    disc = lambda x: 100.0 * x[:, 0]
    gap = penalty(disc, samples, -samples, jax.random.split(jax.random.key(0), 1), STEP)
    assert float(gap) == pytest.approx(100.0, rel=1e-5)  # each from 50 to -50


BALLS = ("none", "l2", "linf")
DISC = dense((8, 1), logits=True)


def disc_gradients(penalty, theta, real, fake):
    keys = jax.random.split(jax.random.key(0), len(real))

    def value(theta):
        disc = lambda x: DISC.apply(theta, {}, x, train=True)[0]
        return penalty(disc, real, fake, keys, STEP)

    return jax.value_and_grad(value)(theta)


@pytest.mark.parametrize("ball", BALLS)
def test_to_first_order_the_worst_samples_are_a_penalty(ball):
    """The gradients differ by a share in proportion to epsilon, and so do the values
    but for Delta = epsilon * slope, whose gap is twice the penalty."""
    loss = losses.nonsaturating()

    @jax.jit
    def both(epsilon):
        real, fake = points(5, 1)["real"], points(5, 2)["real"] - 1
        theta, _ = DISC.init(jax.random.key(3), real)
        attacked = robust.adversarial_training(loss, lambda step: epsilon, ball)
        penalised = robust.loss_slope(loss, lambda step: epsilon, ball)
        return [
            disc_gradients(penalty, theta, real, fake)
            for penalty in (attacked, penalised)
        ]

    errors = []
    for epsilon in (1e-2, 1e-3, 1e-4):
        with jax.enable_x64():
            (gap, attacked), (cost, penalised) = jax.device_get(
                both(jnp.asarray(epsilon))
            )
        errors.append(largest_gap(attacked, penalised))
        order = 2 if ball == "none" else 1
        assert gap == pytest.approx(order * cost, rel=40 * epsilon)
    assert errors[0] > 1e-4
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(10, rel=0.05)


def test_the_slope_of_the_loss_sample_by_sample():
    """By central differences of each sample's own loss."""
    theta, _ = DISC.init(jax.random.key(3), jnp.asarray(REAL))
    weights = [np.asarray(x, np.float64) for x in jax.tree.leaves(theta)]

    def own_loss(x, sign):
        b1, w1, b2, w2 = weights
        return np.log1p(np.exp(-sign * ((np.tanh(x @ w1 + b1)) @ w2 + b2).item()))

    def slope(x, sign):
        return np.array(
            [
                (own_loss(x + h, sign) - own_loss(x - h, sign)) / 2e-5
                for h in 1e-5 * np.eye(2)
            ]
        )

    slopes = [[slope(x, 1) for x in REAL], [slope(x, -1) for x in FAKE]]
    norms = {
        "none": lambda g: (g**2).sum() / 2,
        "l2": np.linalg.norm,
        "linf": lambda g: abs(g).sum(),
    }
    for ball, norm in norms.items():
        wanted = 0.3 * sum(np.mean([norm(g) for g in gs]) for gs in slopes)
        penalty = robust.loss_slope(losses.nonsaturating(), 0.3, ball)
        with jax.enable_x64():
            wide = jax.tree.map(lambda w: jnp.asarray(w, float), theta)
            disc = lambda x, wide=wide: DISC.apply(wide, {}, x, train=True)[0]
            cost = in_double(penalty, disc)
        assert cost == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("ball", "order"), [("l2", 2), ("linf", np.inf)])
def test_more_steps_stay_in_the_ball_and_find_worse(ball, order):
    theta, _ = DISC.init(jax.random.key(3), jnp.asarray(REAL))
    x = 2 * jax.random.normal(jax.random.key(5), (64, 2, 1))
    # A sharp D, whose slope turns within the ball.
    value = lambda x: DISC.apply(theta, {}, 4 * x[..., 0], train=True)[0].sum()
    for steps in (1, 10):
        moved = jax.jit(
            lambda x, steps=steps: robust.perturbation(value, x, 0.8, ball, steps)
        )(x)
        sizes = np.linalg.norm(np.asarray(moved).reshape(64, 2), order, axis=1)
        assert sizes.max() <= 0.8 * (1 + 1e-6)
        gain = float(value(x + moved) - value(x)) / 64
        if steps == 1:
            fast = gain
    assert gain > 1.05 * fast > 0
    assert sizes.min() < 0.79  # some tops lie within


def test_what_cannot_be_is_refused():
    for call, message in (
        (lambda: penalties.wgan_div(power=1.0), "power is 1.0"),
        (lambda: optimizers.clipped_weights(optax.sgd(1.0), 0.0), "bound is 0.0"),
        (
            lambda: robust.adversarial_training(losses.relativistic_average()),
            "whole batch",
        ),
        (lambda: robust.loss_slope(losses.relativistic_average()), "whole batch"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match="update"):
        optimizers.clipped_weights(optax.sgd(1.0)).update({}, optax.EmptyState())


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_attacked_is_refused():
    loss = losses.nonsaturating()
    with pytest.raises(ValueError, match="norm is 'l3'"):
        penalties.quadratic_potential(norm="l3")
    with pytest.raises(ValueError, match="ball is 'l7'"):
        robust.adversarial_training(loss, ball="l7")
    with pytest.raises(ValueError, match="steps is 2 with ball 'none'"):
        robust.adversarial_training(loss, ball="none", steps=2)
    with pytest.raises(ValueError, match="steps is 0"):
        robust.adversarial_training(loss, steps=0)
    game = bigan_qp(**{**TRIO, "enc": dense((8, 2))}, latent=LATENT)
    params, stats = game.init(jax.random.key(0), points(8))
    keys = jax.random.split(jax.random.key(1), 8)
    with pytest.raises(ValueError, match=r"codes of shape \(2,\) for latents"):
        jax.eval_shape(game.loss, params, stats, points(8), keys, STEP)
