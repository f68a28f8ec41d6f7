"""DiffAugment and ADA: their laws, and their place in the game."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import devices, gan, kernel, losses, penalties
from gan_jax.augment import Augment, ada, diff_augment, fixed, scheduled
from gan_jax.augment.diff_augment import contrasted, cut, moved, saturated
from gan_jax.augment.pipeline import changed
from gan_jax.kernel import Network
from gan_jax.objectives import adversarial
from gan_jax.regularizers import lecam
from tests.cases.aids import IMAGE_NETS, images
from tests.games import LATENT, largest_gap, players, points

LOSS = losses.nonsaturating()
KEYS = jax.random.split(jax.random.key(5), 600)
NONE = {"colour": False, "translation": 0.0, "cutout": 0.0}
RANDOM = np.random.default_rng(0)


def drawn(augment, x, keys=KEYS):
    """One image through many draws."""
    many = jax.jit(jax.vmap(augment.apply, (None, 0, None)))
    return np.asarray(many(augment.init(), keys, x))


def near(samples, mean, sd=None, errors=5.0):
    """Whether the samples' mean is the wanted one, within 5 standard errors."""
    sd = np.std(samples) if sd is None else sd
    return abs(np.mean(samples) - mean) < errors * sd / np.sqrt(len(samples))


# DiffAugment


def test_pieces_against_loops():
    x = RANDOM.normal(size=(4, 5, 2)).astype(np.float32)
    for down, right in ((0, 0), (1, -2), (-3, 4)):
        wanted = np.zeros_like(x)
        for i in range(4):
            for j in range(5):
                if 0 <= i + down < 4 and 0 <= j + right < 5:
                    wanted[i + down, j + right] = x[i, j]
        found = moved(jnp.asarray(x), jnp.array([down, right]))
        np.testing.assert_array_equal(found, wanted)
    wanted = x.copy()
    wanted[:2, 3:] = 0
    found = cut(jnp.asarray(x), jnp.array([-1, 3]), jnp.array([3, 4]))
    np.testing.assert_array_equal(found, wanted)
    half = jnp.asarray(0.5)
    for i in range(4):
        for j in range(5):
            wanted[i, j] = (x[i, j] + (x[i, j, 0] + x[i, j, 1]) / 2) / 2
    np.testing.assert_allclose(saturated(jnp.asarray(x), half), wanted, atol=1e-6)
    found = contrasted(jnp.asarray(x), half)
    np.testing.assert_allclose(found, (x + x.mean()) / 2, atol=1e-6)


def test_the_law_of_colours():
    flat = jnp.full((4, 4, 3), 0.2)  # neither saturation nor contrast changes it
    shift = drawn(diff_augment(**NONE | {"colour": True}), flat)[:, 0, 0, 0] - 0.2
    assert near(shift, 0, 1 / np.sqrt(12))
    assert -0.5 <= shift.min() < -0.4 < 0.4 < shift.max() <= 0.5
    # Here every pixel's grey is 0, so that the whole differs by one factor, s c.
    x = jnp.tile(jnp.array([0.5, -0.5, 0.0]), (4, 4, 1))
    y = drawn(diff_augment(**NONE | {"colour": True}), x)
    factor = y[:, 1, 1, 0] - y[:, 1, 1, 1]
    assert near(factor, 1)
    assert near(factor**2, 4 / 3 * 13 / 12)
    assert factor.min() >= 0
    assert 2 < factor.max() <= 3
    # A grey image has no saturation: its differences show the contrast alone.
    x = jnp.zeros((4, 4, 3)).at[0].set(1.0)
    y = drawn(diff_augment(**NONE | {"colour": True}), x)
    factor = y[:, 0, 0, 0] - y[:, 1, 0, 0]
    assert near(factor, 1, 1 / np.sqrt(12))
    assert 0.499 <= factor.min() < 0.55
    assert 1.45 < factor.max() <= 1.501


def test_the_law_of_places():
    dot = jnp.zeros((8, 16, 1)).at[4, 7].set(1.0)
    places = [
        tuple(np.argwhere(y)[0][:2] - np.array([4, 7]))
        for y in drawn(diff_augment(**NONE | {"translation": 1 / 8}), dot)
    ]
    seen = {(i, j): places.count((i, j)) for i in (-1, 0, 1) for j in range(-2, 3)}
    assert sum(seen.values()) == 600
    assert max(abs(n - 40) for n in seen.values()) < 5 * np.sqrt(40)
    # All holes of 4 x 5 whose centre lies in the image, cut off at its border.
    ones = jnp.ones((8, 10, 1))
    holes = drawn(diff_augment(**NONE | {"cutout": 1 / 2}), ones)[..., 0] == 0
    rows = {tuple(np.flatnonzero(hole.any(1))) for hole in holes}
    columns = {tuple(np.flatnonzero(hole.any(0))) for hole in holes}
    assert rows == {tuple(range(max(o - 2, 0), min(o + 2, 8))) for o in range(9)}
    assert columns == {tuple(range(max(o - 2, 0), min(o + 3, 10))) for o in range(10)}
    assert all(h.sum() == h.any(1).sum() * h.any(0).sum() for h in holes)


@pytest.mark.parametrize(
    "augment", [diff_augment(), scheduled(1.0)], ids=["diff_augment", "pipeline"]
)
def test_the_gradient_passes(augment):
    """Both are affine in the image, so a difference of any length is exact."""
    with jax.enable_x64():
        x, v, w = (jnp.asarray(RANDOM.normal(size=(6, 6, 3))) for _ in range(3))

        def weighed(x, key):
            return (augment.apply(augment.init(), key, x) * w).sum()

        keys = jax.random.split(jax.random.key(1), 20)
        slopes = jax.vmap(jax.grad(weighed), (None, 0))(x, keys)
        along = (slopes * v[None]).sum((1, 2, 3))
        both = jax.vmap(weighed, (None, 0))
        along, difference = jax.device_get((along, both(x + v, keys) - both(x, keys)))
    np.testing.assert_allclose(along, difference, rtol=1e-9, atol=1e-9)
    assert np.abs(along).min() > 0


# ADA's pipeline


def through(p, *images, **options):
    """Every image through all draws, in one program: (images, draws, h, w, c)."""
    many = program(**options)
    return np.asarray(many(jnp.asarray(np.stack(images), jnp.float32), KEYS, p))


@functools.cache
def program(**options):
    apply = lambda x, key, p: changed(jnp.asarray(p), key, x, **options)
    return jax.jit(jax.vmap(jax.vmap(apply, (None, 0, None)), (0, None, None)))


def test_nothing_happens_at_probability_zero():
    x = RANDOM.normal(size=(5, 6, 3)).astype(np.float32)
    (y,) = through(0.0, x, geometry=True, colour=True)
    np.testing.assert_array_equal(y, np.tile(x, (600, 1, 1, 1)))


def test_flips_turns_and_moves_by_whole_pixels():
    x = RANDOM.normal(size=(8, 8, 1)).astype(np.float32)
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    shifts = [(i, j) for i in range(3) for j in range(3)]
    wanted = {}
    for i, j in shifts:
        shifted = padded[i : i + 8, j : j + 8]
        for flip in (False, True):
            for quarter in range(4):
                image = shifted[:, ::-1] if flip else shifted
                wanted[(i, j), flip, quarter] = np.rot90(image, quarter)
    names, every = list(wanted), np.stack(list(wanted.values()))
    (y,) = through(1.0, x, geometry=False, colour=False)
    gaps = np.abs(y[:, None] - every[None]).max(axis=(2, 3, 4))
    assert gaps.min(axis=1).max() < 1e-5  # each is one of the 72
    found = [names[k] for k in gaps.argmin(axis=1)]
    for flip in (False, True):
        for quarter in range(4):
            share = [name[1:] == (flip, quarter) for name in found]
            assert near(share, 1 / 8, np.sqrt(1 / 8))
    # Up to an eighth of 8 pixels, rounded: 1 with a chance of 1/4 to each side.
    assert near([name[0] == (1, 1) for name in found], 1 / 4, np.sqrt(3) / 4)
    # At half the probability more images pass unchanged, bit for bit.
    (y,) = through(0.5, x, geometry=False, colour=False)
    same = (y == x[None]).all(axis=(1, 2, 3))
    assert near(same, (1 - 0.5 / 2) * (1 - 0.5 * 3 / 4) ** 2)


def test_the_law_of_scales_turns_and_shifts():
    """A ramp shows where each pixel came from: the affine map itself."""
    n, middle = 65, 32
    down, right = np.meshgrid(*[np.arange(n) - middle] * 2, indexing="ij")
    ramp = np.stack([down, right, 0 * down], -1)

    def maps(p):
        y = through(p, ramp, geometry=True, colour=False)[0, ..., :2]
        at = y[:, middle, middle]
        columns = y[:, middle + 1, middle] - at, y[:, middle, middle + 1] - at
        return np.stack(columns, axis=-1), at

    # Turned at all, before or after stretching, with probability p.
    matrix, _ = maps(0.75)
    small = np.minimum(np.abs(matrix[:, 0, 0]), np.abs(matrix[:, 0, 1]))
    assert near(small < 1e-3, 0.25)
    matrix, centre = maps(1.0)
    inside = np.abs(centre).max(axis=1) < 30  # else the border's mirror shows
    assert inside.mean() > 0.98
    matrix, centre = matrix[inside], centre[inside]
    size = np.abs(np.linalg.det(matrix))
    assert near(np.linalg.det(matrix) > 0, 1 / 2)
    assert near(np.log2(size) / 2, 0)
    assert near((np.log2(size) / 2) ** 2, 0.2**2)
    long, short = np.linalg.svd(matrix)[1].T
    assert near((np.log2(long / short) / 2) ** 2, 0.2**2)
    assert near(matrix[:, 0, 0], 0)
    assert near(matrix[:, 0, 1], 0)
    # Whole-pixel moves are uniform up to an eighth, fractional ones have that as sd.
    whole = np.mean(np.round(np.linspace(-n / 8, n / 8, 100_001)) ** 2)
    grown = np.exp((0.4 * np.log(2)) ** 2 / 2) ** 2  # E of squared scale and stretch
    wanted = 2 * whole + 2 * (n / 8) ** 2 * grown
    assert 0.8 < (centre**2).sum(axis=1).mean() / wanted < 1.15


def test_the_law_of_mixed_colours():
    """Flat images show the affine map of colours itself."""
    flat = [np.broadcast_to(c, (2, 2, 3)) for c in (np.zeros(3), *np.eye(3))]
    y = through(1.0, *flat, np.full((2, 2, 3), 0.5), geometry=False, colour=True)
    shift = y[0][:, 0, 0]
    matrix = np.stack([c[:, 0, 0] - shift for c in y[1:4]], axis=-1)
    grey = np.ones((3, 3)) / 3
    factor = (matrix @ np.ones(3)) @ np.ones(3) / 3
    np.testing.assert_allclose(matrix @ grey, factor[:, None, None] * grey, atol=1e-5)
    np.testing.assert_allclose(grey @ matrix, factor[:, None, None] * grey, atol=1e-5)
    assert near(factor > 0, 1 / 2)
    contrast = np.log2(np.abs(factor))
    assert near(contrast, 0)
    assert near(contrast**2, 0.5**2)
    brightness = shift[:, 0] / factor
    np.testing.assert_allclose(shift, shift[:, :1] * np.ones((1, 3)), atol=1e-5)
    assert near(brightness, 0)
    assert near(brightness**2, 0.2**2)
    # Across the greys: a turn by any angle, times the saturation.
    rest = matrix - factor[:, None, None] * grey
    squared = (rest @ rest.transpose(0, 2, 1)) / (factor**2)[:, None, None]
    strength = np.trace(squared, axis1=1, axis2=2) / 2
    np.testing.assert_allclose(
        squared / strength[:, None, None], (np.eye(3) - grey) + 0 * squared, atol=1e-4
    )
    saturation = np.log2(strength) / 2
    assert near(saturation, 0)
    assert near(saturation**2, 1)
    cosine = np.trace(rest, axis1=1, axis2=2) / 2 / np.abs(factor) / np.sqrt(strength)
    assert near(cosine, 0, np.sqrt(1 / 2))
    assert near(cosine**2, 1 / 2)
    # A grey image stays one, and is changed as its RGB copies would be.
    (one,) = through(1.0, np.full((2, 2, 1), 0.5), geometry=False, colour=True)
    np.testing.assert_allclose(one[..., 0], y[4][..., 1], rtol=1e-4, atol=1e-5)


def test_probability_follows_the_signs():
    rule = ada(batch=8, images=100, interval=3, target=0.25)
    logits = RANDOM.normal(size=(40, 8)).astype(np.float32) + np.repeat(
        [1.5, -1.5, 0.1, 1.5], 10
    )[:, None].astype(np.float32)
    logits = np.where(logits < 0, 10 * logits, logits / 10)  # only signs count
    memory, found = rule.init(), []
    update = jax.jit(rule.update)
    for batch in logits:
        memory = update(memory, batch)
        found.append(float(memory["p"]))
    p, wanted = 0.0, [0.0, 0.0, 0.0]
    for begin in range(0, 37, 3):
        r = np.sign(logits[begin : begin + 3]).mean()
        p = min(1.0, max(0.0, p + (0.24 if r > 0.25 else -0.24)))
        wanted += [p] * 3
    np.testing.assert_allclose(found, wanted[:40], atol=1e-6)
    assert max(wanted) > 0.7
    assert 0.0 in wanted[4:]


def test_the_probability_holds_from_the_move_after_its_interval():
    """Not one move later: the image is changed by what the memory implies."""
    rule = ada(batch=8, images=8, interval=1, colour=False, geometry=False)
    x = jnp.asarray(RANDOM.normal(size=(4, 4, 1)), jnp.float32)
    memory = rule.update(rule.init(), jnp.ones(8))  # p becomes 1
    many = jax.jit(jax.vmap(rule.apply, (None, 0, None)))(memory, KEYS[:64], x)
    assert np.mean([(np.asarray(y) == np.asarray(x)).all() for y in many]) < 0.3


def test_a_percentage_is_no_probability():
    with pytest.raises(ValueError, match=r"p is 55\.0, but it is a probability"):
        scheduled(55.0)


def test_a_schedule_beyond_one_is_one():
    x = jnp.asarray(RANDOM.normal(size=(4, 4, 1)), jnp.float32)
    beyond, one = scheduled(lambda moves: 1.001 + 0 * moves), scheduled(1.0)
    changed = [rule.apply(rule.init(), KEYS[0], x) for rule in (beyond, one)]
    np.testing.assert_array_equal(*changed)


def test_a_shorter_interval_does_not_stop_the_clock():
    memory, logits = ada(batch=8, images=16, interval=4).init(), jnp.ones(8)
    longer, shorter = (ada(batch=8, images=16, interval=n) for n in (4, 2))
    for _ in range(3):
        memory = longer.update(memory, logits)
    assert float(shorter.update(memory, logits)["p"]) == 1.0


def test_a_schedule_counts_moves():
    rule = scheduled(lambda moves: jnp.minimum(1.0, moves / 2), colour=False)
    memory, x = rule.init(), jnp.asarray(RANDOM.normal(size=(4, 4, 1)), jnp.float32)
    many, unchanged = jax.jit(jax.vmap(rule.apply, (None, 0, None))), []
    for _ in range(3):
        y = many(memory, KEYS[:64], x)
        unchanged.append(np.mean([(np.asarray(y) == x).all() for y in y]))
        memory = rule.update(memory, jnp.ones(8))
    assert unchanged[0] == 1 > unchanged[1] > unchanged[2]


# In the game


def game(gradient="merged", **options):
    return adversarial(
        IMAGE_NETS["gen"],
        IMAGE_NETS["disc"],
        loss=LOSS,
        latent=LATENT,
        gradient=gradient,
        **options,
    )


def gradients_and_info(objective, batch, *, stats=None):
    params, begun = jax.jit(objective.init)(jax.random.key(0), batch)
    keys = jax.random.split(jax.random.key(2), len(batch["real"]))
    loss = lambda params: objective.loss(
        params, stats or begun, batch, keys, jnp.asarray(0)
    )
    return jax.jit(jax.grad(loss, has_aux=True))(params)


def test_the_forms_agree_through_one_draw():
    with jax.enable_x64():
        options, batch = {"augment": diff_augment(), "regularizer": lecam()}, images(6)
        known = {name: jnp.asarray(0.4) for name in ("real", "fake", "mass")}
        stats = {
            "gen": {},
            "disc": {"network": {}, "augment": {}, "regularizer": known},
        }
        merged, article, one_backward = (
            gradients_and_info(game(form, **options), batch, stats=stats)[0]
            for form in ("merged", "article", "one_backward")
        )
        plain, _ = gradients_and_info(game(), batch)
        assert largest_gap(merged, article) < 1e-12
        assert largest_gap(merged, one_backward) < 1e-12
        assert largest_gap(merged, plain) > 1e-3


def test_real_and_fake_pass_through_the_same_law_by_draws_of_their_own():
    """A generator that gives back the only real image there is."""
    image = jnp.ones((4, 4, 3))
    gen = Network(
        lambda key, z: ({"image": image}, {}),
        lambda params, stats, z, *, train: (
            jnp.tile(params["image"], (len(z), 1, 1, 1)),
            stats,
        ),
    )
    disc = Network(
        lambda key, x: ({"scale": jnp.ones(())}, {}),
        lambda params, stats, x, *, train: (
            params["scale"] * jnp.square(x).sum((1, 2, 3)),
            stats,
        ),
    )
    augment = diff_augment(**NONE | {"cutout": 0.5})
    objective = adversarial(gen, disc, loss=LOSS, latent=LATENT, augment=augment)
    batch = {"real": jnp.tile(image, (400, 1, 1, 1))}
    _, (_, info) = gradients_and_info(objective, batch)
    alone = np.square(drawn(augment, image)).sum((1, 2, 3))
    error = alone.std() / np.sqrt(400)
    for kind in ("real", "fake"):
        assert abs(float(info[f"disc/{kind}_logit"]) - alone.mean()) < 6 * error
    assert abs(float(info["disc/real_logit"] - info["disc/fake_logit"])) > error / 100
    assert 48 - alone.mean() > 20 * error


def test_at_probability_zero_the_run_is_the_run_without():
    batch = images(8)
    rules = {"augment": ada(batch=8), "none": None}
    found = {}
    for name, augment in rules.items():
        grads, (_, info) = gradients_and_info(game(augment=augment), batch)
        found[name] = grads, info["disc/loss"]
    for with_it, without in zip(
        jax.tree.leaves(found["augment"]), jax.tree.leaves(found["none"]), strict=True
    ):
        np.testing.assert_allclose(with_it, without, rtol=1e-6, atol=1e-7)


def test_penalties_are_on_the_slope_before_the_change():
    """A flip of the sign and a halving: R1 sees D(-x / 2)."""
    halved = fixed(lambda key, x: -x / 2)
    _grads, (_, info) = gradients_and_info(
        game(augment=halved, penalty=penalties.r1()), images(4)
    )
    params, _ = jax.jit(game().init)(jax.random.key(0), images(4))
    judge = lambda x: IMAGE_NETS["disc"].apply(params["disc"], {}, x, train=True)[0]
    slope = jax.jit(jax.grad(lambda x: judge(-x / 2).sum()))(images(4)["real"])
    wanted = np.square(slope).sum() / 4 / 2
    assert float(info["disc/penalty"]) == pytest.approx(float(wanted), rel=1e-5)


def test_only_the_discriminator_writes_what_is_remembered():
    counting = Augment(
        lambda: {"moves": jnp.zeros((), jnp.int32)},
        lambda memory, key, x: x,
        lambda memory, logits: {"moves": memory["moves"] + 1},
    )
    objective, batch = game(augment=counting, regularizer=lecam()), images(8)
    built = kernel(
        objective,
        {"gen": optax.sgd(1e-3), "disc": optax.sgd(1e-3)},
        play=(("disc",), ("gen",), ("disc",), ("gen",)),
    )
    state, info = jax.jit(built.step)(built.init(jax.random.key(0), batch), batch)
    assert int(state.stats["disc"]["augment"]["moves"]) == 2
    assert int(info["disc/augment_moves"]) == 2
    mass = float(state.stats["disc"]["regularizer"]["mass"])
    assert mass == pytest.approx(1 - 0.99**2, rel=1e-4)
    # Without aids, D's stats are the network's own.
    _, stats = game().init(jax.random.key(0), batch)
    assert stats == {"gen": {}, "disc": {}}


def test_four_devices_and_parts_learn_what_one_learns():
    """The memory's rule is ADA's; its change is one of points, quick to compile."""
    shaken = lambda memory, key, x: x + memory["p"] * jax.random.normal(key, x.shape)
    rule = ada(batch=16, images=64, interval=2, target=-2.0)._replace(apply=shaken)
    nets, batch = players(), jax.tree.map(np.asarray, points(16))

    def model(axis_name=None, accumulate=1):
        return gan(
            nets["gen"],
            nets["disc"],
            loss=LOSS,
            latent=LATENT,
            augment=rule,
            penalty=None,
            regularizer=lecam(decay=0.5),
            optimizers={p: optax.sgd(1e-2) for p in ("gen", "disc")},
            accumulate=accumulate,
            axis_name=axis_name,
        )

    begun = jax.jit(model().init)(jax.random.key(0), batch)

    def run(parallel, accumulate=1):
        built = model(parallel.axis_name, accumulate)
        state = parallel.replicate(jax.tree.map(jnp.copy, begun))  # it is donated
        call = parallel.compile(lambda state, arrays, got: built.step(state, got), 0)
        for _ in range(5):
            state, _ = call(state, parallel.replicate(()), parallel.put(batch, 0))
        return jax.device_get((state.params, state.stats))

    one = devices.sharded(devices.data_mesh(jax.devices()[:1]))
    some = jax.devices()[:4]
    params, stats = run(one)
    # Twice two moves of 16 samples, of 64 for the whole way.
    assert float(stats["disc"]["augment"]["p"]) == 1.0
    for other in (
        run(devices.sharded(devices.data_mesh(some))),
        run(devices.pmapped(some), accumulate=2),
    ):
        assert largest_gap(params, other[0]) < 1e-5
        assert largest_gap(stats["disc"], other[1]["disc"]) < 1e-5


def test_points_are_no_images(unchecked):
    nets = players()
    aided = adversarial(
        nets["gen"], nets["disc"], loss=LOSS, latent=LATENT, augment=diff_augment()
    )
    params, stats = aided.init(jax.random.key(0), points())
    with pytest.raises(ValueError, match=r"shape \(2,\).*augment=None"):
        aided.loss(
            params,
            stats,
            points(),
            jax.random.split(jax.random.key(0), 6),
            jnp.zeros(()),
        )
    with pytest.raises(ValueError, match="2 channels"):
        changed(jnp.ones(()), KEYS[0], jnp.zeros((4, 4, 2)), geometry=True, colour=True)
    with pytest.raises(ValueError, match=r"translation is 1\.5"):
        diff_augment(translation=1.5)
    with pytest.raises(ValueError, match="images is 0"):
        ada(batch=8, images=0)
