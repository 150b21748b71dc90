"""Shao et al. (2020), "ControlVAE: Controllable Variational Autoencoder": beta as a controller's output.

The paper controls beta itself, with a sigmoid around the proportional part. `Controller` controls ln beta.
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from vae.objectives.controller import Controller
from vae.objectives.terms import DrawnTerms, Stateful, mean_over_images


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
        self.controller = Controller(proportional, integral, device)

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:  # noqa: ARG002
        """The mean loss of a batch, in nats per image. The controller makes its own step."""
        rate = mean_over_images(terms.rate.sum(1))
        self.controller.control(rate.detach() - self.target)
        terms.log(controlled_beta=self.controller.beta)
        return mean_over_images(terms.distortion) + self.controller.beta * rate

    def rate_weight(self, step: int) -> float:  # noqa: ARG002
        """The controller's beta of the last step that was made."""
        return float(self.controller.beta)

    def state_dict(self) -> dict[str, Any]:
        """The controller's state."""
        return self.controller.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.controller.load_state_dict(state)
