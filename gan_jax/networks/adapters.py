"""A linen or an nnx module as a `Network`: two pure functions and no flax beyond."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn
from flax import nnx
from jax import Array

from gan_jax.kernel import Network


def from_linen(module: nn.Module) -> Network:
    """A linen module as a `Network`.

    Params are the collection "params"; stats are all other collections,
    ``{collection: pytree}``. They are mutable in training and returned as they came
    otherwise.

    Args:
      module: called as ``module(*inputs, train=bool)``. It may not ask for random keys
        beyond those of its initialisers.
    """

    def init(key: Array, *inputs: Any) -> tuple[Any, Any]:
        stats = dict(module.init(key, *inputs, train=False))
        return stats.pop("params", {}), stats

    def apply(params: Any, stats: Any, /, *inputs: Any, train: bool) -> tuple[Any, Any]:
        variables = {"params": params, **stats}
        if not train:
            return module.apply(variables, *inputs, train=False), stats
        outputs, new = module.apply(variables, *inputs, train=True, mutable=list(stats))
        return outputs, dict(new)

    return Network(init, apply)


def from_nnx(module_factory: Callable[[nnx.Rngs], nnx.Module]) -> Network:
    """An nnx module as a `Network`.

    Params are its `nnx.Param` variables; stats are all other variables, and are
    returned as they came when not training.

    Args:
      module_factory: ``rngs -> module``. The module is called as
        ``module(*inputs, train=bool)`` if it takes ``train``; otherwise it is set by
        ``module.train()`` or ``module.eval()`` and called as ``module(*inputs)``.
    """

    def init(key: Array, *inputs: Any) -> tuple[Any, Any]:
        _, params, stats = parts(module_factory(nnx.Rngs(key)))
        return nnx.to_pure_dict(params), nnx.to_pure_dict(stats)

    def apply(params: Any, stats: Any, /, *inputs: Any, train: bool) -> tuple[Any, Any]:
        skeleton = nnx.eval_shape(lambda: module_factory(nnx.Rngs(jax.random.key(0))))
        graph, param_state, stat_state = parts(skeleton)
        nnx.replace_by_pure_dict(param_state, params)
        nnx.replace_by_pure_dict(stat_state, stats)
        module = nnx.merge(graph, param_state, stat_state)
        if "train" in inspect.signature(type(module).__call__).parameters:
            outputs = module(*inputs, train=train)
        else:
            module.train() if train else module.eval()
            outputs = module(*inputs)
        if not train:
            return outputs, stats
        _, _, new = parts(module)
        return outputs, nnx.to_pure_dict(new)

    return Network(init, apply)


def parts(module: nnx.Module) -> tuple[Any, Any, Any]:
    """An nnx module as its graph, its params, and all its other variables."""
    split: tuple[Any, ...] = nnx.split(module, nnx.Param, ...)
    graph, params, rest = split
    return graph, params, rest
