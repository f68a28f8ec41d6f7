"""Small games with known answers, for teaching and for tests.

* `dirac`: one point against one slope, with any loss and penalty;
* `bilinear`: the game that circles, with any matrix;
* `linear_quadratic`: a linear generator against a quadratic discriminator.

All three have the players "disc" and "gen", no networks and no noise. They read
``batch["real"]``, so that devices and guards are those of every game.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from gan_jax.kernel import Batch, Info, Network, Objective, Params, Stats
from gan_jax.losses import Loss, nonsaturating
from gan_jax.objectives.adversarial import adversarial
from gan_jax.objectives.players import needed
from gan_jax.penalties import Penalty
from gan_jax.stop import stop

Numbers = ArrayLike | Sequence[float] | Sequence[Sequence[float]]
Value = Callable[[Array, Array, Array], Array]


def dirac(
    gen: Numbers,
    disc: Numbers,
    *,
    loss: Loss | None = None,
    penalty: Penalty | None = None,
) -> Objective:
    """The Dirac-GAN: G is one point phi, D(x) = psi x is linear, the data one point.

    With the data at 0, the equilibrium is phi = psi = 0. There the flow's eigenvalues
    are -gamma/2 +- sqrt(gamma^2/4 - f'(0)^2) for R1 with gamma, f' being the slope of
    the loss in the logit: 1/2 for the logistic ones, 1 for `wasserstein`. Known
    courses, without penalty unless named:

    * any loss that sees D(phi) alone, and `nonsaturating`: phi x psi, the planar cross
      product, is conserved by the flow, so that 0 is never reached;
    * `wasserstein` with ``wgan_gp(weight, target=1)``: a limit cycle of radius 1; with
      target 0 the game is damped like exp(-weight t).

    Take two dimensions or more: in one, psi and phi are always parallel, and some games
    that circle for ever in the plane, as `nonsaturating`'s, fall into the origin.

    Args:
      gen: phi at the start, (d,).
      disc: psi at the start, (d,).
      loss: `nonsaturating` by default.
      penalty: of D; none by default.

    Returns:
      A game for batches with ``"real"``, (n, d); zeros for the textbook's game. Its
      parameters are ``{"gen": phi, "disc": psi}``.

    Raises:
      ValueError: if the two starts are not vectors of one size.

    Reference: Mescheder et al., "Which Training Methods for GANs do actually
    Converge?", 2018, arXiv:1801.04406; Su Jianlin, 2019, kexue.fm/archives/6583, in
    more than one dimension.
    """
    phi, psi = _floating(gen), _floating(disc)
    _check_vectors(phi, psi, "of one size", phi.shape == psi.shape)

    def point(phi: Array, stats: Stats, *z: Array, train: bool) -> tuple[Array, Stats]:
        return jnp.broadcast_to(phi[None], (len(z[0]), *phi.shape)), stats

    def slope(psi: Array, stats: Stats, *x: Array, train: bool) -> tuple[Array, Stats]:
        return x[0] @ psi, stats

    return adversarial(
        Network(lambda key, z: (jnp.copy(phi), {}), point),
        Network(lambda key, x: (jnp.copy(psi), {}), slope),
        loss=nonsaturating() if loss is None else loss,
        latent=lambda key: jnp.zeros(1),
        penalty=penalty,
    )


def bilinear(
    gen: Numbers,
    disc: Numbers,
    matrix: Numbers | None = None,
) -> Objective:
    """The bilinear game, in which D minimises psi^T M (phi - E x) and G the negative.

    v = (M (phi - E x), -M^T psi) for (disc, gen): a rotation. The flow keeps its
    distance from the equilibrium (psi = 0, phi = E x), simultaneous steps of rate h
    multiply it by sqrt(1 + (h s)^2) for the singular value s, alternating ones circle
    for h s < 2.

    Args:
      gen: phi at the start, (g,).
      disc: psi at the start, (d,).
      matrix: M, (d, g); by default the identity.

    Returns:
      A game for batches with ``"real"``, (n, g). Its parameters are
      ``{"gen": phi, "disc": psi}``.

    Raises:
      ValueError: if the sizes do not fit.

    Reference: Daskalakis et al., "Training GANs with Optimism", 2017, arXiv:1711.00141.
    """
    phi, psi = _floating(gen), _floating(disc)
    m = jnp.eye(phi.size) if matrix is None else _floating(matrix)
    _check_vectors(
        phi, psi, f"that M of shape {m.shape} joins", m.shape == (psi.size, phi.size)
    )

    def value(psi: Array, phi: Array, real: Array) -> Array:
        return psi @ (m @ (phi - real.mean(axis=0)))

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        (real,) = needed(batch, "real")
        if real.shape[1:] != phi.shape:
            raise ValueError(
                f"real samples have shape {real.shape[1:]}, but G is a point of shape "
                f"{phi.shape}. Give data of its size."
            )
        return _without_stats({"gen": jnp.copy(phi), "disc": jnp.copy(psi)})

    return _zero_sum(init, value)


def linear_quadratic(rank: int, mu: float = 1.0) -> Objective:
    """G is linear, D quadratic: min over G, max over A of Tr A(S - G G^T) - mu/2 |A|^2.

    S = E x x^T is the data's second moment, and G z with z ~ N(0, I) has the second
    moment G G^T: nothing is drawn. The best G of rank k spans the k first principal
    components of S. There the flow is stable, up to the rotations G -> G R that change
    nothing, if and only if mu^2 > 2 l, with l the largest eigenvalue of S that is left
    over; with rates a for G and b for D, small both, if and only if mu^2 b > 2 l a.

    Derivation: in the direction of a principal component that was left over, G and A
    are disturbed by the matrix ((2 l / mu, 2 g), (-g, -mu)), whose trace must be
    negative; its determinant 2 (g^2 - l) is positive.

    Args:
      rank: the columns of G.
      mu: what holds A back. Without it nothing converges.

    Returns:
      A game for batches with ``"real"``, (n, d). Its parameters are
      ``{"gen": G (d, rank), "disc": A (d, d)}``; A starts symmetric and stays so.

    Raises:
      ValueError: for a rank below 1, and for data that are not (n, d).

    Reference: Feizi et al., "Understanding GANs: the LQG Setting", 2017,
    arXiv:1710.10793, for the setting; the condition is derived above.
    """
    if rank < 1:
        raise ValueError(f"rank is {rank}, but a generator has at least 1 column.")

    def value(a: Array, g: Array, real: Array) -> Array:
        gap = real.T @ real / len(real) - g @ g.T
        return mu / 2 * jnp.square(a).sum() - (a * gap).sum()

    def init(key: Array, batch: Batch) -> tuple[Params, Stats]:
        (real,) = needed(batch, "real")
        if real.ndim != 2:
            raise ValueError(
                f"real samples have shape {real.shape}; this game takes vectors, "
                "(n, d)."
            )
        size = real.shape[1]
        gen_key, disc_key = jax.random.split(key)
        g = jax.random.normal(gen_key, (size, rank), real.dtype)
        a = jax.random.normal(disc_key, (size, size), real.dtype)
        return _without_stats({"gen": g, "disc": (a + a.T) / 20})

    return _zero_sum(init, value)


def _zero_sum(
    init: Callable[[Array, Batch], tuple[Params, Stats]], value: Value
) -> Objective:
    """D minimises ``value(psi, phi, real)``, G its negative."""

    def loss(
        params: Params, stats: Stats, batch: Batch, keys: Array, step: Array
    ) -> tuple[Array, tuple[Stats, Info]]:
        (real,) = needed(batch, "real")
        psi, phi = params["disc"], params["gen"]
        disc_loss = value(psi, stop(phi), real)
        gen_loss = -value(stop(psi), phi, real)
        info = {"disc/loss": disc_loss, "gen/loss": gen_loss}
        return disc_loss + gen_loss, (stats, info)

    return Objective(init, loss)


def _floating(numbers: Numbers) -> Array:
    """Whole numbers too begin a game that is differentiated."""
    x = jnp.asarray(numbers)
    return x.astype(jnp.result_type(float, x.dtype))


def _without_stats(params: Params) -> tuple[Params, Stats]:
    return params, {player: {} for player in params}


def _check_vectors(gen: Array, disc: Array, wanted: str, fits: bool) -> None:
    if gen.ndim != 1 or disc.ndim != 1 or not fits:
        raise ValueError(
            f"the players start at arrays of shapes {gen.shape} (gen) and {disc.shape} "
            f"(disc); wanted are two vectors {wanted}."
        )
