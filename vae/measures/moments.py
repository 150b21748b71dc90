"""The aggregate posterior q(z) = mean over the images of q(z|x), seen as a Gaussian. In nats."""

import torch
from jaxtyping import Float
from torch import Tensor

from vae.probability.divergences import kl_normal


def aggregate_posterior(
    mean: Float[Tensor, "images latent"], logvar: Float[Tensor, "images latent"]
) -> tuple[Float[Tensor, " latent"], Float[Tensor, "latent latent"]]:
    """Mean and covariance of q(z) = mean over the images of q(z|x), in float64, by the law of total covariance."""
    mean, variance = mean.double(), logvar.double().exp()
    centred = mean - mean.mean(0)
    covariance = centred.T @ centred / len(mean) + torch.diag(variance.mean(0))
    return mean.mean(0), covariance


def aggregate_kl(mean: Float[Tensor, " latent"], covariance: Float[Tensor, "latent latent"]) -> float:
    """KL(N(mean, covariance) || N(0, I)) in nats: how far the latents a decoder was trained on lie from the prior."""
    zero, identity = torch.zeros_like(mean), torch.eye(len(mean), dtype=mean.dtype)
    return float(kl_normal(mean, covariance, zero, identity))


def gaussian_total_correlation(covariance: Float[Tensor, "latent latent"]) -> float:
    """KL(N(0, covariance) || N(0, its diagonal)) in nats: the linear part of the latents' dependence."""
    zero = torch.zeros(len(covariance), dtype=covariance.dtype)
    return float(kl_normal(zero, covariance, zero, torch.diag(covariance.diagonal())))
