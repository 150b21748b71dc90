"""The linear VAE of Lucas et al. (2019), "Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse"."""

import math
from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.vae import VAE
from vae.probability.distributions import LogvarBounds


class Bias(nn.Module):
    """Adds a learned vector. As a layer it is the encoder's last, which `reset_lost_latents` changes.

    Args:
        outputs: the length of the vector.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Float[Tensor, "batch outputs"]) -> Float[Tensor, "batch outputs"]:
        """The sum."""
        return x + self.bias


class LinearEncoder(nn.Module):
    """Means that are linear in x, and log-variances that are the same for all x.

    Args:
        inputs: the number of pixels.
        latent_dim: the number of latents.
    """

    def __init__(self, inputs: int, latent_dim: int) -> None:
        super().__init__()
        self.mean = nn.Linear(inputs, latent_dim, bias=False)
        self.bias = Bias(2 * latent_dim)  # of the means, then the log-variances

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch two_latents"]:
        """The means of the latents, then their log-variances."""
        mean = self.mean(x.flatten(1))
        outputs: Tensor = self.bias(torch.cat([mean, torch.zeros_like(mean)], 1))
        return outputs


def linear_vae(
    image: tuple[int, int, int],
    latent_dim: int,
    head: BernoulliHead | GaussianHead | None = None,
    bounds: LogvarBounds = LogvarBounds(),
) -> VAE:
    """A VAE with a linear encoder and a linear decoder.

    `vae.measures.linear_vae` has its optimum for a Gaussian likelihood in closed form.

    Args:
        image: (channels, height, width).
        latent_dim: the number of latents.
        head: from the decoder's output to the likelihood; Bernoulli by default.
        bounds: of the posterior's log-variance.

    Example:
        >>> vae = linear_vae(image=(1, 28, 28), latent_dim=20)
        >>> vae.encode(torch.zeros(5, 1, 28, 28)).kl_to_standard().shape
        torch.Size([5, 20])
    """
    pixels = math.prod(image)
    decoder = OrderedDict(output=nn.Linear(latent_dim, pixels), image=nn.Unflatten(1, image))
    encoder = LinearEncoder(pixels, latent_dim)
    return VAE(encoder, nn.Sequential(decoder), head or BernoulliHead(), latent_dim, bounds)
