r"""Kumar, Sattigeri & Balakrishnan (2018), "Variational Inference of Disentangled Latent Concepts": DIP-VAE.

.. math:: \text{loss} = \text{distortion} + \beta \, \text{rate}
    + \lambda_{od} \sum_{i \ne j} \mathrm{Cov}_{ij}^2 + \lambda_d \sum_i (\mathrm{Cov}_{ii} - 1)^2

The covariance is that of the posterior means (DIP-VAE-I) or that of z ~ q(z) (DIP-VAE-II).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from vae.objectives.schedules import Schedule
from vae.objectives.terms import DrawnTerms, mean_over_images
from vae.probability.distributions import DiagonalNormal


@dataclass(frozen=True)
class DipObjective:
    """Penalises latents whose covariance over the data is not the identity, which is that of the prior.

    Args:
        beta: the weight of the rate as a function of the step.
        lambda_od: the weight of the squares off the diagonal, in nats.
        lambda_d: the weight of the squared distances of the diagonal from 1, in nats.
        aggregate: whether to use the covariance of z ~ q(z) (II) instead of that of the posterior means (I).
    """

    beta: Schedule
    lambda_od: float
    lambda_d: float
    aggregate: bool
    sample_shape: ClassVar[tuple[int, ...]] = ()

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:
        """The mean loss of a batch, in nats per image."""
        covariance = covariance_of(terms.posterior, aggregate=self.aggregate)
        variance = covariance.diagonal()
        off_diagonal = covariance - torch.diag(variance)
        penalty = self.lambda_od * off_diagonal.square().sum() + self.lambda_d * (variance - 1).square().sum()
        terms.log(dip_penalty=penalty)
        return mean_over_images(terms.distortion + self.beta(step) * terms.rate.sum(1)) + penalty

    def rate_weight(self, step: int) -> float:
        """Beta."""
        return self.beta(step)


def covariance_of(posterior: DiagonalNormal, *, aggregate: bool) -> Float[Tensor, "latent latent"]:
    """The covariance of the posterior means over a batch, or of z if `aggregate` (law of total covariance)."""
    centred = posterior.mean - posterior.mean.mean(0)
    covariance = centred.T @ centred / len(centred)
    return covariance + torch.diag(posterior.logvar.exp().mean(0)) if aggregate else covariance
