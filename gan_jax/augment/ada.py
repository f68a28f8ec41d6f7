"""ADA: augmentation as strong as D's overfitting asks for."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gan_jax.augment.augment import Augment, Logits, Memory
from gan_jax.augment.pipeline import changed
from gan_jax.kernel import Schedule, at

Image = Float[Array, "h w c"]


def ada(
    *,
    batch: int,
    images: int = 500_000,
    target: float = 0.6,
    interval: int = 4,
    geometry: bool = True,
    colour: bool = True,
) -> Augment:
    """Every change of the pipeline with probability p, which follows D's overfitting.

    Each time D has moved ``interval`` times,

        p <- clip(p + sign(r - target) * batch * interval / images, 0, 1),

    where r = E sign(D(x)) over the real samples of these moves: near 0 while D cannot
    tell, near 1 once it knows every one of them by heart. p begins at 0, where every
    image passes unchanged, bit for bit. The memory holds p, the sum of the signs' means
    and the number of moves so far; p is set at the beginning of the move that follows
    them, from memory alone, so that the batch is the whole one on any number of devices
    or accumulated parts.

    The pipeline is the paper's "bgc": x-flip, quarter turns, whole-pixel moves;
    isotropic scaling, turns before and after anisotropic scaling, fractional moves;
    brightness, contrast, luma flip, hue, saturation. It leaves out the paper's wavelet
    filter around the geometric look-up, which is bilinear here, and the filters, noise
    and cutout that the paper found no gain in. The paper saw changes leak into the
    samples only above p = 0.8 or so.

    Args:
      batch: real samples in one move of D, over all devices and parts.
      images: real samples that D sees while p goes from 0 to 1.
      target: r above which p rises; 0.6 in the paper.
      interval: moves of D between changes of p; 4 in the paper.
      geometry: whether scaling, turns, stretching and fractional moves are made.
      colour: whether colours are changed.

    Returns:
      An augmentation of grey or RGB images in [-1, 1].

    Raises:
      ValueError: for counts below 1, and when it meets a sample that is no such image.

    Reference: Karras et al., "Training Generative Adversarial Networks with Limited
    Data", 2020, arXiv:2006.06676.
    """
    counts = {"batch": batch, "images": images, "interval": interval}
    for name, given in counts.items():
        if given < 1:
            raise ValueError(f"{name} is {given}, but it is a number of at least 1.")

    def init() -> Memory:
        return {
            "p": jnp.zeros(()),
            "signs": jnp.zeros(()),
            "moves": jnp.zeros((), jnp.int32),
        }

    def apply(memory: Memory, key: Key[Array, ""], x: Image) -> Image:
        p = settled(memory)["p"]
        return changed(p, key, x, geometry=geometry, colour=colour)

    def settled(memory: Memory) -> Memory:
        """The memory once an interval that is over has been drawn its lesson from."""
        # Not ==, for a run may be taken up with a shorter interval.
        over = memory["moves"] >= interval
        lesson = jnp.sign(memory["signs"] / jnp.maximum(memory["moves"], 1) - target)
        p = jnp.clip(memory["p"] + lesson * batch * interval / images, 0, 1)
        begun = init()
        return {
            "p": jnp.where(over, p, memory["p"]),
            "signs": jnp.where(over, begun["signs"], memory["signs"]),
            "moves": jnp.where(over, begun["moves"], memory["moves"]),
        }

    def update(memory: Memory, real_logits: Logits) -> Memory:
        now = settled(memory)
        return {
            "p": now["p"],
            "signs": now["signs"] + jnp.sign(real_logits).mean(),
            "moves": now["moves"] + 1,
        }

    return Augment(init, apply, update)


def scheduled(
    p: float | Schedule, *, geometry: bool = True, colour: bool = True
) -> Augment:
    """ADA's pipeline at a probability of one's own: a number, or moves of D -> p.

    R3GAN raises p from 0 along a cosine.

    Args:
      p: in [0, 1]; what a schedule says beyond is cut off.
      geometry, colour: as in `ada`.

    Raises:
      ValueError: for a number beyond.

    Reference: Huang et al., "The GAN is dead; long live the GAN!", 2024,
    arXiv:2501.05441.
    """

    if not callable(p) and not 0 <= p <= 1:
        raise ValueError(f"p is {p}, but it is a probability, in [0, 1].")

    def init() -> Memory:
        return {"moves": jnp.zeros((), jnp.int32)}

    def apply(memory: Memory, key: Key[Array, ""], x: Image) -> Image:
        now = jnp.clip(at(p, memory["moves"]), 0, 1)
        return changed(now, key, x, geometry=geometry, colour=colour)

    def update(memory: Memory, real_logits: Logits) -> Memory:
        return {"moves": memory["moves"] + 1}

    return Augment(init, apply, update)
