r"""Burgess et al. (2018), "Understanding disentangling in beta-VAE": a capacity that grows.

.. math:: \text{loss} = \text{distortion} + \gamma \, | \text{rate} - C |
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from vae.objectives.schedules import Schedule
from vae.objectives.terms import Terms, mean_over_images


@dataclass(frozen=True)
class CapacityObjective:
    """Penalises the distance of the rate from a capacity of C nats, which grows with the step.

    The rate is the mean over the batch, so single images may have more or less than C.

    Args:
        gamma: the weight of the distance.
        capacity: C in nats as a function of the step.
    """

    gamma: float
    capacity: Schedule
    sample_shape: ClassVar[tuple[int, ...]] = ()

    def __call__(self, terms: Terms, step: int) -> Float[Tensor, ""]:
        """The mean loss of a batch, in nats per image."""
        rate = mean_over_images(terms.rate.sum(1))
        return mean_over_images(terms.distortion) + self.gamma * (rate - self.capacity(step)).abs()

    def rate_weight(self, step: int) -> float:  # noqa: ARG002
        """1: the rate has no weight of its own here, so `loss` is the negative ELBO."""
        return 1.0
