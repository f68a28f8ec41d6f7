"""Layers, heads and weights: each is what its formula says, in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from experiments.systems.system import Shown, System
from gan_jax import images
from gan_jax.networks import conditioning, layers, mlp
from gan_jax.networks.cascade import cascading_rejection
from gan_jax.networks.minibatch import minibatch_stddev
from gan_jax.orthogonality import (
    add_orthogonal_gradient,
    orthogonal_penalty,
    self_orthogonality,
)


def cascade_errors() -> dict[str, float]:
    """How far the cascade is from what it must be, in float64."""
    random = np.random.default_rng(0)
    v = jnp.asarray(random.normal(size=(64, 16)))
    w = jnp.asarray(random.normal(size=(16, 4)))
    _, left = cascading_rejection(v, w)
    _, longer = cascading_rejection(v, w * jnp.array([[3.0, 0.1, 7.0, -2.0]]))
    basis = jnp.linalg.qr(w)[0]
    twice, _ = cascading_rejection(v, jnp.repeat(w[:, :1], 2, 1))
    return {
        "v_{i+1}·w_i": largest(left @ w[:, -1]),
        "length": largest(left - longer),
        "orthonormal": largest(cascading_rejection(v, basis)[0] - v @ basis),
        "repeated": largest(twice[:, 1]),
        "v_5·w_1": largest(left @ w[:, 0]),
    }


def sign_cosines(angles: np.ndarray, n: int = 200_000) -> np.ndarray:
    """E sgn(x·a) sgn(x·b) for weights at these angles, out of SOM's Θ."""
    x = jax.random.normal(jax.random.key(1), (n, 2), jnp.float64)

    def cosine(angle: jax.Array) -> jax.Array:
        w = jnp.stack(
            [jnp.array([1.0, 0.0]), jnp.array([jnp.cos(angle), jnp.sin(angle)])]
        )
        return self_orthogonality(x, w.T, gamma=1e4, sum_weight=0.0)

    squares = jax.jit(partial(jax.lax.map, cosine))(jnp.asarray(angles))
    # R is the sum of both squares; the sign is that of the angle's side.
    return np.sign(np.pi / 2 - angles) * np.sqrt(np.asarray(squares) / 2)


def orthogonal_errors() -> tuple[float, float]:
    """The added gradient against central differences: ours, and half of it."""
    w = np.random.default_rng(2).normal(size=(3, 4, 5))
    rule, value = (
        add_orthogonal_gradient(1.0),
        jax.jit(partial(orthogonal_penalty, beta=1.0)),
    )
    tree = {"kernel": jnp.asarray(w)}
    zeros = jax.tree.map(jnp.zeros_like, tree)
    added = np.asarray(rule.update(zeros, rule.init(tree), tree)[0]["kernel"])
    slopes = np.empty_like(w)
    for place in np.ndindex(*w.shape):
        step = np.zeros_like(w)
        step[place] = 1e-5
        up, down = (float(value({"kernel": jnp.asarray(w + s)})) for s in (step, -step))
        slopes[place] = (up - down) / 2e-5
    size = np.abs(slopes).max()
    return float(np.abs(added - slopes).max() / size), float(
        np.abs(added / 2 - slopes).max() / size
    )


def zero_head_bits() -> list[int]:
    """In how many numbers each conditional norm differs from its plain one."""
    x = 3 * jax.random.normal(jax.random.key(3), (8, 4, 4, 6), jnp.float32) + 1
    c = jax.random.normal(jax.random.key(4), (8, 5), jnp.float32)

    class Modulated(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array, c: jax.Array) -> jax.Array:
            return conditioning.SelfModulatedNorm()(x, c, train=True)

    pairs: list[tuple[nn.Module, nn.Module]] = [
        (nn.LayerNorm(), conditioning.ConditionalLayerNorm()),
        (
            nn.InstanceNorm(epsilon=1e-5, use_fast_variance=False),
            conditioning.AdaIN(),
        ),
        (nn.BatchNorm(False, momentum=0.9), Modulated()),
    ]

    def run(module: nn.Module, *inputs: jax.Array) -> np.ndarray:
        return np.asarray(
            jax.jit(lambda *i: module.init_with_output(jax.random.key(0), *i)[0])(
                *inputs
            )
        )

    return [int((run(a, x) != run(b, x, c)).sum()) for a, b in pairs]


def projection_errors() -> tuple[float, float]:
    """How much a label says to a projection D, with its embedding at 0 and as drawn."""
    disc = mlp.discriminator(16, classes=8)
    x, label = jnp.ones((8, 2)), jnp.arange(8)
    params, stats = disc.init(jax.random.key(0), x, label)
    drawn = disc.apply(params, stats, x, label, train=False)[0]
    silent = jax.tree.map(jnp.zeros_like, params["Projection_0"])
    zero = disc.apply(params | {"Projection_0": silent}, stats, x, label, train=False)
    return float(jnp.ptp(zero[0])), float(jnp.ptp(drawn))


def largest_singular_value() -> float:
    """Of a spectrally normalised weight after a hundred power iterations."""
    dense = layers.Dense(24, use_bias=False, spectral=True)
    variables = dict(dense.init(jax.random.key(0), jnp.ones((1, 32))))
    step = jax.jit(lambda v: dense.apply(v, jnp.eye(32), True, mutable=["spectral"]))
    for _ in range(100):
        used, new = step(variables)
        variables |= dict(new)
    return float(np.linalg.svd(np.asarray(used))[1][0])


def largest(x: jax.Array) -> float:
    return float(jnp.abs(x).max())


def run_identities() -> Shown:
    """Every identity on random numbers, and a picture of SOM's lemma."""
    angles = np.array([0.3, 1.0, 2.5])
    many = np.linspace(0.05, np.pi - 0.05, 24)
    with jax.enable_x64():
        rejection = cascade_errors()
        cosines, curve = sign_cosines(angles), sign_cosines(many)
        exact, half = orthogonal_errors()
        projection, drawn = projection_errors()
        top = largest_singular_value()
        collapsed, spread = (
            float(minibatch_stddev(x)[0, -1])
            for x in (
                jnp.ones((64, 8)),
                jax.random.normal(jax.random.key(5), (64, 8), jnp.float64),
            )
        )
    bits = zero_head_bits()
    expected = 1 - 2 * angles / np.pi
    never = rejection.pop("v_5·w_1")
    holds = (
        max(rejection.values()) < 1e-12
        and never > 0.1
        and bool(np.abs(cosines - expected).max() < 5 / np.sqrt(200_000))
        and exact < 1e-8
        and half > 0.4
        and bits == [0, 0, 0]
        and projection == 0 < drawn
        and abs(top - 1) < 1e-6
        and collapsed < 1e-3 < 0.5 < spread
    )
    text = (
        f"cascade: {', '.join(f'{k} {e:.0e}' for k, e in rejection.items())} (but "
        f"v_5·w_1 {never:.1f}); signs {', '.join(f'{c:.3f}' for c in cosines)} for "
        f"{', '.join(f'{e:.3f}' for e in expected)}; 4βW(WᵀW⊙(1−I)) off by "
        f"{exact:.0e}, half of it by {half:.1f}; zero heads differ in {sum(bits)} "
        f"numbers; projection of 0: {projection:.0f} (drawn {drawn:.2f}); "
        f"σ₁ − 1 = {top - 1:.0e}; "
        f"deviation over the batch {collapsed:.0e} collapsed, {spread:.2f} not"
    )
    line, around = np.linspace(0, np.pi, 4000), np.linspace(0, 2 * np.pi, 12)
    # A small circle for each measured angle, on the line that the lemma says.
    circles = np.stack([many, curve], 1)[:, None] + np.stack(
        [0.04 * np.cos(around), 0.03 * np.sin(around)], 1
    )
    picture = images.scatter(
        circles.reshape(-1, 2),
        np.stack([line, 1 - 2 * line / np.pi], 1),
        (-0.15, np.pi + 0.15, -1.15, 1.15),
        320,
    )
    return Shown(holds, text, picture)


SYSTEMS = [
    System(
        "layer_identities",
        "networks, orthogonality",
        "random numbers in float64",
        "cascade, SOM, orthogonal gradient, zero heads, projection and spectral norm "
        "are what they are said to be; half a gradient and v_5·w_1 are not 0",
        run_identities,
    ),
]
