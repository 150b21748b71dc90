r"""Kingma et al. (2016), "Improved Variational Inference with Inverse Autoregressive Flow": free bits.

.. math:: \text{loss} = \text{distortion} + \beta \sum_j \max(\lambda, \text{rate}_j)
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from vae.objectives.schedules import Schedule
from vae.objectives.terms import Terms, mean_over_images


@dataclass(frozen=True)
class FreeBitsObjective:
    """The first nats of each latent are free, so that none is given up early; their loss is paid all the same.

    What is compared with lambda is the latent's mean over the batch.

    Args:
        beta: the weight of the rate as a function of the step.
        free_nats: lambda, of each latent.
    """

    beta: Schedule
    free_nats: float
    sample_shape: ClassVar[tuple[int, ...]] = ()

    def __call__(self, terms: Terms, step: int) -> Float[Tensor, ""]:
        """The mean loss of a batch, in nats per image."""
        rate = (terms.rate / len(terms.rate)).sum(0)  # of each latent
        return mean_over_images(terms.distortion) + self.beta(step) * rate.clamp_min(self.free_nats).sum()

    def rate_weight(self, step: int) -> float:
        """Beta."""
        return self.beta(step)
