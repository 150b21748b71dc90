"""torch's optimizers. Their state exists before the first step, so that all checkpoints have the same layout."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


def adam(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
) -> torch.optim.Adam:
    """Kingma & Ba (2015), "Adam: A Method for Stochastic Optimization", in one kernel for all parameters.

    Args:
        parameters: on a CPU, a CUDA GPU or an Apple GPU.
        learning_rate: the initial one; the training step sets it from the schedule.
        betas: the decay rates of the two moments.
        epsilon: added to the denominator.
    """
    optimizer = torch.optim.Adam(parameters, learning_rate, betas, epsilon, fused=True)
    _make_state(optimizer)
    return optimizer


def adagrad(parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Adagrad:
    """Duchi, Hazan & Singer (2011), "Adaptive Subgradient Methods". torch has a fused kernel on CPUs only."""
    listed = list(parameters)
    return torch.optim.Adagrad(listed, learning_rate, fused=all(p.device.type == "cpu" for p in listed))


def _make_state(optimizer: Optimizer) -> None:
    """Create the moments by a step with zero gradients, which is not counted. torch would create them at the first."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    for state in optimizer.state.values():
        state["step"].zero_()


def moments(optimizer: Optimizer) -> dict[str, Any]:
    """The state of an optimizer for a checkpoint, without its settings, which the configuration has."""
    return {"state": optimizer.state_dict()["state"]}


def load_moments(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Continue from what `moments` returned, with the optimizer's present settings."""
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state["state"]})
