"""Lies about conditioning, cascades, orthogonality and minibatch statistics."""

from tests.mutations import Mutation

CONDITIONING = "gan_jax/networks/conditioning.py"
CASCADE = "gan_jax/networks/cascade.py"
GAME = "gan_jax/objectives/cascade.py"
ORTHOGONAL = "gan_jax/orthogonality.py"
MINIBATCH = "gan_jax/networks/minibatch.py"
TEST = "tests/test_architecture.py"
PROTOCOL = "tests/test_protocol.py"

MUTATIONS = [
    Mutation(
        CONDITIONING,
        "y = scale * x + head(",
        "y = (1 + scale) * x + head(",
        f"{TEST} -k 'zero_heads and layer'",
    ),
    Mutation(
        CONDITIONING,
        "jax.nn.relu(Dense(self.hidden)(c))",
        "Dense(self.hidden)(c)",
        f"{TEST} -k self_modulation_is_its_formula",
    ),
    Mutation(
        CONDITIONING,
        "zeros = nn.initializers.zeros",
        "zeros = nn.initializers.normal(0.02)",
        f"{TEST} -k 'zero_heads and self'",
    ),
    Mutation(
        CONDITIONING,
        "norm = nn.LayerNorm(use_scale=False",
        "norm = nn.LayerNorm(reduction_axes=(1, 2, 3), use_scale=False",
        f"{TEST} -k layer_norm_sees_one_position",
    ),
    Mutation(
        CONDITIONING,
        "norm = nn.InstanceNorm(",
        "norm = nn.GroupNorm(num_groups=1,",
        f"{TEST} -k adain_gives",
    ),
    Mutation(
        CONDITIONING,
        "return z + shift + scale * z",
        "return z + shift + scale",
        f"{TEST} -k labelled_latent",
    ),
    Mutation(
        "gan_jax/networks/dcgan.py",
        "style = LabelledLatent(self.classes)(z, label)",
        "LabelledLatent(self.classes)(z, label)",
        f"{TEST} -k starts_as_the_plain_one",
    ),
    Mutation(
        "gan_jax/networks/resnet.py",
        "return self.residual * h + doubled(",
        "return self.residual * h + self.residual * doubled(",
        f"{TEST} -k residual_scaling",
    ),
    Mutation(
        "gan_jax/networks/resnet.py",
        "return self.residual * (halved(h) if self.halve else h) + x",
        "return (halved(h) if self.halve else h) + self.residual * x",
        f"{TEST} -k residual_scaling",
    ),
    Mutation(
        CASCADE,
        "squared = jnp.square(w).sum()",
        "squared = jnp.sqrt(jnp.square(w).sum())",
        f"{TEST} -k each_logit_judges",
    ),
    Mutation(
        CASCADE,
        "left = left - share[:, None] * w[None]",
        "left = left + share[:, None] * w[None]",
        f"{TEST} -k each_logit_judges",
    ),
    Mutation(
        CASCADE,
        "left = left - share[:, None] * w[None]",
        "left = features - share[:, None] * w[None]",
        f"{TEST} -k each_logit_judges",
    ),
    Mutation(
        CASCADE,
        "length = jnp.linalg.norm(kernel, axis=0",
        "length = jnp.linalg.norm(kernel, axis=1",
        f"{TEST} -k spectral_cascade",
    ),
    Mutation(
        GAME,
        'return jnp.matmul(x, shares, precision="highest") / total',
        "return x.mean()",
        f"{PROTOCOL} -k 'own_gradient and cascade'",
    ),
    Mutation(
        GAME,
        "jnp.take(logits, i, axis=1)",
        "jnp.take(logits, 0 * i, axis=1)",
        f"{PROTOCOL} -k 'own_gradient and cascade'",
    ),
    Mutation(
        GAME,
        "            penalty=penalty,\n",
        "            penalty=None,\n",
        f"{PROTOCOL} -k 'own_gradient and cascade'",
    ),
    Mutation(
        ORTHOGONAL,
        "cost = 4 * beta",
        "cost = 2 * beta",
        f"{TEST} -k orthogonal_gradient",
    ),
    Mutation(
        ORTHOGONAL,
        "return gradient + cost.reshape",
        "return gradient - cost.reshape",
        f"{TEST} -k 'orthogonal_gradient or cost_nothing'",
    ),
    Mutation(
        ORTHOGONAL,
        "return _exact(w.T, w) * (1 - jnp.eye(w.shape[1], dtype=w.dtype))",
        "return _exact(w.T, w) - jnp.eye(w.shape[1], dtype=w.dtype)",
        f"{TEST} -k 'orthogonal_gradient or cost_nothing'",
    ),
    Mutation(
        ORTHOGONAL,
        "return w.reshape(-1, w.shape[-1])",
        "return w.reshape(w.shape[0], -1)",
        f"{TEST} -k orthogonal_gradient",
    ),
    # A class that there is none of is another one.
    Mutation(
        "gan_jax/numerics.py",
        "jnp.where(label < 0, len(table), label.astype(jnp.int32))",
        "label.astype(jnp.int32)",
        "tests/test_networks.py -k class_that_does_not_exist",
    ),
    Mutation(
        "gan_jax/numerics.py",
        'mode="fill", fill_value=jnp.nan',
        'mode="clip"',
        "tests/test_networks.py -k class_that_does_not_exist",
    ),
    Mutation(
        ORTHOGONAL,
        "answers = jnp.tanh(gamma * _exact(features, weight))",
        "answers = jnp.tanh(_exact(features, weight))",
        f"{TEST} -k 'cosine_of_signs or its_formula'",
    ),
    Mutation(
        ORTHOGONAL,
        "products = jax.lax.psum(products, axis_name)",
        "products = jax.lax.pmean(products[:1], axis_name)",
        f"{TEST} -k self_orthogonality_on_four",
    ),
    Mutation(
        ORTHOGONAL,
        "length = jnp.sqrt(nonzero(squared))",
        "length = nonzero(squared)",
        f"{TEST} -k self_orthogonality_is_its_formula",
    ),
    Mutation(
        ORTHOGONAL,
        "sum_weight * jnp.square(others.sum())",
        "sum_weight * jnp.square(others).sum()",
        f"{TEST} -k self_orthogonality_is_its_formula",
    ),
    Mutation(
        MINIBATCH,
        "return averaged(x.mean(1, keepdims=True), axis_name)",
        "return x.mean(1, keepdims=True)",
        f"{TEST} -k stddev_on_four",
    ),
    Mutation(
        MINIBATCH,
        "mean(jnp.square(x - mean(x)))",
        "mean(jnp.square(x))",
        f"{TEST} -k stddev_is_its_formula",
    ),
    Mutation(
        MINIBATCH,
        "x = full(h).reshape(-1, group or n, *h.shape[1:])",
        "x = full(h).reshape(group or n, -1, *h.shape[1:]).swapaxes(0, 1)",
        f"{TEST} -k stddev_is_its_formula",
    ),
    Mutation(
        "gan_jax/networks/dcgan.py",
        "h = minibatch_stddev(",
        "minibatch_stddev(",
        f"{TEST} -k one_backward_refuses",
    ),
]
