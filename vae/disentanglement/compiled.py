"""Loops that NumPy has no fast form for are compiled by numba."""

import inspect
from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` at its first call. It runs without Python's lock.

    The machine code is kept for the next process beside the source or in the user's cache. If no directory can be
    written to, every process compiles once more, which takes a few seconds.
    """
    plain = inspect.unwrap(function)  # without the checks of shapes that the tests add
    try:
        return numba.njit(nogil=True, cache=True)(plain)
    except RuntimeError:  # numba found no directory
        return numba.njit(nogil=True)(plain)
