"""R3GAN's recipe: the paired loss with R1 and R2, and schedules counted in images."""

from gan_jax.augment import Augment
from gan_jax.gan import Gan, gan
from gan_jax.kernel import Network, Play, Schedule
from gan_jax.latents import Latent
from gan_jax.losses import relativistic_pairing
from gan_jax.objectives.adversarial import Gradient
from gan_jax.optimizers import adam
from gan_jax.penalties import r1, r2, total
from gan_jax.schedules import cosine, ema_decay, in_images

Span = tuple[float, float]  # a value at the start, and at the end


def r3gan(
    gen: Network,
    disc: Network,
    *,
    latent: Latent,
    batch_size: int,
    images: int = 20_000_000,
    gamma: Span = (0.05, 0.005),
    rate: Span = (2e-4, 5e-5),
    b2: Span = (0.9, 0.99),
    half_life: Span = (0.0, 5e6),
    play: Play = (("disc",), ("gen",)),
    gradient: Gradient = "merged",
    conditional: bool = False,
    augment: Augment | None = None,
    accumulate: int = 1,
    axis_name: str | None = None,
) -> Gan:
    """RpGAN + R1 + R2, with Adam (b1 = 0) and schedules, for any two networks.

    L_D = E softplus(f - r) + gamma/2 E (||slope(real)||^2 + ||slope(fake)||^2),
    L_G = E softplus(r - f),

    and after a step with B images a player, the average of G has the decay
    (1/2)^(B / half_life). gamma, the rate, b2 and the half-life move from the first to
    the second number of their pair along half a cosine, while the first ``images`` are
    seen, and stay there. The published settings:

    | data        |    B | images | gamma          | half_life | augmented | FID  |
    |-------------|------|--------|----------------|-----------|-----------|------|
    | CIFAR-10    |  512 | 2e7    | 0.05 to 0.005  | 5e6       | 0.55      | 1.96 |
    | FFHQ-64     |  256 | 2e7    | 2 to 0.2       | 5e5       | 0.3       | 1.95 |
    | FFHQ-256    |  256 | 2e7    | 150 to 15      | 5e5       | 0.3       | 2.75 |
    | ImageNet-32 | 4096 | 2e8    | 0.5 to 0.05    | 5e7       | 0.5       | 1.27 |
    | ImageNet-64 | 4096 | 2e8    | 1 to 0.1       | 5e7       | 0.4       | 2.09 |

    with the rate, b2 and the start 0 of the half-life as they are by default. The
    column "augmented" is the probability of each augmentation at the end, from 0: give
    an ``augment``, such as `gan_jax.augment.scheduled`. The networks are those of
    `gan_jax.networks.r3`, but nothing here depends on them.

    The published step is D's move, then G's, each on its own samples, which is the
    default. With networks that judge each sample by itself, as those do, G and D may
    also move at once by ``gradient="one_backward"``: less work, the same gradients at
    one point.

    Args:
      gen, disc: the two networks; see `adversarial`.
      latent: the prior; 64 normal numbers as published.
      batch_size: B, the samples of one move over all devices: the clock of the
        schedules. A batch holds ``len(play)`` times as many.
      images: after how many images, seen by each player, the schedules are over.
      gamma: the weight of R1 and of R2.
      rate: Adam's learning rate, of both players.
      b2: Adam's decay of the mean square.
      half_life: of G's average, in images.
      play: who moves when. A player with several moves in a step keeps in time: its
        schedules count its moves by the step.
      gradient, conditional, augment, accumulate, axis_name: see `gan_jax.gan`.

    Returns:
      A `Gan`.

    Raises:
      ValueError: for a batch size or a number of images below 1, and as `gan_jax.gan`.

    Reference: Huang et al., "The GAN is dead; long live the GAN! A Modern GAN
    Baseline", 2024, arXiv:2501.05441, and the code released with it.
    """
    if batch_size < 1 or images < 1:
        raise ValueError(
            f"batch_size is {batch_size} and images {images}, but the schedules count "
            "images: both are at least 1."
        )

    def over(span: Span, moves: int = 1) -> Schedule:
        """``span`` by steps, or by a player's moves where a step has several."""
        return in_images(cosine(*span, steps=images), batch_size, moves)

    weight = over(gamma)
    moves = {
        player: max(1, sum(player in move for move in play))
        for player in ("gen", "disc")
    }
    return gan(
        gen,
        disc,
        optimizers={
            player: adam(over(rate, n), b1=0.0, b2=over(b2, n), eps=1e-8)
            for player, n in moves.items()
        },
        latent=latent,
        loss=relativistic_pairing(),
        penalty=total(r1(weight), r2(weight)),
        gradient=gradient,
        conditional=conditional,
        augment=augment,
        play=play,
        ema=ema_decay(over(half_life), batch_size),
        accumulate=accumulate,
        axis_name=axis_name,
    )
