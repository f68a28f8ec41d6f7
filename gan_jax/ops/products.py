"""Products of matrices whose gradients are as fast on CPUs as they are.

The gradient of ``a @ b`` by ``b`` is a product as well, of few numbers from long sums.
XLA:CPU leaves it to Eigen, which is faster by a quarter and more where the shorter side
of the result comes first; docs/performance.md has figures. JAX writes it that way round
or the other and turns what comes out, and XLA takes that turn as leave to swap the two.
So the second operand has its outputs first, where they are the shorter side.
"""

from jax import Array, lax

from gan_jax.ops.linear import in_memory, linear


def product(a: Array, b: Array) -> Array:
    """``a @ b``.

    Args:
      a: (m, c).
      b: (c, d).
    """
    if b.shape[0] <= b.shape[1]:
        return a @ b
    (turned,) = linear(transposed, transposed, b)
    return turned_product(a, turned)


def turned_product(a: Array, b: Array) -> Array:
    """``a @ b.T``, where the gradient by ``b`` has d in front.

    Args:
      a: (m, c).
      b: (d, c).
    """
    return lax.dot_general(a, b, (((1,), (1,)), ((), ())))


def transposed(x: Array) -> list[Array]:
    """The transpose, which is its own transpose; from memory and to it.

    Else XLA would swap a product's operands for it, or put it into loops over several
    arrays, which then read with strides.
    """
    return [in_memory(in_memory(x).T)]
