"""The user's pictures, arrays and rows as batches of x for a trained model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vae.config.preparation import ImagePreparation, Preparation
from vae.data.files import DataError
from vae.data.images import sample_bernoulli
from vae.data.splits import SEED


@dataclass(frozen=True)
class Inputs:
    """Inputs for a model.

    Attributes:
        count: how many there are.
        names: the file, or the number of the row, of each input.
        labels: the label of each input, where there are labels.
    """

    count: int
    names: Sequence[str]
    labels: Sequence[str] | None
    _x: Tensor

    def batches(self, size: int) -> Iterator[Float[Tensor, "batch channels height width"]]:
        """The prepared inputs in their order, `size` at a time. Each call begins anew and gives the same values."""
        yield from self._x.split(size)


def inputs_of(given: Any, preparation: Preparation) -> Inputs:
    """The given inputs, prepared as in training.

    Raises:
        DataError: they cannot be read, or do not fit the model.
    """
    # A first version, for arrays of images of the right shape only.
    assert isinstance(preparation, ImagePreparation)
    pixels = torch.as_tensor(np.asarray(given))
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    if tuple(pixels.shape[1:]) != preparation.image or pixels.dtype != torch.uint8:
        raise DataError(
            f"images must be uint8 of shape (n, *{preparation.image}), got {pixels.dtype} {tuple(pixels.shape)}"
        )
    if preparation.binarised:
        x = sample_bernoulli(pixels, torch.Generator().manual_seed(SEED)).float()
    else:
        x = pixels.float() / 255
    return Inputs(len(x), [str(k) for k in range(len(x))], None, x)
