"""The user's own loss as an objective."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from vae.objectives.schedules import Schedule
from vae.objectives.terms import DrawnTerms, Stateful


def takes_beta(target: Callable[..., Any]) -> bool:
    """Whether a class or function has a parameter `beta`."""
    return "beta" in inspect.signature(target).parameters


class CustomObjective(Stateful):
    """`target(**options)` makes the loss, which is called with the terms and the step.

    If the target has a parameter `beta`, it gets the weight of the rate as a function of the step. The loss may have
    `sample_shape`, `rate_weight(step)`, and `state_dict()` with `load_state_dict(state)` for what it learns. Its
    attributes that are schedules are logged.

    Args:
        target: a class, or a function that returns a function.
        options: its keyword arguments.
        beta: the weight of the rate as a function of the step.
    """

    def __init__(self, target: Callable[..., Any], options: Mapping[str, Any], beta: Schedule) -> None:
        given = {"beta": beta, **options} if takes_beta(target) else options
        self.loss = target(**given)
        self.sample_shape: tuple[int, ...] = tuple(getattr(self.loss, "sample_shape", ()))
        self.weight = beta if takes_beta(target) else None
        for name, part in getattr(self.loss, "__dict__", {}).items():
            if isinstance(part, Schedule):
                setattr(self, name, part)

    def __call__(self, terms: DrawnTerms, step: int) -> Any:
        """The mean loss of a batch, in nats per image. `try_objective` checks it once before training."""
        return self.loss(terms, step)

    def rate_weight(self, step: int) -> float:
        """That of the loss, if it has one; otherwise beta, if the target takes it; otherwise 1."""
        if hasattr(self.loss, "rate_weight"):
            return float(self.loss.rate_weight(step))
        return 1.0 if self.weight is None else self.weight(step)

    def state_dict(self) -> dict[str, Any]:
        """The state of the loss; empty if it has none."""
        return dict(self.loss.state_dict()) if hasattr(self.loss, "state_dict") else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        if hasattr(self.loss, "load_state_dict"):
            self.loss.load_state_dict(state)
