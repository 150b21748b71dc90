"""A loss of the user's own, with what the loop asks of every objective besides."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from vae.objectives.schedules import Schedule
from vae.objectives.terms import DrawnTerms, Stateful


def takes_beta(target: Callable[..., Any]) -> bool:
    """Whether a class or function has a parameter `beta`."""
    return "beta" in inspect.signature(target).parameters


class CustomObjective(Stateful):
    """What `target(**options)` gives, called with the terms and the step.

    A parameter `beta` of the target gets the weight of the rate as a function of the step. Attributes and methods that
    the made object has are used: `sample_shape`, `rate_weight(step)`, and `state_dict()` with `load_state_dict(state)`
    for what it learns. Schedules among its attributes are logged.

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
        """What the object gives: the mean loss of a batch, in nats per image, if it is right."""
        return self.loss(terms, step)

    def rate_weight(self, step: int) -> float:
        """What the object says; else beta, if it takes one; else 1."""
        if hasattr(self.loss, "rate_weight"):
            return float(self.loss.rate_weight(step))
        return 1.0 if self.weight is None else self.weight(step)

    def state_dict(self) -> dict[str, Any]:
        """What the object has learnt, if it learns."""
        return dict(self.loss.state_dict()) if hasattr(self.loss, "state_dict") else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        if hasattr(self.loss, "load_state_dict"):
            self.loss.load_state_dict(state)
