r"""The mutual information gap as Chen et al. (2018) estimate it: from the posteriors, without bins.

I(z_j; v_k) = H(z_j) - H(z_j | v_k), where q(z_j) is the mixture of the posteriors of all images and q(z_j | v_k) of
those with one level of the factor. Entropies are means of -ln q over samples; the mixtures are over images drawn from
those they stand for.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64
from numpy.random import Generator
from scipy.special import logsumexp

from vae.data.factors import Factors
from vae.disentanglement.codes import gap
from vae.probability.prior import LN_2PI

BLOCK = 4_000_000  # densities at a time: 32 MB


@dataclass(frozen=True)
class ChenMIG:
    """`score`; `information` in nats."""

    score: float
    gaps: Float[np.ndarray, " factors"]
    information: Float[np.ndarray, "latents factors"]


def mig_chen(
    mean: Float[np.ndarray, "images latents"],
    logvar: Float[np.ndarray, "images latents"],
    factors: Factors,
    samples: int,
    components: int,
    generator: Generator,
) -> ChenMIG:
    """The mean over factors of (I with the best latent - I with the second best) / H(factor), clipped to [0, 1].

    Args:
        mean: of each image's posterior.
        logvar: of each image's posterior.
        factors: of the images.
        samples: of z, for every entropy.
        components: at most so many images make up a mixture.
        generator: of the draws.
    """
    everything = some(np.arange(len(factors)), components, generator)
    marginal = mixture_entropy(mean, logvar, everything, samples, generator)
    conditional = np.zeros((mean.shape[1], len(factors.names)))
    prior = np.zeros(len(factors.names))
    for k, size in enumerate(factors.sizes):
        share = np.bincount(factors.levels[:, k], minlength=size) / len(factors)
        prior[k] = -(share * np.log(share)).sum()
        for level, weight in enumerate(share):
            chosen = some(np.flatnonzero(factors.levels[:, k] == level), components, generator)
            conditional[:, k] += weight * mixture_entropy(mean, logvar, chosen, max(1, samples // size), generator)
    information = np.maximum(marginal[:, None] - conditional, 0)
    gaps = np.clip(gap(information) / prior, 0, 1)
    return ChenMIG(float(gaps.mean()), gaps, information)


def some(images: Int64[np.ndarray, " images"], most: int, generator: Generator) -> Int64[np.ndarray, " chosen"]:
    """All images, or `most` different ones: one that is drawn twice makes a mixture narrower than it is."""
    return generator.choice(images, most, replace=False) if len(images) > most else images


def mixture_entropy(
    mean: Float[np.ndarray, "images latents"],
    logvar: Float[np.ndarray, "images latents"],
    images: Int64[np.ndarray, " chosen"],
    samples: int,
    generator: Generator,
) -> Float[np.ndarray, " latents"]:
    """H of the mixture of these images' posteriors, of each latent, in nats; from samples of the same mixture."""
    mean, logvar = mean[images].astype(np.float64), logvar[images].astype(np.float64)
    precision = np.exp(-logvar)
    chosen = generator.integers(len(images), size=samples)
    z = mean[chosen] + np.exp(0.5 * logvar[chosen]) * generator.standard_normal((samples, mean.shape[1]))
    # -(z - mu)^2 / 2 sigma^2 - ln sigma - ..., expanded so that no (samples, images) array is made but the result's.
    total = np.zeros(mean.shape[1])
    rows = max(1, BLOCK // len(images))
    for j in range(mean.shape[1]):
        constant = -0.5 * (logvar[:, j] + LN_2PI)
        for start in range(0, samples, rows):
            distance = z[start : start + rows, None, j] - mean[None, :, j]
            log_density = constant - 0.5 * precision[:, j] * distance**2
            total[j] -= logsumexp(log_density, axis=1).sum() - len(distance) * np.log(len(images))
    return total / samples
