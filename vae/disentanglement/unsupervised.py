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
ACTIVE = 0.01  # variance of a posterior mean, above which Burda et al. (2016) call a latent active


@dataclass(frozen=True)
class Dependence:
    """How far the Gaussian with the codes' covariance is from its diagonal, and what two latents tell of each other.

    Attributes:
        gaussian_total_correlation: in nats, of all latents that vary at all, as Locatello et al. (2019) have it. Only
            correlations enter, so that a collapsed latent, whose mean varies by a thousandth, counts as much as any
            other: it may rise with beta because more latents collapse.
        active_total_correlation: the same of the latents whose code has a variance above 0.01. Of posterior means
            these are Burda et al.'s active units; of samples they are all latents.
        gaussian_wasserstein: the squared distance of the two Gaussians.
        gaussian_wasserstein_normalised: its share of the variance.
        mutual_information_score: the mean over pairs of latents, binned, in nats. Collapsed latents count here, too.
    """

    gaussian_total_correlation: float
    active_total_correlation: float
    gaussian_wasserstein: float
    gaussian_wasserstein_normalised: float
    mutual_information_score: float


def dependence(codes: Codes, samples: int, generator: Generator) -> Dependence:
    """These numbers, from images drawn."""
    values, _ = codes.draw(samples, generator)
    covariance = np.atleast_2d(np.cov(values, rowvar=False))
    wasserstein = gaussian_wasserstein(covariance)
    bins = binned(values)
    pairs = [(i, j) for i in range(codes.latents) for j in range(i)]
    information = [mutual_information(bins[:, i], bins[:, j]) for i, j in pairs]
    total = np.trace(covariance)
    return Dependence(
        gaussian_total_correlation(covariance),
        gaussian_total_correlation(covariance, ACTIVE),
        wasserstein,
        float(wasserstein / total) if total > ALIVE else 0.0,
        float(np.mean(information)) if information else 0.0,
    )


def gaussian_total_correlation(covariance: Float[np.ndarray, "latents latents"], above: float = ALIVE) -> float:
    """KL(N(0, covariance) || N(0, its diagonal)) in nats, of the latents with a variance above some.

    Example:
        >>> round(gaussian_total_correlation(np.array([[1, 0.9], [0.9, 1]])), 3)
        0.83
    """
    alive = np.flatnonzero(covariance.diagonal() > above)
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
