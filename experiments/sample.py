"""Pictures from a run: samples, walks between samples, and one row a class.

    python -m experiments.sample runs/celeba-demo
    python -m experiments.sample runs/digits --n 100 --seed 7 --out pictures

Samples are drawn from the average of the generator in the newest checkpoint that is
whole. The run may be under way: it is only read, never locked or changed. The pictures
go to RUN/drawn, or wherever --out says.
"""

import dataclasses
import tempfile
import warnings
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments import celeba, digits, fashion, image, toy
from experiments.run import main, say
from gan_jax.checkpoint import Checkpoints
from gan_jax.directory import read_config
from gan_jax.gan import Gan, latents
from gan_jax.images import grid, save_png, scatter
from gan_jax.kernel import State
from gan_jax.latents import normal, slerp

EXPERIMENTS: dict[str, Any] = {
    "celeba": celeba,
    "digits": digits,
    "fashion": fashion,
    "toy": toy,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What to draw."""

    run: Annotated[Path, tyro.conf.Positional]
    """The directory of a run."""
    n: int = 64
    """Samples of the grid; points, for a toy run."""
    rows: int = 8
    """Walks from one latent to another."""
    columns: int = 10
    """Images of a walk, or of a class."""
    seed: int = 0
    """Of the latents."""
    out: Path | None = None
    """Where the pictures go; by default RUN/drawn."""


class Trained(NamedTuple):
    """A run, read back.

    Attributes:
      cfg: its configuration, of the experiment's own type.
      model: what it trained.
      state: its newest state that is whole.
      step: how many steps that state has taken.
    """

    cfg: Any
    model: Gan
    state: State
    step: int


def draw(options: Options) -> None:
    """Draw what the run can show."""
    if min(options.n, options.rows, options.columns) < 1:
        raise ValueError(
            f"--n is {options.n}, --rows {options.rows} and --columns "
            f"{options.columns}; each counts images and begins at 1."
        )
    trained = opened(options.run)
    out = options.out or options.run / "drawn"
    drawn = points if isinstance(trained.cfg, toy.Config) else pictures
    for name, picture in drawn(trained, options).items():
        path = out / f"step_{trained.step:08d}_{name}.png"
        save_png(path, picture)
        say(f"{path}")


def opened(run: Path) -> Trained:
    """The run in the directory ``run``.

    Raises:
      FileNotFoundError: if it is none, or has no checkpoint.
      ValueError: if it is of an experiment, or has options, that are not known here.
    """
    stored = read_config(run)
    if stored is None:
        raise FileNotFoundError(
            f"{run} is not the directory of a run: it holds no config.json. Give what "
            "an experiment was given as --directory; by default runs/NAME."
        )
    name = stored.get("experiment")
    if name not in EXPERIMENTS:
        raise ValueError(
            f"{run} holds a run of the experiment {name!r}; known here are "
            f"{', '.join(EXPERIMENTS)}."
        )
    experiment = EXPERIMENTS[name]
    cfg = configuration(experiment.Config, stored)
    if name == "toy":
        task = toy.task(cfg)
    else:
        task = image.task(cfg, lambda: experiment.source(cfg))
    model, example = task.model(None), task.example(cfg.batch_size)
    like = jax.eval_shape(model.init, jax.random.key(0), example)
    return Trained(cfg, model, *newest(run / "checkpoints", like))


def configuration(config: Any, stored: dict[str, Any]) -> Any:
    """The configuration that was kept with a run, as the experiment's own type."""
    fields = {field.name for field in dataclasses.fields(config)}
    # The data is not opened here; what stands for it in the file is its fingerprint.
    kept = {
        k: v for k, v in stored.items() if k not in ("experiment", "data", "source")
    }
    if unknown := sorted(set(kept) - fields):
        raise ValueError(
            f"the run has options that are not known here: {', '.join(unknown)}. It "
            "was made by another version of the experiment; use that one."
        )
    tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()}
    return config(**tuples)


def newest(directory: Path, like: State) -> tuple[State, int]:
    """The newest whole checkpoint and its step, from a run that may be under way.

    `Checkpoints` tidies up where it looks: it removes what is half written and sets
    aside what is not whole. So it is shown a folder of its own, with a link in it.
    """
    found = directory.glob("[0-9]*")
    steps = sorted((int(f.name) for f in found if f.name.isdecimal()), reverse=True)
    for step in steps:
        with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # said below, with its step
            (Path(place) / str(step)).symlink_to((directory / str(step)).absolute())
            with Checkpoints(place) as checkpoints:
                try:
                    return checkpoints.restore(like)
                except PermissionError:
                    raise  # of this machine, not of the checkpoint
                except OSError:
                    say(f"the checkpoint of step {step:,} is not whole; not drawn from")
    raise FileNotFoundError(
        f"there is no whole checkpoint in {directory}. Wait for the run's first one "
        "(--checkpoint-every), or give another run."
    )


def points(trained: Trained, options: Options) -> dict[str, np.ndarray]:
    """The samples of a toy run, over the modes of the truth."""
    cfg, modes = trained.cfg, toy.mixture(trained.cfg).modes
    z = latents(normal(cfg.latent), jax.random.key(options.seed), options.n)
    edge = float(np.abs(modes).max()) + 0.5
    samples = np.asarray(jax.jit(trained.model.sample)(trained.state, z))
    return {"samples": scatter(samples, modes, (-edge, edge, -edge, edge))}


def pictures(trained: Trained, options: Options) -> dict[str, np.ndarray]:
    """Samples, walks, and class rows if the run knows classes."""
    cfg, columns = trained.cfg, options.columns
    keys = jax.random.split(jax.random.key(options.seed), 4)
    sample = jax.jit(trained.model.sample)
    state = image.settled(cfg, trained.model, trained.state)

    def images(z: jax.Array, label: jax.Array) -> np.ndarray:
        labels = (label % cfg.classes,) if cfg.classes else ()
        return np.asarray(sample(state, z, *labels))

    z = latents(normal(cfg.latent), keys[0], options.n)
    first, last = (latents(normal(cfg.latent), key, options.rows) for key in keys[1:3])
    drawn = {
        "samples": grid(images(z, jnp.arange(options.n))),
        "walks": grid(
            images(walks(first, last, columns), by_row(options.rows, columns)), columns
        ),
    }
    if cfg.classes:
        z = latents(normal(cfg.latent), keys[3], columns)
        every = jnp.tile(z, (cfg.classes, 1))
        rows = images(every, by_row(cfg.classes, columns))
        drawn["classes"] = grid(rows, columns)
    return drawn


def walks(first: jax.Array, last: jax.Array, columns: int) -> jax.Array:
    """``columns`` latents from each of ``first`` to that of ``last``, row by row."""
    along = jax.vmap(slerp, in_axes=(None, None, 0))
    rows = jax.vmap(along, in_axes=(0, 0, None))(
        first, last, jnp.linspace(0.0, 1.0, columns)
    )
    return rows.reshape(-1, first.shape[-1])


def by_row(rows: int, columns: int) -> jax.Array:
    """The number of the row that each image of a grid stands in."""
    return jnp.repeat(jnp.arange(rows), columns)


if __name__ == "__main__":
    main(draw, tyro.cli(Options, description=__doc__))
