"""The rate-distortion curve of a multi-rate model."""

import math

import numpy as np

from vae.data.images import ImageSet
from vae.measures.evaluation import elbo_numbers, encode_images
from vae.model.gates import MultiRateVAE

POINTS = 21  # ten a decade between 0.1 and 10
NEAR = 0.01  # relative
ALWAYS = (1.0, 2.0, 4.0, 8.0)
FEW = 4


def rate_distortion_curve(vae: MultiRateVAE, images: ImageSet, beta: float) -> list[dict[str, float]]:
    """Distortion and rate in nats for betas over the trained range, with the same images and noise for each.

    Args:
        vae: the model. It is set to evaluation mode.
        images: usually the test set.
        beta: a beta of the curve, besides `betas_between`.

    Returns:
        {beta, distortion, rate} by rising beta.
    """
    low, high = math.exp(vae.condition.low), math.exp(vae.condition.high)
    found = []
    for each in sorted({*betas_between(low, high), beta}):
        with vae.conditioned(vae.condition.log_beta.new_tensor([each])):
            numbers = elbo_numbers(encode_images(vae, images))
        found.append({"beta": each, "distortion": numbers["distortion"], "rate": numbers["rate"]})
    return found


def betas_between(low: float, high: float) -> list[float]:
    """Betas at equal distances of ln beta. Those near 1, 2, 4 and 8 are exactly these numbers.

    Example:
        >>> betas_between(0.1, 10.0)[8:16]
        [0.630957, 0.794328, 1.0, 1.25893, 1.58489, 2.0, 2.51189, 3.16228]
    """
    round_ones = [beta for beta in ALWAYS if low <= beta <= high]
    spaced = [float(f"{beta:.6g}") for beta in np.geomspace(low, high, POINTS)]
    return sorted(
        [*round_ones, *(beta for beta in spaced if not any(abs(beta / one - 1) < NEAR for one in round_ones))]
    )


def few_betas(low: float, high: float, own: float) -> list[float]:
    """`own` and powers of two between `low` and `high`, at most `FEW` in all, by rising beta.

    If there are more powers, it is every second, or every third, and so on.

    Example:
        >>> few_betas(0.1, 10.0, 2.0), few_betas(1.0, 8.0, 1.0), few_betas(0.5, 0.9, 0.7)
        ([0.125, 0.5, 2.0, 8.0], [1.0, 2.0, 4.0, 8.0], [0.5, 0.7])
    """
    powers = [2.0**k for k in range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)]
    betas = sorted({own, *powers})
    number, step = betas.index(own), 1
    while len(betas[number % step :: step]) > FEW:
        step += 1
    return betas[number % step :: step]
