"""What real samples have by each measure, beside what generated ones have."""

import statistics
from collections.abc import Sequence

from experiments.quality.task import Numbers

FLOOR, NOISE = " floor", " floor's sd"  # behind the measure's name


def floors(draws: Sequence[Numbers]) -> Numbers:
    """Mean and deviation of every measure over draws of real samples.

    >>> floors([{"fd": 1.0}, {"fd": 2.0}, {"fd": 3.0}])
    {'fd floor': 2.0, "fd floor's sd": 1.0}
    """
    found: Numbers = {}
    for name in draws[0]:
        values = [draw[name] for draw in draws]
        found[name + FLOOR] = statistics.fmean(values)
        found[name + NOISE] = statistics.stdev(values)
    return found


def with_floors(found: Numbers) -> list[str]:
    """The measures that have a floor among ``found``.

    >>> with_floors({"fd": 3.0, "steps": 9.0, "fd floor": 2.0, "fd floor's sd": 1.0})
    ['fd']
    """
    return [name.removesuffix(FLOOR) for name in found if name.endswith(FLOOR)]


def floor(found: Numbers, name: str) -> str:
    """A measure's floor, for a table.

    >>> floor({"fd": 3.0, "fd floor": 2.0, "fd floor's sd": 0.125}, "fd")
    '2 ± 0.12'
    """
    return f"{found[name + FLOOR]:.4g} ± {found[name + NOISE]:.2g}"
