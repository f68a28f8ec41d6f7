"""What holds for every test: eight CPU devices, checked shapes, strict ranks."""

import gc
import os
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jaxtyping
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Shape annotations of the package are checked at every call, in tests only.
install_import_hook("gan_jax", "beartype.beartype")


@pytest.fixture(scope="module")
def quick_compilation() -> Iterator[None]:
    """Programs that are not optimised: sooner compiled, slower to run."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def unchecked(monkeypatch):
    """Turn the annotations' checks off, to see our own errors as users do."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def nothing_in_flight() -> Iterator[None]:
    """Let what Orbax forgot complain here, not in the middle of another test.

    It reads arrays at once, and forgets those in flight when one of them fails.
    """
    yield
    gc.collect()
