r"""Beta as the output of a controller, which moves ln beta until an error is 0.

.. math:: \ln \beta_t = K_p \, e_t + K_i \sum_{s \le t} e_s

Controlling ln beta keeps beta positive, and changes small and large betas by the same factor.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

LARGEST_LN_BETA = math.log(1e4)  # bounds the integral as well, so that it recovers quickly


class Controller:
    """Proportional and integral control of ln beta. Beta starts at 1.

    Args:
        proportional: K_p, ln beta per nat of the error.
        integral: K_i, ln beta per nat of the error, per step.
        device: of the state.
    """

    def __init__(self, proportional: float, integral: float, device: torch.device) -> None:
        self.proportional = proportional
        self.integral = integral
        self.summed = torch.zeros((), device=device)  # K_i times the sum of the errors
        self.beta = torch.ones((), device=device)  # of the last step

    def control(self, error: Float[Tensor, ""]) -> None:
        """Set beta for an error in nats. A positive one raises beta."""
        error = error.to(self.summed)
        self.summed = (self.summed + self.integral * error).clamp(-LARGEST_LN_BETA, LARGEST_LN_BETA)
        log_beta = self.summed + self.proportional * error
        self.beta = log_beta.clamp(-LARGEST_LN_BETA, LARGEST_LN_BETA).exp()

    @property
    def is_at_limit(self) -> bool:
        """Whether the integral is at a bound, so that the error stays: no beta brings it to 0."""
        return bool(self.summed.abs() >= LARGEST_LN_BETA)

    def state_dict(self) -> dict[str, Any]:
        """The state."""
        return {"summed": self.summed, "beta": self.beta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.summed, self.beta = state["summed"].to(self.summed), state["beta"].to(self.beta)
