"""The table of all systems: every file is in it, and a row run from outside."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gan_jax
from experiments.systems import __main__ as command
from experiments.systems.__main__ import FAMILIES, every_system
from experiments.systems.system import Shown, System

ROOT = Path(__file__).parents[1]


def test_every_file_of_systems_is_in_the_table_and_no_name_twice():
    files = {file.stem for file in (ROOT / "experiments/systems").glob("*.py")}
    assert set(FAMILIES) == files - {"__init__", "__main__", "system"}
    rows = [
        system.name
        for family in FAMILIES
        for system in importlib.import_module(f"experiments.systems.{family}").SYSTEMS
    ]
    assert sorted(rows) == sorted(every_system())


def test_rows_name_what_they_are_built_with():
    """Each "where" begins with a public name that this package really has."""
    for system in every_system().values():
        place = gan_jax
        for part in re.match(r"[a-z0-9_.]+", system.where)[0].split("."):
            place = getattr(place, part)


def test_the_readme_shows_every_row_as_the_command_wrote_it():
    text = (ROOT / "README.md").read_text()

    def row(system):
        cells = system.name, f"`{system.where}`", f"{system.task}: {system.must}"
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    missing = [name for name, s in every_system().items() if row(s) not in text]
    assert missing == []


def test_every_row_is_explained():
    text = (ROOT / "docs/systems.md").read_text()
    missing = [name for name in every_system() if f"`{name}`" not in text]
    assert missing == []


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments.systems", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_one_row_from_the_command_line(tmp_path):
    done = run("--only", "langevin", "--directory", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "1 of 1 hold" in done.stdout
    assert (tmp_path / "langevin.png").stat().st_size > 1000
    assert not (tmp_path / "table.json").exists()  # that is of all rows


def test_an_unknown_name_says_which_there_are():
    done = run("--only", "lagevin")
    assert done.returncode == 2
    assert "no system lagevin" in done.stderr
    assert "langevin" in done.stderr


def test_a_row_that_does_not_hold_is_a_failure(tmp_path, monkeypatch, capsys):
    def row(holds):
        picture = np.zeros((4, 4), np.uint8)
        shown = Shown(np.bool_(holds), "c", picture)
        return System("it", "gan", "a", "b", lambda: shown)

    monkeypatch.setattr(command, "every_system", lambda: {"it": row(False)})
    monkeypatch.setattr(sys, "argv", ["systems", "--directory", str(tmp_path)])
    with pytest.raises(SystemExit, match="1"):
        command.main()
    assert "DOES NOT HOLD" in capsys.readouterr().out
    assert (
        json.loads((tmp_path / "table.json").read_text())["rows"][0]["holds"] is False
    )
    assert "**does not hold**" in (tmp_path / "table.md").read_text()
