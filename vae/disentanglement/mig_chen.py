r"""MIG as Chen et al. (2018) estimate it: from the posteriors, without bins.

I(z_j; v_k) = H(z_j) - H(z_j | v_k). Here q(z_j) is the mixture of the posteriors of all images, and q(z_j | v_k) that
of the images with one level of factor k. An entropy is the mean of -ln q over samples.
"""

import numpy as np
from jaxtyping import Float, Int64
from numpy.random import Generator
from scipy.stats import entropy

from vae.data.factors import Factors
from vae.disentanglement.representation import MatrixScore, Sizes, gap

DENSITIES_AT_ONCE = 2**16  # half a megabyte, which fits the cache of a core
NEGLIGIBLE = -600.0  # an exponent; the exponentials of lower ones are slow to compute with


def mig_chen(
    mean: Float[np.ndarray, "images latents"],
    logvar: Float[np.ndarray, "images latents"],
    factors: Factors,
    sizes: Sizes,
    generator: Generator,
) -> MatrixScore:
    """The mean over factors of (I of the best latent - I of the second best) / H(factor), and I in nats."""

    def mixture(images: Int64[np.ndarray, " images"], draws: int) -> Float[np.ndarray, " latents"]:
        # Without replacement, because images that are drawn twice make the mixture narrower.
        few = generator.choice(images, sizes.components, replace=False) if len(images) > sizes.components else images
        return mixture_entropy(mean[few], logvar[few], draws, generator)

    marginal = mixture(np.arange(len(factors)), sizes.samples)
    conditional = np.zeros((mean.shape[1], len(factors.names)))
    counts = [np.bincount(levels) for levels in factors.levels.T]
    for k, count in enumerate(counts):
        for level, share in enumerate(count / len(factors)):
            images = np.flatnonzero(factors.levels[:, k] == level)
            conditional[:, k] += share * mixture(images, max(1, sizes.samples // len(count)))
    information = np.maximum(marginal[:, None] - conditional, 0)
    gaps = np.clip(gap(information) / [entropy(count) for count in counts], 0, 1)
    return MatrixScore(float(gaps.mean()), information)


def mixture_entropy(
    mean: Float[np.ndarray, "images latents"],
    logvar: Float[np.ndarray, "images latents"],
    samples: int,
    generator: Generator,
) -> Float[np.ndarray, " latents"]:
    """The entropy of the mixture of these posteriors for each latent in nats, estimated from `samples` draws."""
    mean, logvar = mean.astype(np.float64), logvar.astype(np.float64)
    chosen = generator.integers(len(mean), size=samples)
    z = mean[chosen] + np.exp(0.5 * logvar[chosen]) * generator.standard_normal((samples, mean.shape[1]))
    coefficients = (mean, -0.5 * np.exp(-logvar), np.exp(-0.5 * logvar) / np.sqrt(2 * np.pi))
    rows = max(1, DENSITIES_AT_ONCE // len(mean))
    block = np.empty((rows, len(mean)))  # used again, because allocating takes longer than the arithmetic
    densities = np.empty_like(z)
    for j in range(z.shape[1]):
        centre, steepness, height = (np.ascontiguousarray(of_all[:, j]) for of_all in coefficients)
        for first in range(0, samples, rows):
            some = z[first : first + rows, j, None]
            exponent = np.subtract(some, centre, out=block[: len(some)])
            np.square(exponent, out=exponent)
            exponent *= steepness
            np.maximum(exponent, NEGLIGIBLE, out=exponent)
            np.exp(exponent, out=exponent)
            densities[first : first + rows, j] = exponent @ height
    # No sum is tiny, because each z is near the mean of its own posterior.
    entropies: Float[np.ndarray, " latents"] = np.log(len(mean)) - np.log(densities).mean(axis=0)
    return entropies
