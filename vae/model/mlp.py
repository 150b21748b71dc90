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
    """A fully connected VAE.

    Args:
        image: (channels, height, width).
        latent_dim: the number of latents.
        hidden: widths of the encoder's hidden layers; empty for a linear encoder and decoder.
        activation: the class of the encoder's non-linearity.
        head: from the decoder's output to the likelihood; Bernoulli by default.
        bounds: of the posterior's log-variance.
        decoder_hidden: widths of the decoder's hidden layers; the encoder's in reverse by default.
        decoder_activation: the class of the decoder's non-linearity; the encoder's by default.

    Example:
        >>> import torch
        >>> vae = mlp_vae(image=(1, 28, 28), latent_dim=20)
        >>> vae.encode(torch.zeros(5, 1, 28, 28)).kl_to_standard().shape
        torch.Size([5, 20])
    """
    pixels = math.prod(image)
    encoder = OrderedDict(flatten=nn.Flatten(), layers=mlp([pixels, *hidden, 2 * latent_dim], activation))
    widths = [latent_dim, *(hidden[::-1] if decoder_hidden is None else decoder_hidden)]
    of_decoder = decoder_activation or activation
    decoder: OrderedDict[str, nn.Module] = OrderedDict(
        layers=nn.Sequential(mlp(widths, of_decoder), of_decoder()) if len(widths) > 1 else nn.Identity(),
        output=nn.Linear(widths[-1], pixels),
        image=nn.Unflatten(1, image),
    )
    return VAE(nn.Sequential(encoder), nn.Sequential(decoder), head or BernoulliHead(), latent_dim, bounds)
