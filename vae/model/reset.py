"""The way back for latents whose log-variances have left their bounds."""

import torch
from jaxtyping import Float
from torch import Tensor

from vae.model.vae import VAE

RESET_EVERY = 100  # steps: often enough to recover within 200, too rarely to cost time


@torch.no_grad()
def reset_lost_latents(vae: VAE, x: Float[Tensor, "batch channels height width"]) -> None:
    """Move the log-variances of each lost latent to 0, the prior's, through the encoder's last bias.

    A latent is lost if its log-variance is beyond the same bound for every image, by more than 1, and the images'
    values would fit between the bounds. The gradient of `bound_logvar` brings back single images. For a whole latent
    it is too slow: it moves a bias by about the learning rate per step.

    An encoder whose last parameter is not a bias of its 2 * latent_dim outputs is left as it is.
    """
    training = vae.training
    logvar = vae.eval().encoder(x).float()[:, vae.latent_dim :]
    vae.train(training)
    low, high = logvar.aminmax(dim=0)
    beyond = (low > vae.bounds.high + 1) | (high < vae.bounds.low - 1)
    lost = beyond & (high - low < vae.bounds.high - vae.bounds.low)
    for _, last in [*vae.encoder.named_parameters()][-1:]:
        if last.shape == (2 * vae.latent_dim,):
            last[vae.latent_dim :] -= torch.where(lost, 0.5 * low + 0.5 * high, 0.0)
