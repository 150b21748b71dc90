"""The aggregate posterior q(z), the mean over the images of q(z|x), as a Gaussian. In nats."""

import torch
from jaxtyping import Float
from torch import Tensor

from vae.probability.divergences import kl_normal


def aggregate_posterior(
    mean: Float[Tensor, "images latent"], logvar: Float[Tensor, "images latent"]
) -> tuple[Float[Tensor, " latent"], Float[Tensor, "latent latent"]]:
    """Mean and covariance of q(z) in float64, by the law of total covariance."""
    mean, variance = mean.double(), logvar.double().exp()
    centred = mean - mean.mean(0)
    covariance = centred.T @ centred / len(mean) + torch.diag(variance.mean(0))
    return mean.mean(0), covariance


def aggregate_kl(mean: Float[Tensor, " latent"], covariance: Float[Tensor, "latent latent"]) -> float:
    """KL(N(mean, covariance) || N(0, I)) in nats: how far the aggregate posterior lies from the prior."""
    zero, identity = torch.zeros_like(mean), torch.eye(len(mean), dtype=mean.dtype)
    return float(kl_normal(mean, covariance, zero, identity))


def gaussian_total_correlation(covariance: Float[Tensor, "latent latent"], above: float = 0.0) -> float:
    """KL(N(0, covariance) || N(0, its diagonal)) in nats: the linear part of the latents' dependence.

    It is infinite if one latent determines another. The result is then about 18, the limit of float64.

    Args:
        covariance: of the latents.
        above: latents whose variance is not above this value are left out.

    Example:
        >>> round(gaussian_total_correlation(torch.tensor([[1, 0.9], [0.9, 1]], dtype=torch.float64)), 3)
        0.83
    """
    kept = (covariance.diagonal() > above).nonzero().flatten()
    chosen = covariance[kept][:, kept].double()
    scale = chosen.diagonal().rsqrt()
    eigenvalues = torch.linalg.eigvalsh(scale[:, None] * chosen * scale)
    return max(0.0, float(-0.5 * eigenvalues.clamp_min(torch.finfo(torch.float64).eps).log().sum()))
