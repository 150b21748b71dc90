"""What the latents know of the class of an image. In nats."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vae.probability.divergences import mutual_information


def label_information(
    mean: Float[Tensor, "images latent"], labels: Int64[Tensor, " images"], bins: int = 20
) -> Float[Tensor, " latent"]:
    """I(label; posterior mean) of each latent in nats, the means cut into equal-width bins, by counting.

    The plug-in estimate of Locatello et al. (2019): biased upwards by about (bins - 1)(labels - 1) / 2n. Labels are
    any whole numbers; the memory grows with how many different ones there are.
    """
    low, high = mean.amin(0), mean.amax(0)
    width = ((high - low) / bins).clamp_min(torch.finfo(mean.dtype).tiny)
    cell = ((mean - low) / width).long().clamp(0, bins - 1)  # (images, latent)
    different, label = labels.unique(return_inverse=True)
    classes, latents = len(different), mean.shape[1]
    joint = torch.zeros(latents, classes * bins, dtype=torch.float64)
    joint.scatter_add_(1, (label[:, None] * bins + cell).T, torch.ones_like(cell.T).double())
    return mutual_information(joint.view(latents, classes, bins) / len(mean)).to(mean)
