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
    """A latent with a rate below lambda nats gets no gradient from the rate, so that it does not collapse early.

    The rate of a latent is the mean over the batch. Below lambda it adds the constant beta * lambda to the loss.

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
