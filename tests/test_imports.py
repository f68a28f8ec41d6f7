"""Law 11: who may import whom, and what importing the package may bring in."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gan_jax"
HEAVY = (
    "PIL",
    "array_record",
    "flax",
    "orbax",
    "sklearn",
    "tensorboardX",
    "tensorflow",
    "tensorflow_datasets",
    "tqdm",
    "tyro",
)


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter holds after ``statement``."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    return set(done.stdout.split())


def test_importing_the_package_brings_in_no_data_disk_or_network_library():
    extra = loaded_by("import gan_jax") - loaded_by("import jax, optax, jaxtyping")
    assert sorted(m for m in HEAVY if m in extra) == []


def test_importing_data_brings_in_no_tensorflow():
    extra = loaded_by("import gan_jax.data, gan_jax.train")
    unwanted = ("tensorflow", "tensorflow_datasets", "orbax", "PIL", "sklearn")
    assert sorted(m for m in unwanted if m in extra) == []


# A file, and the parts of the package that it may import.
MAY_IMPORT = {
    "numerics.py": set(),
    "parts.py": set(),
    "stop.py": set(),
    "kernel.py": {"parts"},
    "standing.py": {"kernel"},
    "store.py": set(),
    "losses.py": {"parts"},
    "divergences.py": {"losses"},
    "ratios.py": {"divergences", "losses"},
    "comparisons.py": {"divergences", "losses", "parts"},
    "distances.py": {"numerics"},
    "reconstruction.py": set(),
    "moments.py": {"distances"},
    "transport.py": {"distances"},
    "latents.py": set(),
    "langevin.py": {"parts"},
    "penalties.py": {"kernel", "numerics", "parts"},
    "robust.py": {"kernel", "losses", "numerics", "parts", "penalties", "stop"},
    "augment": {"augment", "kernel"},
    "regularizers.py": {"augment", "kernel", "parts", "penalties"},
    "schedules.py": {"kernel"},
    "optimizers.py": {"kernel", "schedules"},
    "orthogonality.py": {"numerics"},
    "rowwise.py": {"parts"},
    "dynamics.py": {"kernel", "optimizers", "parts"},
    "convergence.py": {"dynamics", "kernel"},
    "devices.py": set(),
    # What a game is made of. It knows no optimizer, no data and no disk.
    "objectives": {
        "augment",
        "distances",
        "kernel",
        "langevin",
        "latents",
        "losses",
        "moments",
        "numerics",
        "objectives",
        "parts",
        "penalties",
        "reconstruction",
        "regularizers",
        "stop",
        "transport",
    },
    "ops": {"ops"},
    "networks": {"kernel", "networks", "numerics", "ops", "parts", "stop"},
    "evaluate": {
        "data",
        "digest",
        "evaluate",
        "facts",
        "kernel",
        "langevin",
        "losses",
        "networks",
        "numerics",
        "objectives",
        "optimizers",
        "parts",
        "penalties",
        "schedules",
    },
    "data": {"data"},
    "gan.py": {
        "augment",
        "kernel",
        "latents",
        "losses",
        "objectives",
        "penalties",
        "regularizers",
        "standing",
    },
    "r3gan.py": {
        "augment",
        "gan",
        "kernel",
        "latents",
        "losses",
        "objectives",
        "optimizers",
        "penalties",
        "schedules",
    },
}


def imports(file: Path) -> set[str]:
    """The dotted names that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_the_direction_of_imports(part):
    place = PACKAGE / part
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert files
    for file in files:
        ours = {n.split(".")[1] for n in imports(file) if n.startswith("gan_jax.")}
        assert ours <= MAY_IMPORT[part], file.name


def test_only_one_file_knows_orbax_and_one_the_shardings():
    knows = {"orbax": set(), "jax.sharding": set()}
    for file in PACKAGE.rglob("*.py"):
        for library, files in knows.items():
            if any(name.startswith(library) for name in imports(file)):
                files.add(file.name)
    assert knows == {"orbax": {"store.py"}, "jax.sharding": {"devices.py"}}


def test_the_package_knows_no_experiment_and_the_kernel_only_jax_and_optax():
    for file in PACKAGE.rglob("*.py"):
        assert not any(name.startswith("experiments") for name in imports(file))
    for file in ("kernel.py", "parts.py"):
        outside = {name.split(".")[0] for name in imports(PACKAGE / file)}
        assert outside <= {"collections", "typing", "jax", "optax", "gan_jax"}
