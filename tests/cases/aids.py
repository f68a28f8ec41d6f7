"""Aids of the two-player game together, and the two games that read labels or codes."""

import jax
import jax.numpy as jnp

from gan_jax import losses, penalties
from gan_jax.augment import diff_augment
from gan_jax.kernel import Network
from gan_jax.objectives import adversarial
from gan_jax.objectives.ac_gan import ac_gan
from gan_jax.objectives.infogan import infogan
from gan_jax.parts import split_keys
from gan_jax.regularizers import consistency, lecam
from tests.apart import answers
from tests.games import LATENT, dense, players, points
from tests.protocol import Case

LOSS = losses.nonsaturating()
SHAPE = (4, 4, 3)


def on_images(net, *, out=None):
    """A network of vectors as one that takes, or makes, small images."""

    def flat(x):
        return x.reshape(len(x), -1)

    def apply(params, stats, x, *, train):
        y, stats = net.apply(params, stats, flat(x), train=train)
        return (y if out is None else y.reshape(-1, *out)), stats

    return Network(lambda key, x: net.init(key, flat(x)), apply)


def images(n, seed=1):
    return {"real": jax.random.normal(jax.random.key(seed), (n, *SHAPE))}


IMAGE_NETS = {
    "gen": on_images(dense((8, 48)), out=SHAPE),
    "disc": on_images(dense((8, 8, 1), logits=True)),
}
AUGMENT = diff_augment(translation=0.25)
KNOWN = {"real": 0.3, "fake": -0.2, "mass": 0.5}  # what LeCam remembers at the start
PENALTY = penalties.total(penalties.r1(), consistency(AUGMENT))


def aided(axis_name):
    game = adversarial(
        IMAGE_NETS["gen"],
        IMAGE_NETS["disc"],
        loss=LOSS,
        latent=LATENT,
        penalty=PENALTY,
        regularizer=lecam(),
        augment=AUGMENT,
    )

    def init(key, batch):
        params, stats = game.init(key, batch)
        nothing = stats["disc"]["regularizer"]
        known = {name: nothing[name] + value for name, value in KNOWN.items()}
        return params, {**stats, "disc": {**stats["disc"], "regularizer": known}}

    return game._replace(init=init)


def aided_apart(params, stats, batch, keys, step):
    z_keys, penalty_keys, real_keys, fake_keys = split_keys(keys, 4)
    z, real = jax.vmap(LATENT)(z_keys), batch["real"]

    made, plain = answers(IMAGE_NETS["gen"]), answers(IMAGE_NETS["disc"])

    def judged(theta, x, keys):
        return plain(theta, jax.vmap(lambda k, x: AUGMENT.apply({}, k, x))(keys, x))

    held = made(params["gen"], z)
    anchors = {name: KNOWN[name] / KNOWN["mass"] for name in ("real", "fake")}

    def disc(theta):
        r, f = judged(theta, real, real_keys), judged(theta, held, fake_keys)
        kept = ((r - anchors["fake"]) ** 2).mean() + ((f - anchors["real"]) ** 2).mean()
        cost = PENALTY(
            lambda x: judged(theta, x, real_keys), real, held, penalty_keys, step
        )
        return LOSS.disc(r, f) + 0.3 * kept + cost

    def gen(phi):
        f = judged(params["disc"], made(phi, z), fake_keys)
        return LOSS.gen(f, f)

    return {"disc": disc, "gen": gen}


NETS = players()
CATEGORIES = (3,)
READER = dense((8, 5))


def info(axis_name):
    return infogan(
        NETS["gen"],
        NETS["disc"],
        READER,
        loss=LOSS,
        latent=LATENT,
        categories=CATEGORIES,
        continuous=1,
        weight=0.7,
        continuous_weight=0.2,
        penalty=penalties.r1(),
    )


def info_apart(params, stats, batch, keys, step):
    z_keys, code_keys, _ = split_keys(keys, 3)
    z, real = jax.vmap(LATENT)(z_keys), batch["real"]
    picked_keys, placed_keys = split_keys(code_keys, 2)
    picked = jax.vmap(lambda key: jax.random.randint(key, (1,), 0, 3))(picked_keys)
    placed = jax.vmap(lambda key: jax.random.uniform(key, (1,), minval=-1.0))(
        placed_keys
    )
    row = jnp.concatenate([z, jnp.eye(3)[picked[:, 0]], placed], axis=1)

    made, judged, read = (answers(n) for n in (NETS["gen"], NETS["disc"], READER))

    def unread(psi, x):
        answer = read(psi, x)
        chance = jax.nn.softmax(answer[:, :3])[jnp.arange(len(x)), picked[:, 0]]
        sd = jnp.exp(answer[:, 4])
        density = jax.scipy.stats.norm.pdf(placed[:, 0], answer[:, 3], sd)
        return -0.7 * jnp.log(chance).mean() - 0.2 * jnp.log(density).mean()

    held = made(params["gen"], row)

    def disc(theta):
        slopes = penalties.r1()(lambda x: judged(theta, x), real, held, keys, step)
        return LOSS.disc(judged(theta, real), judged(theta, held)) + slopes

    def gen(phi):
        x = made(phi, row)
        f = judged(params["disc"], x)
        return LOSS.gen(f, f) + unread(params["reader"], x)

    return {"disc": disc, "gen": gen, "reader": lambda psi: unread(psi, held)}


def pair(net):
    """The first output as a logit, the others as class logits."""

    def apply(params, stats, x, *, train):
        answer, stats = net.apply(params, stats, x, train=train)
        return (answer[:, 0], answer[:, 1:]), stats

    return Network(net.init, apply)


def labelled(net):
    """A generator that is given the label as one more number."""

    def joined(z, label):
        return jnp.concatenate([z, label[:, None].astype(z.dtype)], axis=1)

    def apply(params, stats, z, label, *, train):
        return net.apply(params, stats, joined(z, label), train=train)

    return Network(lambda key, z, label: net.init(key, joined(z, label)), apply)


CLASS_NETS = {"gen": labelled(dense((8, 2))), "disc": pair(dense((8, 8, 4)))}


def classes(axis_name):
    return ac_gan(
        CLASS_NETS["gen"],
        CLASS_NETS["disc"],
        loss=LOSS,
        latent=LATENT,
        disc_weight=0.5,
        gen_weight=0.3,
        penalty=penalties.r1(),
    )


def classes_apart(params, stats, batch, keys, step):
    z_keys, _ = split_keys(keys, 2)
    z, real, label = jax.vmap(LATENT)(z_keys), batch["real"], batch["label"]

    made, judged = (answers(CLASS_NETS[name]) for name in ("gen", "disc"))

    def wrong(logits):
        return -jnp.log(jax.nn.softmax(logits)[jnp.arange(len(z)), label]).mean()

    held = made(params["gen"], z, label)

    def disc(theta):
        (r, r_classes), (f, f_classes) = judged(theta, real), judged(theta, held)
        slopes = penalties.r1()(lambda x: judged(theta, x)[0], real, held, keys, step)
        return LOSS.disc(r, f) + 0.5 * (wrong(r_classes) + wrong(f_classes)) + slopes

    def gen(phi):
        f, f_classes = judged(params["disc"], made(phi, z, label))
        return LOSS.gen(f, f) + 0.3 * wrong(f_classes)

    return {"disc": disc, "gen": gen}


def with_labels():
    return {**points(8), "label": jnp.arange(8, dtype=jnp.int32) % 3}


CASES = [
    Case("aided", aided, aided_apart, lambda: images(8)),
    Case("infogan", info, info_apart, lambda: points(8)),
    Case("ac_gan", classes, classes_apart, with_labels),
]
