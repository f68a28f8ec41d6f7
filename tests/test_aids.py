"""LeCam, bCR, top-k, and the games of codes and of classes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats as distributions

from gan_jax import divergences, gan, losses
from gan_jax.augment import ada, fixed
from gan_jax.kernel import Network
from gan_jax.objectives import adversarial
from gan_jax.objectives.ac_gan import ac_gan
from gan_jax.objectives.infogan import coded, infogan
from gan_jax.regularizers import consistency, lecam
from tests.games import LATENT, dense, players, points

LOSS = losses.nonsaturating()
RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("one_sided", [False, True])
def test_lecam_by_hand(one_sided):
    rule = lecam(lambda step: 2.0 + step, 0.75, one_sided=one_sided)
    real, fake = RANDOM.normal(size=(2, 4, 6)).astype(np.float32)
    memory, seen = rule.init(), []
    for step in range(4):
        logits = jnp.asarray(real[step]), jnp.asarray(fake[step])
        value, memory = rule.cost(memory, *logits, jnp.asarray(step))
        seen.append(float(value))
    wanted = [0.0]
    for step in range(1, 4):
        # An average of the steps before, each a quarter less than the next one.
        share = 0.75 ** np.arange(step)[::-1]
        share /= share.sum()
        a_real = share @ real[:step].mean(axis=1)
        a_fake = share @ fake[:step].mean(axis=1)
        gaps = real[step] - a_fake, a_real - fake[step]
        if one_sided:
            gaps = tuple(np.maximum(gap, 0) for gap in gaps)
        wanted.append((2 + step) * sum(np.mean(gap**2) for gap in gaps))
    np.testing.assert_allclose(seen, wanted, rtol=1e-5)
    with pytest.raises(ValueError, match=r"decay is 1\.0"):
        lecam(decay=1.0)


def test_consistency():
    flip = fixed(lambda key, x: -x)
    real, fake = jax.random.normal(jax.random.key(0), (2, 5, 3, 3, 1))
    keys = jax.random.split(jax.random.key(1), 5)
    cost = lambda rule, disc: float(rule(disc, real, fake, keys, jnp.asarray(0)))
    even = lambda x: jnp.square(x).sum((1, 2, 3))
    odd = lambda x: x.sum((1, 2, 3))
    assert cost(consistency(flip), even) == 0
    wanted = 3 * np.square(2 * odd(real)).mean() + 5 * np.square(2 * odd(fake)).mean()
    found = cost(consistency(flip, real=3.0, fake=lambda step: step + 5.0), odd)
    assert found == pytest.approx(float(wanted), rel=1e-5)
    # Every sample has a draw of its own, real and fake ones too.
    noise = fixed(lambda key, x: jax.random.normal(key, x.shape))
    first = lambda x: x[:, 0, 0, 0]
    same = jnp.zeros_like(real)
    noises = jax.vmap(lambda key: jax.random.split(key, 2))(keys)
    drawn = jax.vmap(jax.vmap(lambda key: jax.random.normal(key, (3, 3, 1))))(noises)
    wanted = np.square(np.asarray(drawn)[:, :, 0, 0, 0]).mean() * 2
    found = consistency(noise, 1.0, 1.0)(first, same, same, keys, jnp.asarray(0))
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
    with pytest.raises(ValueError, match="remembers"):
        consistency(ada(batch=8))


# Top-k


@pytest.mark.parametrize("name", ["hinge", "nonsaturating", "relativistic_pairing"])
def test_top_k_learns_from_the_best(name):
    loss = getattr(losses, name)()
    real, fake = jnp.asarray(RANDOM.normal(size=(2, 12)), jnp.float32)
    best = np.argsort(-np.asarray(fake))[:5]
    wanted = float(loss.gen(real[best], fake[best]))
    chosen = losses.top_k(loss, 5 / 12)
    assert float(chosen.gen(real, fake)) == pytest.approx(wanted, rel=1e-6)
    assert chosen.disc is loss.disc
    slope = np.asarray(jax.grad(chosen.gen, 1)(real, fake))
    assert set(np.flatnonzero(slope)) == set(best)
    everyone = losses.top_k(loss, 1.0)
    assert float(everyone.gen(real, fake)) == float(loss.gen(real, fake))
    # Of equals the first: k of them, no more.
    slope = np.asarray(jax.grad(losses.top_k(loss, 0.25).gen, 1)(0 * real, 0 * fake))
    assert list(np.flatnonzero(slope)) == [0, 1, 2]


def test_what_top_k_leaves_out_has_no_slope_beyond_bounds():
    loss = divergences.f_gan(divergences.reverse_kl(), saturating=False)
    real, fake = jnp.zeros(2), jnp.array([-100.0, 0.5])
    slope = jax.grad(losses.top_k(loss, 0.5).gen, 1)(real, fake)
    np.testing.assert_array_equal(
        slope, [0, *jax.grad(loss.gen, 1)(real[1:], fake[1:])]
    )


def test_top_k_ranks_over_all_devices():
    real, fake = jnp.asarray(RANDOM.normal(size=(2, 8, 3)), jnp.float32)
    loss = losses.top_k(LOSS, 0.375, axis_name="data")
    values, slopes = jax.pmap(jax.value_and_grad(loss.gen, 1), "data")(real, fake)
    whole = losses.top_k(LOSS, 0.375)
    value, slope = jax.value_and_grad(whole.gen, 1)(real.ravel(), fake.ravel())
    assert float(np.mean(values)) == pytest.approx(float(value), rel=1e-6)
    np.testing.assert_allclose(np.ravel(slopes) / 8, slope, rtol=1e-5)
    assert np.count_nonzero(slope) == 9


def test_a_schedule_of_losses():
    nets = players()
    share = lambda step: jnp.where(step < 1, 1.0, 0.5)

    def of(loss):
        return adversarial(nets["gen"], nets["disc"], loss=loss, latent=LATENT)

    falling = of(lambda step: losses.top_k(LOSS, share(step)))
    params, stats = falling.init(jax.random.key(0), points())
    keys = jax.random.split(jax.random.key(2), 6)

    def gen_loss(game, step):
        return game.loss(params, stats, points(), keys, jnp.asarray(step))[1][1][
            "gen/loss"
        ]

    assert gen_loss(falling, 0) == gen_loss(of(LOSS), 0)
    assert gen_loss(falling, 1) == gen_loss(of(losses.top_k(LOSS, 0.5)), 1)
    assert gen_loss(falling, 1) < gen_loss(falling, 0)
    adam = {"gen": optax.adam(1e-3), "disc": optax.adam(1e-3)}
    with pytest.raises(ValueError, match="accumulate is 2"):
        gan(
            nets["gen"],
            nets["disc"],
            loss=lambda step: losses.top_k(LOSS, share(step)),
            latent=LATENT,
            optimizers=adam,
            accumulate=2,
        )
    with pytest.raises(ValueError, match=r"share is 0\.0"):
        losses.top_k(LOSS, 0.0)
    with pytest.raises(ValueError, match="whole batch"):
        losses.top_k(losses.relativistic_average(), 0.5)


# InfoGAN and AC-GAN


def shown_to(reader_answer, categories=(3,), continuous=1, n=5):
    """The bound, and the codes, for a reader with given answers."""
    rows = []

    def tell(params, stats, row, *, train):
        rows.append(row)
        return jnp.zeros((len(row), 2)) * params["w"], stats

    gen = Network(lambda key, row: ({"w": jnp.ones(())}, {}), tell)
    reader = Network(
        lambda key, x: ({}, {}),
        lambda params, stats, x, *, train: (jnp.asarray(reader_answer(rows)), stats),
    )
    objective = infogan(
        gen,
        players()["disc"],
        reader,
        loss=LOSS,
        latent=LATENT,
        categories=categories,
        continuous=continuous,
    )
    params, stats = objective.init(jax.random.key(0), points(n))
    keys = jax.random.split(jax.random.key(1), n)
    total, (_, info) = objective.loss(params, stats, points(n), keys, jnp.asarray(0))
    row = np.asarray(rows[-1])
    rest = float(total - info["disc/loss"] - info["gen/loss"])
    return float(info["reader/information"]), rest, row


def test_infogan_bounds_the_information_by_hand():
    answer = RANDOM.normal(size=(5, 5)).astype(np.float32)
    information, rest, row = shown_to(lambda rows: answer)
    hot, placed = row[:, 3:6], row[:, 6]
    assert (hot.sum(axis=1) == 1).all()
    assert (np.abs(placed) <= 1).all()
    chance = np.exp(answer[:, :3]) / np.exp(answer[:, :3]).sum(axis=1, keepdims=True)
    surprise = -np.log((chance * hot).sum(axis=1)).mean()
    spread = -distributions.norm.logpdf(
        placed, answer[:, 3], np.exp(answer[:, 4])
    ).mean()
    assert information == pytest.approx(np.log(3) + np.log(2) - surprise - spread)
    assert rest == pytest.approx(surprise + 0.1 * spread, rel=1e-4)


def test_a_code_that_does_not_exist_is_no_code():
    z = jnp.zeros((3, 1))
    row = coded(z, jnp.array([[3], [1], [-1]]), categories=(3,))
    np.testing.assert_array_equal(row[:, 1:], [[np.nan] * 3, [0, 1, 0], [np.nan] * 3])


def test_a_perfect_reader_knows_the_whole_code():
    read = lambda rows: 60.0 * rows[-1][:, 3:]
    information, _, row = shown_to(read, (4, 2), 0, 64)
    assert information == pytest.approx(np.log(8), rel=1e-4)
    # Codes are uniform: 64 draws of 4 values and of 2.
    assert np.abs(row[:, 3:7].mean(axis=0) - 1 / 4).max() < 5 * np.sqrt(3 / 16 / 64)
    assert np.abs(row[:, 7:].mean(axis=0) - 1 / 2).max() < 5 * np.sqrt(1 / 4 / 64)
    nothing, _, _ = shown_to(lambda rows: np.zeros((64, 6)), (4, 2), 0, 64)
    assert nothing == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("mover", ["gen", "reader"])
def test_infogans_players_cooperate(mover):
    """With a D that sees nothing, each of the two alone raises the information."""
    blind = Network(
        lambda key, x: ({"w": jnp.zeros(())}, {}),
        lambda params, stats, x, *, train: (params["w"] * x.sum(axis=-1), stats),
    )
    objective = infogan(
        dense((8, 2)), blind, dense((8, 3)), loss=LOSS, latent=LATENT, categories=(3,)
    )
    params, stats = jax.jit(objective.init)(jax.random.key(0), points(32))
    keys = jax.random.split(jax.random.key(1), 32)

    @jax.jit
    def stepped(moving):
        loss = lambda moving: objective.loss(
            {**params, **moving}, stats, points(32), keys, jnp.asarray(0)
        )
        grads, (_, info) = jax.grad(loss, has_aux=True)(moving)
        return jax.tree.map(lambda w, g: w - 0.05 * g, moving, grads), info

    moving, before = stepped({mover: params[mover]})
    _, after = stepped(moving)
    assert float(after["reader/information"] - before["reader/information"]) > 1e-4


@pytest.mark.parametrize("of_fakes", [True, False])
def test_ac_gan_by_hand(of_fakes):
    """G copies its label; D's answers are a table of the sample's first number."""
    table = RANDOM.normal(size=(6, 4)).astype(np.float32)

    def judge(params, stats, x, *, train):
        answer = (params["table"] + 0)[x[:, 0].astype(int)]
        return (answer[:, 0], answer[:, 1:]), stats

    disc = Network(lambda key, x: ({"table": jnp.asarray(table)}, {}), judge)
    gen = Network(
        lambda key, z, label: ({"w": jnp.ones(())}, {}),
        lambda params, stats, z, label, *, train: (
            params["w"] * (3.0 + label[:, None]),
            stats,
        ),
    )
    objective = ac_gan(
        gen,
        disc,
        loss=LOSS,
        latent=LATENT,
        disc_weight=0.5,
        gen_weight=0.25,
        of_fakes=of_fakes,
    )
    label = np.array([2, 0, 1, 1, 2], np.int32)
    batch = {"real": jnp.asarray(label[:, None], jnp.float32), "label": label}
    params, stats = objective.init(jax.random.key(0), batch)
    keys = jax.random.split(jax.random.key(1), 5)
    total, (_, info) = objective.loss(params, stats, batch, keys, jnp.asarray(0))

    def wrong(rows):
        chance = np.exp(rows[:, 1:]) / np.exp(rows[:, 1:]).sum(axis=1, keepdims=True)
        return -np.log(chance[np.arange(5), label]).mean()

    real, fake = table[label], table[3 + label]
    soft = lambda t: np.log1p(np.exp(t)).mean()
    disc_loss, gen_loss = soft(-real[:, 0]) + soft(fake[:, 0]), soft(-fake[:, 0])
    wanted = disc_loss + 0.5 * wrong(real) + gen_loss + 0.25 * wrong(fake)
    wanted += 0.5 * wrong(fake) if of_fakes else 0
    assert float(total) == pytest.approx(wanted, rel=1e-5)
    assert float(info["disc/class_loss"]) == pytest.approx(wrong(real), rel=1e-5)
    assert float(info["gen/class_loss"]) == pytest.approx(wrong(fake), rel=1e-5)


def test_clear_errors_of_the_two_games(unchecked):
    nets = players()
    with pytest.raises(ValueError, match="nothing to read"):
        infogan(
            nets["gen"],
            nets["disc"],
            nets["disc"],
            loss=LOSS,
            latent=LATENT,
            categories=(),
        )
    few = infogan(nets["gen"], nets["disc"], dense((4,)), loss=LOSS, latent=LATENT)
    params, stats = few.init(jax.random.key(0), points())
    keys = jax.random.split(jax.random.key(0), 6)
    with pytest.raises(ValueError, match=r"\(6, 4\).*want \(6, 10\)"):
        few.loss(params, stats, points(), keys, jnp.asarray(0))
    gen = Network(
        lambda key, z, label: nets["gen"].init(key, z),
        lambda params, stats, z, label, *, train: nets["gen"].apply(
            params, stats, z, train=train
        ),
    )
    single = ac_gan(gen, nets["disc"], loss=LOSS, latent=LATENT)
    batch = {**points(), "label": jnp.zeros(6, jnp.int32)}
    params, stats = single.init(jax.random.key(0), batch)
    with pytest.raises(ValueError, match="wants a pair"):
        single.loss(params, stats, batch, keys, jnp.asarray(0))
    with pytest.raises(ValueError, match="'label'"):
        single.init(jax.random.key(0), points())
