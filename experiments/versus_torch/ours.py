"""gan_jax's side: the whole step as its users run it, and what the machine can do."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

import gan_jax
from experiments.image import LOSSES
from experiments.versus_torch.cases import BATCHES, BETAS, RATE, Case, Row
from experiments.versus_torch.work import Work, real_images
from gan_jax import penalties
from gan_jax.gan import Gan
from gan_jax.host_memory import keep_memory, settle_memory
from gan_jax.kernel import Network, alternating, simultaneous
from gan_jax.latents import normal
from gan_jax.networks import dcgan, r3, resnet
from gan_jax.optimizers import adam


def networks(case: Case) -> tuple[Network, Network]:
    """The generator and the discriminator of a case."""
    dtype = jnp.bfloat16 if case.precision == "bfloat16" else None
    of_gen: tuple[int, int, int] = (case.size, case.channels, case.width)
    of_disc: tuple[int, int] = (case.size, case.width)
    if case.network == "dcgan":
        gen, disc = dcgan.generator, dcgan.discriminator
        return gen(*of_gen, dtype=dtype), disc(*of_disc, dtype=dtype)
    if case.network == "resnet":
        return (
            resnet.generator(*of_gen, dtype=dtype),
            resnet.discriminator(*of_disc, dtype=dtype),
        )
    shared: dict[str, Any] = {"group": case.group, "dtype": dtype}
    return r3.generator(*of_gen, **shared), r3.discriminator(*of_disc, **shared)


def model(case: Case, way: str, optimizer: Any = None) -> Gan:
    """The GAN of a case, trained in one of our ways."""
    gen, disc = networks(case)
    penalty = None
    if case.gamma:
        penalty = penalties.total(penalties.r1(case.gamma), penalties.r2(case.gamma))
    optimizer = adam(RATE, *BETAS) if optimizer is None else optimizer
    return gan_jax.gan(
        gen,
        disc,
        loss=LOSSES[case.loss](),
        penalty=penalty,
        latent=normal(case.latent),
        optimizers={"gen": optimizer, "disc": optimizer},
        gradient="one_backward" if way == "one_backward" else "merged",
        play=alternating("disc", "gen")
        if way == "alternating"
        else simultaneous("gen", "disc"),
        ema=None,
    )


def check_device(case: Case) -> None:
    """Raises RuntimeError where JAX would fall back to the CPU."""
    # JAX is asked where a GPU is wanted only: where it had started before memory was
    # kept, DCGAN-64's step was seen to take 1.2 times as long and more.
    if case.device == "cuda" and (found := jax.default_backend()) != "gpu":
        raise RuntimeError(f"JAX sees no GPU, only {found}: install '.[cuda,bench]'")


def work(row: Row) -> Work:
    """The row, ready to run: jit, the state donated, the guard and all numbers on."""
    case = row.case
    if row.kept:
        keep_memory()
    if case.precision == "tf32":
        jax.config.update("jax_default_matmul_precision", "tensorfloat32")
    images = real_images(case, BATCHES)
    if row.way == "alternating":  # each player's move has samples of its own
        images = [
            np.concatenate(pair)
            for pair in zip(images, images[1:] + images[:1], strict=True)
        ]
    batches = [{"real": jax.device_put(x)} for x in images]
    trained = model(case, row.way)
    state = jax.jit(trained.init)(jax.random.key(0), batches[0])
    step = jax.jit(trained.step, donate_argnums=0)
    done = 0

    def run(n: int) -> None:
        nonlocal state, done
        for _ in range(n):
            state, _ = step(state, batches[done % BATCHES])
            done += 1
        jax.block_until_ready(state)
        settle_memory()  # once, after the first steps

    def peak() -> int | None:
        if case.device == "cpu":
            return None
        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")

    return Work(run, peak, {"jax": jax.__version__})


# (m, k, n) of float32 products: a square, and those of DCGAN's layers.
PRODUCTS = ((2048, 2048, 2048), (8192, 512, 64), (2048, 1024, 128))
LARGE_PRODUCT = (8192, 8192, 8192)


def machine(row: Row) -> Work:
    """One matrix product a step, of the shape that runs fastest here.

    ``about`` has the operations of one product, those of one step of gan_jax's
    one-backward way, and the memory's rate on an accelerator.
    """
    case = row.case
    shapes = PRODUCTS if case.device == "cpu" else (LARGE_PRODUCT,)
    products = {shape: product(case, shape) for shape in shapes}
    rates = {s: 2 * s[0] * s[1] * s[2] / seconds(p) for s, p in products.items()}
    best = max(rates, key=lambda shape: rates[shape])

    def run(n: int) -> None:
        for _ in range(n):
            last = products[best]()
        last.block_until_ready()

    about = {
        "product": best,
        "product_flops": 2 * best[0] * best[1] * best[2],
        "product_rates": {"x".join(map(str, s)): rate for s, rate in rates.items()},
        **step_costs(case),
    }
    if case.device == "cuda":
        about["bytes_per_second"] = memory_rate()
    return Work(run, lambda: None, about)


def product(case: Case, shape: tuple[int, int, int]) -> Any:
    """A function without arguments that multiplies two matrices."""
    m, k, n = shape
    dtype = jnp.bfloat16 if case.precision == "bfloat16" else jnp.float32
    precision = "tensorfloat32" if case.precision == "tf32" else None
    keys = jax.random.split(jax.random.key(0))
    a = jax.random.normal(keys[0], (m, k), dtype)
    b = jax.random.normal(keys[1], (k, n), dtype)
    multiply = jax.jit(lambda a, b: jnp.dot(a, b, precision=precision))
    return lambda: multiply(a, b)


def seconds(function: Any, least: float = 0.3) -> float:
    """The median time of one call, of calls over ``least`` seconds."""
    function().block_until_ready()
    times: list[float] = []
    while sum(times) < least or len(times) < 5:
        begun = time.perf_counter()
        function().block_until_ready()
        times.append(time.perf_counter() - begun)
    return float(np.median(times))


def memory_rate() -> float:
    """Bytes read and written a second by the sum of a large array and one."""
    x = jnp.zeros(2**29, jnp.float32)
    add = jax.jit(lambda x: x + 1)
    return 2 * x.nbytes / seconds(lambda: add(x))


def step_costs(case: Case) -> dict[str, float]:
    """Operations of one one-backward step by XLA's count, and the bytes it moves.

    ``direct_flops``: of the program whose convolutions are lax's, as every platform but
    the CPU gets it, optimised (nothing is counted twice) but not run. What the CPU runs
    is ``executed_flops``: there a convolution may be written in another way.
    """
    trained = model(case, "one_backward")
    shape = (case.batch, case.size, case.size, case.channels)
    batch = {"real": jax.ShapeDtypeStruct(shape, jnp.float32)}
    state = jax.eval_shape(trained.init, jax.random.key(0), batch)
    step = jax.jit(trained.step)
    here = step.lower(state, batch).compile().cost_analysis() or {}
    elsewhere = export.export(
        step,
        platforms=["tpu"],
        disabled_checks=[export.DisabledSafetyCheck.platform()],
    )(state, batch)
    with jax.default_device(jax.devices("cpu")[0]):
        there = jax.jit(elsewhere.call).lower(state, batch).compile()
    return {
        "direct_flops": (there.cost_analysis() or {}).get("flops", 0.0),
        "executed_flops": here.get("flops", 0.0),
        "bytes_accessed": here.get("bytes accessed", 0.0),
    }
