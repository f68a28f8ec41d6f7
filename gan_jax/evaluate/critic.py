"""The independent Wasserstein critic: how far off a generator is, and from what.

A generator's own critic has followed it all along, and speaks of the training set only.
A fresh one can be put between any two sets.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gan_jax.evaluate.judge import fitted
from gan_jax.kernel import Network
from gan_jax.losses import wasserstein
from gan_jax.networks import mlp
from gan_jax.optimizers import adam
from gan_jax.penalties import wgan_gp
from gan_jax.schedules import cosine

Samples = Float[Array, "n *shape"]
HeldOut = Float[Array, "h *shape"]
Generated = Float[Array, "m *shape"]
Scalar = Float[Array, ""]


class CriticReport(NamedTuple):
    """Distances of a generator, in the samples' own units.

    Attributes:
      train: W(train, G), by a critic fitted to these two.
      held_out: W(held-out, G), by another one fitted to those two.
      gap: held_out - train. Both carry the same distance between finite samples, so
        that a generator of the data's distribution has a gap about 0, and one that has
        memorised the training set a gap of W(held-out, train), with ``train`` near 0.
        In few dimensions that is not much: another held-out set in the place of the
        training set shows how large a gap comes by chance.
      unseen: E f(held-out) - E f(G) of the first critic, on data and generated samples
        that it did not learn from. Free of what it learned by heart, this is a lower
        bound of W but for the critic's slope: near 0 for a generator of the data's
        distribution, where ``train`` and ``held_out`` are not.
    """

    train: Scalar
    held_out: Scalar
    gap: Scalar
    unseen: Scalar


Critic = Callable[[Key[Array, ""], Samples, HeldOut, Generated], CriticReport]


def wasserstein_critic(
    network: Network | None = None,
    *,
    steps: int = 1000,
    batch_size: int = 128,
    rate: float = 1e-3,
    weight: float = 10.0,
) -> Critic:
    """Fresh WGAN-GP critics between a generator and data that it has and has not seen.

    W(P, Q) = E_P f - E_Q f,
    f = argmax E_P f - E_Q f - weight * E (||slope(x)|| - 1)^2.

    The penalty bends rather than binds: between two points d apart the best f has the
    slope 1 + d / (2 weight), and W comes out larger than the distance by that factor.

    Args:
      network: ``samples (n, ...) -> logits (n,)``; by default a perceptron of two
        hidden layers of 128. It should judge every sample by itself: no BatchNorm.
      steps: of learning.
      batch_size: samples of each kind a step.
      rate: Adam's first learning rate, which falls to a hundredth along a cosine.
      weight: lambda, of the penalty.

    Returns:
      ``(key, train, held_out, generated) -> CriticReport``, compiled once for sets of
      one size. Critics learn from the first half of the generated samples; ``unseen``
      is told on the second. Both critics start from the same parameters.

    Raises:
      ValueError: from the critic, for a training and a held-out set of unlike sizes, or
        fewer than 2 generated samples.

    Reference: Danihelka et al., "Comparison of Maximum Likelihood and GAN-based
    training of Real NVPs", 2017, arXiv:1705.05263; Gulrajani et al., "Improved Training
    of Wasserstein GANs", 2017, arXiv:1704.00028.
    """
    network = mlp.discriminator() if network is None else network
    optimizer = adam(cosine(rate, rate / 100, steps), b1=0.0, b2=0.9)

    def report(
        key: Key[Array, ""], train: Samples, held_out: HeldOut, generated: Generated
    ) -> CriticReport:
        if len(train) != len(held_out) or len(generated) < 2:
            raise ValueError(
                f"there are {len(train)} training, {len(held_out)} held-out and "
                f"{len(generated)} generated samples. A small set lies farther from "
                "everything than a large one, so give equally many of the first two, "
                "and at least 2 generated ones: half of them are for the critics."
            )
        half = len(generated) // 2
        known, new = generated[:half], generated[half:]

        def distances(data: Samples) -> tuple[Scalar, Scalar]:
            critic = fitted(
                key,
                data,
                known,
                network,
                loss=wasserstein(),
                penalty=wgan_gp(weight),
                optimizer=optimizer,
                batch_size=batch_size,
                steps=steps,
            )
            of_known = critic(data).mean() - critic(known).mean()
            return of_known, critic(held_out).mean() - critic(new).mean()

        each, unseen = jax.vmap(distances)(jnp.stack([train, held_out]))
        return CriticReport(each[0], each[1], each[1] - each[0], unseen[0])

    return jax.jit(report)
