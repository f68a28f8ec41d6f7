"""The kernel's laws: who moves, on what noise, and what a step leaves alone."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import alternating, gan, kernel, losses, penalties, simultaneous
from gan_jax.kernel import Objective
from gan_jax.objectives import adversarial
from tests.games import GRADIENTS, LATENT, largest_gap, players, points

PLAYS = {
    "simultaneous": simultaneous("gen", "disc"),
    "alternating": alternating("disc", "gen"),
    "gen_first": alternating("gen", "disc"),
    "three_critic_steps": alternating("disc", "gen", first=3),
    "disc_only_then_both": (("disc",), ("gen", "disc")),
}


def optimizers():
    return {"gen": optax.adam(1e-2, b1=0.5), "disc": optax.rmsprop(2e-2)}


def model(**changes):
    nets = players(norm=changes.pop("norm", False))
    options = {"penalty": penalties.r1(), "optimizers": optimizers()} | changes
    return gan(nets["gen"], nets["disc"], latent=LATENT, **options)


def start(trained, n=12, seed=0):
    batch = points(n)
    return jax.jit(trained.init)(jax.random.key(seed), batch), batch


@pytest.mark.parametrize(
    ("play", "gradient"),
    [(play, "merged") for play in PLAYS]
    + [("alternating", gradient) for gradient in GRADIENTS[1:]],
)
def test_a_step_is_its_moves_by_hand(play, gradient):
    """Gradients, optimizers and noise of every move, written out."""
    with jax.enable_x64():
        nets, play = players(), PLAYS[play]
        game = adversarial(
            nets["gen"],
            nets["disc"],
            loss=losses.nonsaturating(),
            latent=LATENT,
            penalty=penalties.wgan_gp(),
            gradient=gradient,
        )
        trained = kernel(game, optimizers(), play=play)
        state, batch = start(trained)
        new, _ = jax.jit(trained.step)(state, batch)

        params, opt = dict(state.params), dict(state.opt)
        step_key = jax.random.fold_in(state.key, 0)
        for number, movers in enumerate(play):
            share = {"real": batch["real"][number :: len(play)]}
            move_key = jax.random.fold_in(step_key, number)
            keys = jnp.stack(
                [jax.random.fold_in(move_key, i) for i in range(len(share["real"]))]
            )
            grads, _ = jax.grad(game.loss, has_aux=True)(
                params, state.stats, share, keys, state.step
            )
            for player in movers:
                updates, opt[player] = optimizers()[player].update(
                    grads[player], opt[player], params[player]
                )
                params[player] = optax.apply_updates(params[player], updates)
        assert largest_gap(new.params, params) < 1e-12
        assert largest_gap(new.opt, opt) < 1e-12


@pytest.mark.parametrize("mover", ["gen", "disc"])
def test_who_does_not_move_does_not_change(mover):
    nets = players(norm=True)
    game = adversarial(nets["gen"], nets["disc"], loss=losses.hinge(), latent=LATENT)
    both = kernel(game, optimizers())
    alone = kernel(game, {mover: optimizers()[mover]}, play=((mover,),))
    state, batch = start(both)
    for _ in range(3):  # so that momenta are not zero
        state, _ = jax.jit(both.step)(state, batch)
    # The resting player's optimizer state is not in the lone kernel's hands at all.
    resting = {"gen": "disc", "disc": "gen"}[mover]
    before = state._replace(opt={mover: state.opt[mover]})
    after, info = jax.jit(alone.step)(before, batch)
    chex.assert_trees_all_equal(after.params[resting], before.params[resting])
    chex.assert_trees_all_equal(after.stats[resting], before.stats[resting])
    assert largest_gap(after.params[mover], before.params[mover]) > 0
    assert largest_gap(after.stats[mover], before.stats[mover]) > 0
    assert f"{mover}/update_norm" in info
    assert f"{resting}/update_norm" not in info


def test_a_critic_step_leaves_the_generators_momentum_alone():
    """Two moves of D and one of G: G's Adam has counted one move a step."""
    trained = model(play=alternating("disc", "gen", first=2))
    state, batch = start(trained)
    for _ in range(4):
        state, _ = jax.jit(trained.step)(state, batch)
    assert int(optax.tree.get(state.opt["gen"], "count")) == 4


def test_stats_are_written_once_from_real_and_fake_alike():
    nets = players(norm=True)
    trained = model(norm=True, penalty=None)
    state, batch = start(trained)
    new, _ = jax.jit(trained.step)(state, batch)
    move_key = jax.random.fold_in(jax.random.fold_in(state.key, 0), 0)
    keys = jax.vmap(lambda i: jax.random.fold_in(move_key, i))(jnp.arange(12))
    z = jax.vmap(lambda k: LATENT(jax.random.split(k)[0]))(keys)
    fake, _ = nets["gen"].apply(state.params["gen"], state.stats["gen"], z, train=True)
    _, of_real = nets["disc"].apply(
        state.params["disc"], state.stats["disc"], batch["real"], train=True
    )
    _, of_fake = nets["disc"].apply(
        state.params["disc"], state.stats["disc"], fake, train=True
    )
    wanted = (of_real["mean"] + of_fake["mean"]) / 2
    chex.assert_trees_all_close(new.stats["disc"]["mean"], wanted, rtol=1e-5)


def test_one_compilation():
    trained = model(norm=True, penalty=penalties.lazy(penalties.r1(), 2))
    step = jax.jit(chex.assert_max_traces(trained.step, n=1), donate_argnums=0)
    state, batch = start(trained)
    for _ in range(3):
        state, _ = step(state, batch)  # a second trace is refused
    assert int(state.step) == 3


def test_a_step_that_is_traced_again_is_the_same_program():
    """So that a cache of programs finds it: a run begun anew in one process."""

    def program():
        trained = model(penalty=penalties.r1())
        return jax.jit(trained.step).lower(*start(trained)).as_text()

    assert program() == program()


def test_seeds_by_vmap_are_separate_runs():
    trained = model()
    batch = points()
    keys = jax.random.split(jax.random.key(0), 3)
    states = jax.vmap(trained.init, in_axes=(0, None))(keys, batch)
    step = jax.jit(jax.vmap(trained.step, in_axes=(0, None)))
    for _ in range(5):
        states, _ = step(states, batch)
    for number in range(3):
        alone = trained.init(keys[number], batch)
        for _ in range(5):
            alone, _ = jax.jit(trained.step)(alone, batch)
        mine = jax.tree.map(lambda x, i=number: x[i], states)
        assert largest_gap(alone.params, mine.params) < 1e-5


@pytest.mark.parametrize("penalty", ["wgan_gp", "dragan"])
def test_no_key_is_used_twice(penalty):
    both = penalties.total(getattr(penalties, penalty)(), penalties.zero_centred())
    trained = model(play=PLAYS["three_critic_steps"], penalty=both)
    with jax.debug_key_reuse(True):
        state, batch = start(trained)
        jax.jit(trained.step)(state, batch)


def test_moves_and_samples_draw_different_noise():
    seen = []

    def latent(key):
        z = jax.random.normal(key, (3,))
        jax.debug.callback(lambda z: seen.append(tuple(np.ravel(z))), z)
        return z

    nets = players()
    trained = gan(
        nets["gen"],
        nets["disc"],
        latent=latent,
        optimizers=optimizers(),
        play=PLAYS["alternating"],
    )
    state, batch = start(trained)
    seen.clear()
    step = jax.jit(trained.step)
    for _ in range(2):
        state, _ = step(state, batch)
    jax.effects_barrier()
    assert len(seen) == len(set(seen)) == 24  # 2 steps x 2 moves x 6 samples


@pytest.mark.parametrize(("parts", "play"), [(2, "simultaneous"), (3, "alternating")])
def test_accumulated_parts_equal_the_whole_batch(parts, play):
    with jax.enable_x64():
        whole = model(play=PLAYS[play], penalty=penalties.wgan_gp())
        split = model(play=PLAYS[play], penalty=penalties.wgan_gp(), accumulate=parts)
        state, batch = start(whole)
        a, info_a = jax.jit(whole.step)(state, batch)
        b, info_b = jax.jit(split.step)(state, batch)
        assert largest_gap(a.params, b.params) < 1e-12
        chex.assert_trees_all_close(info_a, info_b, rtol=1e-12)


def test_averages_are_warmed_up_and_are_copies():
    trained = model(ema=0.9)
    state, batch = start(trained)
    chex.assert_trees_all_equal(state.ema["gen"], state.params["gen"])
    step = jax.jit(trained.step, donate_argnums=0)  # refuses a buffer held twice
    average = jax.tree.map(np.asarray, state.ema["gen"])
    for t in range(4):
        state, _ = step(state, batch)
        d = min(0.9, (1 + t) / (10 + t))
        average = jax.tree.map(
            lambda a, p, d=d: d * a + (1 - d) * np.asarray(p),
            average,
            state.params["gen"],
        )
        chex.assert_trees_all_close(state.ema["gen"], average, rtol=1e-5)


def test_an_average_may_follow_a_schedule():
    trained = model(ema=lambda step: jnp.where(step < 2, 0.0, 1.0))
    state, batch = start(trained)
    for _ in range(2):
        state, _ = jax.jit(trained.step)(state, batch)
        chex.assert_trees_all_close(state.ema["gen"], state.params["gen"])
    held = state.ema["gen"]
    state, _ = jax.jit(trained.step)(state, batch)
    chex.assert_trees_all_close(state.ema["gen"], held)


def test_a_schedule_of_a_decay_may_return_a_plain_number():
    trained = model(ema=optax.constant_schedule(0.75))
    before, batch = start(trained)
    state, info = jax.jit(trained.step)(before, batch)
    assert int(info["bad"]) == int(state.skipped) == 0
    mean = optax.incremental_update(state.params["gen"], before.ema["gen"], 0.25)
    chex.assert_trees_all_close(state.ema["gen"], mean, rtol=1e-6)


@pytest.mark.parametrize("decay", [-0.5, 1.5, jnp.nan])
def test_a_decay_that_makes_no_average_is_a_fault_of_the_average(decay):
    with pytest.raises(ValueError, match=r"decays .*lie in \[0, 1\]"):
        model(ema=decay)
    trained = model(ema=lambda step: jnp.where(step == 1, decay, 1.0))
    before, batch = start(trained)
    for step, bad in enumerate([0, 1, 0]):
        state, info = jax.jit(trained.step)(before, batch)
        assert int(info["bad"]) == bad, step
        if bad:
            chex.assert_trees_all_equal(state.params, before.params)
            chex.assert_trees_all_equal(state.ema, before.ema)
            path, _ = jax.tree.leaves_with_path(state)[int(info["nonfinite_leaf"])]
            assert "ema" in jax.tree_util.keystr(path)
        before = state


@pytest.mark.parametrize("culprit", ["real", "gen", "disc"])
@pytest.mark.parametrize("play", ["simultaneous", "alternating"])
def test_a_step_is_taken_whole_or_not_at_all(culprit, play):
    """Poison in the data, in G's loss alone, in D's loss alone: nobody moves."""
    poison = jnp.asarray(0.0)

    def poisoned(scale):
        base = losses.nonsaturating()

        def spoil(player, fn):
            factor = 1 + scale if player == culprit else 1.0
            return lambda real, fake: factor * fn(real, fake)

        return losses.Loss(spoil("disc", base.disc), spoil("gen", base.gen))

    def build(scale):
        return model(loss=poisoned(scale), play=PLAYS[play], norm=True)

    state, batch = start(build(poison))
    step = jax.jit(lambda s, b, p: build(p).step(s, b))
    state, info = step(state, batch, poison)
    assert int(info["bad"]) == 0
    assert int(info["nonfinite_leaf"]) == -1
    bad_batch = {"real": batch["real"].at[0].set(jnp.nan)}
    poison, used = (poison, bad_batch) if culprit == "real" else (jnp.nan, batch)
    before = state
    for row in (1, 2, 3):
        state, info = step(state, used, jnp.asarray(poison))
        chex.assert_trees_all_equal(
            state._replace(key=None, step=None, bad=None, skipped=None),
            before._replace(key=None, step=None, bad=None, skipped=None),
        )
        assert int(info["bad"]) == int(state.bad) == row
        path, _ = jax.tree_util.tree_leaves_with_path(state)[
            int(info["nonfinite_leaf"])
        ]
        player = "disc" if culprit == "real" else culprit
        assert player in jax.tree_util.keystr(path)
    state, info = step(state, batch, jnp.asarray(0.0))
    assert (int(state.bad), int(state.skipped), int(state.step)) == (0, 3, 5)
    assert largest_gap(state.params, before.params) > 0


def test_the_look_at_every_number_is_compiled_once():
    """Not again for every leaf that it decides upon: a step would grow by their square.

    R3GAN's step had 350 leaves and 460,000 of its 510,000 instructions for it.
    """
    state, batch = start(trained := model(norm=True))
    leaves = len(jax.tree.leaves(state))
    program = jax.jit(trained.step).lower(state, batch).compile().as_text()
    looks = program.count("is-finite(")
    assert leaves / 2 < looks < 4 * leaves, (looks, leaves)


def test_enormous_numbers_and_infinities_of_old_are_no_fault():
    """Their squares are infinite; only a number that was finite can go bad."""

    def spoiled(params):
        # An optimizer's own state: an infinity from the start, a finite giant, and a
        # number that turns bad in the third step.
        return {"own": jnp.array([jnp.inf, 1e30, 0.0])}

    def update(grads, state, params=None):
        grown = state["own"].at[2].add(jnp.where(state["own"][2] > 1, jnp.inf, 1.0))
        return jax.tree.map(jnp.zeros_like, grads), {"own": grown}

    odd = optax.GradientTransformation(spoiled, update)
    trained = model(optimizers={"gen": odd, "disc": odd})
    state, batch = start(trained)
    step = jax.jit(trained.step)
    for row in (0, 0, 1, 2):
        state, info = step(state, batch)
        assert int(info["bad"]) == row
    path, _ = jax.tree_util.tree_leaves_with_path(state)[int(info["nonfinite_leaf"])]
    assert "own" in jax.tree_util.keystr(path)


def test_an_early_moves_gradient_that_is_not_finite_counts_too():
    """The second of three critic steps, under optimizers that hide an infinity."""
    hiding = optax.chain(optax.zero_nans(), optax.clip(1.0), optax.sgd(1e-2))
    trained = model(
        penalty=None,
        optimizers={"gen": hiding, "disc": hiding},
        play=PLAYS["three_critic_steps"],
    )
    state, batch = start(trained)
    spoiled = {"real": batch["real"].at[1].set(jnp.inf)}  # in the second move's share
    after, info = jax.jit(trained.step)(state, spoiled)
    assert int(info["bad"]) == 1
    chex.assert_trees_all_equal(after.params, state.params)


def test_learning_rates_are_reported_where_optax_keeps_them():
    rate = optax.linear_schedule(1e-2, 0.0, 10)
    trained = model(
        optimizers={
            "gen": optax.inject_hyperparams(optax.adam)(learning_rate=rate),
            "disc": optax.adam(1e-3),
        }
    )
    state, batch = start(trained)
    state, _ = jax.jit(trained.step)(state, batch)
    _, info = trained.step(state, batch)
    assert float(info["gen/learning_rate"]) == pytest.approx(9e-3)
    assert "disc/learning_rate" not in info


def test_a_game_of_three_players():
    """The contract is not about GANs: three players on one bowl each."""

    def loss(params, stats, batch, keys, step):
        fixed = jax.tree.map(jax.lax.stop_gradient, params)
        a, b, c = params["a"], params["b"], params["c"]
        total = jnp.square(a - fixed["b"]) + jnp.square(b - fixed["c"]) + c**2
        return total, (stats, {"total": total})

    game = Objective(
        lambda key, batch: (
            {"a": jnp.asarray(1.0), "b": jnp.asarray(2.0), "c": jnp.asarray(4.0)},
            {"a": {}, "b": {}, "c": {}},
        ),
        loss,
    )
    trained = kernel(
        game, {p: optax.sgd(0.5) for p in "abc"}, play=(("a", "c"), ("b",))
    )
    state = trained.init(jax.random.key(0), {"real": jnp.zeros(2)})
    state, info = trained.step(state, {"real": jnp.zeros(2)})
    # a jumps to b = 2 and c to 0 at once; then b jumps to c's new place.
    assert [float(state.params[p]) for p in "abc"] == [2.0, 0.0, 0.0]
    assert {"a/grad_norm", "b/grad_norm", "c/grad_norm", "total"} <= set(info)


def test_a_loss_that_couples_the_batch_must_do_so_over_all_of_it(unchecked):
    averaged = losses.relativistic_average
    with pytest.raises(ValueError, match=r"over axis None.*axis_name='data'"):
        model(loss=averaged(), axis_name="data")
    with pytest.raises(ValueError, match="Use accumulate=1"):
        model(loss=averaged(), accumulate=2)
    model(loss=averaged(axis_name="data"), axis_name="data")
    model(loss=losses.relativistic_pairing(), axis_name="data", accumulate=2)


def test_clear_errors(unchecked):
    with pytest.raises(ValueError, match=r"name \['critic'\].*optimizers"):
        model(play=(("gen", "critic"),))
    with pytest.raises(ValueError, match=r"\['disc'\], who never move"):
        model(play=(("gen",),))
    with pytest.raises(ValueError, match="a play is a tuple of moves"):
        model(play=("gen", "disc"))
    with pytest.raises(ValueError, match="players, each once"):
        model(play=(("gen", "gen"), ("disc",)))
    with pytest.raises(ValueError, match="accumulate is 0"):
        model(accumulate=0)
    trained = model(play=PLAYS["three_critic_steps"])
    state, _ = start(trained)
    with pytest.raises(ValueError, match=r"10 samples.*4 moves.*nearest sizes are 8 "):
        trained.step(state, points(10))
    with pytest.raises(ValueError, match="must share one leading axis"):
        trained.step(state, points(8) | {"label": jnp.zeros(4, int)})
    nets = players()
    game = adversarial(nets["gen"], nets["disc"], loss=losses.hinge(), latent=LATENT)
    extra = kernel(game, optimizers() | {"encoder": optax.sgd(1.0)})
    with pytest.raises(ValueError, match=r"\['encoder'\].*players are"):
        extra.init(jax.random.key(0), points())
