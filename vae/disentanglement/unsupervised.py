"""How dependent the latents are on each other, without looking at the factors. Zero for independent latents.

Locatello et al. (2019), "Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations".
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from vae.disentanglement.codes import Codes
from vae.disentanglement.discretise import binned, mutual_information

ALIVE = 1e-12  # variance: a latent below it depends on nothing, and has no logarithm


@dataclass(frozen=True)
class Dependence:
    """How far the Gaussian with the codes' covariance is from its diagonal, and what two latents tell of each other.

    Total correlation in nats, squared Wasserstein distance and its share of the variance; the mean mutual information
    of two binned latents in nats.
    """

    gaussian_total_correlation: float
    gaussian_wasserstein: float
    gaussian_wasserstein_normalised: float
    mutual_information_score: float


def dependence(codes: Codes, samples: int, generator: Generator) -> Dependence:
    """The four numbers, from images drawn."""
    values, _ = codes.draw(samples, generator)
    covariance = np.atleast_2d(np.cov(values, rowvar=False))
    wasserstein = gaussian_wasserstein(covariance)
    bins = binned(values)
    pairs = [(i, j) for i in range(codes.latents) for j in range(i)]
    information = [mutual_information(bins[:, i], bins[:, j]) for i, j in pairs]
    total = np.trace(covariance)
    return Dependence(
        gaussian_total_correlation(covariance),
        wasserstein,
        float(wasserstein / total) if total > ALIVE else 0.0,
        float(np.mean(information)) if information else 0.0,
    )


def gaussian_total_correlation(covariance: Float[np.ndarray, "latents latents"]) -> float:
    """KL(N(0, covariance) || N(0, its diagonal)) in nats, of the latents that vary.

    Example:
        >>> round(gaussian_total_correlation(np.array([[1, 0.9], [0.9, 1]])), 3)
        0.83
    """
    alive = np.flatnonzero(covariance.diagonal() > ALIVE)
    deviation = np.sqrt(covariance.diagonal()[alive])
    correlation = covariance[np.ix_(alive, alive)] / np.outer(deviation, deviation)
    eigenvalues = np.linalg.eigvalsh(correlation) if len(alive) else np.ones(1)
    # A latent that repeats another has an eigenvalue of 0 and infinitely many nats: what float64 can tell of it.
    return max(0.0, float(-0.5 * np.log(np.maximum(eigenvalues, np.finfo(float).eps)).sum()))


def gaussian_wasserstein(covariance: Float[np.ndarray, "latents latents"]) -> float:
    """The squared 2-Wasserstein distance of N(0, covariance) and N(0, its diagonal)."""
    root = np.sqrt(np.maximum(covariance.diagonal(), 0))
    # tr sqrt(C D) = tr sqrt(D^1/2 C D^1/2), whose argument is symmetric: the roots of its eigenvalues.
    eigenvalues = np.linalg.eigvalsh(covariance * np.outer(root, root))
    between = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    return max(0.0, float(2 * np.trace(covariance) - 2 * between))
