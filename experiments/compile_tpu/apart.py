"""A call in a process of its own, which may die without taking ours along."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import jax


def without_tpu() -> None:
    """Ask this process's JAX for the CPU only: no TPU is here to be asked."""
    jax.config.update("jax_platforms", "cpu")


def apart(call: Callable[..., Any], *arguments: Any) -> Any:
    """What ``call`` returns; None if its process dies.

    The compiler ends its process where it finds a mistake of its own.

    Args:
      call: a function of a module.
      arguments: of it; they are sent to the process.
    """
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, fresh, initializer=without_tpu) as pool:
        try:
            return pool.submit(call, *arguments).result()
        except BrokenProcessPool:
            return None
