"""The unrolled GAN: G plays against the D that its samples will have brought about.

With theta_0 = theta and theta_(k+1) = theta_k - rate * grad L_D(theta_k, phi), K steps
of D's own descent on the same batch,

    G minimises -L_D(theta_K(theta, phi), phi)   ("zero_sum", the paper's), or
                 L_G(theta_K(theta, phi), phi)   ("own", any loss pair's),

differentiated through all K steps: inside them the fakes are not stopped. D itself
takes one ordinary step from theta. As one scalar, sg = `gan_jax.stop`,

    L = L_D(theta, sg(phi)) + L_G(theta_K(sg(theta), phi), phi).

The stop at theta_0 holds for the move that is taken, so D's gradient is that of the
first term alone. For K = 0 and "own" this is `adversarial`, for K = 0 and "zero_sum"
the minimax game; a step costs about K + 1 times as much.

Reference: Metz et al., "Unrolled Generative Adversarial Networks", 2016,
arXiv:1611.02163.
"""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gan_jax.kernel import Batch, Info, Network, Objective, Params, Stats
from gan_jax.latents import Latent
from gan_jax.losses import Loss
from gan_jax.objectives.players import begun, check_fakes, drawn, needed, scores
from gan_jax.parts import averaged, mean_of, own_gradient, split_keys, varying
from gan_jax.penalties import Penalty
from gan_jax.stop import stop

Aim = Literal["zero_sum", "own"]


def unrolled(
    gen: Network,
    disc: Network,
    *,
    loss: Loss,
    latent: Latent,
    steps: int,
    inner: optax.GradientTransformation,
    aim: Aim = "zero_sum",
    penalty: Penalty | None = None,
    axis_name: str | None = None,
) -> Objective:
    """The game of "gen" against a "disc" that G sees ``steps`` steps ahead.

    The stats that D reads stay fixed while it is unrolled, and what the steps would do
    to them is forgotten. The inner steps begin with a fresh state of ``inner``; in the
    paper's code they go on from D's own.

    Args:
      gen: ``z (n, latent) -> samples (n, ...)``.
      disc: ``samples -> logits (n,)``. Its second derivatives are taken.
      loss: what D minimises, and for "own" what G minimises too.
      latent: the prior of z.
      steps: K, 0 or more. Time and memory of G's gradient grow with it.
      inner: the optimizer of the inner steps, as `optax.sgd(rate)`; the paper has Adam,
        with D's rate. It must be differentiable: Adam wants ``eps_root`` > 0 where a
        gradient can be 0.
      aim: "zero_sum" lets G maximise ``loss.disc``, its term for real samples included,
        since theta_K depends on the fakes; "own" lets it minimise ``loss.gen``.
      penalty: added to D's loss, in the inner steps too, each with its own noise. G's
        loss has none; it meets the penalty through theta_K alone.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which the
        inner gradients are averaged, so that all devices see the same D ahead. Not for
        `jit`.

    Returns:
      An objective for batches with ``"real"``. Its info holds each player's ``loss``,
      D's without penalty, and D's ``real_logit`` and ``fake_logit`` before the steps.

    Raises:
      ValueError: for a negative number of steps, an unknown aim, a batch without what
        is needed, or logits of another shape than (n,).

    Reference: Metz et al., "Unrolled Generative Adversarial Networks", 2016,
    arXiv:1611.02163.
    """
    if steps < 0:
        raise ValueError(f"steps is {steps}, but D is unrolled 0 or more steps ahead.")
    if aim not in get_args(Aim):
        raise ValueError(f"aim is {aim!r}, but it must be one of {get_args(Aim)}.")

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        (real,) = needed(batch, "real")
        own, z_key = jax.random.split(key)
        z = drawn(latent, jax.random.split(z_key, real.shape[0]))
        return begun(own, {"gen": (gen, (z,)), "disc": (disc, (real,))})

    def merged_loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        (real,) = needed(batch, "real")
        z_keys, now, *later = split_keys(keys, 2 + steps)
        fake, gen_stats = gen.apply(
            params["gen"], stats["gen"], drawn(latent, z_keys), train=True
        )
        check_fakes(fake, real)

        def judged(theta: Any, fake: Array) -> tuple[Array, Array, Any]:
            r, real_stats = scores(disc, theta, stats["disc"], real)
            f, fake_stats = scores(disc, theta, stats["disc"], fake)
            return r, f, mean_of([real_stats, fake_stats])

        def cost(theta: Any, fake: Array, own: Array) -> Array | float:
            if penalty is None:
                return 0.0
            return penalty(
                lambda x: scores(disc, theta, stats["disc"], x)[0],
                real,
                fake,
                own,
                step,
            )

        def inner_loss(theta: Any, own: Array) -> tuple[Array, None]:
            # The fakes are not stopped: the steps depend on them.
            r, f, _ = judged(theta, fake)
            return loss.disc(r, f) + cost(theta, fake, own), None

        def ahead(at: tuple[Any, Any], own: Array) -> tuple[tuple[Any, Any], None]:
            theta, state = at
            slope, _ = own_gradient(inner_loss, axis_name)(theta, own)
            slope = averaged(slope, axis_name)
            moves, state = inner.update(slope, state, theta)
            # Some optimizers keep what is the same everywhere, such as a rate.
            new = optax.apply_updates(theta, moves), state
            return varying(new, axis_name), None

        theta = stop(params["disc"])
        if steps:
            begin = varying((theta, inner.init(theta)), axis_name)
            (theta, _), _ = jax.lax.scan(ahead, begin, jnp.stack(later))
        r, f, _ = judged(theta, fake)
        gen_loss = -loss.disc(r, f) if aim == "zero_sum" else loss.gen(r, f)
        held = stop(fake)
        r, f, disc_stats = judged(params["disc"], held)
        disc_loss = loss.disc(r, f)
        info = {
            "disc/loss": disc_loss,
            "gen/loss": gen_loss,
            "disc/real_logit": r.mean(),
            "disc/fake_logit": f.mean(),
        }
        total = disc_loss + gen_loss + cost(params["disc"], held, now)
        return total, ({"gen": gen_stats, "disc": disc_stats}, info)

    return Objective(init, merged_loss)
