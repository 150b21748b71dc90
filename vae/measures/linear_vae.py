r"""The β-VAE with a linear decoder and a Gaussian likelihood: what training converges to, in closed form.

.. math:: p(x|z) = N(W z + b, s^2 I), \quad
    \text{loss} = \text{distortion} + \beta \, \text{rate}

Let l_1 >= l_2 >= ... be the eigenvalues of the covariance of the data. At the optimum latent i describes the i-th
eigenvector. It is active if l_i > beta s^2, and its rate is then ln(l_i / (beta s^2)) / 2. An inactive latent has rate
0. Lucas et al. (2019), "Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse", arXiv 1911.02469;
Tipping & Bishop (1999), "Probabilistic Principal Component Analysis", which is the case beta = 1.

The result is also the reverse water-filling of rate-distortion theory. So no network reaches a lower loss on Gaussian
data of this covariance. On other data a nonlinear network may.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vae.probability.prior import LN_2PI

ROUNDING = 1e-9


@dataclass(frozen=True)
class Spectrum:
    """The eigenvalues of the covariance of data.

    Attributes:
        eigenvalues: the largest, falling, in the squared unit of x, in float64.
        trace: the sum of all eigenvalues.
        dimensions: the number of all eigenvalues: the pixels of an image.
        source: what the eigenvalues are from, in words, as in "all 50 000 images".
    """

    eigenvalues: Float[Tensor, " kept"]
    trace: float
    dimensions: int
    source: str = "given eigenvalues"


@dataclass(frozen=True)
class LinearPrediction:
    """The optimum of a linear β-VAE.

    Attributes:
        beta: the weight of the rate.
        variance: s^2 of the likelihood.
        rates: of each latent in nats, falling, in float64.
        distortion: the mean of -ln p(x|z) in nats.
    """

    beta: float
    variance: float
    rates: Float[Tensor, " latent"]
    distortion: float

    @property
    def active(self) -> int:
        """The number of latents with a rate above 0."""
        return int((self.rates > 0).sum())

    @property
    def rate(self) -> float:
        """The sum over the latents, in nats."""
        return float(self.rates.sum())

    @property
    def elbo(self) -> float:
        """-(distortion + rate), in nats. For beta = 1 it is the mean of ln p(x)."""
        return -(self.distortion + self.rate)

    @property
    def loss(self) -> float:
        """distortion + beta * rate, in nats."""
        return self.distortion + self.beta * self.rate


def predict_linear(spectrum: Spectrum, beta: float, latents: int, variance: float | None = None) -> LinearPrediction:
    """Rates and distortion at the optimum.

    Args:
        spectrum: of the data, with at least min(latents, dimensions) eigenvalues.
        beta: the weight of the rate, above 0.
        latents: the number of latents.
        variance: s^2 of the likelihood; None if it is learned.

    Raises:
        ValueError: `beta` or `variance` is not above 0, eigenvalues are missing, or a learned variance falls to 0.

    Example:
        >>> spectrum = Spectrum(torch.tensor([8.0, 2.0], dtype=torch.float64), trace=10.0, dimensions=2)
        >>> found = predict_linear(spectrum, beta=4.0, latents=2, variance=1.0)
        >>> found.active, round(found.rate, 4)  # 2 < 4 < 8, and ln(8 / 4) / 2
        (1, 0.3466)
    """
    if not beta > 0:
        raise ValueError(f"beta must be above 0, got {beta}")
    largest = eigenvalues_for(spectrum, latents)
    variance = learned_variance(spectrum, beta, latents) if variance is None else variance
    if not variance > 0:
        raise ValueError(f"the variance must be above 0, got {variance}")
    rates = torch.zeros(latents, dtype=torch.float64)
    rates[: len(largest)] = 0.5 * (largest / (beta * variance)).log().clamp_min(0)
    described = largest[largest > beta * variance]
    squares = spectrum.trace - float(described.sum()) + len(described) * beta * variance  # the expected squared error
    distortion = 0.5 * spectrum.dimensions * (LN_2PI + math.log(variance)) + squares / (2 * variance)
    return LinearPrediction(beta, variance, rates, distortion)


def learned_variance(spectrum: Spectrum, beta: float, latents: int) -> float:
    """s^2 = (sum of the inactive eigenvalues) / (dimensions - beta * active), the optimum of a learned variance.

    The number of active latents depends on s^2 itself. Exactly one number is consistent: the derivative of the loss
    with respect to s^2, times 2 s^4, is a convex function of s^2 that starts at or below 0. Only at beta = 1, with as
    many latents as dimensions, all s^2 up to the smallest eigenvalue have the same loss. The result is the largest.

    Raises:
        ValueError: the latents describe the data without an error, so the loss falls without bound as s^2 falls to 0.
    """
    largest = eigenvalues_for(spectrum, latents)
    for active in range(len(largest), -1, -1):
        inactive = spectrum.trace - float(largest[:active].sum())
        below = spectrum.dimensions - beta * active
        if below <= 0 or inactive <= 1e-12 * spectrum.trace:
            continue
        threshold = beta * inactive / below
        above_last = active == 0 or float(largest[active - 1]) > threshold
        below_next = active == len(largest) or float(largest[active]) <= threshold * (1 + ROUNDING)
        if above_last and below_next:
            return inactive / below
    raise ValueError(
        f"a learned variance falls to 0, because {latents} latents describe these data without an error. "
        "Use fewer latents or a fixed variance"
    )


def collapse_thresholds(spectrum: Spectrum, latents: int, variance: float | None = None) -> Float[Tensor, " latent"]:
    """The beta from which on each latent is inactive, falling; 0 where there is no l_i.

    For a fixed variance it is l_i / s^2. For a learned one, s^2 is the value with i - 1 active latents, which gives
    dimensions / (i - 1 + (l_i + l_{i+1} + ...) / l_i). So the first latent collapses when beta is l_1 over the mean
    eigenvalue.

    Args:
        spectrum: of the data, with at least min(latents, dimensions) eigenvalues.
        latents: the number of latents.
        variance: s^2 of the likelihood; None if it is learned.

    Example:
        >>> spectrum = Spectrum(torch.tensor([8.0, 2.0], dtype=torch.float64), trace=10.0, dimensions=2)
        >>> collapse_thresholds(spectrum, 2, variance=0.5).tolist(), collapse_thresholds(spectrum, 2).tolist()
        ([16.0, 4.0], [1.6, 1.0])
    """
    largest = eigenvalues_for(spectrum, latents)
    thresholds = torch.zeros(latents, dtype=torch.float64)
    if variance is not None:
        thresholds[: len(largest)] = largest / variance
        return thresholds
    before = torch.arange(len(largest), dtype=torch.float64)
    rest = (spectrum.trace - largest.cumsum(0) + largest).clamp_min(0)  # l_i and all after it
    learned = torch.where(largest > 0, spectrum.dimensions / (before + rest / largest), 0.0)
    thresholds[: len(largest)] = learned.cummin(0).values  # those of equal eigenvalues differ by rounding
    return thresholds


def linear_numbers(spectrum: Spectrum, prediction: LinearPrediction, *, learned: bool) -> dict[str, Any]:
    """A prediction as `summary.json` holds it: what it says, in nats, and the part of the spectrum that it is from.

    Args:
        spectrum: of the data.
        prediction: from it.
        learned: whether the variance is learned.
    """
    return {
        "beta": prediction.beta,
        "variance": prediction.variance,
        "variance_learned": learned,
        "distortion": prediction.distortion,
        "rate": prediction.rate,
        "loss": prediction.loss,
        "active": prediction.active,
        "rates": prediction.rates.tolist(),
        "spectrum": {
            "eigenvalues": eigenvalues_for(spectrum, len(prediction.rates)).tolist(),
            "trace": spectrum.trace,
            "dimensions": spectrum.dimensions,
            "source": spectrum.source,
        },
    }


def eigenvalues_for(spectrum: Spectrum, latents: int) -> Float[Tensor, " described"]:
    """The largest eigenvalues, one for each latent, at most one for each dimension. Rounding below 0 is clamped.

    Raises:
        ValueError: the spectrum has fewer.
    """
    count = min(latents, spectrum.dimensions)
    if len(spectrum.eigenvalues) < count:
        raise ValueError(f"{latents} latents need {count} eigenvalues, got {len(spectrum.eigenvalues)}")
    return spectrum.eigenvalues[:count].double().clamp_min(0)


def linear_log_likelihood(
    x: Float[Tensor, "images pixels"],
    weight: Float[Tensor, "pixels latents"],
    bias: Float[Tensor, " pixels"],
    variance: float,
) -> Float[Tensor, " images"]:
    """ln p(x) = ln N(x; bias, weight weight^T + variance I) of any linear decoder, in nats, in float64.

    Only a matrix of latents x latents is inverted, by the lemmas of Woodbury and of the determinant (Tipping & Bishop,
    1999, Section 3). The mean over the data is the least upper limit of the ELBO and of importance-weighted bounds.

    Raises:
        ValueError: the variance is not above 0.

    Example:
        >>> x, bias, weight = torch.tensor([[1.0, 0.0]]), torch.zeros(2), torch.tensor([[1.0], [0.0]])
        >>> [round(value, 4) for value in linear_log_likelihood(x, weight, bias, 1.0).tolist()]
        [-2.4345]
    """
    if not variance > 0:
        raise ValueError(f"the variance must be above 0, got {variance}")
    weight, residual = weight.double(), x.double() - bias.double()
    pixels, latents = weight.shape
    inner = weight.T @ weight + variance * torch.eye(latents, dtype=torch.float64)
    factor = torch.linalg.cholesky(inner)
    described = torch.linalg.solve_triangular(factor, weight.T @ residual.T, upper=False)
    squares = (residual.square().sum(1) - described.square().sum(0)) / variance
    log_determinant = (pixels - latents) * math.log(variance) + 2 * float(factor.diagonal().log().sum())
    density: Float[Tensor, " images"] = -0.5 * (squares + log_determinant + pixels * LN_2PI)
    return density
