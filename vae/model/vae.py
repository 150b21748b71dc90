"""The variational autoencoder: encode -> posterior, decode -> likelihood, sample.

Kingma & Welling (2014), "Auto-Encoding Variational Bayes"; Rezende, Mohamed & Wierstra (2014).
"""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae.model.heads import BernoulliHead, GaussianHead
from vae.probability.distributions import DiagonalNormal, Likelihood, LogvarBounds


@runtime_checkable
class Encoder(Protocol):
    """An `nn.Module` from images to the parameters of q(z|x)."""

    def __call__(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch two_latents"]:
        """The means of the latents, then their log-variances."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The learned parameters. `reset_lost_latents` changes the last one if it is the bias of the outputs."""
        ...


@runtime_checkable
class Decoder(Protocol):
    """An `nn.Module` from latents to one number per pixel: logits for a Bernoulli likelihood, means for a Gaussian."""

    def __call__(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channels height width"]:
        """One number per pixel, in the image's shape."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The learned parameters. `VAE.start_at` sets `output.bias` if there is one."""
        ...


class VAE(nn.Module):
    """Encoder, decoder and likelihood as one model.

    Args:
        encoder: an `nn.Module`, from images to (batch, 2 * latent_dim): means, then log-variances.
        decoder: an `nn.Module`, from latents to one number per pixel.
        head: from the decoder's output to the likelihood.
        latent_dim: the number of latents.
        bounds: of the posterior's log-variance.
    """

    encoder: Encoder
    decoder: Decoder
    head: BernoulliHead | GaussianHead

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        head: BernoulliHead | GaussianHead,
        latent_dim: int,
        bounds: LogvarBounds = LogvarBounds(),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.head = head
        self.latent_dim = latent_dim
        self.bounds = bounds

    def encode(self, x: Float[Tensor, "batch channels height width"]) -> DiagonalNormal:
        """q(z|x), in fp32 even if the encoder computes in bf16."""
        mean, logvar = self.encoder(x).float().chunk(2, dim=1)
        return DiagonalNormal(mean, logvar, self.bounds)

    def decode(self, z: Float[Tensor, "batch latent"]) -> Likelihood:
        """p(x|z), in fp32 even if the decoder computes in bf16."""
        likelihood: Likelihood = self.head(self.decoder(z).float())
        return likelihood

    def log_likelihood(
        self, x: Float[Tensor, "batch channels height width"], z: Float[Tensor, "*samples batch latent"]
    ) -> Float[Tensor, "*samples batch"]:
        """ln p(x|z) of each image, summed over its pixels, in nats, for one or several samples of z."""
        if z.ndim == 2:
            return self.decode(z).log_prob(x)
        samples, batch, _ = z.shape
        return self.decode(z.flatten(0, 1)).log_prob(x.repeat(samples, 1, 1, 1)).view(samples, batch)

    @torch.no_grad()
    def sample(self, noise: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channels height width"]:
        """The mean images of p(x|z) for z = `noise`, samples of the prior N(0, I)."""
        return self.decode(noise).mean

    @torch.no_grad()
    def start_at(
        self, mean: Float[Tensor, "channels height width"], variance: Float[Tensor, "channels height width"]
    ) -> None:
        """Initialise the decoder's output bias, and a learned variance, from the mean and variance of the data.

        A decoder is changed only if it has a layer `output` whose bias has one entry per pixel or per channel.

        Args:
            mean: of each pixel over the training images, in the unit of x.
            variance: of each pixel over the training images.
        """
        self.head.start_at(variance)
        bias = dict(self.decoder.named_parameters()).get("output.bias")
        for target in (mean.mean((1, 2)), mean.flatten()):
            if bias is not None and bias.shape == target.shape:
                bias.copy_(self.head.output_of(target))


def count_parameters(vae: VAE) -> int:
    """The number of entries of all parameters."""
    return sum(parameter.numel() for parameter in vae.parameters())
