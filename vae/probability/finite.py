"""Checks that numbers are finite and in range, where asking does not stall a device."""

import math

import torch
from torch import Tensor


class NonFiniteError(ValueError):
    """NaN, or infinity, where only a number has a meaning. Its text is one line."""


def refuse_nan(name: str, value: Tensor) -> None:
    """Raise where `value` holds NaN, which every bound and clamp would let through.

    Raises:
        NonFiniteError: `value` holds NaN.
    """
    if holds_nan(value):
        raise NonFiniteError(
            f"{name} must not hold NaN, got {int(value.isnan().sum())} of {value.numel()}. "
            "Look for a diverged step or a bad input before it"
        )


def holds_nan(value: Tensor) -> bool:
    """Whether an entry is NaN. Where the values are not at hand it is not asked: there the loop looks at the loss."""
    if not at_hand(value):
        return False
    # One sum is NaN exactly where an entry is, or where inf meets -inf: cheaper than a mask, so it is asked first.
    return math.isnan(value.detach().sum()) and bool(value.isnan().any())


def at_hand(value: Tensor) -> bool:
    """Whether a value can be looked at: on an accelerator, and in a compiled graph, that would stall every step."""
    return value.device.type == "cpu" and not torch.compiler.is_compiling()


def all_inside(value: Tensor, low: float, high: float) -> bool:
    """Whether all entries are known to lie within [low, high]; never where one is NaN, or cannot be looked at."""
    if not at_hand(value) or value.numel() == 0:
        return False
    smallest, largest = value.detach().aminmax()
    return low <= float(smallest) and float(largest) <= high  # both are NaN where an entry is
