"""The fully connected network of Kingma & Welling (2014), "Auto-Encoding Variational Bayes", Appendix C.2."""

import math
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.layers import mlp
from vae.model.vae import VAE
from vae.probability.distributions import LogvarBounds


def mlp_vae(
    image: tuple[int, int, int],
    latent_dim: int,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    head: BernoulliHead | GaussianHead | None = None,
    bounds: LogvarBounds = LogvarBounds(),
    decoder_hidden: Sequence[int] | None = None,
    decoder_activation: type[nn.Module] | None = None,
) -> VAE:
    """A fully connected VAE for images of (channels, height, width).

    Args:
        image: (channels, height, width).
        latent_dim: the number of latents.
        hidden: widths of the encoder's hidden layers, from the image on.
        activation: the class of the encoder's non-linearity.
        head: from the decoder's output to the likelihood; Bernoulli if none is given.
        bounds: of the posterior's log-variance.
        decoder_hidden: widths of the decoder's hidden layers, from z on; the encoder's in reverse if none are given.
        decoder_activation: the class of the decoder's non-linearity; the encoder's if none is given.

    Example:
        >>> import torch
        >>> vae = mlp_vae(image=(1, 28, 28), latent_dim=20)
        >>> vae.encode(torch.zeros(5, 1, 28, 28)).kl_to_standard().shape
        torch.Size([5, 20])
    """
    backwards = hidden[::-1] if decoder_hidden is None else decoder_hidden
    encoder = mlp_encoder(image, latent_dim, hidden, activation)
    decoder = mlp_decoder(image, latent_dim, backwards, decoder_activation or activation)
    return VAE(encoder, decoder, head or BernoulliHead(), latent_dim, bounds)


def mlp_encoder(
    image: tuple[int, int, int], latent_dim: int, hidden: Sequence[int], activation: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    """(batch, channels, height, width) -> (batch, 2 * latent_dim), with hidden layers of these widths."""
    layers = mlp([math.prod(image), *hidden, 2 * latent_dim], activation)
    return nn.Sequential(OrderedDict(flatten=nn.Flatten(), layers=layers))


def mlp_decoder(
    image: tuple[int, int, int], latent_dim: int, hidden: Sequence[int], activation: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    """(batch, latent_dim) -> (batch, channels, height, width), with hidden layers of these widths, from z on."""
    layers = nn.Sequential(mlp([latent_dim, *hidden], activation), activation())
    output = nn.Linear(hidden[-1], math.prod(image))
    return nn.Sequential(OrderedDict(layers=layers, output=output, image=nn.Unflatten(1, image)))
