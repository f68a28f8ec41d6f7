"""What holds for every test: eight CPU devices, checked shapes, strict ranks."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling is what most tests take: without LLVM's optimisations and by XLA's simpler
# emitters it takes half the time, and a fifth less where each worker compiles with one
# thread, not with all that the machine has. Processes that tests start inherit it all;
# `optimised` and `as_users_do` are for tests that train at length, or look at what
# users get.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
# Two workers' threads of BLAS would wait for each other by spinning.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jaxtyping
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Shape annotations of the package are checked at every call, in tests only.
install_import_hook("gan_jax", "beartype.beartype")

from gan_jax.record import memory_bytes  # noqa: E402 - behind the hook
from tests.commands import compiled_once  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def bounded_memory() -> Iterator[None]:
    """Compiled programs are let go where a worker has gathered gigabytes of them."""
    yield
    if memory_bytes() > 4 * 2**30:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def optimised(monkeypatch) -> Iterator[None]:
    """Programs that run fast, here and in the processes that the test starts."""
    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS")
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def as_users_do(monkeypatch) -> None:
    """Processes that the test starts compile as users' do."""
    for name in ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of one shape share their programs."""
    with compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run, cache or data set of the user's is seen or touched."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "no_data"))


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
