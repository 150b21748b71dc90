"""Higgins et al. (2017), "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework"."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from vae.objectives.schedules import Schedule
from vae.objectives.terms import Terms, mean_over_images


@dataclass(frozen=True)
class BetaObjective:
    """loss = mean over images of (distortion + beta * rate), their Eq. 4. With beta = 1 it is the negative ELBO.

    Args:
        beta: the weight of the rate as a function of the step.
    """

    beta: Schedule
    sample_shape: ClassVar[tuple[int, ...]] = ()

    def __call__(self, terms: Terms, step: int) -> Float[Tensor, ""]:
        """The mean loss of a batch, in nats per image."""
        return mean_over_images(terms.distortion + self.beta(step) * terms.rate.sum(1))

    def rate_weight(self, step: int) -> float:
        """Beta."""
        return self.beta(step)
