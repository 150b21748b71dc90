"""The network of Locatello et al. (2019), "Challenging Common Assumptions", Table 1."""

from jaxtyping import Float
from torch import Tensor, nn

from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.layers import _double, start_as_glorot
from vae.model.vae import VAE
from vae.probability.distributions import (
    LogvarBounds,
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


class LocatelloEncoder(nn.Module):
    """The encoder of Locatello et al. (2019), Table 1: the last two convolutions are 2x2, one fully connected layer.

    Args:
        image: (channels, height, width), the image square, its side a multiple of 16; 64 in the paper.
        latent_dim: the number of latents.
    """

    def __init__(self, image: tuple[int, int, int], latent_dim: int) -> None:
        super().__init__()
        smallest = _sixteenth(image)
        self.layers = nn.Sequential(
            nn.Conv2d(image[0], 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 2, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * smallest**2, 256),
            nn.ReLU(),
            nn.Linear(256, 2 * latent_dim),
        )
        self.apply(start_as_glorot)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch two_latents"]:
        """Means, then log-variances."""
        out: Tensor = self.layers(x)
        return out


class LocatelloDecoder(nn.Module):
    """The decoder of Locatello et al. (2019), Table 1, with the same arguments."""

    def __init__(self, image: tuple[int, int, int], latent_dim: int) -> None:
        super().__init__()
        smallest = _sixteenth(image)
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 256),
            nn.ReLU(),
            nn.Linear(256, 64 * smallest**2),
            nn.ReLU(),
            nn.Unflatten(1, (64, smallest, smallest)),
            _double(64, 64, 0),
            nn.ReLU(),
            _double(64, 32, 0),
            nn.ReLU(),
            _double(32, 32, 0),
            nn.ReLU(),
        )
        self.output = _double(32, image[0], 0)
        self.apply(start_as_glorot)

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channels height width"]:
        """One number a pixel."""
        out: Tensor = self.output(self.layers(z))
        return out


def _sixteenth(image: tuple[int, int, int]) -> int:
    _, height, width = image
    if height != width or height % 16:
        raise ValueError(
            f"the network of Locatello et al. needs square images, 16, 32, 48, ... pixels wide, got {height}x{width}. "
            "Resize the images, or use model=conv or model=mlp"
        )
    return height // 16
