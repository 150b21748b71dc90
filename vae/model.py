"""The variational autoencoder: encode -> posterior, decode -> likelihood, sample.

Kingma & Welling (2014), "Auto-Encoding Variational Bayes"; Rezende, Mohamed & Wierstra (2014).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae.distributions import (
    Bernoulli,
    DiagonalNormal,
    Gaussian,
    Likelihood,
    LogvarBounds,
    bound_logvar,
    logvar_of,
)
from vae.divergences import all_inside, at_hand
from vae.networks import (
    Activation,
    ConvDecoder,
    ConvEncoder,
    LocatelloDecoder,
    LocatelloEncoder,
    MLPDecoder,
    MLPEncoder,
)


class BernoulliHead(nn.Module):
    """Reads the decoder's numbers as logits."""

    def forward(self, output: Float[Tensor, "batch *pixels"]) -> Likelihood:
        """p(x|z)."""
        return Bernoulli(output)

    @torch.no_grad()
    def start_at(self, mean: Float[Tensor, " outputs"], variance: float) -> Tensor:  # noqa: ARG002
        """The bias under which a decoder that ignores z gives pixels of this mean.

        A pixel that is never lit has a logit of -inf: an epsilon of 0.001 keeps it finite, as in Burda et al. (2016).
        """
        return torch.logit(mean, eps=1e-3)


class GaussianHead(nn.Module):
    """Reads the decoder's numbers as means; one variance for all pixels.

    The learned variance is that of Rybkin, Daniilidis & Levine (2021), "Simple and Effective VAE Training with
    Calibrated Decoders".

    Args:
        variance: of every pixel; where it is learned, what it starts from.
        learned: train the variance with the networks.
        bounds: of the log-variance.
    """

    logvar: Tensor

    def __init__(self, variance: float, learned: bool, bounds: LogvarBounds = LogvarBounds()) -> None:
        super().__init__()
        start = torch.tensor(logvar_of(variance, epsilon=0.0))
        self.learned = learned
        self.bounds = bounds
        if learned:
            self.logvar = nn.Parameter(start)
        else:
            self.register_buffer("logvar", start)

    def forward(self, output: Float[Tensor, "batch *pixels"]) -> Likelihood:
        """p(x|z)."""
        return Gaussian(output, bound_logvar(self.logvar, self.bounds))

    @torch.no_grad()
    def start_at(self, mean: Float[Tensor, " outputs"], variance: float) -> Tensor:
        """The bias under which a decoder that ignores z gives pixels of this mean; a learned variance starts there."""
        if self.learned:
            self.logvar.fill_(logvar_of(variance))
        return mean


class VAE(nn.Module):
    """Encoder, decoder and likelihood, as one model.

    Args:
        encoder: images to (batch, 2 * latent_dim): means, then log-variances.
        decoder: latents to one number a pixel; its last layer is its attribute `output`.
        head: the decoder's numbers to a likelihood.
        latent_dim: the number of latents.
        bounds: of the posterior's log-variance.
    """

    def __init__(
        self,
        encoder: MLPEncoder | ConvEncoder | LocatelloEncoder,
        decoder: MLPDecoder | ConvDecoder | LocatelloDecoder,
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
        last = self.encoder.layers[-1]
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
        bias = self.decoder.output.bias
        assert bias is not None
        per_pixel = bias.numel() == mean.numel()
        # A convolution has one bias a channel: the mean over its pixels.
        target = mean.flatten() if per_pixel else mean.mean((1, 2))
        bias.copy_(self.head.start_at(target, variance))


def mlp_vae(
    image: tuple[int, int, int],
    latent_dim: int,
    hidden: Sequence[int] = (400,),
    activation: Activation = nn.ReLU,
    head: BernoulliHead | GaussianHead | None = None,
    bounds: LogvarBounds = LogvarBounds(),
    decoder_hidden: Sequence[int] | None = None,
    decoder_activation: Activation | None = None,
) -> VAE:
    """A fully connected VAE for images of (channels, height, width).

    The decoder mirrors the encoder but for what is given; its widths are from z on.

    Example:
        >>> vae = mlp_vae(image=(1, 28, 28), latent_dim=20)
        >>> vae.encode(torch.zeros(5, 1, 28, 28)).kl_to_standard().shape
        torch.Size([5, 20])
    """
    mirrored = hidden if decoder_hidden is None else list(reversed(decoder_hidden))
    return VAE(
        MLPEncoder(image, latent_dim, hidden, activation),
        MLPDecoder(image, latent_dim, mirrored, decoder_activation or activation),
        head or BernoulliHead(),
        latent_dim,
        bounds,
    )


def conv_vae(
    image: tuple[int, int, int],
    latent_dim: int,
    channels: int = 32,
    width: int = 256,
    activation: Activation = nn.ReLU,
    head: BernoulliHead | GaussianHead | None = None,
    bounds: LogvarBounds = LogvarBounds(),
) -> VAE:
    """The convolutional VAE of Burgess et al. (2018) for square images of (channels, height, width).

    Example:
        >>> vae = conv_vae(image=(3, 64, 64), latent_dim=10)
        >>> vae.decode(torch.zeros(5, 10)).mean.shape
        torch.Size([5, 3, 64, 64])
    """
    return VAE(
        ConvEncoder(image, latent_dim, channels, width, activation),
        ConvDecoder(image, latent_dim, channels, width, activation),
        head or BernoulliHead(),
        latent_dim,
        bounds,
    )


def locatello_vae(
    image: tuple[int, int, int],
    latent_dim: int,
    head: BernoulliHead | GaussianHead | None = None,
    bounds: LogvarBounds = LogvarBounds(),
) -> VAE:
    """The VAE of Locatello et al. (2019), Table 1, for square images whose side is a multiple of 16."""
    return VAE(
        LocatelloEncoder(image, latent_dim),
        LocatelloDecoder(image, latent_dim),
        head or BernoulliHead(),
        latent_dim,
        bounds,
    )
