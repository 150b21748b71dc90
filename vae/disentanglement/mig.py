"""The mutual information gap, from binned codes.

Chen, Li, Grosse & Duvenaud (2018), "Isolating Sources of Disentanglement in VAEs", in the estimate of Locatello et al.
(2019): 20 bins of each code. Chen et al. estimate it otherwise: `mig_chen`. The two must not be compared.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from vae.disentanglement.codes import Codes, gap
from vae.disentanglement.discretise import entropies, information_matrix, ratio


@dataclass(frozen=True)
class MIG:
    """`score` in [0, 1]; `information` in nats; `gaps` of each factor, as a share of its entropy."""

    score: float
    gaps: Float[np.ndarray, " factors"]
    information: Float[np.ndarray, "latents factors"]


def mig(codes: Codes, samples: int, generator: Generator) -> MIG:
    """The mean over factors of (I with the best latent - I with the second best) / H(factor)."""
    values, levels = codes.draw(samples, generator)
    information = information_matrix(values, levels)
    gaps = ratio(gap(information), entropies(levels))
    return MIG(float(gaps.mean()), gaps, information)
