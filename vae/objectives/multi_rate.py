"""Bae et al. (2022), "Multi-Rate VAE: Train Once, Get the Full Rate-Distortion Curve", arXiv 2212.03905."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from vae.objectives.terms import DrawnTerms, mean_over_images


@dataclass(frozen=True)
class MultiRateObjective:
    """loss = mean over images of beta_i^emphasis (distortion + beta_i * rate), where image i has its own beta_i.

    The model draws each beta log-uniformly and reads it in its gates: `vae.model.gates.MultiRateVAE`. So this is an
    estimate of the mean over ln beta of the loss of each beta.

    Args:
        beta_of_run: of its numbers and figures.
        emphasis: 0 in the paper. One network shares its units between all betas, and a larger emphasis gives more of
            them to the large ones. The optimum of a network that is exact for each beta does not depend on it.
    """

    beta_of_run: float
    emphasis: float
    sample_shape: ClassVar[tuple[int, ...]] = ()

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:  # noqa: ARG002
        """The mean loss of a batch, in nats per image.

        Raises:
            ValueError: the terms are of a model without gates.
        """
        if terms.betas is None:
            raise ValueError("objective=multi_rate needs a model with gates")
        weight = terms.betas**self.emphasis
        return mean_over_images(weight * (terms.distortion + terms.betas * terms.rate.sum(1)))

    def rate_weight(self, step: int) -> float:  # noqa: ARG002
        """The beta of the run."""
        return self.beta_of_run
