"""What a step costs, by the compiler's own count. Floating-point operations are exact.

Relative to alternating play with fresh fakes for G, on convolutional networks without
normalisation in D. In units of one forward pass through G and D, alternating play takes
4 G + 8 D, the merged loss 3 G + 7 D, one backward 3 G + 6 D (and a little less, since
D's first layer needs no gradient by its input).
"""

import jax
import jax.numpy as jnp
import optax
import pytest

from gan_jax import alternating, gan, latents, penalties
from gan_jax.networks import dcgan


def flops(n=32, *, gen_width=24, disc_width=16, norm=None, **options):
    """Of one compiled step in which each player moves on ``n`` samples."""
    model = gan(
        dcgan.generator(32, width=gen_width, norm=norm),
        dcgan.discriminator(32, width=disc_width),
        latent=latents.normal(64),
        optimizers={"gen": optax.adam(1e-3), "disc": optax.adam(1e-3)},
        ema=None,
        **({"penalty": None} | options),
    )
    batch = {"real": jax.ShapeDtypeStruct((n, 32, 32, 3), jnp.float32)}
    state = jax.eval_shape(model.init, jax.random.key(0), batch)
    compiled = jax.jit(model.step).lower(state, batch).compile()
    return compiled.cost_analysis()["flops"]


@pytest.fixture(scope="module")
def fresh_fakes():
    """Alternating: each player moves on samples and fakes of its own."""
    return flops(64, play=alternating("disc", "gen"))


def test_the_merged_loss(fresh_fakes):
    assert flops(gradient="merged") / fresh_fakes <= 0.82


def test_one_backward(fresh_fakes):
    assert flops(gradient="one_backward") / fresh_fakes <= 0.76


def test_the_articles_form_costs_more_than_the_merged_loss(fresh_fakes):
    article = flops(gradient="article") / fresh_fakes
    print(f"the article's form: {article:.3f} of alternating")
    assert flops(gradient="merged") / fresh_fakes < article < 1.0


def test_batch_norm_in_the_generator_costs_no_second_pass(fresh_fakes):
    """Where two separate gradients would run G twice, for want of a common part."""
    plain = flops(gradient="merged")
    assert flops(gradient="merged", norm="batch") / plain < 1.05


def test_penalties_share_the_losss_forward_pass():
    """R1 lies where the loss has been: it costs less than the same penalty at points of
    its own, by one forward pass through D. R2 costs what R1 does."""
    disc = dcgan.discriminator(32, width=16)
    x = jax.ShapeDtypeStruct((32, 32, 32, 3), jnp.float32)
    params, stats = jax.eval_shape(disc.init, jax.random.key(0), x)
    forward = jax.jit(lambda p, x: disc.apply(p, stats, x, train=True)[0])
    one = forward.lower(params, x).compile().cost_analysis()["flops"]

    plain = flops(gradient="one_backward")

    def extra(penalty):
        of_step = flops(gradient="one_backward", penalty=penalty)
        return (of_step - plain) / one

    r1, apart = extra(penalties.r1()), extra(penalties.zero_centred())
    both = extra(penalties.total(penalties.r1(), penalties.r2()))
    print(
        f"in forward passes of D: R1 {r1:.2f}, between {apart:.2f}, R1 + R2 {both:.2f}"
    )
    assert apart - r1 == pytest.approx(1, abs=0.1)
    assert both == pytest.approx(2 * r1, rel=0.02)
