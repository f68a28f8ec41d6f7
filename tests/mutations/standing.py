"""Lies about statistics taken anew, and places that draw with those of training."""

from tests.mutations import Mutation

STANDING = "gan_jax/standing.py"
GAN = "gan_jax/gan.py"
IMAGE = "experiments/image.py"


def told(file: str, right: str, wrong: str, test: str) -> Mutation:
    return Mutation(file, right, wrong, f"tests/test_standing.py -k {test}")


MUTATIONS = [
    # An average from 0 is not enlarged; it is the last batch's, or of all before it.
    told(STANDING, "1 - share, 1)", "1, 1)", "very_batches"),
    told(STANDING, "x.mean(0) for x", "x[-1] for x", "very_batches"),
    told(
        STANDING, "_started_anew(new, shares), moments", "new, moments", "very_batches"
    ),
    told(
        STANDING,
        "jax.lax.scan(batch, _started_anew(old, shares), keys)",
        "jax.lax.scan(batch, old, keys)",
        "nothing_is_left",
    ),
    # Everything that moves is an average; so is what never moves, or at once.
    told(STANDING, "(most - least <= ALIKE) & ", "", "no_averages"),
    told(STANDING, "(most < 1)", "(most <= 1)", "no_averages"),
    told(STANDING, "(least > 0)", "(least >= 0)", "no_averages"),
    # Vectors of spectral normalisation are averaged like the rest.
    told(STANDING, "jnp.where(one_share, most, 0)", "0.9 + 0 * most", "very_batches"),
    told(
        STANDING, "call if axis_name is None else", "call if True else", "many_devices"
    ),
    told(STANDING, "if not old:", "if False:", "without_stats"),
    told(
        GAN,
        "params, stats = drawn_from(state)",
        'params, stats = state.params["gen"]',
        "drawn_from",
    ),
    told(GAN, "logits = jnp.log(", "logits = 0 * jnp.asarray(", "labels_come"),
    # Places that forget it.
    told(
        IMAGE,
        "(settled(cfg, model, state), z, *labels)",
        "(state, z, *labels)",
        "pictures_and",
    ),
    told(
        IMAGE, "state = settled(cfg, model, state, frequencies)", "pass", "pictures_and"
    ),
    told(
        IMAGE,
        "jax.jit(model.settled)(",
        "jax.jit(lambda *x: model.settled(*x))(",
        "one_program",
    ),
    told(
        "experiments/sample.py",
        "state = image.settled(cfg, trained.model, trained.state)",
        "state = trained.state",
        "read_back",
    ),
    told(
        "experiments/evaluate/sides.py",
        "state = image.settled(cfg, trained.model, state)",
        "pass",
        "read_back",
    ),
    Mutation(
        "experiments/quality/fashion_jax.py",
        "jax.jit(model.settled)(state, settle_key)",
        "state",
        "tests/test_quality.py -k does_not_draw",
    ),
]
