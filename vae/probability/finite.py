"""Checks for NaN and for values out of range.

They do nothing on an accelerator, where reading a value waits for the device, nor in a compiled graph, which they
would split. There the training loop's check of the loss finds NaN.
"""

import math

import torch
from torch import Tensor


class NonFiniteError(ValueError):
    """A value is NaN or infinite, but must be finite. Its text is one line."""


def refuse_nan(name: str, value: Tensor) -> None:
    """Raise a `NonFiniteError` if `value` on the CPU holds NaN."""
    # The sum is NaN if an entry is, or if inf meets -inf. It needs no mask, so it is computed first.
    if _is_checked(value) and math.isnan(value.detach().sum()) and bool(value.isnan().any()):
        raise NonFiniteError(
            f"{name} must not hold NaN, got {int(value.isnan().sum())} of {value.numel()}. "
            "Look for a diverged step or a bad input before it"
        )


def all_inside(value: Tensor, low: float, high: float) -> bool:
    """Whether all entries lie in [low, high]. False if one is NaN, or if the tensor is not checked."""
    if not _is_checked(value) or value.numel() == 0:
        return False
    smallest, largest = value.detach().aminmax()
    return low <= float(smallest) and float(largest) <= high  # both are NaN if an entry is


def _is_checked(value: Tensor) -> bool:
    return value.device.type == "cpu" and not torch.compiler.is_compiling()
