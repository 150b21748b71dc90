"""The network of Locatello et al. (2019), "Challenging Common Assumptions", Table 1."""

from collections import OrderedDict

from torch import nn

from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.layers import start_as_glorot, upsampling
from vae.model.vae import VAE
from vae.probability.distributions import LogvarBounds


def locatello_vae(
    image: tuple[int, int, int],
    latent_dim: int,
    head: BernoulliHead | GaussianHead | None = None,
    bounds: LogvarBounds = LogvarBounds(),
) -> VAE:
    """The VAE of Locatello et al. (2019), Table 1.

    Args:
        image: (channels, height, width), both sides multiples of 16; 64 in the paper.
        latent_dim: the number of latents.
        head: from the decoder's output to the likelihood; Bernoulli by default.
        bounds: of the posterior's log-variance.

    Raises:
        ValueError: a side is not a multiple of 16.
    """
    channels, height, width = image
    if height % 16 or width % 16:
        raise ValueError(
            f"the network of Locatello et al. needs sides of 16, 32, 48, ... pixels, got {height}x{width}. "
            "Resize the images, or use model=conv or model=mlp"
        )
    smallest = (64, height // 16, width // 16)
    features = 64 * smallest[1] * smallest[2]
    layers = nn.Sequential(
        nn.Conv2d(channels, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 2, stride=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 2, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(features, 256),
        nn.ReLU(),
        nn.Linear(256, 2 * latent_dim),
    )
    encoder = nn.Sequential(OrderedDict(layers=layers)).apply(start_as_glorot)
    layers = nn.Sequential(
        nn.Linear(latent_dim, 256),
        nn.ReLU(),
        nn.Linear(256, features),
        nn.ReLU(),
        nn.Unflatten(1, smallest),
        upsampling(64, 64),
        nn.ReLU(),
        upsampling(64, 32),
        nn.ReLU(),
        upsampling(32, 32),
        nn.ReLU(),
    )
    decoder = nn.Sequential(OrderedDict(layers=layers, output=upsampling(32, channels))).apply(start_as_glorot)
    return VAE(encoder, decoder, head or BernoulliHead(), latent_dim, bounds)
