r"""Burda, Grosse & Salakhutdinov (2016), "Importance Weighted Autoencoders".

.. math:: \text{loss} = -\ln \frac{1}{k} \sum_{i=1}^{k} \frac{p(x|z_i) \, p(z_i)}{q(z_i|x)}, \quad z_i \sim q(z|x)
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vae.objectives.terms import DrawnTerms, mean_over_images
from vae.probability.prior import log_prior


@dataclass(frozen=True)
class ImportanceWeightedObjective:
    """A bound on -ln p(x) that tightens with the samples; with one sample its expectation is the negative ELBO.

    The weights are sampled, ln q - ln p included: nothing of the rate is in closed form, as in the authors' code.

    Args:
        samples: k, of each image.
    """

    samples: int

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(k,)."""
        return (self.samples,)

    @property
    def settled(self) -> int:
        """0: the loss is the same at every step."""
        return 0

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:  # noqa: ARG002
        """The mean loss of a batch, in nats per image."""
        log_weight = terms.log_likelihood + log_prior(terms.z) - terms.posterior.log_prob(terms.z)
        return mean_over_images(math.log(self.samples) - torch.logsumexp(log_weight, 0))

    def rate_factor(self, step: int) -> float:  # noqa: ARG002
        """1: the loss is the negative ELBO, and the objective a tighter bound on -ln p(x)."""
        return 1.0

    def scalars(self, step: int) -> dict[str, float]:  # noqa: ARG002
        """None: the loss is all there is."""
        return {}
