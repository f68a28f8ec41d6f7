# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From the Dirac-GAN to R3GAN
#
# Why does a GAN circle around its equilibrium instead of going there, and what makes it
# go? The smallest GAN answers both: all data at the origin, a generator that makes one
# point $\varphi$, a discriminator $D(x) = \psi x$ (Mescheder et al., 2018,
# arXiv:1801.04406). What helps there is what R3GAN is made of (Huang et al., 2024,
# arXiv:2501.05441), and at the end R3GAN learns a ring of eight Gaussians.
#
# It takes less than a minute on two CPU cores.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import gan_jax
from gan_jax import convergence, data, dynamics, latents, penalties
from gan_jax.field_picture import field_picture
from gan_jax.networks import mlp
from gan_jax.objectives import dirac

# %% [markdown]
# ## 1. A field that turns
#
# Each player follows its own gradient. Both gradients together are a vector field
# $v(\varphi, \psi)$, and `dynamics.field` takes it from any game. For the logistic loss
#
# $$ \dot\varphi = \sigma(-\varphi\psi)\,\psi, \qquad
#    \dot\psi = -\sigma(\varphi\psi)\,\varphi. $$

# %%
at_once = gan_jax.simultaneous("gen", "disc")
in_turn = gan_jax.alternating("disc", "gen")
origin = {"real": jnp.zeros((1, 1))}
keys = jax.random.split(jax.random.key(0), 1)
no_stats = {"gen": {}, "disc": {}}


def game(penalty=None):
    return dirac(np.array([1.0]), np.array([0.5]), penalty=penalty)


def motion(objective):
    """-v at points (phi, psi)."""
    v = dynamics.field(objective)

    @jax.jit
    @jax.vmap
    def at(point):
        params = {"gen": point[:1], "disc": point[1:]}
        own = v(params, no_stats, origin, keys, 0)
        return -jnp.concatenate([own["gen"], own["disc"]])

    return lambda points: np.asarray(at(jnp.asarray(points, jnp.float32)))


def course(objective, play=at_once, ema=None, steps=400):
    """The points (phi, psi) of a run, and G's average."""
    rates = {"gen": optax.sgd(0.2), "disc": optax.sgd(0.2)}
    built = gan_jax.kernel(objective, rates, play=play, ema=ema)
    batch = {"real": jnp.zeros((len(play), 1))}

    def step(state, _):
        point = jnp.concatenate([state.params["gen"], state.params["disc"]])
        return built.step(state, batch)[0], (point, state.ema)

    run = jax.jit(lambda state: jax.lax.scan(step, state, length=steps)[1])
    return jax.device_get(run(built.init(jax.random.key(0), batch)))


# %%
plain, _ = course(game())
alternating, _ = course(game(), in_turn)
edge = (-2.0, 2.0, -2.0, 2.0)
picture = field_picture(
    motion(game()), edge, {"at once": plain[:120], "in turn": alternating[:120]}
)
plt.figure(figsize=(4.5, 4.5))
plt.imshow(picture, extent=edge)
plt.xlabel("φ, the generator's point")
plt.ylabel("ψ, the discriminator's slope")
plt.show()

# %% [markdown]
# From far away the players come nearer, but close to the equilibrium the field only
# turns. There, steps of finite length lead outwards for players who move at once, and
# they end on a circle; players who move in turn are not driven out, and hardly in.
#
# ## 2. What the eigenvalues say
#
# Near the equilibrium all is decided by the eigenvalues of the field's Jacobian. The
# flow converges if the real parts of those of $-J$ are negative; steps converge if
# those of the map that one step is lie inside the unit circle.
# `convergence.eigenvalues` gives both, for any game, rates and play. With R1 of weight
# $\gamma$ the flow's should be $-\gamma/2 \pm \sqrt{\gamma^2/4 - 1/4}$.


# %%
def numbers(objective, **options):
    still = {"gen": jnp.zeros(1), "disc": jnp.zeros(1)}
    return convergence.eigenvalues(objective, still, no_stats, origin, keys, **options)


print("R1's weight   eigenvalues of the flow         by the formula")
for gamma in (0.0, 0.3, 0.6, 1.5):
    found = np.sort_complex(numbers(game(penalties.r1(gamma))))
    root = np.sqrt(complex(gamma**2 / 4 - 1 / 4))
    wanted = np.sort_complex([-gamma / 2 - root, -gamma / 2 + root])
    print(f"{gamma:11.1f}   {found.round(3)!s:30}  {wanted.round(3)}")
    assert np.allclose(found, wanted, atol=1e-4)

# %%
rates = {"gen": 0.2, "disc": 0.2}
ways = {
    "at once": (game(), at_once),
    "in turn": (game(), in_turn),
    "at once, R1": (game(penalties.r1(1.5)), at_once),
    "at once, consensus": (dynamics.consensus(game(), 2.0), at_once),
}
modulus = {
    name: abs(numbers(objective, rates=rates, play=play)[0])
    for name, (objective, play) in ways.items()
}
for name, size in modulus.items():
    print(f"{name:20} a step multiplies the distance by {size:.4f} in the long run")

# %% [markdown]
# Above 1 it spirals out, at 1 it circles, below 1 it arrives. R1, a penalty on the
# discriminator's slope at the data, puts friction on $\psi$. Consensus optimization
# lets both players also minimise $\|v\|^2$. Moving in turn brings the modulus to 1
# and no further.
#
# ## 3. Four remedies, seen
#
# An average over an orbit that circles needs no new force: it lies near the centre.
# (Optimistic and extragradient steps, in `gan_jax.dynamics`, are two more remedies.
# [docs/systems.md](../docs/systems.md) compares them all. One dimension is for drawing:
# in the plane the plain flow conserves $\varphi \times \psi$ and never arrives.)

# %%
swing, averages = course(
    game(),
    in_turn,
    ema={"gen": lambda step: jnp.float32(0.99)},  # a number would be warmed up
    steps=1500,
)
shown = {name: course(objective, play)[0] for name, (objective, play) in ways.items()}
figure, axes = plt.subplots(1, 4, figsize=(13, 3.5))
for axis, (name, path) in zip(axes[:3], list(shown.items())[1:], strict=True):
    field = field_picture(motion(ways[name][0]), edge, {name: path})
    axis.imshow(field, extent=edge)
    axis.set_title(f"{name}: ends {np.linalg.norm(path[-1]):.1g} away")
axes[3].plot(np.abs(averages["gen"]), label="|average of φ|")
axes[3].plot(np.abs(swing[:, 0]), lw=0.6, label="|φ|, in turn")
axes[3].set_yscale("log")
axes[3].set_xlabel("step")
axes[3].legend()
figure.tight_layout()
plt.show()

# %%
ends = {name: np.linalg.norm(path[-1]) for name, path in shown.items()}
assert modulus["at once"] > 1 > modulus["at once, R1"]
assert ends["at once"] > ends["in turn"] > 0.1
assert max(ends["at once, R1"], ends["at once, consensus"]) < 1e-3
assert abs(averages["gen"][-1, 0]) < 0.1

# %% [markdown]
# ## 4. R3GAN on a ring
#
# R3GAN takes friction on the data (R1) and on the fakes (R2), a loss that judges each
# fake against a real sample, which leaves no reason to drop a mode, and an average of
# the generator. Weights and rates fall, the half-life of the average and Adam's second
# decay rise, all along a cosine that is counted in images. `r3gan` is that recipe for
# any two networks; here two small MLPs.

# %%
steps, batch_size = 3_000, 256
ring = data.ring()
points = jnp.asarray(data.mixture_points(ring, 50_000, seed=0).arrays["real"])
model = gan_jax.r3gan(
    mlp.generator(2),
    mlp.discriminator(),
    latent=latents.normal(64),
    batch_size=batch_size,
    images=steps * batch_size,
    gamma=(1.0, 0.001),
    rate=(2e-3, 1e-4),
    half_life=(0.0, 5e3),
    play=at_once,
    gradient="one_backward",
)


def train_step(state, _):
    step_key = jax.random.fold_in(jax.random.key(1), state.step)
    batch = {"real": jax.random.choice(step_key, points, (batch_size,))}
    return model.step(state, batch)


state = model.init(jax.random.key(0), {"real": points[:batch_size]})
state, info = jax.jit(lambda state: jax.lax.scan(train_step, state, length=steps))(
    state
)

# %%
samples = np.asarray(
    model.sample(state, jax.random.normal(jax.random.key(2), (2_500, 64)))
)
report = data.mixture_report(samples, ring)
logged = {
    "disc/learning_rate": "D's rate",
    "disc/penalty": "R1 + R2",
    "gen/loss": "G's loss",
}

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4))
left.plot(*samples.T, ".", ms=2, label="samples")
left.plot(*ring.modes.T, "k+", ms=12, label="modes of the data")
left.axis("equal")
left.legend(loc="center")
for name, label in logged.items():
    mean = np.asarray(info[name]).reshape(-1, 50).mean(axis=1)
    right.plot(np.arange(len(mean)) * 50, mean, label=label)
right.set_yscale("log")
right.set_xlabel("step")
right.legend()
figure.tight_layout()
plt.show()

print(f"{report.high_quality:.0%} of the samples within 3 sd of a mode")
print(f"modes covered, of {report.modes}:")

# %%
report.covered
