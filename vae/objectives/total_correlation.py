r"""Chen et al. (2018), "Isolating Sources of Disentanglement in Variational Autoencoders", Eq. 4: the beta-TCVAE.

The rate is the sum of three parts (their Eq. 2): the mutual information of x and z, the total correlation of q(z), and
the dimension-wise KL, which is the sum of the KL of each q(z_j) to the prior.

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
    """Weights the three parts of the rate. If all weights are 1, the loss is exactly the negative ELBO.

    loss = distortion + rate + (alpha - 1) MI + (beta - 1) TC + (gamma - 1) DWKL, with the rate in closed form and the
    three parts estimated from the minibatch. With alpha = gamma = 1 it is the loss of Locatello et al. (2019).

    With minibatch weighted sampling the value has an offset. Each estimated density is divided by N B instead of B, so
    ln q(z) and each ln q(z_j) are too low by up to ln N. The total correlation of D latents is then too high by up to
    (D - 1) ln N, and the objective by (beta - 1)(D - 1) ln N. The offset hardly changes the gradients. Because of it
    `objective` in the logs is no bound on ln p(x); `loss`, distortion + rate, has no offset. Neither has `stratified`,
    whose weights sum to 1.

    Args:
        alpha: the weight of the mutual information.
        beta: the weight of the total correlation as a function of the step.
        gamma: the weight of the dimension-wise KL.
        dataset_size: the number of training images.
        stratified: whether to use minibatch stratified instead of minibatch weighted sampling.
    """

    alpha: float
    beta: Schedule
    gamma: float
    dataset_size: int
    stratified: bool
    sample_shape: ClassVar[tuple[int, ...]] = ()

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:
        """The mean loss of a batch, in nats per image."""
        posterior, z = terms.posterior, terms.z
        log_q, log_product = minibatch_log_densities(
            z, posterior.mean, posterior.logvar, self.dataset_size, self.stratified
        )
        mutual_information = posterior.log_prob(z) - log_q
        total_correlation = log_q - log_product
        dimension_wise = log_product - log_prior(z)
        terms.log(
            minibatch_mutual_information=mutual_information.mean(),
            minibatch_total_correlation=total_correlation.mean(),
            minibatch_dimension_wise_kl=dimension_wise.mean(),
        )
        return mean_over_images(
            -terms.elbo
            + (self.alpha - 1) * mutual_information
            + (self.beta(step) - 1) * total_correlation
            + (self.gamma - 1) * dimension_wise
        )

    def rate_weight(self, step: int) -> float:  # noqa: ARG002
        """1: beta is the weight of the total correlation, and the rate as a whole keeps the weight 1."""
        return 1.0
