"""The way back for latents whose log-variances have left their bounds. A part of the training step."""

import torch

from vae.model.vae import VAE
from vae.probability.distributions import DiagonalNormal


def reset_lost_latents(vae: VAE, posterior: DiagonalNormal) -> DiagonalNormal:
    """Move the log-variances of each lost latent to 0, the prior's, by changing the encoder's last bias.

    A latent is lost if its log-variance is beyond the same bound for every image of the batch, by more than 1, and if
    the images' values would fit between the bounds. The gradient of `bound_logvar` brings back single images. For a
    whole latent it is too slow: it moves a bias by about the learning rate per step.

    Args:
        vae: the model. Only if the encoder's last parameter is a bias of its 2 * latent_dim outputs is it changed.
        posterior: q(z|x) of a batch, as `vae.encode` returned it.

    Returns:
        The posterior under the new bias; `posterior` itself if all its log-variances are inside the bounds.
    """
    logvar, (low, high) = posterior.unbounded_logvar, vae.bounds
    last = [weight for _, weight in vae.encoder.named_parameters()][-1:]
    if logvar is posterior.logvar or not last or last[0].shape != (2 * vae.latent_dim,):
        return posterior
    smallest, largest = logvar.detach().aminmax(dim=0)
    beyond = (smallest > high + 1) | (largest < low - 1)
    lost = beyond & (largest - smallest < high - low)
    shift = torch.where(lost, 0.5 * smallest + 0.5 * largest, 0.0)
    with torch.no_grad():
        last[0][vae.latent_dim :] -= shift
    return DiagonalNormal(posterior.mean, logvar - shift, vae.bounds)
