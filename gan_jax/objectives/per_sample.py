"""Whether a discriminator judges every sample by itself."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gan_jax.kernel import Network


def check_per_sample(disc: Network, real: Array, labels: tuple[Array, ...]) -> None:
    """Refuse a discriminator whose logit of one sample depends on another sample.

    Args:
      disc: the discriminator.
      real, labels: what it is to judge, of which the shapes and types matter.

    Raises:
      ValueError: if it couples samples.
    """
    dtypes = tuple(label.dtype for label in labels)
    if _couples_samples(disc, real.shape[1:], real.dtype, dtypes):
        raise ValueError(
            "gradient='one_backward' needs a discriminator that judges every sample by "
            "itself, but the logit of one sample depends on another sample of the "
            "batch (BatchNorm or another batch statistic in the discriminator). Use "
            "gradient='merged', or a discriminator without such layers."
        )


# Once for a discriminator, however often its parameters are made.
@functools.lru_cache(maxsize=32)
def _couples_samples(
    disc: Network, shape: tuple[int, ...], dtype: Any, label_dtypes: tuple[Any, ...]
) -> bool:
    """Whether another second sample changes the first one's logit, by a single bit.

    Parameters and stats are drawn by their shapes alone, so that no zero at
    initialisation hides a path, and the program is compiled without optimisation: a
    full-size discriminator takes seconds, where its gradient by the other sample takes
    most of a minute. All is constant, so the caller may be traced.
    """
    rng = np.random.default_rng(0)

    def drawn(x: Any) -> Any:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return np.zeros(x.shape, x.dtype)
        scale = np.prod(x.shape[:-1]) ** -0.5 if len(x.shape) > 1 else 0.1
        return (rng.standard_normal(x.shape, np.float32) * scale).astype(x.dtype)

    def logit(params: Any, stats: Any, x: Array, *labels: Array) -> Array:
        return disc.apply(params, stats, x, *labels, train=True)[0][0]

    first, *others = rng.standard_normal((3, *shape))
    pairs = [
        np.stack([first, scale * x]) for scale, x in zip((1, 10), others, strict=True)
    ]
    labels = tuple(np.zeros(2, dtype) for dtype in label_dtypes)
    key, x = jax.eval_shape(lambda: (jax.random.key(0), jnp.zeros((2, *shape), dtype)))
    like = jax.eval_shape(disc.init, key, x, *labels)
    params, stats = jax.tree.map(drawn, like)
    quick: dict[str, Any] = {"xla_backend_optimization_level": 0}
    try:
        program = jax.jit(logit).lower(params, stats, x, *labels)
    except NameError:  # of a mapped axis: it wants the other devices' samples
        return True
    with jax.ensure_compile_time_eval():
        compiled = program.compile(quick if jax.default_backend() == "cpu" else None)
        one, other = (
            np.asarray(compiled(params, stats, pair.astype(dtype), *labels))
            for pair in pairs
        )
    return not np.array_equal(one, other)
