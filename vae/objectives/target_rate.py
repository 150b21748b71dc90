r"""Shao et al. (2020), "ControlVAE: Controllable Variational Autoencoder": beta as a controller's output.

.. math:: \text{loss} = \text{distortion} + \beta_t \, \text{rate}, \quad
    \ln \beta_t = K_p \, e_t + K_i \sum_{s \le t} e_s, \quad e_t = \text{rate}_t - \text{target}

The paper controls beta itself, with a sigmoid around the proportional part. Controlling ln beta keeps beta positive,
and changes small and large betas by the same factor.
"""

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from vae.objectives.terms import DrawnTerms, Stateful, mean_over_images

LARGEST_LN_BETA = math.log(1e4)  # bounds the integral as well, so that it recovers quickly


class TargetRateObjective(Stateful):
    """A controller adjusts beta so that the mean rate of a batch stays at a target.

    Args:
        target: the rate, in nats.
        proportional: K_p, ln beta per nat of the error.
        integral: K_i, ln beta per nat of the error, per step.
        device: of the controller's state.
    """

    sample_shape: ClassVar[tuple[int, ...]] = ()

    def __init__(self, target: float, proportional: float, integral: float, device: torch.device) -> None:
        self.target = target
        self.proportional = proportional
        self.integral = integral
        self.summed = torch.zeros((), device=device)  # K_i times the sum of the errors; beta starts at 1
        self.beta = torch.ones((), device=device)  # of the last step

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:  # noqa: ARG002
        """The mean loss of a batch, in nats per image. The controller makes its own step."""
        rate = mean_over_images(terms.rate.sum(1))
        self.control(rate.detach())
        terms.log(controlled_beta=self.beta)
        return mean_over_images(terms.distortion) + self.beta * rate

    def control(self, rate: Float[Tensor, ""]) -> None:
        """Set beta for a batch of this rate, in nats."""
        error = rate.to(self.summed) - self.target
        self.summed = (self.summed + self.integral * error).clamp(-LARGEST_LN_BETA, LARGEST_LN_BETA)
        log_beta = self.summed + self.proportional * error
        self.beta = log_beta.clamp(-LARGEST_LN_BETA, LARGEST_LN_BETA).exp()

    def rate_weight(self, step: int) -> float:  # noqa: ARG002
        """The controller's beta of the last step that was made."""
        return float(self.beta)

    def state_dict(self) -> dict[str, Any]:
        """The controller's state."""
        return {"summed": self.summed, "beta": self.beta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.summed, self.beta = state["summed"].to(self.summed), state["beta"].to(self.beta)
