"""The notebooks run from top to bottom, and end with the number that they promise."""

from pathlib import Path

import jupytext
import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def sources(notebook) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.py")), ids=lambda p: p.stem)
def test_both_forms_of_a_notebook_are_equal(path):
    written = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert sources(jupytext.read(path)) == sources(written), (
        f"write it anew: jupytext --to ipynb notebooks/{path.name}"
    )
    assert not any(cell.get("outputs") for cell in written.cells)


# Both end with the number of modes that were found, of eight.
@pytest.mark.usefixtures("as_users_do")
@pytest.mark.parametrize(
    ("name", "wanted"), [("01_single_loss", 2), ("02_dirac_to_r3gan", 3)]
)
def test_it_ends_with_all_modes_of_the_ring(name, wanted):
    notebook = jupytext.read(NOTEBOOKS / f"{name}.py")
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    last = notebook.cells[-1].outputs[-1]
    assert last["data"]["text/plain"] == "8"
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == wanted
