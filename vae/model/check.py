"""A check of the user's own networks before training."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor

from vae.config.rules import ConfigError, raised
from vae.model.vae import VAE, Decoder, Encoder


def check_networks(vae: VAE, x: Float[Tensor, "batch channels height width"]) -> None:
    """Run a copy of encoder and decoder once, forward and backward. The model and torch's generator do not change.

    Raises:
        ConfigError: an output has the wrong shape or is not finite, or gradients do not reach a parameter.
    """
    with torch.random.fork_rng():
        trial = copy.deepcopy(vae).train()
        encoded = _tried("model.encoder", trial.encoder, x, (len(x), 2 * vae.latent_dim))
        _tried("model.decoder", trial.decoder, encoded[:, : vae.latent_dim], tuple(x.shape))


def _tried(key: str, network: Encoder | Decoder, given: Tensor, shape: tuple[int, ...]) -> Tensor:
    rule = f"{key} must return numbers of shape {shape} for an input of shape {tuple(given.shape)}, got"
    try:
        output = network(given)
    except Exception as error:
        raise ConfigError(f"{rule} {raised(error)}. Change its layers") from error
    if not isinstance(output, Tensor) or output.shape != shape:
        got = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise ConfigError(f"{rule} {got}. Change its last layer")
    finite = int(output.isfinite().sum())
    if finite < output.numel():
        raise ConfigError(
            f"{key} must return finite numbers, got {output.numel() - finite} of {output.numel()} that are not. "
            "Check its initial weights"
        )
    if output.requires_grad:
        output.square().sum().backward()
    missed = [name for name, weight in network.named_parameters() if weight.requires_grad and weight.grad is None]
    if missed:
        raise ConfigError(
            f"{key} must use all its parameters, got no gradient for {len(missed)}, {missed[0]} among them. "
            "Use them in forward, without detach or no_grad, or remove them"
        )
    return output.detach()
