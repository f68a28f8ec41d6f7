"""Linear maps that bring their transpose along.

Derivatives of a linear map are its transpose and itself again, to any order. JAX
writes the transpose of slices as pads and sums of them; on CPUs such loops test every
element for the border, and take several times as long as the same sums written with
concatenations. Here both directions are written by hand, and each is the other's
transpose.

Unlike `jax.custom_derivatives.linear_call` it may be mapped by `jax.vmap`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental.layout import Layout, with_layout_constraint
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

Map = Callable[..., Sequence[Array]]

linear_p = Primitive("linear")
linear_p.multiple_results = True


def linear(forward: Map, backward: Map, *xs: Array) -> list[Array]:
    """``forward(*xs)``, a linear function, with ``backward`` as its transpose.

    Args:
      forward: ``arrays -> arrays``, linear in all of them together.
      backward: its transpose, ``⟨y, forward(x)⟩ = ⟨backward(y), x⟩``; ``forward`` is
        taken as the transpose of ``backward``.
      xs: the arrays.

    >>> double = lambda x: [2 * x]
    >>> (y,) = linear(double, double, jnp.arange(3.0))
    >>> y.tolist()
    [0.0, 2.0, 4.0]
    """
    return linear_p.bind(*xs, forward=forward, backward=backward)


def in_memory(x: Array) -> Array:
    """``x``, written out in the order of its axes.

    XLA would merge what follows into the loops that make ``x``: with a reshape that
    joins inner axes their index is taken apart again for every element, and the loops
    are not vectorised; and with several readers ``x`` is made anew for each of them.
    """
    return with_layout_constraint(x, Layout(tuple(range(x.ndim))))


def run(*xs: Array, forward: Map, backward: Map) -> Sequence[Array]:
    """What the primitive is."""
    return forward(*xs)


def abstract(*xs: Any, forward: Map, backward: Map) -> list[Any]:
    """Shapes and dtypes, and over which mapped axes the results vary."""
    return jax.make_jaxpr(forward)(*xs).out_avals


def pushed(primals: Any, tangents: Any, **maps: Map) -> tuple[Any, Any]:
    """Forward mode: the tangents go the same way."""
    tangents = [ad.instantiate_zeros(x) for x in tangents]
    return linear_p.bind(*primals, **maps), linear_p.bind(*tangents, **maps)


def pulled(cotangents: Any, *xs: Any, forward: Map, backward: Map) -> list[Array]:
    """Reverse mode: the cotangents go the other way."""
    cotangents = [ad.instantiate_zeros(x) for x in cotangents]
    return linear_p.bind(*cotangents, forward=backward, backward=forward)


def batched(xs: Any, axes: Any, forward: Map, backward: Map) -> tuple[Any, list[int]]:
    """`jax.vmap`: both directions are mapped."""
    size = next(
        x.shape[axis] for x, axis in zip(xs, axes, strict=True) if axis is not None
    )
    xs = [
        jnp.broadcast_to(x, (size, *x.shape))
        if axis is None
        else jnp.moveaxis(x, axis, 0)
        for x, axis in zip(xs, axes, strict=True)
    ]
    maps = {"forward": jax.vmap(forward), "backward": jax.vmap(backward)}
    ys = linear_p.bind(*xs, **maps)
    return ys, [0] * len(ys)


linear_p.def_impl(jax.jit(run, static_argnames=("forward", "backward")))
linear_p.def_abstract_eval(abstract)
ad.primitive_jvps[linear_p] = pushed
ad.primitive_transposes[linear_p] = pulled
batching.primitive_batchers[linear_p] = batched
mlir.register_lowering(linear_p, mlir.lower_fun(run, multiple_results=True))
