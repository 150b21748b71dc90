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
    """An upper bound on -ln p(x). It is tighter with more samples; with one, its expectation is the negative ELBO.

    As in the authors' code, ln q(z|x) - ln p(z) is computed from the samples, and not as the KL in closed form.

    Args:
        samples: k, the number of samples per image.
    """

    samples: int

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(k,)."""
        return (self.samples,)

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:  # noqa: ARG002
        """The mean loss of a batch, in nats per image."""
        log_weight = terms.log_likelihood + log_prior(terms.z) - terms.posterior.log_prob(terms.z)
        return mean_over_images(math.log(self.samples) - torch.logsumexp(log_weight, 0))

    def rate_weight(self, step: int) -> float:  # noqa: ARG002
        """1: `loss` is the negative ELBO. The objective is a tighter bound on -ln p(x)."""
        return 1.0
