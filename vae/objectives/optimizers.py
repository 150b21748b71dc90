"""torch's optimizers, with all of their state from the start, so that every checkpoint has the same layout."""

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
        learning_rate: of the next step; a schedule sets it anew by `set_learning_rate`.
        betas: the decay rates of the two moments.
        epsilon: is added to the denominator.
    """
    optimizer = torch.optim.Adam(parameters, learning_rate, betas, epsilon, fused=True)
    _make_state(optimizer)
    return optimizer


def adagrad(parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Adagrad:
    """Duchi, Hazan & Singer (2011), "Adaptive Subgradient Methods". torch has one kernel for it on a CPU only."""
    listed = list(parameters)
    return torch.optim.Adagrad(listed, learning_rate, fused=all(p.device.type == "cpu" for p in listed))


def _make_state(optimizer: Optimizer) -> None:
    """Make the moments, which torch makes at the first step: a step down no gradient, which is then not counted."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    for state in optimizer.state.values():
        state["step"].zero_()


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def moments(optimizer: Optimizer) -> dict[str, Any]:
    """The state of an optimizer for a checkpoint, without its settings: these are the configuration's."""
    return {"state": optimizer.state_dict()["state"]}


def load_moments(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Continue from what `moments` gave, with the optimizer's own settings.

    Raises:
        KeyError: it is of another optimizer.
        ValueError: it is of other parameters.
    """
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state["state"]})
