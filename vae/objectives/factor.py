r"""Kim & Mnih (2018), "Disentangling by Factorising", Algorithm 2: FactorVAE.

.. math:: \text{loss} = \text{distortion} + \beta \, \text{rate} + \gamma \, TC, \quad
    TC = KL(q(z) \| \prod_j q(z_j)) \approx E_{q(z)} \left[ \ln \frac{D(z)}{1 - D(z)} \right]

The discriminator D distinguishes samples of q(z) from samples of the product of its marginals. The latter are obtained
by permuting each latent of a batch over the images, independently of the others.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vae.model.layers import mlp
from vae.objectives.optimizers import adam, load_moments, moments
from vae.objectives.schedules import Schedule
from vae.objectives.terms import DrawnTerms, Stateful, mean_over_images


def discriminator(latent_dim: int, hidden: Sequence[int]) -> nn.Sequential:
    """The paper's network: linear layers with leaky ReLUs of slope 0.2, and two logits for q(z) and the product."""
    return mlp([latent_dim, *hidden, 2], lambda: nn.LeakyReLU(0.2))


class FactorObjective(Stateful):
    """The beta-VAE's loss plus gamma times the total correlation, as a discriminator estimates it.

    The discriminator is trained together with the VAE. The encoder gets the gradient of TC with respect to z, and the
    discriminator gets z without its graph. Both use the same batch, as in the code of Locatello et al. (2019); in the
    paper the discriminator has a second batch.

    Args:
        beta: the weight of the rate as a function of the step; 1 in the paper.
        gamma: the weight of the total correlation.
        discriminator: from latents to two logits.
        learning_rate: of the discriminator's Adam. Its decay rates are the paper's, 0.5 and 0.9.
    """

    sample_shape: tuple[int, ...] = ()

    def __init__(self, beta: Schedule, gamma: float, discriminator: nn.Module, learning_rate: float) -> None:
        self.beta = beta
        self.gamma = gamma
        self.discriminator = discriminator
        self.optimizer = adam(discriminator.parameters(), learning_rate, betas=(0.5, 0.9))

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:
        """The mean loss of a batch, in nats per image. The discriminator makes its own step."""
        z = terms.z.detach()
        total_correlation, gradient = self.estimate(z)
        discriminator_loss = self.learn(z, terms.generator)
        terms.log(total_correlation=total_correlation, discriminator_loss=discriminator_loss)
        # This has the value and the gradient of TC: z minus its copy is zero.
        correlated = total_correlation + ((terms.z - z) * gradient).sum()
        return mean_over_images(terms.distortion + self.beta(step) * terms.rate.sum(1)) + self.gamma * correlated

    @torch.enable_grad()
    def estimate(self, z: Float[Tensor, "batch latent"]) -> tuple[Float[Tensor, ""], Float[Tensor, "batch latent"]]:
        """The total correlation estimated from the logits, in nats, and its gradient with respect to z."""
        z = z.detach().requires_grad_()
        logits = self.discriminator(z)
        total_correlation = (logits[:, 0] - logits[:, 1]).mean()
        (gradient,) = torch.autograd.grad(total_correlation, z)
        return total_correlation.detach(), gradient

    def learn(self, z: Float[Tensor, "batch latent"], generator: torch.Generator | None) -> Float[Tensor, ""]:
        """One step of the discriminator. Returns its loss in nats, which is ln 2 for random guesses."""
        order = torch.rand(z.shape, generator=generator, device=z.device).argsort(0)
        joint, product = self.discriminator(torch.cat([z, z.gather(0, order)])).chunk(2)
        of_joint, of_product = (
            cross_entropy(logits, torch.full((len(z),), label, device=z.device))
            for label, logits in enumerate((joint, product))
        )
        loss: Tensor = 0.5 * (of_joint + of_product)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def rate_weight(self, step: int) -> float:
        """Beta."""
        return self.beta(step)

    def state_dict(self) -> dict[str, Any]:
        """The parameters of the discriminator and the moments of its optimizer."""
        return {"discriminator": self.discriminator.state_dict(), "optimizer": moments(self.optimizer)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.discriminator.load_state_dict(state["discriminator"])
        load_moments(self.optimizer, state["optimizer"])
