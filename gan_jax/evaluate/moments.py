"""Mean and covariance of features, in a form that streams, merges and keeps its digits.

The covariance is kept as a factor: an upper triangular R with

    R^T R = sum_i (x_i - mean) (x_i - mean)^T,  S = R^T R / (n - 1).

R is the triangle of a QR decomposition of the centred features, so nothing is squared
that must be rooted later: float32 suffices, where a float32 covariance would lose half
of its digits. It is exact for fewer samples than dimensions. Two sets are merged by

    n = n_a + n_b,  delta = mean_b - mean_a,  mean = mean_a + delta n_b / n,
    R = the triangle of [R_a; R_b; sqrt(n_a n_b / n) delta^T],

which is Chan's rule for R^T R. A state is O(d^2) whatever the number of samples.

The same lines run on JAX's arrays, for the devices of a mesh, and on NumPy's, in
float64 on the host.

References: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for
Computing Sample Variances", 1979; Demmel et al., "Communication-optimal Parallel and
Sequential QR and LU Factorizations", 2008, arXiv:0808.2664, for the stacked triangles.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Shaped

from gan_jax.evaluate.points import AnyArray, points
from gan_jax.numerics import full
from gan_jax.parts import varying


class Moments(NamedTuple):
    """The first two moments of some samples' features.

    Attributes:
      n: how many samples.
      mean: of each feature.
      factor: R, upper triangular but for signs, with R^T R the sum of the centred
        features' outer products.
    """

    n: Int[AnyArray, ""]
    mean: Float[AnyArray, " d"]
    factor: Float[AnyArray, "d d"]


def no_moments(dimension: int) -> Moments:
    """The moments of no samples, which change nothing when they are merged."""
    return Moments(
        jnp.zeros((), jnp.int32), jnp.zeros(dimension), jnp.zeros((dimension,) * 2)
    )


def moments(
    features: Float[AnyArray, "n d"], weights: Shaped[AnyArray, " n"] | None = None
) -> Moments:
    """The `Moments` of one batch.

    Args:
      features: one row a sample; a JAX array is taken in float32 at least, a NumPy
        array in float64.
      weights: 1 or True for a sample, 0 or False for a row that fills up the last
        batch. What such a row holds does not matter, be it NaN.

    Returns:
      The moments, of the kind of array that the features are.

    >>> import numpy as np
    >>> n, mean, factor = moments(np.array([[1.0], [3.0]]))
    >>> int(n), mean.tolist(), (factor.T @ factor).round(6).tolist()
    (2, [2.0], [[2.0]])
    """
    xp = _library(features)
    x = full(jnp.asarray(features)) if xp is jnp else features.astype(np.float64)
    held = xp.ones(len(x), bool) if weights is None else xp.asarray(weights) > 0
    held = held[:, None]
    count = held.sum()
    n = xp.maximum(count, 1).astype(x.dtype)
    # Twice: the first mean of features far from 0 is rounded to their size, the second
    # to their deviation.
    rough = xp.where(held, x, 0).sum(axis=0, keepdims=True) / n
    rest = xp.where(held, x - rough, 0).sum(axis=0, keepdims=True) / n
    centred = xp.where(held, (x - rough) - rest, 0)
    return Moments(xp.asarray(count), (rough + rest)[0], _triangle(xp, centred))


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of a's samples and b's together."""
    xp = _library(a.mean, b.mean)
    n_a, n_b = (xp.asarray(own.n).astype(own.mean.dtype) for own in (a, b))
    share = n_b / xp.maximum(n_a + n_b, 1)
    gap = b.mean - a.mean
    bridge = xp.sqrt(n_a * share) * gap
    both = Moments(
        xp.asarray(a.n + b.n),
        a.mean + share * gap,
        _triangle(xp, xp.concatenate([a.factor, b.factor, bridge[None]])),
    )
    # No samples change nothing, to the bit.
    merged = (
        xp.where(n_b == 0, left, xp.where(n_a == 0, right, new))
        for left, right, new in zip(a, b, both, strict=True)
    )
    return Moments(*merged)


def gathered(own: Moments, axis_name: str) -> Moments:
    """All devices' moments, merged in the devices' order: the same ones everywhere.

    The order is fixed, so one number of devices always gives the same bits.

    Args:
      own: of this device's samples.
      axis_name: the mapped axis under `jax.pmap` or `jax.shard_map`.
    """
    everyone = jax.lax.all_gather(varying(own, axis_name), axis_name, to="invarying")
    first = jax.tree.map(lambda x: x[0], everyone)
    others = jax.tree.map(lambda x: x[1:], everyone)
    total, _ = jax.lax.scan(lambda a, b: (merge(a, b), None), first, others)
    return total


def moments_of(batches: Iterable[AnyArray]) -> Moments:
    """The moments of a stream of features, on the host in float64.

    Rows are put together until there are twice as many as dimensions, since a
    decomposition costs the same for one row as for d. Memory is O(d^2).

    Args:
      batches: features (n, d), from anywhere, of any n.

    Returns:
      Moments of NumPy arrays.

    Raises:
      ValueError: for no batch, batches of several dimensions, or values that are not
        finite.
    """
    total: Moments | None = None
    waiting: np.ndarray | None = None
    for batch in batches:
        rows = points(batch, "streamed")
        if waiting is not None and waiting.shape[1] != rows.shape[1]:
            raise ValueError(
                f"a batch of features has {rows.shape[1]} dimensions after batches of "
                f"{waiting.shape[1]}; give one stream for each feature function."
            )
        waiting = rows if waiting is None else np.concatenate([waiting, rows])
        if len(waiting) >= 2 * waiting.shape[1]:
            total, waiting = _added(total, waiting), waiting[:0]
    if waiting is None:
        raise ValueError("there is no batch of features to take moments of.")
    return total if total and not len(waiting) else _added(total, waiting)


def moments_of_covariance(
    count: int, mean: Float[AnyArray, " d"], covariance: Float[AnyArray, "d d"]
) -> Moments:
    """The moments of samples of which only mean and covariance were kept.

    Eigenvalues that rounding has made negative are taken for 0.

    Args:
      count: n.
      mean: of the samples.
      covariance: S, which divides by n - 1.
    """
    values, vectors = np.linalg.eigh(np.asarray(covariance, np.float64))
    roots = np.sqrt(np.maximum(values, 0) * (count - 1))
    return Moments(
        np.asarray(count), np.asarray(mean, np.float64), roots[:, None] * vectors.T
    )


def _added(total: Moments | None, rows: np.ndarray) -> Moments:
    own = moments(rows)
    return own if total is None else merge(total, own)


def _library(*arrays: AnyArray) -> Any:
    return jnp if any(isinstance(x, jax.Array) for x in arrays) else np


def _triangle(xp: Any, rows: AnyArray) -> AnyArray:
    """R (d, d) of rows = Q R; below fewer rows than d there is nothing but zeros."""
    # The TPU's compiler multiplies in full float32 here without being asked.
    r = xp.linalg.qr(rows, mode="r")
    return xp.pad(r, ((0, r.shape[1] - r.shape[0]), (0, 0)))
