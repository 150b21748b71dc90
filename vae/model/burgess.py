"""The convolutional network of Burgess et al. (2018), "Understanding disentangling in beta-VAE"."""

from jaxtyping import Float
from torch import Tensor, nn

from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.layers import Activation, _double, mlp, start_as_he
from vae.model.vae import VAE
from vae.probability.distributions import (
    LogvarBounds,
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


def halvings(side: int) -> list[int]:
    """The sides of the maps of 4x4 stride-2 convolutions, from `side` until it is at most 4.

    Example:
        >>> halvings(64), halvings(28)
        ([64, 32, 16, 8, 4], [28, 14, 7, 3])
    """
    sides = [side]
    while sides[-1] > 4:
        sides.append(sides[-1] // 2)
    return sides


class ConvEncoder(nn.Module):
    """The encoder of Burgess et al. (2018), "Understanding disentangling in beta-VAE".

    4x4 convolutions of stride 2 until the map's side is at most 4 (four for 64x64), then two fully connected layers.
    The paper does not say what they start with; here it is He's weights, by which the published curves of this network
    are met: torch's own, less than half as large, stay on a plateau for most of the first epoch of dSprites.

    Args:
        image: (channels, height, width), the image square.
        latent_dim: the number of latents.
        channels: of every convolution.
        width: of the two fully connected layers.
        activation: makes the non-linearity.
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        latent_dim: int,
        channels: int = 32,
        width: int = 256,
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        sides = _square_sides(image)
        inputs = [image[0]] + [channels] * (len(sides) - 2)
        convolutions = [nn.Sequential(nn.Conv2d(i, channels, 4, stride=2, padding=1), activation()) for i in inputs]
        self.convolutions = nn.Sequential(*convolutions)
        self.layers = mlp([channels * sides[-1] ** 2, width, width, 2 * latent_dim], activation)
        self.apply(start_as_he)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch two_latents"]:
        """Means, then log-variances."""
        out: Tensor = self.layers(self.convolutions(x).flatten(1))
        return out


class ConvDecoder(nn.Module):
    """The mirror of `ConvEncoder`, with the same arguments."""

    def __init__(
        self,
        image: tuple[int, int, int],
        latent_dim: int,
        channels: int = 32,
        width: int = 256,
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        sides = _square_sides(image)
        smallest = (channels, sides[-1], sides[-1])
        self.layers = nn.Sequential(
            mlp([latent_dim, width, width, channels * sides[-1] ** 2], activation),
            activation(),
            nn.Unflatten(1, smallest),
        )
        # A side of 2n and one of 2n + 1 both halve to n: the remainder says which one to come back to.
        remainders = [side % 2 for side in reversed(sides[:-1])]
        self.deconvolutions = nn.Sequential(
            *(nn.Sequential(_double(channels, channels, remainder), activation()) for remainder in remainders[:-1])
        )
        self.output = _double(channels, image[0], remainders[-1])
        self.apply(start_as_he)

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channels height width"]:
        """One number a pixel."""
        out: Tensor = self.output(self.deconvolutions(self.layers(z)))
        return out


def _square_sides(image: tuple[int, int, int]) -> list[int]:
    _, height, width = image
    if height != width or height < 8:
        raise ValueError(
            f"the convolutional networks need square images of side 8 or more, got {height}x{width}. "
            "Resize the images or use model=mlp"
        )
    return halvings(height)
