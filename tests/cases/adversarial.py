"""The two-player game, in its three ways of writing the gradient."""

from gan_jax import losses, penalties
from gan_jax.objectives import adversarial
from tests.apart import two_players
from tests.games import LATENT, players, points
from tests.protocol import Case

LOSS = losses.relativistic_pairing()
PENALTY = penalties.total(penalties.r1(), penalties.wgan_gp())
NETS = players()


CASES = [
    Case(
        gradient,
        lambda axis_name, gradient=gradient: adversarial(
            NETS["gen"],
            NETS["disc"],
            loss=LOSS,
            latent=LATENT,
            penalty=PENALTY,
            gradient=gradient,
        ),
        two_players(NETS, LOSS, PENALTY),
        lambda: points(8),
    )
    for gradient in ("merged", "article", "one_backward")
]
