"""The convolutional network of Burgess et al. (2018), "Understanding disentangling in beta-VAE".

The paper does not state the initial weights. Those of He et al. reproduce its published curves. With torch's default,
dSprites is learned more slowly.
"""

import itertools
import math
from collections import OrderedDict

from torch import nn

from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.layers import downsampling, mlp, start_as_he, upsampling_to
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

    4x4 convolutions of stride 2 until both sides are at most 4 (four for 64x64), then two fully connected layers. A
    side that is at most 4 before the other is kept by convolutions of stride 1 along it. The decoder is the mirror.

    Args:
        image: (channels, height, width), of height and width 8 or more.
        latent_dim: the number of latents.
        channels: the number of channels of every convolution.
        width: the width of the two fully connected layers.
        activation: the class of the non-linearity.
        head: from the decoder's output to the likelihood; Bernoulli by default.
        bounds: of the posterior's log-variance.

    Raises:
        ValueError: the image is too small.

    Example:
        >>> import torch
        >>> vae = conv_vae(image=(3, 64, 64), latent_dim=10)
        >>> vae.decode(torch.zeros(5, 10)).mean.shape
        torch.Size([5, 3, 64, 64])
    """
    _, *size = image
    if min(size) < 8:
        raise ValueError(
            f"the convolutional networks need images of height and width 8 or more, got {size[0]}x{size[1]}. "
            "Resize the images or use model=mlp"
        )
    sizes = [(size[0], size[1])]  # of the image and of each convolution's output: 28, 14, 7, 3 for MNIST
    while max(sizes[-1]) > 4:
        height, breadth = (side // 2 if side > 4 else side for side in sizes[-1])
        sizes.append((height, breadth))
    smallest = (channels, *sizes[-1])
    steps = list(itertools.pairwise(sizes))
    inputs = [image[0]] + [channels] * (len(steps) - 1)
    convolutions = [
        nn.Sequential(downsampling(i, channels, *step), activation()) for i, step in zip(inputs, steps, strict=True)
    ]
    layers = mlp([math.prod(smallest), width, width, 2 * latent_dim], activation)
    parts = OrderedDict(convolutions=nn.Sequential(*convolutions), flatten=nn.Flatten(), layers=layers)
    encoder = nn.Sequential(parts).apply(start_as_he)
    layers = mlp([latent_dim, width, width, math.prod(smallest)], activation)
    *inner, last = [(small, large) for large, small in reversed(steps)]
    deconvolutions = [nn.Sequential(upsampling_to(channels, channels, *step), activation()) for step in inner]
    parts = OrderedDict(
        layers=nn.Sequential(layers, activation(), nn.Unflatten(1, smallest)),
        deconvolutions=nn.Sequential(*deconvolutions),
        output=upsampling_to(channels, image[0], *last),
    )
    decoder = nn.Sequential(parts).apply(start_as_he)
    return VAE(encoder, decoder, head or BernoulliHead(), latent_dim, bounds)
