"""The model that a configuration describes. Each option is chosen by a `match` on its dataclass."""

import math
from collections.abc import Callable, Mapping
from typing import Any, assert_never

import torch
from torch import nn

from vae.config import (
    Activation,
    BernoulliConfig,
    ConfigError,
    ConvConfig,
    GaussianConfig,
    LikelihoodConfig,
    LinearConfig,
    LocatelloConfig,
    MLPConfig,
    Start,
    Variances,
)
from vae.config.model import CustomModelConfig, ModelConfig
from vae.config.rules import raised
from vae.model.burgess import conv_vae
from vae.model.check import check_networks
from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.layers import start_as_glorot
from vae.model.linear import linear_vae
from vae.model.locatello import locatello_vae
from vae.model.mlp import mlp_vae
from vae.model.vae import VAE
from vae.probability.distributions import LogvarBounds

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    Activation.relu: nn.ReLU,
    Activation.tanh: nn.Tanh,
    Activation.silu: nn.SiLU,
    Activation.gelu: nn.GELU,
}

# A network of the user's own: a module, or a function of (image, latent_dim, **options) that returns one.
Network = nn.Module | Callable[..., Any]


def build_vae(
    model: ModelConfig,
    likelihood: LikelihoodConfig,
    bounds: LogvarBounds,
    image: tuple[int, int, int],
    encoder: Network | None = None,
    decoder: Network | None = None,
) -> VAE:
    """The model with new weights.

    Args:
        model: the networks.
        likelihood: of the pixels.
        bounds: of the posterior's log-variance.
        image: (channels, height, width).
        encoder: the user's own, for `model=custom`.
        decoder: the user's own, for `model=custom`.

    Raises:
        ConfigError: the networks do not take such images, or one of the user's own is missing or does not fit.
    """
    try:
        vae = vae_of(model, build_head(likelihood, bounds, image), bounds, image, encoder, decoder)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from None
    # Channels last: half again as fast in bf16 for convolutions, no slower in fp32, and nothing to other layers.
    return vae.to(memory_format=torch.channels_last)


def vae_of(
    model: ModelConfig,
    head: BernoulliHead | GaussianHead,
    bounds: LogvarBounds,
    image: tuple[int, int, int],
    encoder: Network | None,
    decoder: Network | None,
) -> VAE:
    """The model, as `build_vae` returns it. An image size that the network does not take is a `ValueError`."""
    match model:
        case MLPConfig(latent_dim, hidden, activation, decoder_hidden, decoder_activation, start):
            of_decoder = ACTIVATIONS[decoder_activation or activation]
            vae = mlp_vae(image, latent_dim, hidden, ACTIVATIONS[activation], head, bounds, decoder_hidden, of_decoder)
            return vae.apply(start_as_glorot) if start is Start.glorot else vae
        case ConvConfig(latent_dim, channels, width, activation):
            return conv_vae(image, latent_dim, channels, width, ACTIVATIONS[activation], head, bounds)
        case LocatelloConfig(latent_dim):
            return locatello_vae(image, latent_dim, head, bounds)
        case LinearConfig(latent_dim):
            return linear_vae(image, latent_dim, head, bounds)
        case CustomModelConfig(latent_dim, encoder_name, decoder_name, options):
            own_encoder = own_network(encoder, encoder_name, "model.encoder", image, latent_dim, options)
            own_decoder = own_network(decoder, decoder_name, "model.decoder", image, latent_dim, options)
            vae = VAE(own_encoder, own_decoder, head, latent_dim, bounds)
            check_networks(vae, torch.linspace(0, 1, 8 * math.prod(image)).view(8, *image))
            return vae
        case _:
            assert_never(model)


def own_network(
    make: Network | None, text: str, key: str, image: tuple[int, int, int], latent_dim: int, options: Mapping[str, Any]
) -> nn.Module:
    """The module that the user's function or class returns.

    Args:
        make: the function or class, or the module itself.
        text: its name, as `module:name`, for the errors.
        key: the key of the configuration that has this value, for the errors.
        image: (channels, height, width).
        latent_dim: the number of latents.
        options: further keyword arguments.

    Raises:
        ConfigError: the function is missing or cannot be called, or does not return a module.
    """
    if make is None:
        argument = key.rpartition(".")[2]
        raise ConfigError(f"{key} is your own {text}, which must be given. Pass {argument}={text.rpartition(':')[2]}")
    if isinstance(make, nn.Module):
        return make
    rule = f"{key} must take (image, latent_dim, **model.options) and return an nn.Module"
    try:
        network = make(image, latent_dim, **options)
    except Exception as error:  # the user's code may raise anything
        raise ConfigError(f"{rule}, got {raised(error)}. Change {text}, or model.options") from error
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{rule}, got {type(network).__name__} of {text}. Return the module")
    return network


def build_head(
    likelihood: LikelihoodConfig, bounds: LogvarBounds, image: tuple[int, int, int]
) -> BernoulliHead | GaussianHead:
    """The head, which turns the output of the decoder into a likelihood."""
    match likelihood:
        case BernoulliConfig():
            return BernoulliHead()
        case GaussianConfig(variance, learned, variances):
            return GaussianHead(variance, learned, bounds, image if variances is Variances.each else ())
        case _:
            assert_never(likelihood)
