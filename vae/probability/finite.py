"""Checks for NaN and for values out of range. They read values on the CPU only: on an accelerator they would wait."""

import math

import torch
from torch import Tensor


class NonFiniteError(ValueError):
    """A value is NaN or infinite where a finite number is needed. Its text is one line."""


def refuse_nan(name: str, value: Tensor) -> None:
    """Raise if `value` holds NaN. `clamp` would pass NaN on.

    Raises:
        NonFiniteError: `value` holds NaN.
    """
    if holds_nan(value):
        raise NonFiniteError(
            f"{name} must not hold NaN, got {int(value.isnan().sum())} of {value.numel()}. "
            "Look for a diverged step or a bad input before it"
        )


def holds_nan(value: Tensor) -> bool:
    """Whether an entry is NaN. False for a tensor that is not checked; the training loop checks the loss as well."""
    # The sum is NaN if an entry is, or if inf meets -inf. It needs no mask, so it is computed first.
    return _checked_here(value) and math.isnan(value.detach().sum()) and bool(value.isnan().any())


def all_inside(value: Tensor, low: float, high: float) -> bool:
    """Whether all entries are known to lie in [low, high]. False for NaN and for a tensor that is not checked."""
    if not _checked_here(value) or value.numel() == 0:
        return False
    smallest, largest = value.detach().aminmax()
    return low <= float(smallest) and float(largest) <= high  # both are NaN if an entry is


def _checked_here(value: Tensor) -> bool:
    """Reading a value on an accelerator waits for the device; in a compiled graph it splits the graph."""
    return value.device.type == "cpu" and not torch.compiler.is_compiling()
