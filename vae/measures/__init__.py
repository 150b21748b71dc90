"""What the rate is made of, which latents carry it, and how tight the bound is. Information is in nats."""

from vae.measures.activity import (
    active_by_posterior_variance,
    active_by_rate,
    active_by_variance,
    baseline_distortion,
    effective_latents,
    participation_ratio,
)
from vae.measures.bound import importance_weighted_bound, importance_weighted_halves, log_mean_exp
from vae.measures.decomposition import RateDecomposition, aggregate_log_densities, decompose_rate, shuffled
from vae.measures.labels import label_information
from vae.measures.moments import aggregate_kl, aggregate_posterior, gaussian_total_correlation

__all__ = [
    "RateDecomposition",
    "active_by_posterior_variance",
    "active_by_rate",
    "active_by_variance",
    "aggregate_kl",
    "aggregate_log_densities",
    "aggregate_posterior",
    "baseline_distortion",
    "decompose_rate",
    "effective_latents",
    "gaussian_total_correlation",
    "importance_weighted_bound",
    "importance_weighted_halves",
    "label_information",
    "log_mean_exp",
    "participation_ratio",
    "shuffled",
]
