"""A picture of a comparison: a dot for each seed, and curves over the seconds."""

import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from PIL import Image

from experiments.quality.task import Numbers

REAL = " of real samples"  # ends the name of what a perfect generator would have
# Okabe and Ito's colours, which the colour-blind tell apart; marks tell them, too.
STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"))
Results = Mapping[Any, Sequence[Numbers]]  # keys of three names


class Panel(NamedTuple):
    """One row of the picture.

    Attributes:
      measure: which of the numbers.
      kind: "dots" for a dot a seed beside their mean; "curves" for the means at every
        look, of the first loss.
      log: whether the axis is logarithmic.
    """

    measure: str
    kind: Literal["dots", "curves"]
    log: bool = False


def check_matplotlib() -> None:
    """End before any work is done if nothing could be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ModuleNotFoundError(
            "the comparison is drawn by matplotlib, which is not installed: "
            "pip install 'gan_jax[notebooks]'."
        )


def draw(
    file: Path,
    title: str,
    panels: Sequence[Panel],
    results: Results,
    seconds: float,
) -> None:
    """A row for each panel, a column for each penalty; 900 pixels wide.

    Args:
      file: a PNG.
      title: above all of it.
      panels: the rows.
      results: (penalty, loss, way) -> each seed's numbers.
      seconds: that each run was given.
    """
    from matplotlib.figure import Figure

    penalties = list(dict.fromkeys(penalty for penalty, _, _ in results))
    figure = Figure(figsize=(9, 0.6 + 2.7 * len(panels)), dpi=100, layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(panels), len(penalties), sharey="row", squeeze=False)
    for panel, row in zip(panels, axes, strict=True):
        for penalty, ax in zip(penalties, row, strict=True):
            own = {
                (loss, way): n for (p, loss, way), n in results.items() if p == penalty
            }
            if panel.kind == "dots":
                _dots(ax, panel.measure, own)
            else:
                _curves(ax, panel.measure, own, seconds)
            if panel.log:
                ax.set_yscale("log")
            real = next(iter(own.values()))[0][panel.measure + REAL]
            ax.axhline(
                real, color="grey", linestyle="--", linewidth=1, label="real samples"
            )
            ax.set_title(f"penalty: {penalty}", fontsize=10)
            ax.grid(axis="y", alpha=0.3)
        row[0].set_ylabel(panel.measure)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    with io.BytesIO() as drawn:
        figure.savefig(drawn)
        # A palette takes a third of the bytes, and no eye sees it.
        Image.open(drawn).convert("RGB").quantize(128).save(file, optimize=True)


def _dots(ax: Any, measure: str, own: Mapping[tuple[str, str], Any]) -> None:
    losses = list(dict.fromkeys(loss for loss, _ in own))
    ways = list(dict.fromkeys(way for _, way in own))
    for (loss, way), numbers in own.items():
        colour, mark = STYLES[ways.index(way)]
        x = losses.index(loss) + 0.25 * (ways.index(way) - 1)
        values = [n[measure] for n in numbers]
        label = way if loss == losses[0] else None
        ax.plot([x] * len(values), values, mark, color=colour, alpha=0.6, label=label)
        mean = sum(values) / len(values)
        ax.plot([x - 0.1, x + 0.1], [mean, mean], color=colour, linewidth=2.5)
    ax.set_xticks(range(len(losses)), losses)
    ax.set_xlim(-0.5, len(losses) - 0.5)


def _curves(
    ax: Any, measure: str, own: Mapping[tuple[str, str], Any], seconds: float
) -> None:
    """Against the seconds that were given: those taken depend on other work."""
    first = next(iter(own))[0]
    ways = [way for loss, way in own if loss == first]
    for (colour, mark), way in zip(STYLES, ways, strict=True):
        numbers = own[first, way]
        looks = [name for name in numbers[0] if name.startswith(f"{measure}@")]
        x = [seconds * (i + 1) / len(looks) for i in range(len(looks))]
        y = [sum(n[name] for n in numbers) / len(numbers) for name in looks]
        ax.plot(x, y, mark + "-", color=colour, markersize=4)
    ax.set_xlabel(f"seconds ({first}, means of the seeds)")
