"""Games under the laws: one file per family, each with a list ``CASES``."""

import importlib
import pkgutil

from tests.protocol import Case


def every_case() -> list[Case]:
    """All cases of all families."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return [case for module in modules for case in module.CASES]
