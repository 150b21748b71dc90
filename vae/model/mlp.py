"""The fully connected network of Kingma & Welling (2014), "Auto-Encoding Variational Bayes", Appendix C.2."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.layers import Activation, mlp
from vae.model.vae import VAE
from vae.probability.distributions import (
    LogvarBounds,
)


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


class MLPEncoder(nn.Module):
    """A fully connected encoder (Kingma & Welling, 2014, Appendix C.2).

    Args:
        image: (channels, height, width).
        latent_dim: the number of latents.
        hidden: widths of the hidden layers, from the image on.
        activation: makes the non-linearity.
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        latent_dim: int,
        hidden: Sequence[int],
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        channels, height, width = image
        self.layers = mlp([channels * height * width, *hidden, 2 * latent_dim], activation)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch two_latents"]:
        """Means, then log-variances."""
        out: Tensor = self.layers(x.flatten(1))
        return out


class MLPDecoder(nn.Module):
    """The mirror of `MLPEncoder`, with the same arguments."""

    def __init__(
        self,
        image: tuple[int, int, int],
        latent_dim: int,
        hidden: Sequence[int],
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        self.image = image
        channels, height, width = image
        backwards = list(reversed(hidden))
        self.layers = nn.Sequential(mlp([latent_dim, *backwards], activation), activation())
        self.output = nn.Linear(backwards[-1], channels * height * width)

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channels height width"]:
        """One number a pixel."""
        out: Tensor = self.output(self.layers(z))
        return out.view(-1, *self.image)
