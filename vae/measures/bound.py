"""The importance-weighted bound on ln p(x), in nats."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vae.model.vae import VAE
from vae.probability.distributions import DiagonalNormal, FullNormal
from vae.probability.finite import refuse_nan
from vae.probability.prior import log_prior, standard_normal

PIXELS_AT_ONCE = 2**20  # decoded in one pass; larger blocks need more memory and are no faster


@torch.inference_mode()
def importance_weighted_bound(
    vae: VAE,
    x: Float[Tensor, "batch channels height width"],
    samples: int,
    generator: torch.Generator,
    proposal: DiagonalNormal | FullNormal | None = None,
) -> Float[Tensor, " batch"]:
    r"""A lower bound on ln p(x) in nats, which rises with the samples. With one sample its expectation is the ELBO.

    .. math:: \ln \frac{1}{k} \sum_{i=1}^{k} \frac{p(x|z_i) p(z_i)}{q(z_i|x)}, \quad z_i \sim q(z|x)

    Burda, Grosse & Salakhutdinov (2016), "Importance Weighted Autoencoders", Eq. 8. With k = 5000 its negative is what
    papers report as the NLL. Memory does not grow with k.

    Args:
        vae: the model.
        x: images with pixels in [0, 1].
        samples: k.
        generator: of the noise, on the device of `x`.
        proposal: what z is drawn from, the q of the formula; by default the encoder's posterior. For every proposal it
            is a lower bound. One closer to p(z|x) makes it tighter, as that by `refitted_posterior`.

    Raises:
        ValueError: `samples` is below 1.
        NonFiniteError: the model gives NaN.
    """
    if samples < 1:
        raise ValueError(f"samples must be 1 or more, got {samples}. Take 100 for a look, 5000 for a published NLL")
    posterior = vae.encode(x) if proposal is None else proposal
    at_once = min(samples, max(1, PIXELS_AT_ONCE // x.numel()))
    # In float64, because thousands of rounding errors add up; on the CPU, because some devices have no float64.
    total = torch.full((len(x),), -math.inf, dtype=torch.float64)
    for start in range(0, samples, at_once):
        draws = min(at_once, samples - start)
        # Drawn one sample at a time, so that the noise does not depend on the size of the blocks.
        noise = torch.stack([standard_normal(posterior.mean.shape, generator) for _ in range(draws)])
        z = posterior.rsample(noise)  # (draws, batch, latent)
        log_weights = vae.log_likelihood(x, z) + log_prior(z) - posterior.log_prob(z)
        total = torch.logaddexp(total, log_weights.logsumexp(0).cpu().double())
    refuse_nan("the importance weights", total)
    return (total - math.log(samples)).to(x)
