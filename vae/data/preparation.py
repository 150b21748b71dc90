"""From rows to x, and from x back to images and rows in the units in which a user gives them."""

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from vae.config.preparation import ImagePreparation, Preparation, TablePreparation
from vae.data.files import DataError
from vae.data.table import shortened


def standardised(
    values: Float64[np.ndarray, "rows columns"], preparation: TablePreparation
) -> Float[Tensor, "rows 1 1 columns"]:
    """The rows as x: each number minus the mean of its column, divided by its standard deviation, in float32."""
    x = (values - np.array(preparation.mean)) / np.array(preparation.deviation)
    beyond = np.abs(x) > 1e30
    if beyond.any():
        row, column = np.argwhere(beyond)[0]
        raise DataError(
            f"the column {shortened(preparation.columns[column])} must have numbers like those of the training, "
            f"row {row} of these has {values[row, column]:g}. Correct it"
        )
    return torch.from_numpy(x.astype(np.float32))[:, None, None, :]


def restored(x: Float[Tensor, "batch channels height width"], preparation: Preparation) -> Tensor:
    """Images as they are, (batch, channels, height, width); rows in their own units, (batch, columns), in float64.

    Example:
        >>> from vae.config.preparation import TablePreparation
        >>> restored(torch.ones(1, 1, 1, 2), TablePreparation(("height", "mass"), (1.5, 60.0), (0.25, 10.0), None))
        tensor([[ 1.7500, 70.0000]], dtype=torch.float64)
    """
    if isinstance(preparation, ImagePreparation):
        return x
    mean, deviation = (torch.tensor(v, dtype=torch.float64) for v in (preparation.mean, preparation.deviation))
    return x.flatten(1).cpu().double() * deviation + mean
