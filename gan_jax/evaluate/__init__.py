"""Measures of how far generated samples lie from the data: features in, numbers out.

Each file is one family. What a figure depends on is kept with it, in a `Measurement`;
docs/evaluation.md says what each measure sees and what it is blind to.
"""

from gan_jax.evaluate.critic import wasserstein_critic
from gan_jax.evaluate.frechet import frechet_distance, frechet_infinity
from gan_jax.evaluate.geometry import geometry_score
from gan_jax.evaluate.inception_score import (
    inception_score,
    inception_score_of_logits,
)
from gan_jax.evaluate.kernels import kernel_distance, mean_discrepancy
from gan_jax.evaluate.likelihood import annealed_importance
from gan_jax.evaluate.measurement import (
    FeatureSpace,
    Measurement,
    from_json,
    real_halves,
    table,
    to_json,
)
from gan_jax.evaluate.modes import (
    expected_modes,
    high_quality_ceiling,
    reverse_kl_floor,
    stacked_report,
)
from gan_jax.evaluate.moments import Moments, gathered, merge, moments, moments_of
from gan_jax.evaluate.neighbours import (
    density_coverage,
    expected_coverage,
    nearest_neighbour_test,
    precision_recall,
)
from gan_jax.evaluate.prd import precision_recall_curve
from gan_jax.evaluate.pyramid import band_distances
from gan_jax.evaluate.references import reference
from gan_jax.evaluate.similarity import ms_ssim, self_similarity, ssim
from gan_jax.evaluate.skill import bradley_terry, elo, glicko2, tournament
from gan_jax.evaluate.sliced import sliced_wasserstein
from gan_jax.evaluate.two_sample import classifier_test

__all__ = [
    "FeatureSpace",
    "Measurement",
    "Moments",
    "annealed_importance",
    "band_distances",
    "bradley_terry",
    "classifier_test",
    "density_coverage",
    "elo",
    "expected_coverage",
    "expected_modes",
    "frechet_distance",
    "frechet_infinity",
    "from_json",
    "gathered",
    "geometry_score",
    "glicko2",
    "high_quality_ceiling",
    "inception_score",
    "inception_score_of_logits",
    "kernel_distance",
    "mean_discrepancy",
    "merge",
    "moments",
    "moments_of",
    "ms_ssim",
    "nearest_neighbour_test",
    "precision_recall",
    "precision_recall_curve",
    "real_halves",
    "reference",
    "reverse_kl_floor",
    "self_similarity",
    "sliced_wasserstein",
    "ssim",
    "stacked_report",
    "table",
    "to_json",
    "tournament",
    "wasserstein_critic",
]
