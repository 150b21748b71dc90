"""Information between binned codes and factors, in nats."""

import numpy as np
import torch
from jaxtyping import Float, Int

from vae.measures.information import label_information


def information_matrix(
    codes: Float[np.ndarray, "images latents"], levels: Int[np.ndarray, "images factors"]
) -> Float[np.ndarray, "latents factors"]:
    """I(binned code; factor) of each latent and factor in nats, by counting."""
    values, labels = torch.from_numpy(codes.astype(np.float64)), torch.from_numpy(levels.astype(np.int64))
    return torch.stack([label_information(values, factor) for factor in labels.T], dim=1).numpy()
