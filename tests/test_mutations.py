"""The lies can still be told: each replaces what stands in its file exactly once.

Whether the tests see them is asked by ``python -m tests.mutations``, an hour's work.
"""

from pathlib import Path

from tests.mutations.__main__ import families

ROOT = Path(__file__).parents[1]


def test_every_mutation_finds_its_place():
    lost = [
        (family, mutation.file, mutation.right)
        for family, mutations in families().items()
        for mutation in mutations
        if (ROOT / mutation.file).read_text().count(mutation.right) != 1
        or mutation.right == mutation.wrong
    ]
    assert lost == []


def test_every_family_tells_some():
    assert families()
    assert all(len(mutations) >= 10 for mutations in families().values())
