"""Maximum mean discrepancy: two samples compared by the means of their features.

A kernel k(x, y) = <phi(x), phi(y)> in this file is a similarity of two points (not the
training step of `gan_jax.kernel`). Its features phi may be infinitely many; what can be
said with their means is said with k alone:

    MMD^2(p, q) = ||E phi(x) - E phi(y)||^2 = E k(x, x') + E k(y, y') - 2 E k(x, y).

It is 0 for p = q, and for no other pair if the kernel is characteristic, as the
Gaussian and the rational quadratic ones are and the linear one is not.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.distances import squared_euclidean

Similarity = Callable[[Float[Array, "n d"], Float[Array, "m d"]], Float[Array, "n m"]]
Scalar = Float[Array, ""]


def gaussian(
    scales: Sequence[float] = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0),
) -> Similarity:
    """k(x, y) = sum_s exp(-||x - y||^2 / 2 s^2).

    Args:
      scales: the s, in the features' own units; those of Li et al. by default. Far from
        every scale the kernel is flat and teaches nothing.

    Reference: Li et al., "MMD GAN: Towards Deeper Understanding of Moment Matching
    Network", 2017, arXiv:1705.08584.
    """
    _check_positive("scales", scales)

    def similarity(
        x: Float[Array, "n d"], y: Float[Array, "m d"]
    ) -> Float[Array, "n m"]:
        squared = squared_euclidean(x, y)
        return sum(
            (jnp.exp(-squared / (2 * s**2)) for s in scales), jnp.zeros_like(squared)
        )

    return similarity


def rational_quadratic(
    alphas: Sequence[float] = (0.1, 1.0, 10.0), linear: float = 0.0
) -> Similarity:
    """k(x, y) = sum_a (1 + ||x - y||^2 / 2a)^-a + linear * <x, y>.

    A Gaussian kernel mixed over all scales: its tails are heavy, so that its gradient
    outlives distances at which a Gaussian's is gone.

    Args:
      alphas: the a; a small one has heavy tails, a large one is nearly Gaussian.
      linear: the weight of the linear kernel; 0.1 in some of the authors' runs.

    Reference: Binkowski et al., "Demystifying MMD GANs", 2018, arXiv:1801.01401.

    >>> import jax.numpy as jnp
    >>> k = rational_quadratic((1.0,))
    >>> k(jnp.zeros((1, 2)), jnp.array([[0.0, 0.0], [1.0, 1.0]])).round(4).tolist()
    [[1.0, 0.5]]
    """
    _check_positive("alphas", alphas)

    def similarity(
        x: Float[Array, "n d"], y: Float[Array, "m d"]
    ) -> Float[Array, "n m"]:
        squared = squared_euclidean(x, y)
        start = linear * _inner(x, y) if linear else jnp.zeros_like(squared)
        return sum((jnp.exp(-a * jnp.log1p(squared / (2 * a))) for a in alphas), start)

    return similarity


def linear() -> Similarity:
    """k(x, y) = <x, y>: the MMD is then the distance of the two means, and no more."""
    return _inner


def mmd2(kernel: Similarity, x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Scalar:
    """The unbiased estimate of MMD^2(p, q) from samples x of p and y of q.

    1 / (n (n - 1)) sum_{i != j} k(x_i, x_j) + 1 / (m (m - 1)) sum_{i != j} k(y_i, y_j)
    - 2 / (n m) sum_{ij} k(x_i, y_j).

    Its mean is MMD^2, so for p = q it is negative about half of the time.

    Args:
      kernel: k.
      x, y: features, at least two of each.

    Raises:
      ValueError: for fewer samples.

    Reference: Gretton et al., "A Kernel Two-Sample Test", 2012, lemma 6.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(
            f"the samples have {len(x)} and {len(y)} points, but an unbiased estimate "
            "compares the points of each with one another. Give at least 2 of each."
        )
    within = _mean_of_others(kernel(x, x)) + _mean_of_others(kernel(y, y))
    return within - 2 * kernel(x, y).mean()


def witness(
    kernel: Similarity,
    at: Float[Array, "k d"],
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
) -> Float[Array, " k"]:
    """w(t) = mean_i k(t, x_i) - mean_j k(t, y_j): high where x is denser than y.

    Of all functions of norm 1 that the kernel spans, w / ||w|| tells the two samples
    apart best, by E_x w - E_y w = MMD ||w||. It is to an MMD-GAN what the
    discriminator's logit is to a GAN.

    Args:
      kernel: k.
      at: where, as features.
      x, y: the two samples' features.
    """
    return kernel(at, x).mean(axis=1) - kernel(at, y).mean(axis=1)


def _mean_of_others(gram: Float[Array, "n n"]) -> Scalar:
    n = len(gram)
    return jnp.where(jnp.eye(n, dtype=bool), 0.0, gram).sum() / (n * (n - 1))


def _inner(x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, "n m"]:
    # Full float32: a TPU would otherwise multiply in bfloat16.
    return jnp.matmul(x, y.T, precision="highest")


def _check_positive(name: str, values: Sequence[float]) -> None:
    if not values or min(values) <= 0:
        raise ValueError(
            f"{name} is {tuple(values)}, but a kernel wants at least one, and all of "
            "them positive."
        )
