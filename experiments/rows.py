"""What the commands that measure one row after another share: options, and tables."""

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path


def command_line(
    name: str, description: str | None, kind: str
) -> argparse.ArgumentParser:
    """The command line of ``python -m experiments.NAME``.

    Args:
      name: of the experiment; its figures go to runs/NAME.
      description: for --help, as it is.
      kind: what a row is: "task" for --only TASK.
    """
    made = argparse.ArgumentParser(
        prog=f"python -m experiments.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "--only", nargs="+", metavar=kind.upper(), help=f"these {kind}s only"
    )
    made.add_argument("--list", action="store_true", help="say the names, and end")
    made.add_argument("--directory", type=Path, default=Path("runs") / name)
    return made


def check_names(
    made: argparse.ArgumentParser,
    kind: str,
    asked: Collection[str],
    names: Collection[str],
) -> None:
    """End with a message if a row is asked for that is not among the names."""
    if unknown := set(asked) - set(names):
        made.error(
            f"there is no {kind} {', '.join(sorted(unknown))}; there are "
            f"{', '.join(names)}."
        )


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table.

    >>> print(markdown(["a", "b"], [["1", "2"]]), end="")
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *body)]
    lines.insert(1, f"|{'---|' * len(head)}")
    return "\n".join(lines) + "\n"
