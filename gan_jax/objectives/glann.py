"""GLO, IMLE and both together, GLANN: generators without a discriminator.

GLO (generative latent optimization) learns a code for every sample of the data beside
the generator; the codes lie on the unit sphere:

    min over G and z_1 .. z_N of  sum_i d(x_i, G(z_i)),  |z_i| = 1.

IMLE (implicit maximum likelihood estimation) draws latents instead, and moves to every
sample of the data the generated one that lies nearest:

    min over G of  E sum_i min_j |x_i - G(z_j)|^2.

So every sample of the data gets a neighbour: recall. That every generated sample have
one, precision, nobody asks for. GLANN does the one and then the other, in the space of
codes, where the data fill the place that they lie in: first GLO, then IMLE of a mapper
T with the codes as its data; a sample is G(T(e)). Both run on the kernel as they are:

    first = kernel(glo(gen, count=n, latent=sphere(64)), ...)     # gen, codes
    data = {"real": on_sphere(state.params["codes"])}
    second = kernel(imle(spherical(mapper), latent=normal(32)), ...)  # gen: the mapper

References: Bojanowski, Joulin, Lopez-Paz and Szlam, "Optimizing the Latent Space of
Generative Networks", 2017, arXiv:1707.05776; Li and Malik, "Implicit Maximum Likelihood
Estimation", 2018, arXiv:1809.09087; Hoshen and Malik, "Non-Adversarial Image Synthesis
with Generative Latent Nearest Neighbors", 2018, arXiv:1812.08985.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from gan_jax.kernel import Batch, Info, Network, Objective, Params, Stats
from gan_jax.latents import Latent
from gan_jax.numerics import full, nonzero, rows
from gan_jax.objectives.players import (
    answer_like,
    begun,
    check_fakes,
    drawn,
    needed,
)
from gan_jax.parts import gathered
from gan_jax.reconstruction import Error, squared_error
from gan_jax.stop import stop


def glo(
    gen: Network, *, count: int, latent: Latent, error: Error = squared_error
) -> Objective:
    """The common task of "gen" and "codes", a table with a row for each sample.

    Both minimise E d(x_i, G(z_i)) with z_i = v_i / |v_i| and v_i row ``index`` of the
    table. The division is differentiated, so that a row's gradient is tangent to the
    sphere. (The authors' code of GLANN holds the norm: a part of each step then goes
    along the row, where it changes nothing but the length, and is undone after every
    epoch.)

    The gradient of the table is 0 in the rows that the batch does not name, but a mean
    over the batch makes it 1 / n of each sample's own. Plain SGD with n times the rate
    leaves other rows alone. Adam does not: its momentum goes on moving them. Wrap it in
    `gan_jax.rowwise.rowwise`, which also counts each row's steps by itself.

    Args:
      gen: ``z (n, latent) -> samples (n, ...)``.
      count: N, how many samples the data have.
      latent: what the rows are drawn from at first; put on the sphere.
      error: d, as in `gan_jax.reconstruction`; or between features of a network.

    Returns:
      An objective for batches with ``"real"`` and ``"index"``: integers (n,), which
      rows of the data these samples are. An index beyond the table makes the loss NaN,
      so that the kernel skips the step. Its info holds ``loss``.

    Raises:
      ValueError: for a count below 1, a batch without what is needed, indices that are
        not integers (n,), or samples of another shape than the data.
    """
    if count < 1:
        raise ValueError(f"count is {count}, but data have at least 1 sample.")

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        real, _ = _rows(batch)
        gen_key, codes_key = jax.random.split(key)
        codes = on_sphere(drawn(latent, jax.random.split(codes_key, count)))
        z = codes[: min(count, real.shape[0])]
        params, stats = begun(gen_key, {"gen": (gen, (z,))})
        check_fakes(answer_like(gen, params["gen"], stats["gen"], z), real)
        return {**params, "codes": codes}, {**stats, "codes": {}}

    def loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        real, index = _rows(batch)
        codes = on_sphere(rows(params["codes"], index))
        made, gen_stats = gen.apply(params["gen"], stats["gen"], codes, train=True)
        value = error(real, made).mean()
        return value, ({"gen": gen_stats, "codes": {}}, {"loss": value})

    return Objective(init, loss)


def imle(
    gen: Network, *, latent: Latent, candidates: int = 4, axis_name: str | None = None
) -> Objective:
    """The task of "gen" alone: min E sum_i min_j |x_i - G(z_j)|^2.

    Every step draws ``candidates`` latents a sample, looks for each sample's nearest
    one among all of them, and moves those that were chosen. The search runs without a
    gradient; G then runs once more on the chosen latents. (With BatchNorm in G these
    two runs differ by their batches. The authors of GLANN fix the neighbours of twice
    the data for an epoch; here they are never stale.)

    The minimum is over the whole batch's candidates: more of them make a stricter task,
    and shares of a batch (``accumulate``) look among their own.

    Args:
      gen: ``z (n, latent) -> samples (n, ...)``; for GLANN the mapper, whose samples
        are codes.
      latent: the prior.
      candidates: latents per sample of a batch.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`, over which the
        candidates are gathered, so that the answer is that of one device. Not for
        `jit`.

    Returns:
      An objective for batches with ``"real"``. Its info holds ``gen/loss``, the mean
      square distance from a sample to its neighbour.

    Raises:
      ValueError: for less than one candidate, a batch without "real", or samples of
        another shape than the data.
    """
    if candidates < 1:
        raise ValueError(f"candidates is {candidates}, but at least 1 a sample it is.")

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        (real,) = needed(batch, "real")
        own, z_key = jax.random.split(key)
        z = drawn(latent, jax.random.split(z_key, real.shape[0]))
        params, stats = begun(own, {"gen": (gen, (z,))})
        check_fakes(answer_like(gen, params["gen"], stats["gen"], z), real)
        return params, stats

    def loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        (real,) = needed(batch, "real")
        many = jax.vmap(lambda key: jax.random.split(key, candidates))(keys)
        z = drawn(latent, many.reshape(-1))
        offered, _ = gen.apply(stop(params["gen"]), stats["gen"], z, train=True)
        z, offered = gathered((z, offered), axis_name)
        chosen = z[nearest(real, offered)]
        made, gen_stats = gen.apply(params["gen"], stats["gen"], chosen, train=True)
        value = squared_error(real, made).mean()
        return value, ({"gen": gen_stats}, {"gen/loss": value})

    return Objective(init, loss)


def nearest(
    points: Float[Array, "n *shape"], candidates: Float[Array, "m *shape"]
) -> Int[Array, " n"]:
    """For each point the place of its nearest candidate, by |x - y|^2.

    By one matrix product, (n, m) numbers, about the candidates' mean: far from the
    origin the squares would otherwise swallow the distances.

    >>> import jax.numpy as jnp
    >>> nearest(jnp.array([[0.0], [9.0]]), jnp.array([[8.0], [1.0], [2.0]])).tolist()
    [1, 0]
    """
    x, y = (full(v.reshape(v.shape[0], -1)) for v in (points, candidates))
    middle = y.mean(axis=0, keepdims=True)
    x, y = x - middle, y - middle
    products = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
    # |x|^2 is the same for all candidates.
    return jnp.argmin(jnp.square(y).sum(-1)[None] - 2 * products, axis=1)


def on_sphere(v: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """v / |v|; zero stays zero.

    >>> import jax.numpy as jnp
    >>> on_sphere(jnp.array([0.0, 4.0])).tolist()
    [0.0, 1.0]
    """
    squared = jnp.square(v).sum(axis=-1, keepdims=True)
    return v / jnp.sqrt(nonzero(squared))


def spherical(network: Network) -> Network:
    """``network`` with its outputs put on the unit sphere: a mapper to GLO's codes."""

    def apply(params: Any, stats: Any, /, *inputs: Any, train: bool) -> tuple[Any, Any]:
        outputs, stats = network.apply(params, stats, *inputs, train=train)
        return on_sphere(outputs), stats

    return Network(network.init, apply)


def _rows(batch: Batch) -> tuple[Array, Array]:
    real, index = needed(batch, "real", "index")
    if index.shape != real.shape[:1] or not jnp.issubdtype(index.dtype, jnp.integer):
        raise ValueError(
            f'batch["index"] is {index.dtype} of shape {index.shape}, but it says '
            "which row of the data each sample is: integers of shape "
            f"{real.shape[:1]}."
        )
    return real, index
