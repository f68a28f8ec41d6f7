"""Law 1 and 2: each player gets exactly its own gradient, however it is written."""

import itertools

import jax
import jax.numpy as jnp
import pytest

from gan_jax import losses
from gan_jax.kernel import Network
from gan_jax.objectives import adversarial
from tests.apart import two_players
from tests.games import (
    GRADIENTS,
    LATENT,
    LOSSES,
    PENALTIES,
    dense,
    largest_gap,
    players,
    points,
)

# float64 rounding, times the length of the chain of operations.
EXACT = 1e-12


def both_ways(loss, penalty, gradient, *, norm=False):
    """Gradients of the merged loss (both moving, each alone) and of the two losses."""
    nets, batch = players(norm=norm), points()
    game = adversarial(
        nets["gen"],
        nets["disc"],
        loss=loss,
        latent=LATENT,
        penalty=penalty,
        gradient=gradient,
    )
    params, stats = game.init(jax.random.key(0), batch)
    keys = jax.random.split(jax.random.key(2), 6)
    step = jnp.asarray(2)

    def grad_for(movers):
        """As the kernel takes it in a move of these players."""

        def value(moving):
            return game.loss({**params, **moving}, stats, batch, keys, step)

        moving = {player: params[player] for player in movers}
        return jax.grad(value, has_aux=True)(moving)[0]

    merged = grad_for(["gen", "disc"])
    alone = grad_for(["gen"]) | grad_for(["disc"])
    own = two_players(nets, loss, penalty)(params, stats, batch, keys, step)
    apart = {player: jax.grad(own[player])(params[player]) for player in own}
    return merged, apart, alone


# Every pair of a loss, a penalty and a way of writing meets. The two terms of D's loss
# are added, so that a third one changes nothing between two.
GAMES = sorted(
    {
        *itertools.product(LOSSES, PENALTIES, ["merged"]),
        *itertools.product(LOSSES, ["total"], GRADIENTS),
        *itertools.product(["relativistic_pairing"], PENALTIES, GRADIENTS),
    }
)


@pytest.mark.parametrize(("loss", "penalty", "gradient"), GAMES)
def test_each_player_gets_its_own_gradient(loss, penalty, gradient):
    """Whether both move at once or each in a move of its own: so for every play."""
    with jax.enable_x64():
        merged, apart, alone = both_ways(LOSSES[loss], PENALTIES[penalty], gradient)
        for player in ("gen", "disc"):
            assert largest_gap(merged[player], apart[player]) < EXACT
            assert largest_gap(alone[player], apart[player]) < EXACT


@pytest.mark.parametrize(
    ("loss", "gradient"), list(itertools.product(LOSSES, ("merged", "article")))
)
def test_batch_norm_in_the_discriminator_changes_nothing(loss, gradient):
    with jax.enable_x64():
        merged, apart, _ = both_ways(LOSSES[loss], None, gradient, norm=True)
        assert largest_gap(merged, apart) < EXACT


@pytest.mark.parametrize("loss", LOSSES)
def test_the_articles_form_has_the_value_of_the_discriminators_loss(loss):
    with jax.enable_x64():
        nets, batch = players(), points()
        game = adversarial(
            nets["gen"],
            nets["disc"],
            loss=LOSSES[loss],
            latent=LATENT,
            gradient="article",
        )
        params, stats = game.init(jax.random.key(0), batch)
        keys = jax.random.split(jax.random.key(2), 6)
        value, (_, info) = game.loss(params, stats, batch, keys, jnp.asarray(0))
        assert value == pytest.approx(float(info["disc/loss"]), rel=1e-15)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("loss", ["hinge", "nonsaturating", "least_squares"])
@pytest.mark.parametrize("shift", [-200.0, -90.0, 0.0, 90.0])
def test_one_backward_is_right_where_the_discriminators_loss_is_flat(
    loss, shift, dtype
):
    """A hinge past its margin and a softplus far out have a zero derivative."""
    if dtype == jnp.bfloat16:
        nets = players()
        half = {
            name: net._replace(apply=_in_half_precision(net.apply))
            for name, net in nets.items()
        }
    else:
        half = players()
    gradients = {}
    for gradient in ("merged", "one_backward"):
        game = adversarial(
            half["gen"],
            half["disc"],
            loss=LOSSES[loss],
            latent=LATENT,
            gradient=gradient,
        )
        batch = points()
        params, stats = game.init(jax.random.key(0), batch)
        params["disc"][-1]["b"] += shift
        keys = jax.random.split(jax.random.key(2), 6)
        gradients[gradient], _ = jax.grad(game.loss, has_aux=True)(
            params, stats, batch, keys, jnp.asarray(0)
        )
    tolerance = 1e-5 if dtype == jnp.float32 else 2e-2
    merged, one = gradients["merged"], gradients["one_backward"]
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(one))
    assert largest_gap(merged["gen"], one["gen"]) < tolerance
    assert largest_gap(merged["disc"], one["disc"]) < tolerance


def _in_half_precision(apply):
    def half(params, stats, x, *labels, train):
        cast = jax.tree.map(lambda w: w.astype(jnp.bfloat16), params)
        out, stats = apply(cast, stats, x.astype(jnp.bfloat16), train=train)
        return out, stats

    return half


def test_one_backward_refuses_a_discriminator_that_couples_samples():
    nets = players(norm=True)
    game = adversarial(
        nets["gen"],
        nets["disc"],
        loss=losses.nonsaturating(),
        latent=LATENT,
        gradient="one_backward",
    )
    with pytest.raises(ValueError, match=r"depends on another sample.*merged"):
        game.init(jax.random.key(0), points())
    with pytest.raises(ValueError, match="depends on another sample"):
        jax.jit(game.init)(jax.random.key(0), points())  # traced, and still checked


def test_one_backward_sees_a_coupling_behind_a_weight_that_begins_at_zero():
    nets = players()

    def init(key, x):
        params, stats = nets["disc"].init(key, x)
        return {"own": params, "others": jnp.zeros(())}, stats

    def apply(params, stats, x, train):
        logits, stats = nets["disc"].apply(params["own"], stats, x, train=train)
        return logits + params["others"] * logits.mean(), stats

    game = adversarial(
        nets["gen"],
        Network(init, apply),
        loss=losses.nonsaturating(),
        latent=LATENT,
        gradient="one_backward",
    )
    with pytest.raises(ValueError, match="depends on another sample"):
        game.init(jax.random.key(0), points())


def test_one_backward_refuses_a_discriminator_that_asks_other_devices():
    nets = players()

    def apply(params, stats, x, train):
        logits, stats = nets["disc"].apply(params, stats, x, train=train)
        return logits - jax.lax.pmean(logits.mean(), "data"), stats

    game = adversarial(
        nets["gen"],
        Network(nets["disc"].init, apply),
        loss=losses.nonsaturating(),
        latent=LATENT,
        gradient="one_backward",
    )
    with pytest.raises(ValueError, match="depends on another sample"):
        game.init(jax.random.key(0), points())


def test_one_backward_would_be_wrong_for_a_discriminator_that_couples_samples():
    """The refusal has a reason: without it the generator's gradient is off."""
    from gan_jax.objectives.adversarial import _twin_scores

    nets, batch = players(norm=True), points()
    params, stats = nets["disc"].init(jax.random.key(0), batch["real"])
    x = points(seed=3)["real"]
    loss = losses.nonsaturating()

    def score(params, stats, x, labels):
        return nets["disc"].apply(params, stats, x, train=True)

    def one_backward(x):
        for_disc, for_gen, _ = _twin_scores(score)(params, stats, x, ())
        return loss.disc(for_disc, for_disc) + loss.gen(for_gen, for_gen)

    wrong = jax.grad(one_backward)(x)
    right = jax.grad(lambda x: loss.gen(x[:, 0], score(params, stats, x, ())[0]))(x)
    assert largest_gap(wrong, right) > 0.05


def test_no_gradient_reaches_the_generator_from_a_penalty():
    with jax.enable_x64():
        for name, penalty in PENALTIES.items():
            merged, _, _ = both_ways(LOSSES["hinge"], penalty, "merged")
            without, _, _ = both_ways(LOSSES["hinge"], None, "merged")
            assert largest_gap(merged["gen"], without["gen"]) == 0, name


def test_clear_errors(unchecked):
    nets = players()
    common = {"loss": losses.hinge(), "latent": LATENT}
    with pytest.raises(ValueError, match=r"gradient is 'both'.*one_backward"):
        adversarial(nets["gen"], nets["disc"], gradient="both", **common)
    game = adversarial(nets["gen"], nets["disc"], conditional=True, **common)
    with pytest.raises(ValueError, match=r"\['label'\] is needed"):
        game.init(jax.random.key(0), points())
    wide = adversarial(nets["gen"], dense((4, 2)), **common)
    params, stats = wide.init(jax.random.key(0), points())
    keys = jax.random.split(jax.random.key(0), 6)
    with pytest.raises(ValueError, match=r"shape \(6, 2\).*one logit per sample"):
        wide.loss(params, stats, points(), keys, jnp.asarray(0))
    other = adversarial(dense((4, 3)), nets["disc"], **common)
    with pytest.raises(ValueError, match=r"samples of shape \(3,\).*shape \(2,\)"):
        other.init(jax.random.key(0), points())
