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
# # One loss for two players
#
# A GAN has two players with two losses: the discriminator $D_\theta$ minimises $L_D$,
# the generator $G_\varphi$ minimises $L_G$. The usual code takes two gradients of two
# losses, in turn. Stopping gradients in the right places makes **one scalar** of both:
#
# $$ L = L_D\big(D_\theta(x),\, D_\theta(\mathrm{sg}\,x_f)\big)
#      + L_G\big(\mathrm{sg}\,D_\theta(x),\, D_{\mathrm{sg}\,\theta}(x_f)\big),
#    \qquad x_f = G_\varphi(z). $$
#
# The first term cannot reach $\varphi$, since the fake is stopped. The second cannot
# reach $\theta$, since the parameters are. So $\nabla_\theta L = \nabla_\theta L_D$ and
# $\nabla_\varphi L = \nabla_\varphi L_G$: one gradient of one scalar holds both.
#
# This notebook shows three things: that the gradients agree, what happens when both
# players move at once, and a distribution that is learned so. It takes about a minute
# on two CPU cores. The idea is Su Jianlin's (2019, kexue.fm/archives/6387).

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import gan_jax
from gan_jax import data, latents, losses, penalties
from gan_jax.kernel import Network
from gan_jax.networks import mlp
from gan_jax.objectives import adversarial
from gan_jax.optimizers import adam, cosine, exponential

# %% [markdown]
# ## 1. The gradients agree
#
# A `Network` is two pure functions, `init` and `apply`. We take two small ones, a batch
# of points, and one batch of latents.

# %%
n = 64
key = jax.random.key(0)
x = jax.random.normal(jax.random.fold_in(key, 1), (n, 2)) + 1
z = jax.random.normal(jax.random.fold_in(key, 2), (n, 8))

gen, disc = mlp.generator(2), mlp.discriminator()
phi, _ = gen.init(jax.random.fold_in(key, 3), z)
theta, _ = disc.init(jax.random.fold_in(key, 4), x)
loss = losses.nonsaturating()


def generated(phi):
    return gen.apply(phi, {}, z, train=True)[0]


def logits(theta, x):
    return disc.apply(theta, {}, x, train=True)[0]


# %% [markdown]
# **Two separate losses**, as in most code: one gradient each.


# %%
def disc_loss(theta, phi):
    return loss.disc(logits(theta, x), logits(theta, generated(phi)))


def gen_loss(phi, theta):
    return loss.gen(logits(theta, x), logits(theta, generated(phi)))


@jax.jit
def separate(theta, phi):
    return {
        "disc": jax.grad(disc_loss)(theta, phi),
        "gen": jax.grad(gen_loss)(phi, theta),
    }


# %% [markdown]
# **One scalar**, in the three ways that the library knows. `"merged"` is the formula
# above. `"article"` is the original one: it stops no parameters, but subtracts $L_G$ at
# the stopped fake, $L = L_D + L_G(D(x_f)) - L_G(D(\mathrm{sg}\,x_f))$. `"one_backward"`
# differentiates $D$ only once, and multiplies what arrives at each fake by
# $L_G' / L_D'$ on its way into $G$.
#
# An objective draws its own latents. So that all ways see the same ones, the generator
# is wrapped: whatever it is given, it uses `z`.

# %%
with_our_z = Network(
    gen.init, lambda phi, stats, _, train: gen.apply(phi, stats, z, train=train)
)


def one_scalar(gradient):
    objective = adversarial(
        with_our_z, disc, loss=loss, latent=latents.normal(8), gradient=gradient
    )
    keys = jax.random.split(key, n)

    def value(params):
        stats = {"gen": {}, "disc": {}}
        return objective.loss(params, stats, {"real": x}, keys, jnp.int32(0))[0]

    return jax.jit(lambda theta, phi: jax.grad(value)({"disc": theta, "gen": phi}))


# %%
expected = separate(theta, phi)
size = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(expected))
print(f"largest entry of the two separate gradients: {size:.4f}\n")
print(f"{'':14}largest difference")
for way in ("merged", "article", "one_backward"):
    found = one_scalar(way)(theta, phi)
    gaps = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), found, expected)
    gap = float(max(jax.tree.leaves(gaps)))
    print(f"{way:14}{gap:.1e}")
    assert gap < 1e-5 * size

# %% [markdown]
# They agree to the rounding of float32. `"merged"` works for every discriminator;
# `"one_backward"` is cheaper still, but needs one that judges each sample by itself,
# and refuses another (BatchNorm in $D$) with an error.
#
# ## 2. Two players who move at once
#
# Equal gradients do not make equal dynamics: one merged step moves both players from
# the same point, where alternating code lets one see the other's last move. The
# smallest game that shows the difference (Mescheder et al., 2018, arXiv:1801.04406):
# all data at the origin, a generator that makes one point $\varphi$, a discriminator
# $D(x) = \psi \cdot x$. The equilibrium is $\varphi = \psi = 0$.

# %%
point = Network(
    lambda key, z: (jnp.array([1.0, 0.0]), {}),
    lambda phi, stats, z, train: (jnp.broadcast_to(phi, (len(z), 2)), stats),
)
linear = Network(
    lambda key, x: (jnp.array([0.0, 1.0]), {}),
    lambda psi, stats, x, train: (x @ psi, stats),
)
origin = {"real": jnp.zeros((2, 2))}


def orbit(play, penalty, steps=300):
    """The generator's point after each step."""
    game = gan_jax.gan(
        point,
        linear,
        loss=losses.wasserstein(),
        penalty=penalty,
        play=play,
        latent=latents.normal(1),
        optimizers={"gen": optax.sgd(0.1), "disc": optax.sgd(0.1)},
        ema=None,
    )

    def step(state, _):
        state, _ = game.step(state, origin)
        return state, state.params["gen"]

    state = game.init(jax.random.key(0), origin)
    return np.asarray(jax.lax.scan(step, state, length=steps)[1])


orbits = {
    "at once": orbit(gan_jax.simultaneous("gen", "disc"), None),
    "in turn": orbit(gan_jax.alternating("disc", "gen"), None),
    "at once, with R1": orbit(gan_jax.simultaneous("gen", "disc"), penalties.r1(1.0)),
}

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
for axis, (name, path) in zip(axes, orbits.items(), strict=True):
    end = np.linalg.norm(path[-1])
    axis.plot(*path.T, lw=1)
    axis.plot(0, 0, "k+")
    axis.set_title(f"{name}: ends {end:.2g} away")
    axis.axis("equal")
figure.tight_layout()
plt.show()

# %% [markdown]
# Without a penalty, players who move at once spiral away, where players who move in
# turn only circle. With R1, a penalty on the discriminator's slope at the data, moving
# at once converges. That is why `gan_jax.gan` has R1 on by default.

# %%
ends = {name: float(np.linalg.norm(path[-1])) for name, path in orbits.items()}
assert ends["at once"] > 2 > ends["in turn"] > 0.1 > 1e-3 > ends["at once, with R1"]

# %% [markdown]
# ## 3. A ring that is learned
#
# Eight narrow Gaussians on a circle: the classic test for a generator that drops modes.
# The recipe is R3GAN's (Huang et al., 2024, arXiv:2501.05441): the relativistic pairing
# loss with R1 and R2, whose weight falls over the run. A step is a pure function of the
# state, so the whole run is one `lax.scan`.

# %%
steps, batch_size = 5_000, 256
ring = data.ring()
points = jnp.asarray(data.mixture_points(ring, 50_000, seed=0).arrays["real"])
gamma = exponential(1.0, 0.001, steps)
rate = cosine(2e-3, 1e-4, steps)
model = gan_jax.gan(
    mlp.generator(2),
    mlp.discriminator(),
    loss=losses.relativistic_pairing(),
    penalty=penalties.total(penalties.r1(gamma), penalties.r2(gamma)),
    gradient="one_backward",
    latent=latents.normal(64),
    optimizers={player: adam(rate, b1=0.0, b2=0.99) for player in ("gen", "disc")},
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
samples = model.sample(state, jax.random.normal(jax.random.key(2), (2_500, 64)))
report = data.mixture_report(np.asarray(samples), ring)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4))
left.plot(*np.asarray(samples).T, ".", ms=2, label="samples")
left.plot(*ring.modes.T, "k+", ms=12, label="modes of the data")
left.axis("equal")
left.legend(loc="center")
for player in ("disc", "gen"):
    mean = np.asarray(info[f"{player}/loss"]).reshape(-1, 50).mean(axis=1)
    right.plot(np.arange(len(mean)) * 50, mean, label=f"{player}/loss")
right.set_xlabel("step")
right.legend()
figure.tight_layout()
plt.show()

print(f"{report.high_quality:.0%} of the samples within 3 sd of a mode")
print(f"modes covered, of {report.modes}:")

# %%
report.covered
