"""Mutual information in nats from counts: the plug-in estimate, without a correction of its bias."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

CODE_BINS = 20  # of each latent, as in Locatello et al. (2019)


def equal_width_bins(values: Float[Tensor, "images latent"], bins: int = CODE_BINS) -> Int64[Tensor, "images latent"]:
    """The bin 0 … bins - 1 of each value, between the smallest and the largest value of its latent.

    Example:
        >>> equal_width_bins(torch.tensor([[0.1], [0.2], [0.3], [0.4], [0.5], [0.6]]), bins=3).flatten()
        tensor([0, 0, 1, 1, 2, 2])
    """
    low, high = values.amin(0), values.amax(0)
    width = ((high - low) / bins).clamp_min(torch.finfo(values.dtype).tiny)
    return ((values - low) / width).long().clamp(0, bins - 1)


def label_information(
    mean: Float[Tensor, "images latent"], labels: Int64[Tensor, " images"], bins: int = CODE_BINS
) -> Float[Tensor, " latent"]:
    """I(label; posterior mean) of each latent in nats. The means are cut into bins of equal width.

    The estimate of Locatello et al. (2019). It is too large by about (bins - 1)(labels - 1) / 2n for n images. Labels
    may be any integers.
    """
    different, label = labels.unique(return_inverse=True)
    classes, latents = len(different), mean.shape[1]
    cell = (label[:, None] * bins + equal_width_bins(mean, bins)).T
    counts = torch.zeros(latents, classes * bins, dtype=torch.float64)
    counts = counts.scatter_add_(1, cell, torch.ones_like(cell, dtype=torch.float64)).view(latents, classes, bins)
    # From counts, which are exact: a constant latent has exactly 0 nats, which probabilities would round.
    independent = counts.sum(1, keepdim=True) * counts.sum(2, keepdim=True) / len(mean)
    nats = torch.xlogy(counts, counts / independent.clamp_min(1 / len(mean))).sum((1, 2)) / len(mean)
    return nats.clamp_min(0).to(mean)
