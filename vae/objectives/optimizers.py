"""What takes the steps: Adam and Adagrad by torch's fused kernels, without its classes and functions around them.

`torch.optim.Adam` and its like load torch's compiler with the first parameter that they are given, 1 to 1.5 s of a
process that compiles nothing, and keep hooks and profiles for every step; `torch.optim.adam.adam` sorts the tensors by
device and type, 2 % of a step. Here all are on one device and of one type. The arithmetic is the same, bit for bit.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

Tensors = list[Tensor]  # one of each parameter


class Optimizer(ABC):
    """Steps of some parameters down their gradients; fused: one pass over them instead of a dozen.

    Args:
        parameters: on the device on which they are trained, of one type.
        learning_rate: of the next step; whoever has a schedule sets it before each.
    """

    moments: ClassVar[tuple[str, ...]]  # what is kept of a parameter's gradients, under the names of `torch.optim`

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.state = {
            parameter: {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                **{name: torch.zeros_like(parameter) for name in self.moments},
            }
            for parameter in parameters
        }

    def zero_grad(self) -> None:
        """Forget the gradients, before the next are found."""
        for parameter in self.state:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        moved = [(p, p.grad, *kept.values()) for p, kept in self.state.items() if p.grad is not None]
        if moved:
            parameters, gradients, steps, *moments = map(list, zip(*moved, strict=True))
            torch._foreach_add_(steps, 1)
            self.move(parameters, gradients, steps, *moments)

    @abstractmethod
    def move(self, parameters: Tensors, gradients: Tensors, steps: Tensors, *moments: Tensors) -> None:
        """Change the parameters and their moments, in place. Of each `steps` says how many, this one included."""

    def state_dict(self) -> dict[str, Any]:
        """The moments, laid out as by `torch.optim`. The learning rate is not among them: it is set anew."""
        return {"state": dict(enumerate(self.state.values()))}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave, or that of `torch.optim`, which keeps nothing before the first step.

        Raises:
            KeyError: it is of other parameters or of another optimiser.
        """
        kept = dict(enumerate(self.state.values()))
        for index, tensors in state["state"].items():
            for name, tensor in tensors.items():
                kept[index][name].copy_(tensor)


class Adam(Optimizer):
    """Kingma & Ba (2015), "Adam: A Method for Stochastic Optimization".

    Args:
        parameters: see `Optimizer`.
        learning_rate: see `Optimizer`.
        betas: the decay rates of the two moments.
        epsilon: is added to the denominator.
    """

    moments = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(parameters, learning_rate)
        self.betas = betas
        self.epsilon = epsilon

    def move(self, parameters: Tensors, gradients: Tensors, steps: Tensors, *moments: Tensors) -> None:
        """Their Algorithm 1."""
        first, second = moments
        torch._fused_adam_(
            parameters, gradients, first, second, [], steps,
            lr=self.learning_rate, beta1=self.betas[0], beta2=self.betas[1], eps=self.epsilon,
            weight_decay=0.0, amsgrad=False, maximize=False,
        )  # fmt: skip


class Adagrad(Optimizer):
    """Duchi, Hazan & Singer (2011), "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization"."""

    moments = ("sum",)

    def move(self, parameters: Tensors, gradients: Tensors, steps: Tensors, *moments: Tensors) -> None:
        """Each entry by the learning rate over the root of the sum of its squared gradients."""
        (sums,) = moments
        torch._fused_adagrad_(
            parameters, gradients, sums, steps,
            lr=self.learning_rate, eps=1e-10, lr_decay=0.0, weight_decay=0.0, maximize=False,
        )  # fmt: skip
