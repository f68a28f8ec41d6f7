"""How small games move: known factors, conserved numbers, predicted stability."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.systems.system import Shown, System, scanned
from gan_jax import images, losses, penalties
from gan_jax.convergence import eigenvalues
from gan_jax.dynamics import (
    consensus,
    extragradient,
    field,
    optimistic_sgd,
)
from gan_jax.field_picture import field_picture
from gan_jax.kernel import Objective, Params, Play, alternating, kernel, simultaneous
from gan_jax.objectives.games import bilinear, dirac, linear_quadratic
from gan_jax.optimizers import adam
from gan_jax.penalties import Penalty

AT_ONCE = simultaneous("gen", "disc")
PLAYERS = ("gen", "disc")


def path(
    game: Objective,
    optimizers: dict[str, optax.GradientTransformation],
    steps: int,
    batch: np.ndarray,
    play: Play = AT_ONCE,
) -> Params:
    """All parameters that a run passes, the first ones too."""
    built = kernel(game, optimizers, play=play)
    real = {"real": jnp.asarray(np.repeat(batch, len(play), axis=0))}

    def step(state: Any, _: None) -> tuple[Any, Params]:
        return built.step(state, real)[0], state.params

    @jax.jit
    def run(key: jax.Array) -> Params:
        return jax.lax.scan(step, built.init(key, real), length=steps + 1)[1]

    return jax.device_get(run(jax.random.key(0)))


def rotation(points: np.ndarray) -> np.ndarray:
    """-v of the bilinear game at points (phi, psi)."""
    return np.stack([points[:, 1], -points[:, 0]], axis=1)


def bilinear_game() -> Shown:
    rate, n = 0.1, 500
    plain = bilinear(np.ones(1), np.ones(1))
    damped = dirac(
        np.ones(1), np.ones(1), loss=losses.wasserstein(), penalty=penalties.r1(1.0)
    )
    sgd = optax.sgd(rate)
    turn = alternating("disc", "gen")
    h2 = rate**2
    # Name: game, optimizer, play, kernel steps an iteration, factor an iteration.
    plays: dict[str, tuple[Any, Any, Play, int, float]] = {
        "at once": (plain, sgd, AT_ONCE, 1, (1 + h2) ** 0.5),
        "in turn": (plain, sgd, turn, 1, 1.0),
        "optimistic": (plain, optimistic_sgd(rate), AT_ONCE, 1, _optimistic(rate)),
        "extragradient": (
            plain,
            extragradient(sgd),
            AT_ONCE,
            2,
            (1 - h2 + h2**2) ** 0.5,
        ),
        "R1": (damped, sgd, AT_ONCE, 1, (1 - rate + h2) ** 0.5),
        "consensus": (
            consensus(plain, 1.0),
            sgd,
            AT_ONCE,
            1,
            ((1 - rate) ** 2 + h2) ** 0.5,
        ),
    }
    paths: dict[str, np.ndarray] = {}
    ends: dict[str, float] = {}
    exact = []
    for name, (game, optimizer, play, per, factor) in plays.items():
        own = dict.fromkeys(PLAYERS, optimizer)
        gone = path(game, own, per * n, np.zeros((1, 1)), play)
        w = np.concatenate([gone["gen"], gone["disc"]], axis=1)[::per]
        paths[name], ends[name] = w, float(np.linalg.norm(w[-1]))
        # The rate of the last 400 iterations, where slow parts alone are left.
        found = (ends[name] / np.linalg.norm(w[100])) ** (1 / (n - 100))
        exact.append(abs(found - factor) < 2e-3)
    tame = ("optimistic", "extragradient", "R1", "consensus")
    holds = all(exact) and ends["at once"] > 10 and 1 < ends["in turn"] < 2
    holds = holds and all(ends[name] < 0.2 for name in tame)
    shown = [
        {name: paths[name][:120] for name in group}
        for group in (("at once", "in turn"), tame[:2], tame[2:])
    ]
    edge = (-3.0, 3.0, -3.0, 3.0)
    picture = np.hstack([field_picture(rotation, edge, own) for own in shown])
    text = ", ".join(f"{name} {end:.2g}" for name, end in ends.items())
    return Shown(bool(holds), f"distance after {n} iterations: {text}", picture)


def _optimistic(rate: float) -> float:
    """The larger root of x^2 = (1 - 2ih) x + ih, which the optimistic step obeys."""
    return float(max(abs(np.roots([1, -(1 - 2j * rate), -1j * rate]))))


def quadratic_potential(weight: float) -> Penalty:
    """GAN-QP's term, (D(x) - D(x_f))^2 / (2 weight |x - x_f|)."""

    def penalty(
        disc: Any, real: jax.Array, fake: jax.Array, keys: jax.Array, step: jax.Array
    ) -> jax.Array:
        far = jnp.sqrt(jnp.square(real - fake).sum(axis=1))
        return (jnp.square(disc(real) - disc(fake)) / (2 * weight * far)).mean()

    return penalty


def flow(
    loss: losses.Loss, penalty: Penalty | None, time: float
) -> tuple[np.ndarray, np.ndarray]:
    """The Dirac-GAN's course along -v by Runge and Kutta: phi and psi, (t, 2) each."""
    start = {"gen": np.array([0.2, 0.1]), "disc": np.array([0.1, 0.2])}
    v = field(dirac(start["gen"], start["disc"], loss=loss, penalty=penalty))
    keys, h = jax.random.split(jax.random.key(0), 1), 0.05
    batch = {"real": jnp.zeros((1, 2))}
    stats: dict[str, Any] = {player: {} for player in PLAYERS}

    def ahead(w: Params, k: Params, by: float) -> Params:
        return jax.tree.map(lambda x, dx: x - by * dx, w, k)

    def step(w: Params, _: None) -> tuple[Params, Params]:
        a = v(w, stats, batch, keys, 0)
        b = v(ahead(w, a, h / 2), stats, batch, keys, 0)
        c = v(ahead(w, b, h / 2), stats, batch, keys, 0)
        d = v(ahead(w, c, h), stats, batch, keys, 0)
        mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, a, b, c, d)
        return ahead(w, mean, h), w

    run = jax.jit(lambda w: jax.lax.scan(step, w, length=round(time / h) + 1)[1])
    gone = jax.device_get(run(jax.tree.map(jnp.asarray, start)))
    return gone["gen"], gone["disc"]


def dirac_gan() -> Shown:
    weight = 0.1
    with jax.enable_x64():
        runs = {
            "non-saturating": flow(losses.nonsaturating(), None, 100.0),
            "GAN-QP": flow(losses.wasserstein(), quadratic_potential(0.5), 200.0),
            "WGAN-GP, 1": flow(losses.wasserstein(), penalties.wgan_gp(0.5), 60.0),
            "WGAN-GP, 0": flow(
                losses.wasserstein(), penalties.zero_centred(weight), 40.0
            ),
        }
    area = {
        n: phi[:, 0] * psi[:, 1] - phi[:, 1] * psi[:, 0]
        for n, (phi, psi) in runs.items()
    }
    drift = max(
        float(np.abs(area[name] / 0.03 - 1).max())
        for name in ("non-saturating", "GAN-QP")
    )
    radius = {name: float(np.linalg.norm(phi[-1])) for name, (phi, _) in runs.items()}
    # phi'' + 2 weight phi' + phi = 0 keeps the area's fall exactly: exp(-2 weight t).
    decay = float(area["WGAN-GP, 0"][-1] / 0.03 / np.exp(-2 * weight * 40.0))
    nearest = min(
        float(np.sqrt((x**2).sum(1) + (y**2).sum(1)).min())
        for x, y in (runs["non-saturating"], runs["GAN-QP"])
    )
    holds = (
        drift < 1e-5
        and nearest > (2 * 0.03) ** 0.5 * (1 - 1e-4)
        and abs(radius["GAN-QP"] - 0.03**0.5) < 1e-4
        and abs(radius["WGAN-GP, 1"] - 1) < 1e-4
        and abs(decay - 1) < 1e-4
    )
    text = (
        f"phi x psi of non-saturating and QP drifts by {drift:.0e} of 0.03, so they "
        f"stay {nearest:.3f} away; QP ends on radius {radius['GAN-QP']:.5f} (0.17321), "
        f"WGAN-GP with target 1 on {radius['WGAN-GP, 1']:.5f}, with target 0 at "
        f"{radius['WGAN-GP, 0']:.4f} (phi x psi is {decay:.5f} of exp(-0.2 t))"
    )
    edges = {"non-saturating": 0.5, "GAN-QP": 0.5, "WGAN-GP, 1": 1.6, "WGAN-GP, 0": 0.5}
    still = lambda at: 0 * at  # noqa: E731
    picture = np.hstack(
        [
            field_picture(still, (-e, e, -e, e), {name: runs[name][0]}, size=288)
            for name, e in edges.items()
        ]
    )
    return Shown(bool(holds), text, picture)


MOMENT = np.array([3.0, 2.0, 0.5, 0.1])
# Four vectors whose second moment is diag(MOMENT).
VECTORS = np.diag(np.sqrt(4 * MOMENT))


def left_over(
    mu: float, rates: tuple[float, float] = (0.01, 0.01), first: int = 1
) -> tuple[float, np.ndarray]:
    """How far G of rank 2 ends from the two first components, and its way there."""
    play = AT_ONCE if first == 1 else alternating("disc", "gen", first=first)
    with jax.enable_x64():
        own = {"gen": optax.sgd(rates[0]), "disc": optax.sgd(rates[1])}
        g = path(linear_quadratic(2, mu), own, 20_000, VECTORS, play)["gen"]
    found = np.einsum("tik,tjk->tij", g, g)
    best = np.diag(np.where(np.arange(4) < 2, MOMENT, 0.0))
    error = np.linalg.norm(found - best, axis=(1, 2))
    return float(error[-2000:].max()), error


def stability(mu: float, rates: dict[str, float] | None = None) -> float:
    """The leading eigenvalue's real part at the two first components, or its modulus
    under ``rates``; rotations of G's columns, which change nothing, left out."""
    left = np.where(np.arange(4) < 2, 0.0, MOMENT)
    with jax.enable_x64():
        params = {
            "gen": jnp.asarray(np.diag(np.sqrt(MOMENT))[:, :2]),
            "disc": jnp.asarray(np.diag(left / mu)),
        }
        found = eigenvalues(
            linear_quadratic(2, mu),
            params,
            {player: {} for player in params},
            {"real": jnp.asarray(VECTORS)},
            jax.random.split(jax.random.key(0), 4),
            rates=rates,
        )
    kept = found[np.abs(found - (0 if rates is None else 1)) > 1e-9]
    return float((kept.real if rates is None else np.abs(kept)).max())


def curves(series: dict[str, np.ndarray], title: str) -> np.ndarray:
    """Errors over steps, by powers of ten."""
    steps = range(0, 20_000, 100)
    logs = {
        name: [float(np.log10(max(error[step], 1e-16))) for step in steps]
        for name, error in series.items()
    }
    return images.plot(
        title,
        {name: ([float(step) for step in steps], log) for name, log in logs.items()},
        size=(640, 320),
    )


def linear_quadratic_game() -> Shown:
    strengths = (0.7, 0.9, 1.1, 1.5)  # stable above sqrt(2 * 0.5) = 1
    ends, series, leading = {}, {}, {}
    for mu in strengths:
        ends[mu], series[f"mu {mu}"] = left_over(mu)
        leading[mu] = stability(mu)
    holds = all(
        (leading[mu] < 0) == (mu > 1) and (ends[mu] < 1e-3) == (mu > 1)
        for mu in strengths
    ) and all(ends[mu] > 0.1 for mu in strengths if mu < 1)
    text = "; ".join(
        f"mu {mu}: leading eigenvalue {leading[mu]:+.3f}, ends {ends[mu]:.1g} away"
        for mu in strengths
    )
    return Shown(holds, text, curves(series, "log10 of the distance"))


def two_rates() -> Shown:
    mu = 0.7  # at equal rates stable above 1 only; with D's k times as fast above 1/k
    cases = {
        "equal rates": ((0.01, 0.01), 1),
        "D's rate x 4": ((0.01, 0.04), 1),
        "4 moves of D": ((0.01, 0.01), 4),
    }
    ends, series = {}, {}
    for name, (rates, first) in cases.items():
        ends[name], series[name] = left_over(mu, rates, first)
    moduli = [stability(mu, {"gen": 0.01, "disc": disc}) for disc in (0.01, 0.04)]
    holds = ends["equal rates"] > 0.1 and moduli[0] > 1 > moduli[1]
    holds &= max(ends["D's rate x 4"], ends["4 moves of D"]) < 1e-3
    # A weight of the loss is no rate: Adam's first update, with weights 1 and 10.
    plain = losses.nonsaturating()

    def tenfold(real: jax.Array, fake: jax.Array) -> jax.Array:
        return 10 * plain.gen(real, fake)

    lengths = []
    for loss in (plain, losses.Loss(plain.disc, tenfold)):
        own = dict.fromkeys(PLAYERS, adam(0.01))
        gone = path(dirac([0.7], [0.4], loss=loss), own, 1, np.zeros((1, 1)))
        lengths.append(float(abs(gone["gen"][1] - gone["gen"][0])[0]))
    holds &= abs(lengths[1] / lengths[0] - 1) < 1e-3
    # An average does not change the orbit, but finds its centre.
    orbit = kernel(
        bilinear(np.ones(1), np.ones(1)),
        dict.fromkeys(PLAYERS, optax.sgd(0.1)),
        play=alternating("disc", "gen"),
        ema={"gen": lambda step: jnp.float32(0.999)},
    )
    state, _ = scanned(orbit, lambda key: {"real": jnp.zeros((2, 1))}, 20_000)
    away = float(jnp.hypot(state.params["gen"][0], state.params["disc"][0]))
    centre = float(abs(state.ema["gen"][0]))
    holds &= away > 1 and centre < 0.03
    text = (
        f"rank-2 G at mu {mu} ends "
        + ", ".join(f"{end:.1g} away with {name}" for name, end in ends.items())
        + f" (moduli {moduli[0]:.5f}, {moduli[1]:.5f}); G's loss x 10 changes Adam's "
        f"step by {lengths[1] / lengths[0]:.4f}; an orbit {away:.2f} away has its "
        f"average {centre:.4f} from the centre"
    )
    return Shown(bool(holds), text, curves(series, "log10 of the distance"))


SYSTEMS = [
    System(
        "bilinear",
        "dynamics",
        "the bilinear game from (1, 1), rate 0.1, under six dynamics",
        "each grows, circles or shrinks by its known factor",
        bilinear_game,
    ),
    System(
        "dirac",
        "objectives.dirac",
        "the flow of the Dirac-GAN in the plane, four losses",
        "phi x psi is conserved; QP circles at 0.17321, WGAN-GP at 1, target 0 decays",
        dirac_gan,
    ),
    System(
        "linear_quadratic",
        "objectives.linear_quadratic",
        "a rank-2 linear G against a quadratic D, mu on both sides of 1",
        "it finds the principal components if and only if the leading eigenvalue says "
        "so, which is where mu^2 > 2 l",
        linear_quadratic_game,
    ),
    System(
        "two_rates",
        "kernel",
        "the linear-quadratic game at mu = 0.7: two rates, k moves; a weight; a mean",
        "a faster D converges as predicted; a weight is inert under Adam; the average "
        "of an orbit is its centre",
        two_rates,
    ),
]
