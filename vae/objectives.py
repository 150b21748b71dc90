"""The terms of the ELBO, and the loss that is minimised.

Higgins et al. (2017), "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework", Eq. 4:

    loss = mean over images of ( distortion + beta * rate ),   in nats per image

Distortion is summed over pixels, rate over latents, and nothing is ever averaged over either. The words are those of
Alemi et al. (2018), "Fixing a Broken ELBO".
"""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from vae.model import VAE
from vae.schedules import LinearWarmup


class Terms(NamedTuple):
    """What an image costs, in nats."""

    distortion: Float[Tensor, " batch"]  # -ln p(x|z), summed over pixels
    rate: Float[Tensor, "batch latent"]  # KL(q(z|x) || N(0, I)) of each latent

    @property
    def elbo(self) -> Float[Tensor, " batch"]:
        """The evidence lower bound on ln p(x), one sample of it, in nats."""
        return -self.distortion - self.rate.sum(1)


def elbo_terms(
    vae: VAE,
    x: Float[Tensor, "batch channels height width"],
    noise: Float[Tensor, "batch latent"],
) -> Terms:
    """Encode, sample once, decode.

    Args:
        vae: the model.
        x: images with pixels in [0, 1].
        noise: standard normal.
    """
    posterior = vae.encode(x)  # q(z|x)
    z = posterior.rsample(noise)
    likelihood = vae.decode(z)  # p(x|z)
    return Terms(distortion=-likelihood.log_prob(x), rate=posterior.kl_to_standard())


@dataclass(frozen=True)
class BetaObjective:
    """The loss of the β-VAE: beta = 1 is the negative ELBO (Higgins et al., 2017, Eq. 4).

    Args:
        beta: the weight of the rate as a function of the step.
    """

    beta: LinearWarmup

    def __call__(self, terms: Terms, step: int) -> Float[Tensor, ""]:
        """The mean loss of a batch, in nats per image."""
        per_image = terms.distortion + self.beta(step) * terms.rate.sum(1)
        # Divided before it is summed: a batch whose means have run away to 1e18 still has a finite loss.
        return (per_image / per_image.numel()).sum()


def normalised_beta(beta: float, latent_dim: int, pixels: int) -> float:
    """beta * M / N, the weight of the rate if rate and distortion were means (Higgins et al., 2017).

    Example:
        >>> normalised_beta(4.0, latent_dim=10, pixels=64 * 64)
        0.009765625
    """
    return beta * latent_dim / pixels
