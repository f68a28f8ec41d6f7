"""The two-player game of a generator and a discriminator, as one scalar.

With r = D(x), x_f = G(z) and sg = `gan_jax.stop`, the merged loss is

    L = L_D(r, D(sg(x_f))) + penalty + L_G(sg(r), D_sg(theta)(x_f)).

The first two terms reach D's parameters theta only, the last one G's only, so the
gradient of L holds each player's own gradient. G runs once. D(x_f) appears twice, with
gradients stopped in different places but with equal values, so its forward pass runs
once as well. Two other ways of writing the same gradients are options:

* ``"article"``: L = L_D(r, f) + L_G(r, D(x_f)) - L_G(r, f) with f = D(sg(x_f)), as in
  the article that the trick comes from. It stops no parameters: the gradient of the
  last two terms by theta cancels. More work for the same answer; kept as a cross-check.
* ``"one_backward"``: D is differentiated once. Where D judges every sample by itself,
  the gradients of L_D and of L_G at a fake sample differ by one factor,
  (dL_G/df_i) / (dL_D/df_i), with which D's gradient is multiplied on its way into G.
  Less work; refused if D couples samples (BatchNorm, minibatch statistics).

References: Su Jianlin, "single loss GAN", 2019, kexue.fm/archives/6387 and 9969; Shen
et al., "Training Generative Adversarial Networks in One Stage", 2021, arXiv:2103.00430.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gan_jax.kernel import Batch, Info, Network, Objective, Params, Stats
from gan_jax.latents import Latent
from gan_jax.losses import Loss
from gan_jax.objectives.players import needed, scores
from gan_jax.parts import mean_of, split_keys
from gan_jax.penalties import Penalty
from gan_jax.stop import stop

Gradient = Literal["merged", "article", "one_backward"]
Score = Callable[[Any, Any, Array, tuple[Array, ...]], tuple[Array, Any]]


def adversarial(
    gen: Network,
    disc: Network,
    *,
    loss: Loss,
    latent: Latent,
    penalty: Penalty | None = None,
    gradient: Gradient = "merged",
    conditional: bool = False,
) -> Objective:
    """The game of "gen" and "disc".

    D judges real and fake samples in separate calls. Both calls start from the same
    stats, and the mean of what they return is written: BatchNorm averages over real and
    fake alike, and spectral normalisation takes one power iteration a step.

    Args:
      gen: ``z (n, latent) -> samples (n, ...)``; also given labels if conditional.
      disc: ``samples -> logits (n,)``; also given labels if conditional.
      loss: what each player minimises.
      latent: the prior of z.
      penalty: added to D's loss.
      gradient: how the two gradients are written as one; see above.
      conditional: give both networks ``batch["label"]``, int32 (n,), too.

    Returns:
      An objective for batches with ``"real"``: float32 samples as they are, or uint8
      images, which become x / 127.5 - 1 in [-1, 1]. Its info holds each player's
      ``loss`` (D's without penalty) and D's ``real_logit`` and ``fake_logit`` (means),
      ``accuracy`` (share of signs that are right; a loss whose targets are not on
      either side of zero says little by it) and ``penalty``.

    Raises:
      ValueError: for an unknown gradient mode, a batch without what is needed, logits
        of another shape than (n,), or, when its parameters are made, a discriminator
        that couples samples under "one_backward".
    """
    if gradient not in get_args(Gradient):
        raise ValueError(
            f"gradient is {gradient!r}, but it must be one of {get_args(Gradient)}."
        )

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        real, labels = _inputs(batch, conditional)
        gen_key, disc_key, z_key = jax.random.split(key, 3)
        z = jax.vmap(latent)(jax.random.split(z_key, real.shape[0]))
        networks = {
            "gen": gen.init(gen_key, z, *labels),
            "disc": disc.init(disc_key, real, *labels),
        }
        _check_fakes(gen, networks["gen"], z, real, labels)
        if gradient == "one_backward":
            _check_per_sample(disc, real, labels)
        params = {player: params for player, (params, _) in networks.items()}
        stats = {player: stats for player, (_, stats) in networks.items()}
        return params, stats

    def score(
        params: Any, stats: Any, x: Array, labels: tuple[Array, ...]
    ) -> tuple[Array, Any]:
        return scores(disc, params, stats, x, *labels)

    def merged_loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        real, labels = _inputs(batch, conditional)
        z_keys, penalty_keys = split_keys(keys, 2)
        z = jax.vmap(latent)(z_keys)
        fake, gen_stats = gen.apply(params["gen"], stats["gen"], z, *labels, train=True)
        theta, held = params["disc"], stats["disc"]
        real_logits, real_stats = score(theta, held, real, labels)
        # Twice the same logits: for L_D, and for L_G.
        fake_logits, gen_logits, fake_stats = _fake_scores(
            score, gradient, theta, held, fake, labels
        )
        disc_loss = loss.disc(real_logits, fake_logits)
        if gradient == "article":
            gen_loss = loss.gen(real_logits, gen_logits)
            total = disc_loss + gen_loss - loss.gen(real_logits, fake_logits)
        else:
            gen_loss = loss.gen(stop(real_logits), gen_logits)
            total = disc_loss + gen_loss
        info = _info(real_logits, fake_logits, disc_loss, gen_loss)
        if penalty is not None:
            cost = penalty(
                lambda x: score(theta, held, x, labels)[0],
                real,
                stop(fake),
                penalty_keys,
                step,
            )
            total += cost
            info["disc/penalty"] = cost
        return total, (
            {"gen": gen_stats, "disc": mean_of([real_stats, fake_stats])},
            info,
        )

    return Objective(init, merged_loss)


def _fake_scores(
    score: Score,
    gradient: Gradient,
    theta: Any,
    stats: Any,
    fake: Array,
    labels: tuple[Array, ...],
) -> tuple[Array, Array, Any]:
    """D's logits of the fakes for L_D and for L_G, and D's stats after the call."""
    if gradient == "one_backward":
        return _twin_scores(score)(theta, stats, fake, labels)
    logits, new_stats = score(theta, stats, stop(fake), labels)
    by_gen = theta if gradient == "article" else stop(theta)
    gen_logits, _ = score(by_gen, stats, fake, labels)
    return logits, gen_logits, new_stats


# Where L_D is flat at a fake's logit, the ratio of the two gradients has no
# denominator. It is then seeded with this instead: far below what D's own gradient can
# feel, and far above what float32 and bfloat16 can hold (about 1e-38).
SEED = 1e-20


def _twin_scores(score: Score) -> Callable[..., tuple[Array, Array, Any]]:
    """D's logits twice, the first for L_D and the second for L_G, in one backward.

    Backward, c_i = dL_D/df_i and g_i = dL_G/df_i arrive. D's parameters get what c
    sends them. D's input would get J_i^T g_i, which is (g_i / c_i) J_i^T c_i since
    logit i depends on sample i only: no second pass.
    """

    @jax.custom_vjp
    def twins(
        theta: Any, stats: Any, fake: Array, labels: tuple[Array, ...]
    ) -> tuple[Array, Array, Any]:
        logits, stats = score(theta, stats, fake, labels)
        return logits, logits, stats

    def forward(
        theta: Any, stats: Any, fake: Array, labels: tuple[Array, ...]
    ) -> tuple[Any, Any]:
        logits, pull, new_stats = jax.vjp(
            lambda theta, fake: score(theta, stats, fake, labels),
            theta,
            fake,
            has_aux=True,
        )
        return (logits, logits, new_stats), pull

    def backward(pull: Any, cotangents: Any) -> tuple[Any, None, Array, None]:
        c, g, _ = cotangents
        c = c + jnp.where(c < 0, -SEED, SEED)
        by_theta, by_fake = pull(c)
        ratio = (g / c).reshape(-1, *(1 for _ in by_fake.shape[1:]))
        return by_theta, None, ratio * by_fake, None

    twins.defvjp(forward, backward)
    return twins


def _inputs(batch: Batch, conditional: bool) -> tuple[Array, tuple[Array, ...]]:
    real, *labels = needed(batch, *(["real", "label"] if conditional else ["real"]))
    return real, tuple(labels)


def _info(
    real_logits: Array, fake_logits: Array, disc_loss: Array, gen_loss: Array
) -> Info:
    right = (real_logits > 0).mean() + (fake_logits < 0).mean()
    return {
        "disc/loss": disc_loss,
        "gen/loss": gen_loss,
        "disc/real_logit": real_logits.mean(),
        "disc/fake_logit": fake_logits.mean(),
        "disc/accuracy": right / 2,
    }


def _check_fakes(
    gen: Network, made: Any, z: Array, real: Array, labels: tuple[Array, ...]
) -> None:
    # Not in training mode: no mapped axis to average over is known here.
    fake, _ = jax.eval_shape(
        lambda params, stats: gen.apply(params, stats, z, *labels, train=False), *made
    )
    if fake.shape != real.shape:
        raise ValueError(
            f"the generator makes samples of shape {fake.shape[1:]}, but the data's "
            f"have shape {real.shape[1:]}. Give the generator the data's size and "
            "channels."
        )


def _check_per_sample(disc: Network, real: Array, labels: tuple[Array, ...]) -> None:
    """Refuse a discriminator whose logit of one sample depends on another sample."""
    dtypes = tuple(label.dtype for label in labels)
    if _couples_samples(disc, real.shape[1:], real.dtype, dtypes):
        raise ValueError(
            "gradient='one_backward' needs a discriminator that judges every sample by "
            "itself, but the logit of one sample depends on another sample of the "
            "batch (BatchNorm or another batch statistic in the discriminator). Use "
            "gradient='merged', or a discriminator without such layers."
        )


# Once for a discriminator, however often its parameters are made.
@functools.lru_cache(maxsize=32)
def _couples_samples(
    disc: Network, shape: tuple[int, ...], dtype: Any, label_dtypes: tuple[Any, ...]
) -> bool:
    """Whether another second sample changes the first one's logit, by a single bit.

    Parameters and stats are drawn by their shapes alone, so that no zero at
    initialisation hides a path, and the program is compiled without optimisation: a
    full-size discriminator takes seconds, where its gradient by the other sample takes
    most of a minute. All is constant, so the caller may be traced.
    """
    rng = np.random.default_rng(0)

    def drawn(x: Any) -> Any:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return np.zeros(x.shape, x.dtype)
        scale = np.prod(x.shape[:-1]) ** -0.5 if len(x.shape) > 1 else 0.1
        return (rng.standard_normal(x.shape, np.float32) * scale).astype(x.dtype)

    def logit(params: Any, stats: Any, x: Array, *labels: Array) -> Array:
        return disc.apply(params, stats, x, *labels, train=True)[0][0]

    first, *others = rng.standard_normal((3, *shape))
    pairs = [
        np.stack([first, scale * x]) for scale, x in zip((1, 10), others, strict=True)
    ]
    labels = tuple(np.zeros(2, dtype) for dtype in label_dtypes)
    key, x = jax.eval_shape(lambda: (jax.random.key(0), jnp.zeros((2, *shape), dtype)))
    like = jax.eval_shape(disc.init, key, x, *labels)
    params, stats = jax.tree.map(drawn, like)
    quick: dict[str, Any] = {"xla_backend_optimization_level": 0}
    try:
        program = jax.jit(logit).lower(params, stats, x, *labels)
    except NameError:  # of a mapped axis: it wants the other devices' samples
        return True
    with jax.ensure_compile_time_eval():
        compiled = program.compile(quick if jax.default_backend() == "cpu" else None)
        one, other = (
            np.asarray(compiled(params, stats, pair.astype(dtype), *labels))
            for pair in pairs
        )
    return not np.array_equal(one, other)
