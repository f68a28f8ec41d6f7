"""Tell every lie and see who notices: ``python -m tests.mutations [FAMILY ...]``."""

import importlib
import pkgutil
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tests.mutations
from tests.mutations import Mutation

ROOT = Path(__file__).parents[2]
COPIED = ("gan_jax", "experiments", "tests", "pyproject.toml")


def families() -> dict[str, list[Mutation]]:
    """All mutations, by the file that they stand in."""
    names = [module.name for module in pkgutil.iter_modules(tests.mutations.__path__)]
    return {
        name: importlib.import_module(f"tests.mutations.{name}").MUTATIONS
        for name in sorted(names)
        if name != "__main__"
    }


def seen(mutation: Mutation) -> bool:
    """Whether a test fails once the lie is told; true tests pass before it."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for name in COPIED:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, root / name)
        file = root / mutation.file
        text = file.read_text()
        if (found := text.count(mutation.right)) != 1:
            raise ValueError(
                f"{mutation.file} holds {mutation.right!r} {found} times, but a "
                "mutation replaces what stands there once. Mend the mutation."
            )
        file.write_text(text.replace(mutation.right, mutation.wrong))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, *shlex.split(mutation.tests)],
            cwd=root,
            capture_output=True,
            text=True,
        )
    if done.returncode not in (0, 1):
        raise RuntimeError(
            f"pytest {mutation.tests} did not run at all:\n{done.stdout[-2000:]}"
        )
    return done.returncode == 1


def main() -> None:
    """All families, or those that are named."""
    every = families()
    if unknown := set(sys.argv[1:]) - set(every):
        sys.exit(f"no family is called {sorted(unknown)}; there are {list(every)}.")
    total, unseen = 0, []
    for name in sys.argv[1:] or every:
        mutations = every[name]
        caught = 0
        for mutation in mutations:
            if seen(mutation):
                caught += 1
            else:
                unseen.append(mutation)
                print(f"NOT SEEN: {mutation}", flush=True)
        total += len(mutations)
        print(f"{name}: {caught} of {len(mutations)} seen", flush=True)
    print(f"all: {total - len(unseen)} of {total} seen")
    sys.exit(bool(unseen))


if __name__ == "__main__":
    main()
