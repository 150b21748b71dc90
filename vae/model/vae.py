"""The variational autoencoder: encode -> posterior, decode -> likelihood, sample.

Kingma & Welling (2014), "Auto-Encoding Variational Bayes"; Rezende, Mohamed & Wierstra (2014).
"""

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae.model.heads import BernoulliHead, GaussianHead
from vae.probability.distributions import DiagonalNormal, Likelihood, LogvarBounds
from vae.probability.finite import all_inside, at_hand


class Encoder(Protocol):
    """A module from images to the parameters of q(z|x)."""

    def __call__(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch two_latents"]:
        """The means, then the log-variances."""
        ...


class Decoder(Protocol):
    """A module from latents to one number a pixel, in the image's shape: logits, or means."""

    def __call__(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channels height width"]:
        """One number a pixel."""
        ...


class VAE(nn.Module):
    """Encoder, decoder and likelihood, as one model.

    Args:
        encoder: images to (batch, 2 * latent_dim): means, then log-variances.
        decoder: latents to one number a pixel; its last layer is its attribute `output`.
        head: the decoder's numbers to a likelihood.
        latent_dim: the number of latents.
        bounds: of the posterior's log-variance.
    """

    encoder: nn.Module
    decoder: nn.Module
    head: BernoulliHead | GaussianHead

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
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
        """q(z|x), in fp32 whatever the networks compute in."""
        mean, logvar = self.encoder(x).float().chunk(2, dim=1)
        if self.training:
            logvar = self.recall(logvar)
        return DiagonalNormal(mean, logvar, self.bounds)

    def recall(self, logvar: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch latent"]:
        """Shift the encoder's bias of each latent that is thrown out, and return the log-variances of the new bias.

        Thrown out is a latent whose log-variance lies beyond a bound, by more than 1, for every image. Gradients bring
        single images back (`bound_logvar`), but a bias they move by no more than the learning rate a step: from
        logvar = 50 that takes Adam 40 000 steps, and the images part on the way. So the middle of the latent's
        log-variances is put at the prior's, 0, before the step uses them. Like a batch norm's statistics, in training
        only.
        """
        values = logvar.detach()
        lowest, highest = self.bounds.low - 1, self.bounds.high + 1
        if all_inside(values, lowest, highest):
            return logvar
        low, high = values.aminmax(dim=0)
        thrown = (low > highest) | (high < lowest)
        if at_hand(values) and not thrown.any():
            return logvar
        shift = torch.where(thrown, 0.5 * low + 0.5 * high, 0.0)
        layers = self.encoder.layers
        assert isinstance(layers, nn.Sequential)
        last = layers[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias[self.latent_dim :] -= shift
        return logvar - shift

    def decode(self, z: Float[Tensor, "batch latent"]) -> Likelihood:
        """p(x|z), in fp32 whatever the networks compute in."""
        likelihood: Likelihood = self.head(self.decoder(z).float())
        return likelihood

    @torch.no_grad()
    def sample(self, noise: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channels height width"]:
        """Mean images of p(x|z) for z from the prior N(0, I), which `noise` is."""
        return self.decode(noise).mean

    @torch.no_grad()
    def start_at(self, mean: Float[Tensor, "channels height width"], variance: float) -> None:
        """Set the output's biases so that training starts from the data's mean instead of having to find it.

        Args:
            mean: of each pixel over the training images, in [0, 1].
            variance: of the pixels around that mean, averaged over the pixels.
        """
        output = self.decoder.output
        assert isinstance(output, nn.Module)
        bias = output.bias
        assert isinstance(bias, Tensor)
        per_pixel = bias.numel() == mean.numel()
        # A convolution has one bias a channel: the mean over its pixels.
        target = mean.flatten() if per_pixel else mean.mean((1, 2))
        bias.copy_(self.head.start_at(target, variance))
