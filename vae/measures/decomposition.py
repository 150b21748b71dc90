r"""The rate as the sum of mutual information, total correlation and dimension-wise KL. In nats.

.. math:: \underbrace{E_n \, KL(q(z|x_n) \| p(z))}_{\text{rate}} = \underbrace{I_q(n; z)}_{\text{mutual information}}
    + \underbrace{KL(q(z) \| \textstyle\prod_j q(z_j))}_{\text{total correlation}}
    + \underbrace{\textstyle\sum_j KL(q(z_j) \| p(z_j))}_{\text{dimension-wise KL}}

with q(z) the mean over the N images of q(z|x_n). Hoffman & Johnson (2016), "ELBO surgery: yet another way to carve up
the variational evidence lower bound"; Chen et al. (2018), "Isolating Sources of Disentanglement in Variational
Autoencoders", Eq. 2.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vae.probability.distributions import log_sum_exp
from vae.probability.prior import LN_2PI, log_prior

DENSITIES_AT_ONCE = 2**17  # in one block: half a megabyte of float32, which fits the cache of a core


@dataclass(frozen=True)
class RateDecomposition:
    """The three parts of the rate in nats, estimated from the same samples. They sum to `sampled_rate`.

    Attributes:
        mutual_information: I_q(n; z), the index-code mutual information. It is at most ln N, so only runs with the
            same N can be compared.
        total_correlation: KL(q(z) || prod_j q(z_j)). If the mutual information is near ln N, it contains the rest of
            the rate, even if the latents are independent. Compare it with the value of `shuffled` posteriors.
        dimension_wise_kl: sum_j KL(q(z_j) || p(z_j)).
        sampled_rate: the mean of ln q(z|x) - ln p(z). Its expectation is the rate.
    """

    mutual_information: float
    total_correlation: float
    dimension_wise_kl: float
    sampled_rate: float


@torch.inference_mode()
def decompose_rate(
    mean: Float[Tensor, "images latent"],
    logvar: Float[Tensor, "images latent"],
    z: Float[Tensor, "images latent"],
    samples: int,
) -> RateDecomposition:
    """Mutual information, total correlation and dimension-wise KL by Monte Carlo, in nats.

    The density q(z) is exact, the mixture of all N posteriors. Only the expectation over z ~ q(z) is sampled. The cost
    is samples x N x latents densities.

    Args:
        mean: of every image's posterior.
        logvar: of every image's posterior, bounded.
        z: one sample of every image's posterior.
        samples: how many of `z` to take. They are evenly spaced, because the images may be sorted.

    Raises:
        ValueError: `samples` is below 1 or above the number of images.
    """
    images = len(mean)
    if not 1 <= samples <= images:
        raise ValueError(f"samples must be from 1 to {images}, the number of images, got {samples}. Lower it")
    chosen = torch.arange(samples) * images // samples
    joint, marginals = aggregate_log_densities(z[chosen], mean, logvar)
    own = (mean[chosen], *_coefficients(logvar[chosen]))
    log_posterior = _log_normal(z[chosen], *own).double().sum(1)  # ln q(z|x)
    log_p = log_prior(z[chosen].double())
    log_joint, log_product = joint.double(), marginals.double().sum(1)
    return RateDecomposition(
        mutual_information=float((log_posterior - log_joint).mean()),
        total_correlation=float((log_joint - log_product).mean()),
        dimension_wise_kl=float((log_product - log_p).mean()),
        sampled_rate=float((log_posterior - log_p).mean()),
    )


def shuffled(
    mean: Float[Tensor, "images latent"],
    logvar: Float[Tensor, "images latent"],
    z: Float[Tensor, "images latent"],
    generator: torch.Generator,
) -> tuple[Float[Tensor, "images latent"], Float[Tensor, "images latent"], Float[Tensor, "images latent"]]:
    """The same posteriors and samples, with each latent permuted over the images independently of the others.

    Every q(z_j) stays the same, and the latents become independent. `decompose_rate` of the result is a baseline. A
    total correlation that is not above the baseline's shows no dependence.
    """
    order = torch.rand(mean.shape, generator=generator).argsort(0)
    return mean.gather(0, order), logvar.gather(0, order), z.gather(0, order)


@torch.inference_mode()
def aggregate_log_densities(
    z: Float[Tensor, "samples latent"],
    mean: Float[Tensor, "images latent"],
    logvar: Float[Tensor, "images latent"],
) -> tuple[Float[Tensor, " samples"], Float[Tensor, "samples latent"]]:
    """(ln q(z), ln q(z_j) of each latent) with q(z) = 1/N sum_n q(z|x_n), the mixture of all images, in nats.

    It is computed in blocks: memory holds a few rows of the samples x images densities.
    `vae.objectives.aggregate` estimates the same from a minibatch, with gradients.
    """
    latents = [of_all_images.T.contiguous() for of_all_images in (mean, *_coefficients(logvar))]
    rows = max(1, DENSITIES_AT_ONCE // len(mean))
    joint, marginals = [], []
    for block in z.split(rows):
        of_all = torch.zeros(len(block), len(mean), dtype=z.dtype, device=z.device)  # ln q(z|x_n)
        of_each = []
        for z_j, *latent in zip(block.T[:, :, None], *latents, strict=True):
            of_latent = _log_normal(z_j, *latent)
            of_all += of_latent
            of_each.append(log_sum_exp(of_latent, 1))
        joint.append(log_sum_exp(of_all, 1))
        marginals.append(torch.stack(of_each, 1))
    ln_images = math.log(len(mean))
    return torch.cat(joint) - ln_images, torch.cat(marginals) - ln_images


def _coefficients(logvar: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """(a, b) with ln N(z; mean, e^logvar) = a (z - mean)^2 - b. They are the same for all samples."""
    return -0.5 * torch.exp(-logvar), 0.5 * (logvar + LN_2PI)


def _log_normal(
    z: Float[Tensor, "*#shape"],
    mean: Float[Tensor, "*#shape"],
    a: Float[Tensor, "*#shape"],
    b: Float[Tensor, "*#shape"],
) -> Float[Tensor, "*#shape"]:
    # In place, because allocating temporaries of this size takes longer than the arithmetic.
    return (z - mean).square_().mul_(a).sub_(b)
