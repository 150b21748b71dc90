"""How tight the bound on ln p(x) is: more samples bring it closer, from below. In nats."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vae.model.vae import VAE
from vae.probability.finite import refuse_nan
from vae.probability.prior import log_prior, standard_normal

PIXELS_AT_ONCE = 2**20  # decoded together: larger products are no faster, and need more memory


def log_mean_exp(values: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    """ln of the mean of exp(values) over the last axis, by log-sum-exp: no density is ever formed that could overflow.

    Example:
        >>> log_mean_exp(torch.tensor([-1000.0, -1000.0]))
        tensor(-1000.)
    """
    return torch.logsumexp(values, -1) - math.log(values.shape[-1])


def importance_weighted_bound(
    vae: VAE,
    x: Float[Tensor, "batch channels height width"],
    samples: int,
    generator: torch.Generator,
) -> Float[Tensor, " batch"]:
    r"""A lower bound on ln p(x) that tightens with the samples, in nats: the ELBO in expectation if there is one.

    .. math:: \ln \frac{1}{k} \sum_{i=1}^{k} \frac{p(x|z_i) p(z_i)}{q(z_i|x)}, \quad z_i \sim q(z|x)

    Burda, Grosse & Salakhutdinov (2016), "Importance Weighted Autoencoders", Eq. 8; with k = 5000 its negative is what
    papers report as the NLL. Memory does not grow with k.

    Args:
        vae: the model.
        x: images with pixels in [0, 1].
        samples: k.
        generator: of the noise, on the device of `x`.

    Raises:
        ValueError: `samples` is below 1.
        NonFiniteError: the model gives NaN.
    """
    if samples < 1:
        raise ValueError(f"samples must be 1 or more, got {samples}. Take 100 for a look, 5000 for a published NLL")
    total = _log_sums(vae, x, [samples], generator)[0]
    return (total - math.log(samples)).to(x)


def importance_weighted_halves(
    vae: VAE,
    x: Float[Tensor, "batch channels height width"],
    samples: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """(The bound of k samples, the mean of the bounds of its first and its second half), in nats.

    The first is never below the second. Their difference says how much the bound still rises when k doubles; the rest
    of the way to ln p(x), which no finite k measures, is usually longer than that. The first is the number that
    `importance_weighted_bound` gives from the same generator, but for rounding.

    Args:
        vae: the model.
        x: images with pixels in [0, 1].
        samples: k, even.
        generator: of the noise, on the device of `x`.

    Raises:
        ValueError: `samples` is odd, or below 2.
        NonFiniteError: the model gives NaN.
    """
    half, odd = divmod(samples, 2)
    if half < 1 or odd:
        raise ValueError(f"samples must be even to be halved, and 2 or more, got {samples}. Take 100")
    first, second = _log_sums(vae, x, [half, half], generator)
    whole = torch.logaddexp(first, second) - math.log(samples)
    return whole.to(x), (0.5 * (first + second) - math.log(half)).to(x)


@torch.inference_mode()
def _log_sums(
    vae: VAE, x: Float[Tensor, "batch channels height width"], parts: list[int], generator: torch.Generator
) -> list[Float[Tensor, " batch"]]:
    """ln of the sum of the weights of so many samples, for each part anew. On the CPU in float64.

    The sums run on while the samples come and go.
    """
    posterior = vae.encode(x)
    at_once = min(max(parts), max(1, PIXELS_AT_ONCE // x.numel()))
    totals = []
    for samples in parts:
        # Summed in float64, and so on the CPU, which some accelerators need for it: thousands of roundings would show.
        total = torch.full((len(x),), -math.inf, dtype=torch.float64)
        for start in range(0, samples, at_once):
            draws = min(at_once, samples - start)
            # A sample at a time, so that the noise is the same however many are decoded together.
            noise = torch.stack([standard_normal(posterior.mean.shape, generator) for _ in range(draws)])
            z = posterior.rsample(noise)  # (draws, batch, latent)
            log_weights = vae.log_likelihood(x, z) + log_prior(z) - posterior.log_prob(z)
            total = torch.logaddexp(total, log_weights.logsumexp(0).cpu().double())
        refuse_nan("the importance weights", total)
        totals.append(total)
    return totals
