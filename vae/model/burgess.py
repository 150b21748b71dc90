"""The convolutional network of Burgess et al. (2018), "Understanding disentangling in beta-VAE".

The paper does not state the initial weights. Those of He et al. reproduce its published curves. With torch's default,
dSprites is learned more slowly.
"""

import math
from collections import OrderedDict

from torch import nn

from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.layers import mlp, start_as_he, upsampling
from vae.model.vae import VAE
from vae.probability.distributions import LogvarBounds


def conv_vae(
    image: tuple[int, int, int],
    latent_dim: int,
    channels: int = 32,
    width: int = 256,
    activation: type[nn.Module] = nn.ReLU,
    head: BernoulliHead | GaussianHead | None = None,
    bounds: LogvarBounds = LogvarBounds(),
) -> VAE:
    """The convolutional VAE of Burgess et al. (2018).

    4x4 convolutions of stride 2 until the side is at most 4 (four for 64x64), then two fully connected layers. The
    decoder is the mirror of this.

    Args:
        image: (channels, height, width), square, of side 8 or more.
        latent_dim: the number of latents.
        channels: the number of channels of every convolution.
        width: the width of the two fully connected layers.
        activation: the class of the non-linearity.
        head: from the decoder's output to the likelihood; Bernoulli by default.
        bounds: of the posterior's log-variance.

    Raises:
        ValueError: the image is not square, or too small.

    Example:
        >>> import torch
        >>> vae = conv_vae(image=(3, 64, 64), latent_dim=10)
        >>> vae.decode(torch.zeros(5, 10)).mean.shape
        torch.Size([5, 3, 64, 64])
    """
    _, height, breadth = image
    if height != breadth or height < 8:
        raise ValueError(
            f"the convolutional networks need square images of side 8 or more, got {height}x{breadth}. "
            "Resize the images or use model=mlp"
        )
    sides = [height]  # of the image and of each convolution's output: 28, 14, 7, 3 for MNIST
    while sides[-1] > 4:
        sides.append(sides[-1] // 2)
    smallest = (channels, sides[-1], sides[-1])
    inputs = [image[0]] + [channels] * (len(sides) - 2)
    convolutions = [nn.Sequential(nn.Conv2d(i, channels, 4, stride=2, padding=1), activation()) for i in inputs]
    layers = mlp([math.prod(smallest), width, width, 2 * latent_dim], activation)
    parts = OrderedDict(convolutions=nn.Sequential(*convolutions), flatten=nn.Flatten(), layers=layers)
    encoder = nn.Sequential(parts).apply(start_as_he)
    layers = mlp([latent_dim, width, width, math.prod(smallest)], activation)
    *inner, last = [side % 2 for side in reversed(sides[:-1])]  # sides 2n and 2n + 1 both halve to n
    deconvolutions = [nn.Sequential(upsampling(channels, channels, remainder), activation()) for remainder in inner]
    parts = OrderedDict(
        layers=nn.Sequential(layers, activation(), nn.Unflatten(1, smallest)),
        deconvolutions=nn.Sequential(*deconvolutions),
        output=upsampling(channels, image[0], last),
    )
    decoder = nn.Sequential(parts).apply(start_as_he)
    return VAE(encoder, decoder, head or BernoulliHead(), latent_dim, bounds)
