r"""Chen et al. (2018), "Isolating Sources of Disentanglement in Variational Autoencoders", Eq. 4: the beta-TCVAE.

The rate is the sum of three (their Eq. 2): the mutual information of x and z, the total correlation of q(z), and the
KL of each latent's q(z_j) to the prior.

.. math:: \text{loss} = \text{distortion} + \alpha \, I(x; z) + \beta \, KL(q(z) \| \prod_j q(z_j))
    + \gamma \sum_j KL(q(z_j) \| p(z_j))
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from vae.objectives.aggregate import minibatch_log_densities
from vae.objectives.schedules import Schedule
from vae.objectives.terms import DrawnTerms, mean_over_images
from vae.probability.prior import log_prior


@dataclass(frozen=True)
class TotalCorrelationObjective:
    """Three weights for the three parts of the rate; all of them 1 is the negative ELBO, exactly.

    The rate in closed form is the part that all three weights have in common with 1; only what they add to it is
    estimated from the minibatch: loss = distortion + rate + (alpha - 1) MI + (beta - 1) TC + (gamma - 1) DWKL. With
    alpha = gamma = 1 this is the loss of Locatello et al. (2019).

    The value carries an offset. Minibatch weighted sampling divides each of the D + 1 densities by N B, where the sum
    over the batch alone would be divided by B. ln q(z) and each ln q(z_j) are therefore too low by up to ln N, and the
    total correlation of D latents is too high by up to (D - 1) ln N, the objective by (beta - 1)(D - 1) ln N: 487 nats
    of 10 latents at beta 6 and 50 000 images. It is constant where the latents of different images are far apart, and
    changes gradients little. So `objective` in the logs is no bound on ln p(x); `loss`, distortion + rate, is free of
    the offset. `stratified` weights sum to 1 and have none.

    Args:
        alpha: the weight of the mutual information.
        beta: the weight of the total correlation as a function of the step.
        gamma: the weight of the dimension-wise KL.
        dataset_size: the number of training images.
        stratified: minibatch stratified instead of minibatch weighted sampling.
    """

    alpha: float
    beta: Schedule
    gamma: float
    dataset_size: int
    stratified: bool
    sample_shape: ClassVar[tuple[int, ...]] = ()

    @property
    def settled(self) -> int:
        """The step from which beta is constant."""
        return self.beta.steps

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:
        """The mean loss of a batch, in nats per image."""
        posterior, z = terms.posterior, terms.z
        log_q, log_product = minibatch_log_densities(
            z, posterior.mean, posterior.logvar, self.dataset_size, self.stratified
        )
        mutual_information = posterior.log_prob(z) - log_q
        total_correlation = log_q - log_product
        dimension_wise = log_product - log_prior(z)
        return mean_over_images(
            -terms.elbo
            + (self.alpha - 1) * mutual_information
            + (self.beta(step) - 1) * total_correlation
            + (self.gamma - 1) * dimension_wise
        )

    def rate_factor(self, step: int) -> float:  # noqa: ARG002
        """1: beta weighs the total correlation, and the rate as a whole keeps its weight."""
        return 1.0

    def scalars(self, step: int) -> dict[str, float]:
        """Beta, the factor of the total correlation."""
        return {"beta": self.beta(step)}
