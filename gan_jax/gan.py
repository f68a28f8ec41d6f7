"""The common case: a generator, a discriminator, their loss, ready to train."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from gan_jax.augment import Augment
from gan_jax.kernel import (
    Batch,
    Info,
    Network,
    Play,
    Schedule,
    State,
    kernel,
    simultaneous,
)
from gan_jax.latents import Latent
from gan_jax.losses import Loss, nonsaturating
from gan_jax.objectives.adversarial import Gradient, adversarial
from gan_jax.penalties import Penalty, r1
from gan_jax.regularizers import Regularizer
from gan_jax.standing import standing

SETTLING = (10, 100)  # batches, and samples of each, for G's statistics
Sample = Callable[..., Array]


class Gan(NamedTuple):
    """``init(key, batch) -> State``, ``step(state, batch) -> (State, Info)``,
    ``sample(state, z, label=None) -> samples`` and
    ``settled(state, key, frequencies=None) -> State``, the state to sample from."""

    init: Callable[[Array, Batch], State]
    step: Callable[[State, Batch], tuple[State, Info]]
    sample: Sample
    settled: Callable[..., State]


def gan(
    gen: Network,
    disc: Network,
    *,
    optimizers: Mapping[str, optax.GradientTransformation],
    latent: Latent,
    loss: Loss | Callable[[Array], Loss] | None = None,
    penalty: Penalty | None = r1(),
    regularizer: Regularizer | None = None,
    augment: Augment | None = None,
    gradient: Gradient = "merged",
    conditional: bool = False,
    play: Play = simultaneous("gen", "disc"),
    ema: float | Schedule | None = 0.999,
    accumulate: int = 1,
    axis_name: str | None = None,
) -> Gan:
    """A GAN as one pure training step.

    Args:
      gen, disc: the two networks; see `adversarial`.
      optimizers: ``{"gen": ..., "disc": ...}``.
      latent: the prior, ``key -> z``.
      loss: what each player minimises, or a schedule, step -> loss; non-saturating by
        default.
      penalty: on D's slope. There is one by default: without damping, players who move
        at once spiral away from the equilibrium where alternating ones circle it.
      regularizer: on D's logits, with a memory; see `gan_jax.regularizers`.
      augment: a random change of all that D sees, for small sets of data; see
        `gan_jax.augment`.
      gradient: "merged", "article" or "one_backward"; see `adversarial`.
      conditional: train on ``batch["label"]`` too.
      play: who moves when; see `kernel`.
      ema: the decay of the average of G's parameters, from which samples are drawn; or
        None to keep none and sample from the parameters themselves.
      accumulate, axis_name: see `kernel`.

    Returns:
      A `Gan`. Its first two functions make a `Kernel`; ``sample`` maps latents (n, ...)
      to samples with running statistics instead of batch ones. Those of training are
      not of the average's parameters. So ``settled`` takes them anew, by `standing`,
      and returns the state to sample from; training goes on from the old one. It wants
      a key and, of a conditional model, how often each label comes, (classes,), up to
      a factor. A generator without such statistics costs nothing and stays as it is.

    Raises:
      ValueError: as `adversarial` and `kernel` do, and for a loss that couples the
        batch but not over ``axis_name``, or is to be accumulated in parts.

    Example:
      >>> import jax, jax.numpy as jnp, optax, gan_jax
      >>> gen = gan_jax.networks.mlp.generator((2,), width=8)
      >>> disc = gan_jax.networks.mlp.discriminator(width=8)
      >>> opt = {"gen": optax.adam(1e-3), "disc": optax.adam(1e-3)}
      >>> model = gan(gen, disc, optimizers=opt, latent=gan_jax.latents.normal(4))
      >>> batch = {"real": jnp.zeros((16, 2))}
      >>> state = model.init(jax.random.key(0), batch)
      >>> state, info = jax.jit(model.step)(state, batch)
      >>> int(state.step), sorted(info)[:2]
      (1, ['bad', 'disc/accuracy'])
    """
    loss = nonsaturating() if loss is None else loss
    _check_coupling(loss, accumulate, axis_name)
    objective = adversarial(
        gen,
        disc,
        loss=loss,
        latent=latent,
        penalty=penalty,
        regularizer=regularizer,
        augment=augment,
        gradient=gradient,
        conditional=conditional,
    )
    trained = kernel(
        objective,
        optimizers,
        play=play,
        ema=None if ema is None else {"gen": ema},
        accumulate=accumulate,
        axis_name=axis_name,
    )

    def drawn_from(state: State) -> Any:
        return state.params["gen"] if ema is None else state.ema["gen"]

    def sample(state: State, z: Array, label: Array | None = None) -> Array:
        labels = () if label is None else (label,)
        samples, _ = gen.apply(
            drawn_from(state), state.stats["gen"], z, *labels, train=False
        )
        return samples

    def settled(
        state: State, key: Array, frequencies: ArrayLike | None = None
    ) -> State:
        draw = _inputs(latent, frequencies, conditional)
        params, stats = drawn_from(state), state.stats["gen"]
        new = standing(
            gen, params, stats, draw, key, batches=SETTLING[0], axis_name=axis_name
        )
        return state._replace(stats={**state.stats, "gen": new})

    return Gan(trained.init, trained.step, sample, settled)


def _inputs(
    latent: Latent, frequencies: ArrayLike | None, conditional: bool
) -> Callable[[Array], tuple[Array, ...]]:
    """key -> the generator's inputs of one of `SETTLING`'s batches."""
    if conditional != (frequencies is not None):
        raise ValueError(
            f"frequencies is {frequencies} and conditional {conditional}: give settled "
            "how often each label comes, (classes,), if the model is conditional, and "
            "nothing otherwise."
        )

    def draw(key: Array) -> tuple[Array, ...]:
        n = SETTLING[1]
        z_key, label_key = jax.random.split(key)
        z = latents(latent, z_key, n)
        if frequencies is None:
            return (z,)
        logits = jnp.log(jnp.asarray(frequencies, jnp.float32))
        return z, jax.random.categorical(label_key, logits, shape=(n,))

    return draw


def _check_coupling(
    loss: Loss | Callable[[Array], Loss], accumulate: int, axis_name: str | None
) -> None:
    loss = loss if isinstance(loss, Loss) else loss(jnp.zeros((), jnp.int32))
    if loss.couples != "batch":
        return
    if loss.axis_name != axis_name:
        raise ValueError(
            f"the loss takes a statistic of the batch over axis {loss.axis_name!r}, "
            f"but the step is mapped over {axis_name!r}: every device would see its "
            f"own. Make the loss with axis_name={axis_name!r}."
        )
    if accumulate > 1:
        raise ValueError(
            f"accumulate is {accumulate}, but the loss takes a statistic of the whole "
            "batch, of which each part would see its own. Use accumulate=1, or a loss "
            "without such a statistic."
        )


def latents(latent: Latent, key: Array, n: int) -> Array:
    """``n`` latent vectors, (n, ...), one key each."""
    return jax.vmap(latent)(jax.random.split(key, n))
