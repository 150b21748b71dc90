r"""The beta at which a linear β-VAE has a given rate, distortion or number of active latents: `linear_vae` inverted.

Everything is a monotone function of the threshold t = beta s^2, above which an eigenvalue l has an active latent:

.. math:: \text{rate}(t) = \tfrac12 \sum_{l > t} \ln (l / t), \quad s^2 \, d = \text{error}(t) =
    \text{rest} + \sum \min(l, t)

with the sums over the eigenvalues that have a latent, and the rest without one. The right equation is that of a
learned s^2. Distortion is d ln(2 pi s^2) / 2 + error(t) / (2 s^2).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vae.measures.linear_vae import Spectrum, eigenvalues_for
from vae.probability.prior import LN_2PI


def beta_for_rate(spectrum: Spectrum, rate: float, latents: int, variance: float | None = None) -> float:
    """The smallest beta whose rate is at most this, in nats. Smaller betas have less distortion.

    Args:
        spectrum: of the data.
        rate: in nats, 0 or more.
        latents: the number of latents.
        variance: s^2 of the likelihood; None if it is learned.

    Raises:
        ValueError: the rate is negative, or the data do not vary.

    Example:
        >>> spectrum = Spectrum(torch.tensor([8.0, 2.0], dtype=torch.float64), trace=10.0, dimensions=2)
        >>> round(beta_for_rate(spectrum, 0.5 * math.log(2), latents=2, variance=1.0), 12)  # of 8 / 4
        4.0
    """
    if not rate >= 0:
        raise ValueError(f"the rate must be 0 nats or more, got {rate:g}")
    largest = varying(spectrum, latents)
    logarithms = largest.log().cumsum(0)  # for k active latents, rate = (sum of ln l - k ln t) / 2
    counts = torch.arange(1, len(largest) + 1, dtype=torch.float64)
    thresholds = ((logarithms - 2 * rate) / counts).exp()
    return beta_of(spectrum, first_consistent(largest, thresholds), latents, variance)


def beta_for_distortion(spectrum: Spectrum, distortion: float, latents: int, variance: float | None = None) -> float:
    """The largest beta whose distortion is at most this, in nats. Smaller betas have a higher rate.

    From the distortion of a rate of 0 on, it is the smallest beta of this rate.

    Args:
        spectrum: of the data.
        distortion: in nats.
        latents: the number of latents.
        variance: s^2 of the likelihood; None if it is learned.

    Raises:
        ValueError: no beta has so small a distortion, or the data do not vary.
    """
    largest = varying(spectrum, latents)
    d = spectrum.dimensions
    if variance is None:
        error = d * math.exp(min(2 * distortion / d - 1 - LN_2PI, 700.0))
    else:
        error = 2 * variance * (distortion - 0.5 * d * (LN_2PI + math.log(variance)))
    error = min(error, spectrum.trace)
    rest = spectrum.trace - float(largest.sum())
    least = max(rest, 0.0)
    if error <= least:
        if least > 1e-12 * spectrum.trace or variance is not None:
            s2 = least / d if variance is None else variance
            limit = 0.5 * d * (LN_2PI + math.log(s2)) + least / (2 * s2)
            raise ValueError(f"{latents} latents need a distortion above {limit:.6g} nats, got {distortion:.6g}")
        raise ValueError(f"the distortion must be a finite number, got {distortion:g}")
    counts = torch.arange(1, len(largest) + 1, dtype=torch.float64)
    thresholds = (error - (spectrum.trace - largest.cumsum(0))) / counts  # of k active latents
    return beta_of(spectrum, first_consistent(largest, thresholds), latents, variance)


def beta_for_active(spectrum: Spectrum, active: int, latents: int, variance: float | None = None) -> float:
    """The smallest beta with at most so many active latents.

    Raises:
        ValueError: the number is negative, or every beta has at most so many.
    """
    largest = varying(spectrum, latents)
    if not 0 <= active < len(largest):
        raise ValueError(
            f"the number of active latents must be from 0 to {len(largest) - 1}, fewer than can ever be active, "
            f"got {active}"
        )
    return beta_of(spectrum, float(largest[active]), latents, variance)


def varying(spectrum: Spectrum, latents: int) -> Float[Tensor, " varying"]:
    """The eigenvalues above 0 that have a latent.

    Raises:
        ValueError: there is none.
    """
    largest = eigenvalues_for(spectrum, latents)
    largest = largest[largest > 0]
    if len(largest) == 0:
        raise ValueError("the data must vary, got equal images only")
    return largest


def first_consistent(largest: Float[Tensor, " varying"], thresholds: Float[Tensor, " varying"]) -> float:
    """The threshold that leaves as many eigenvalues above it as it was computed for, entry k - 1 for k of them."""
    next_ones = torch.cat([largest[1:], largest.new_zeros(1)])
    violations = torch.maximum(next_ones - thresholds, thresholds - largest)  # at most 0 up to rounding
    return float(torch.minimum(thresholds, largest)[violations.clamp_min(0).argmin()])


def beta_of(spectrum: Spectrum, threshold: float, latents: int, variance: float | None) -> float:
    """The beta of a threshold t = beta s^2."""
    if variance is not None:
        return threshold / variance
    largest = varying(spectrum, latents)
    error = spectrum.trace - float(largest.sum()) + float(largest.clamp_max(threshold).sum())
    return threshold * spectrum.dimensions / error
