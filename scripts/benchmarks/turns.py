"""Timing on a shared machine: what is compared takes turns, and a ratio is the median of the ratios of each round.

A shared machine changes its speed from minute to minute, but rarely within a round. So the median of the ratios can be
repeated better than the ratio of the medians.
"""

import time
from collections.abc import Callable, Mapping
from statistics import median

from benchmarks.rows import Row

Seconds = list[float]


def take_turns(calls: Mapping[str, Callable[[], object]], rounds: int, rehearsals: int = 1) -> dict[str, Seconds]:
    """The seconds of each call in each round. The rehearsals, which fill caches, are not timed."""
    for _ in range(rehearsals):
        for call in calls.values():
            call()
    seconds: dict[str, Seconds] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(seconds_of(call))
    return seconds


def seconds_of(call: Callable[[], object]) -> float:
    """The seconds that one call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def ratio(
    name: str,
    numerator: Seconds,
    denominator: Seconds,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    percent: bool = False,
) -> Row:
    """The median over the rounds of numerator / denominator, with the smallest and the largest.

    Example:
        >>> row = ratio("speed-up", [4.0, 9.0, 4.0], [2.0, 3.0, 1.0])
        >>> row.value, row.note
        (3.0, 'rounds 2 to 4')
    """
    scale, unit = (100, "%") if percent else (1, "x")
    ratios = [scale * a / b for a, b in zip(numerator, denominator, strict=True)]
    return Row(name, median(ratios), unit, at_least, at_most, f"rounds {min(ratios):.3g} to {max(ratios):.3g}")
