r"""Rezende & Viola (2018), "Taming VAEs": the lowest rate with a given distortion (GECO).

.. math:: \min \text{rate} \quad \text{subject to} \quad \text{distortion} \le D

They move the multiplier lambda of the constraint by a moving average of the distortion minus D. Here the loss is
divided by lambda: it is distortion + beta * rate with beta = 1 / lambda. At the end beta is the price of a nat of rate
at this distortion.
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from vae.objectives.controller import Controller
from vae.objectives.terms import DrawnTerms, Stateful, mean_over_images


class TargetDistortionObjective(Stateful):
    """A controller adjusts beta until the mean distortion is at a target.

    Args:
        target: the distortion, in nats.
        speed: ln beta per nat between the distortion and its target, per step.
        smoothing: the weight of the past in the moving average of the distortion, from 0 to below 1.
        device: of the controller's state.
    """

    sample_shape: ClassVar[tuple[int, ...]] = ()

    def __init__(self, target: float, speed: float, smoothing: float, device: torch.device) -> None:
        self.target = target
        self.smoothing = smoothing
        self.controller = Controller(0.0, speed, device)
        self.average = torch.full((), target, device=device)  # of the distortion

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:  # noqa: ARG002
        """The mean loss of a batch, in nats per image. The controller makes its own step."""
        distortion = mean_over_images(terms.distortion)
        self.average = self.average.lerp(distortion.detach().to(self.average), 1 - self.smoothing)
        self.controller.control(self.target - self.average)
        terms.log(controlled_beta=self.controller.beta)
        return distortion + self.controller.beta * mean_over_images(terms.rate.sum(1))

    def rate_weight(self, step: int) -> float:  # noqa: ARG002
        """The controller's beta of the last step that was made."""
        return float(self.controller.beta)

    def state_dict(self) -> dict[str, Any]:
        """The controller's state, and the moving average."""
        return {**self.controller.state_dict(), "average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.controller.load_state_dict(state)
        self.average = state["average"].to(self.average)
