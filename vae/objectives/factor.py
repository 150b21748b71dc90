r"""Kim & Mnih (2018), "Disentangling by Factorising", Algorithm 2: FactorVAE.

.. math:: \text{loss} = \text{distortion} + \beta \, \text{rate} + \gamma \, TC, \quad
    TC = KL(q(z) \| \prod_j q(z_j)) \approx E_{q(z)} \left[ \ln \frac{D(z)}{1 - D(z)} \right]

The discriminator D tells samples of q(z) from samples of the product of its marginals, which a batch gives whose
latents are permuted over the images, each on its own.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vae.model.layers import mlp
from vae.objectives.optimizers import Adam
from vae.objectives.schedules import Schedule
from vae.objectives.terms import DrawnTerms, Stateful, mean_over_images


def discriminator(latent_dim: int, hidden: Sequence[int]) -> nn.Sequential:
    """The paper's: linear layers with leaky ReLUs of slope 0.2 and two logits, of q(z) and of the product."""
    return mlp([latent_dim, *hidden, 2], lambda: nn.LeakyReLU(0.2))


class FactorObjective(Stateful):
    """The rate, and the total correlation as a discriminator sees it, which learns in step with the VAE.

    Between the two stands a wall. The encoder gets the gradient of TC as a number; the discriminator gets z as a
    number. As in the code of Locatello et al. (2019) both see the same batch, where the paper takes a second one.

    Args:
        beta: the weight of the rate as a function of the step; 1 in the paper.
        gamma: the weight of the total correlation.
        discriminator: from latents to two logits.
        learning_rate: of the discriminator's Adam, whose decay rates are the paper's 0.5 and 0.9.
        generator: of the permutations.
    """

    sample_shape: ClassVar[tuple[int, ...]] = ()

    def __init__(
        self,
        beta: Schedule,
        gamma: float,
        discriminator: nn.Module,
        learning_rate: float,
        generator: torch.Generator,
    ) -> None:
        self.beta = beta
        self.gamma = gamma
        self.discriminator = discriminator
        self.optimizer = Adam(discriminator.parameters(), learning_rate, betas=(0.5, 0.9))
        self.generator = generator
        self.last: dict[str, Float[Tensor, ""]] = {}  # of the last step, to be logged

    @property
    def settled(self) -> int:
        """The step from which beta is constant."""
        return self.beta.steps

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:
        """The mean loss of a batch, in nats per image. The discriminator makes its own step after it."""
        z = terms.z
        total_correlation, gradient = self.seen(z.detach())
        self.last = {"total_correlation": total_correlation, "discriminator_loss": self.learn(z.detach())}
        # Worth TC, with TC's gradient: what follows z's minus cancels in value.
        correlated = total_correlation + ((z - z.detach()) * gradient).sum()
        return mean_over_images(terms.distortion + self.beta(step) * terms.rate.sum(1)) + self.gamma * correlated

    @torch.enable_grad()
    def seen(self, z: Float[Tensor, "batch latent"]) -> tuple[Float[Tensor, ""], Float[Tensor, "batch latent"]]:
        """The total correlation as the discriminator sees it, in nats, and its gradient with respect to z."""
        z = z.requires_grad_()
        logits = self.discriminator(z)
        total_correlation = (logits[:, 0] - logits[:, 1]).mean()
        (gradient,) = torch.autograd.grad(total_correlation, z)
        return total_correlation.detach(), gradient

    def learn(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, ""]:
        """One step of the discriminator, whose loss is returned in nats: ln 2 if it cannot tell."""
        order = torch.rand(z.shape, generator=self.generator, device=z.device).argsort(0)
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

    def rate_factor(self, step: int) -> float:
        """Beta."""
        return self.beta(step)

    def scalars(self, step: int) -> dict[str, float]:
        """Beta; the total correlation and the discriminator's loss of the last step, in nats."""
        return {"beta": self.beta(step)} | {name: float(value) for name, value in self.last.items()}

    def state_dict(self) -> dict[str, Any]:
        """Discriminator, its optimiser, and the generator of the permutations."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
