"""Reset latents whose log-variances are far outside their bounds. A part of the training step."""

import torch

from vae.model.vae import VAE
from vae.probability.distributions import DiagonalNormal


def reset_lost_latents(vae: VAE, posterior: DiagonalNormal) -> DiagonalNormal:
    """Move the log-variances of each lost latent to 0, that of the prior, by changing the encoder's last bias.

    A latent is lost if its log-variances of all images in the batch are beyond the same bound by more than 1, and
    differ by less than the distance between the bounds. The gradient of `bound_logvar` is enough for single images.
    For a whole latent it is too slow, because it moves a bias by about the learning rate per step.

    Args:
        vae: the model. It changes only if the encoder's last parameter is the bias of its 2 * latent_dim outputs.
        posterior: q(z|x) of a batch, as `vae.encode` returned it.

    Returns:
        The posterior after the reset. It is `posterior` itself if all log-variances are inside the bounds.
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
