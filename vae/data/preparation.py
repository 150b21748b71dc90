"""From x back to images and rows in the units in which a user gives them."""

import torch
from jaxtyping import Float
from torch import Tensor

from vae.config.preparation import ImagePreparation, Preparation


def restored(x: Float[Tensor, "batch channels height width"], preparation: Preparation) -> Tensor:
    """Images as they are, (batch, channels, height, width); rows in their own units, (batch, columns).

    Example:
        >>> from vae.config.preparation import TablePreparation
        >>> restored(torch.ones(1, 1, 1, 2), TablePreparation(("height", "mass"), (1.5, 60.0), (0.25, 10.0)))
        tensor([[ 1.7500, 70.0000]])
    """
    if isinstance(preparation, ImagePreparation):
        return x
    mean, deviation = (torch.tensor(v, dtype=torch.float64) for v in (preparation.mean, preparation.deviation))
    return (x.flatten(1).cpu().double() * deviation + mean).float()
