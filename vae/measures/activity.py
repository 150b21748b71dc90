"""Which latents carry information, and the distortion of a decoder that ignores them.

There are three common definitions of an active latent. They differ for latents that carry little information.

- The posterior mean varies over the data: Burda, Grosse & Salakhutdinov (2016), "Importance Weighted Autoencoders",
  Section 5.2.
- The mean KL to the prior, which the loss contains, is above zero.
- The posterior is narrower than the prior: the "polarized regime" of Rolinek, Zietlow & Martius (2019), "Variational
  Autoencoders Pursue PCA Directions (by Accident)", Section 3.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from vae.probability.distributions import LogvarBounds
from vae.probability.divergences import entropy
from vae.probability.prior import LN_2PI


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

    The definition calls a latent passive if this variance is "near 1". 0.9 is our choice; it costs 0.05 nats.
    """
    return (logvar.double().exp().mean(0) < threshold).to(logvar)


def effective_latents(rate_per_latent: Float[Tensor, " latent"]) -> float:
    """The effective number of latents: exp of the entropy of their shares in the rate; 0 if the rate is 0."""
    total = rate_per_latent.sum()
    if total <= 0:
        return 0.0
    return float(entropy(rate_per_latent.double() / total.double()).exp())


def participation_ratio(mean: Float[Tensor, "images latent"]) -> float:
    r"""The effective number of directions in which the posterior means vary; 0 if they do not vary.

    .. math:: \left( \sum_i \lambda_i \right)^2 / \sum_i \lambda_i^2

    with the eigenvalues of their covariance. It does not change under rotations. Gao et al. (2017), "A theory of
    multineuronal dimensionality, dynamics and measurement".
    """
    moved = (mean - mean[0]).double()  # exactly 0 where a mean never varies; subtracting the average may leave a rest
    centred = moved - moved.mean(0)
    covariance = centred.T @ centred / len(mean)
    squares = covariance.square().sum()  # the sum of the squared eigenvalues
    return float(covariance.trace() ** 2 / squares) if squares > 0 else 0.0


def baseline_distortion(
    pixel_mean: Float[Tensor, "channels height width"],
    model_mean: Float[Tensor, "channels height width"],
    epsilon: float = 1e-3,
) -> float:
    """The distortion in nats an image if the decoder ignores z and gives `model_mean` for every image.

    A run whose distortion stays here has collapsed. `model_mean` is clamped to [epsilon, 1 - epsilon], so that no
    pixel costs ln 0.
    """
    model = model_mean.double().clamp(epsilon, 1 - epsilon)
    return float(binary_cross_entropy(model, pixel_mean.double(), reduction="sum"))


def gaussian_baseline(
    pixel_mean: Float[Tensor, "channels height width"],
    pixel_variance: Float[Tensor, "channels height width"],
    model_mean: Float[Tensor, "channels height width"],
    logvar: Float[Tensor, ""] | Float[Tensor, "channels height width"] | None = None,
    each: bool = False,
    bounds: LogvarBounds = LogvarBounds(),
) -> float:
    """As `baseline_distortion`, for a Gaussian likelihood.

    Args:
        pixel_mean: of each pixel over the images.
        pixel_variance: of each pixel over the images.
        model_mean: what the model gives for every image.
        logvar: a fixed log-variance. None: the variance is learned, so the best one is taken.
        each: whether each pixel has a learned variance of its own.
        bounds: of a learned log-variance. The best one of pixels that are always the same is the lower bound.
    """
    squares = pixel_variance.double() + (pixel_mean.double() - model_mean.double()).square()  # E (x - mean)^2
    if logvar is None:
        best = squares if each else squares.mean()
        logvar = best.log().clamp(*bounds)
    logvar = logvar.double()
    return float(0.5 * (squares * torch.exp(-logvar) + logvar + LN_2PI).sum())
