"""Which latents carry information, and what it costs if none does.

Three definitions of an active latent. A posterior mean that varies is what a reader of z sees (Burda, Grosse &
Salakhutdinov, 2016, "Importance Weighted Autoencoders", Section 5.2); a KL is what the loss pays; a posterior narrower
than the prior is the "polarized regime" of Rolinek, Zietlow & Martius (2019), "Variational Autoencoders Pursue PCA
Directions (by Accident)", Section 3, found before by Dai et al. (2018). They differ where a latent is half used.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from vae.probability.divergences import cross_entropy, entropy


def active_by_variance(mean: Float[Tensor, "images latent"], threshold: float = 0.01) -> Float[Tensor, " latent"]:
    """1 for each latent whose posterior mean has a variance over the data above `threshold`, else 0.

    "Activity" in Burda et al. (2016).
    """
    return (mean.var(0, unbiased=False) > threshold).to(mean)


def active_by_rate(rate: Float[Tensor, "images latent"], threshold: float = 0.01) -> Float[Tensor, " latent"]:
    """1 for each latent whose mean KL is above `threshold` nats, else 0."""
    return (rate.mean(0) > threshold).to(rate)


def active_by_posterior_variance(
    logvar: Float[Tensor, "images latent"], threshold: float = 0.9
) -> Float[Tensor, " latent"]:
    """1 for each latent whose mean posterior variance is below `threshold`, else 0.

    The definition says "near 1" of a passive latent and names no number. 0.9, which costs 0.05 nats, lies in the gap:
    after 25 epochs on MNIST passive latents still lie between 0.95 and 1, and active ones below 0.7.
    """
    return (logvar.double().exp().mean(0) < threshold).to(logvar)


def effective_latents(rate_per_latent: Float[Tensor, " latent"]) -> float:
    """How many latents share the rate: exp of the entropy of their shares, 1 to latent; 0 if the rate is 0."""
    total = rate_per_latent.sum()
    if total <= 0:
        return 0.0
    return float(entropy(rate_per_latent.double() / total.double()).exp())


def participation_ratio(mean: Float[Tensor, "images latent"]) -> float:
    r"""How many directions the posterior means fill, whatever the axes: 1 to latent; 0 if they do not vary.

    .. math:: \left( \sum_i \lambda_i \right)^2 / \sum_i \lambda_i^2

    with the eigenvalues of their covariance. Gao et al. (2017), "A theory of multineuronal dimensionality, dynamics
    and measurement".
    """
    moved = (mean - mean[0]).double()  # exactly 0 where a mean never varies, which a rounded average is not
    centred = moved - moved.mean(0)
    covariance = centred.T @ centred / len(mean)
    squares = covariance.square().sum()  # the sum of the squared eigenvalues, as the trace is their sum
    return float(covariance.trace() ** 2 / squares) if squares > 0 else 0.0


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
