"""What the rate is made of and how tight the bound is. Information is in nats."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vae.divergences import cross_entropy, entropy, kl_normal, mutual_information
from vae.model import VAE


def log_mean_exp(values: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    """ln of the mean of exp(values) over the last axis, by log-sum-exp: no density is ever formed that could overflow.

    Example:
        >>> log_mean_exp(torch.tensor([-1000.0, -1000.0]))
        tensor(-1000.)
    """
    return torch.logsumexp(values, -1) - math.log(values.shape[-1])


@torch.no_grad()
def importance_weighted_bound(
    vae: VAE,
    x: Float[Tensor, "batch channels height width"],
    noise: Float[Tensor, "samples batch latent"],
) -> Float[Tensor, " batch"]:
    r"""A lower bound on ln p(x) that tightens with the samples, in nats: the ELBO in expectation if there is one.

    .. math:: \ln \frac{1}{k} \sum_{i=1}^{k} \frac{p(x|z_i) p(z_i)}{q(z_i|x)}, \quad z_i \sim q(z|x)

    Burda, Grosse & Salakhutdinov (2016), "Importance Weighted Autoencoders", Eq. 8.
    """
    posterior = vae.encode(x)
    log_weights = []
    for draw in noise:  # one draw at a time: memory stays that of one batch
        z = posterior.rsample(draw)
        log_prior = -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
        log_weights.append(vae.decode(z).log_prob(x) + log_prior - posterior.log_prob(z))
    return log_mean_exp(torch.stack(log_weights, -1))


def active_by_variance(mean: Float[Tensor, "images latent"], threshold: float = 0.01) -> Float[Tensor, " latent"]:
    """1 for each latent whose posterior mean varies over the data by more than `threshold`, else 0.

    "Activity" in Burda et al. (2016).
    """
    return (mean.var(0, unbiased=False) > threshold).to(mean)


def active_by_rate(rate: Float[Tensor, "images latent"], threshold: float = 0.01) -> Float[Tensor, " latent"]:
    """1 for each latent whose mean KL is above `threshold` nats, else 0."""
    return (rate.mean(0) > threshold).to(rate)


def effective_latents(rate_per_latent: Float[Tensor, " latent"]) -> float:
    """How many latents share the rate: exp of the entropy of their shares, 1 to latent; 0 if the rate is 0."""
    total = rate_per_latent.sum()
    if total <= 0:
        return 0.0
    return float(entropy(rate_per_latent.double() / total.double()).exp())


def aggregate_posterior(
    mean: Float[Tensor, "images latent"], logvar: Float[Tensor, "images latent"]
) -> tuple[Float[Tensor, " latent"], Float[Tensor, "latent latent"]]:
    """Mean and covariance of q(z) = mean over the images of q(z|x), in float64, by the law of total covariance."""
    mean, variance = mean.double(), logvar.double().exp()
    centred = mean - mean.mean(0)
    covariance = centred.T @ centred / len(mean) + torch.diag(variance.mean(0))
    return mean.mean(0), covariance


def aggregate_kl(mean: Float[Tensor, " latent"], covariance: Float[Tensor, "latent latent"]) -> float:
    """KL(N(mean, covariance) || N(0, I)) in nats: how far the latents a decoder was trained on lie from the prior."""
    zero, identity = torch.zeros_like(mean), torch.eye(len(mean), dtype=mean.dtype)
    return float(kl_normal(mean, covariance, zero, identity))


def gaussian_total_correlation(covariance: Float[Tensor, "latent latent"]) -> float:
    """KL(N(0, covariance) || N(0, its diagonal)) in nats: the linear part of the latents' dependence."""
    zero = torch.zeros(len(covariance), dtype=covariance.dtype)
    return float(kl_normal(zero, covariance, zero, torch.diag(covariance.diagonal())))


def label_information(
    mean: Float[Tensor, "images latent"], labels: Int64[Tensor, " images"], bins: int = 20
) -> Float[Tensor, " latent"]:
    """I(label; posterior mean) of each latent in nats, the means cut into equal-width bins, by counting.

    The plug-in estimate of Locatello et al. (2019): biased upwards by about (bins - 1)(labels - 1) / 2n.
    """
    low, high = mean.amin(0), mean.amax(0)
    width = ((high - low) / bins).clamp_min(torch.finfo(mean.dtype).tiny)
    cell = ((mean - low) / width).long().clamp(0, bins - 1)  # (images, latent)
    classes = int(labels.max()) + 1
    latents = mean.shape[1]
    joint = torch.zeros(latents, classes * bins, dtype=torch.float64)
    joint.scatter_add_(1, (labels[:, None] * bins + cell).T, torch.ones_like(cell.T).double())
    return mutual_information(joint.view(latents, classes, bins) / len(mean)).to(mean)


def baseline_distortion(
    pixel_mean: Float[Tensor, "channels height width"],
    model_mean: Float[Tensor, "channels height width"],
    epsilon: float = 1e-3,
) -> float:
    """The nats an image costs if the decoder ignores z and gives `model_mean`: a cross-entropy, summed over pixels.

    A run whose distortion stays here has collapsed. `epsilon` keeps a pixel that was never lit from costing ln 0.
    """
    data = pixel_mean.double().flatten()
    model = model_mean.double().flatten().clamp(epsilon, 1 - epsilon)
    of_pixel = cross_entropy(torch.stack([data, 1 - data], -1), torch.stack([model, 1 - model], -1))
    return float(of_pixel.sum())
