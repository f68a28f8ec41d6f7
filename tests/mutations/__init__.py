"""Faults that the tests must see: one file per family, each with ``MUTATIONS``.

A mutation is one small lie in a formula: a flipped sign, a missing stop, a missing
half. ``python -m tests.mutations`` tells each lie in a copy of the package, runs the
tests that should see it, and counts those that nobody saw.
"""

from typing import NamedTuple


class Mutation(NamedTuple):
    """A fault, and who must see it.

    Attributes:
      file: below the repository's root.
      right: the text as it stands there, exactly once.
      wrong: what it is replaced by.
      tests: pytest's arguments that select the tests which must fail.
    """

    file: str
    right: str
    wrong: str
    tests: str
