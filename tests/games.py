"""Small players for the tests, written in plain JAX, and all that they may combine."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import latents, losses, penalties
from gan_jax.kernel import Network

LOSSES = {
    "minimax": losses.minimax(),
    "nonsaturating": losses.nonsaturating(),
    "hinge": losses.hinge(),
    "least_squares": losses.least_squares(),
    "wasserstein": losses.wasserstein(),
    "relativistic_pairing": losses.relativistic_pairing(),
    "relativistic_average": losses.relativistic_average(),
    "relativistic_average_least_squares": losses.relativistic_average("least_squares"),
    "relativistic_average_hinge": losses.relativistic_average("hinge"),
}
PENALTIES = {
    "none": None,
    "r1": penalties.r1(2.0),
    "r2": penalties.r2(lambda step: 1.0 + step),
    "zero_centred": penalties.zero_centred(),
    "wgan_gp": penalties.wgan_gp(),
    "wgan_gp_one_sided": penalties.wgan_gp(target=0.1, one_sided=True),
    "dragan": penalties.dragan(),
    "lazy_r1": penalties.lazy(penalties.r1(), every=2),
    "total": penalties.total(penalties.r1(), penalties.r2()),
}
GRADIENTS = ("merged", "article", "one_backward")
LATENT = latents.normal(3)


def dense(sizes: tuple[int, ...], *, norm: bool = False, logits: bool = False):
    """An MLP of tanh layers; with ``norm``, BatchNorm after the first one."""

    def init(key, x, *labels):
        params = []
        for size in sizes:
            key, own = jax.random.split(key)
            fan_in = params[-1]["w"].shape[1] if params else x.shape[-1]
            w = jax.random.normal(own, (fan_in, size)) / fan_in**0.5
            params.append({"w": w, "b": jnp.zeros(size)})
        return params, {"mean": jnp.zeros(sizes[0])} if norm else {}

    def apply(params, stats, x, *labels, train):
        for number, layer in enumerate(params):
            x = x @ layer["w"] + layer["b"][None]
            if number == 0 and norm:
                mean = x.mean(axis=0) if train else stats["mean"]
                x = (x - mean[None]) / jnp.sqrt(x.var(axis=0) + 1e-5)[None]
                stats = {"mean": 0.9 * stats["mean"] + 0.1 * mean} if train else stats
            if number < len(params) - 1:
                x = jnp.tanh(x)
        return (x[:, 0] if logits else x), stats

    return Network(init, apply)


def players(*, norm: bool = False) -> dict[str, Network]:
    """A generator of points in the plane and a discriminator."""
    return {
        "gen": dense((8, 8, 2), norm=norm),
        "disc": dense((8, 8, 1), norm=norm, logits=True),
    }


def points(n: int = 6, seed: int = 1) -> dict[str, jax.Array]:
    """A batch of points in the plane."""
    return {"real": jax.random.normal(jax.random.key(seed), (n, 2)) + 1}


def largest_gap(a, b) -> float:
    """The largest difference between two pytrees, relative to the largest number."""
    pairs = list(zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
    scale = max(float(jnp.abs(x).max()) for x, _ in pairs)
    # Not max, which passes over NaN.
    gap = float(np.max([float(jnp.abs(x - y).max()) for x, y in pairs]))
    return gap / max(scale, 1e-30)
