"""Timing on a machine that others use too: what is compared takes turns, and ratios are those of neighbours.

A shared machine changes its speed from minute to minute, and so do seconds measured on it. Within one turn of A B C it
hardly does: the median of the ratios of pairs is a number that can be repeated, that of two medians is not.
"""

import time
from collections.abc import Callable, Mapping
from statistics import median

from benchmarks.rows import Row, Target

Seconds = list[float]


def take_turns(things: Mapping[str, Callable[[], object]], rounds: int, rehearsals: int = 1) -> dict[str, Seconds]:
    """The seconds that each thing took in each round; rehearsals, which fill caches, are not counted."""
    for _ in range(rehearsals):
        for thing in things.values():
            thing()
    seconds: dict[str, Seconds] = {name: [] for name in things}
    for _ in range(rounds):
        for name, thing in things.items():
            seconds[name].append(seconds_of(thing))
    return seconds


def seconds_of(thing: Callable[[], object]) -> float:
    """The seconds that one call takes."""
    started = time.perf_counter()
    thing()
    return time.perf_counter() - started


def ratio(name: str, numerator: Seconds, denominator: Seconds, target: Target | None = None) -> Row:
    """The median of the ratios of pairs, with the smallest and the largest.

    Example:
        >>> row = ratio("speed-up", [4.0, 9.0, 4.0], [2.0, 3.0, 1.0])
        >>> row.value, row.note
        (3.0, 'pairs 2 to 4')
    """
    ratios = [a / b for a, b in zip(numerator, denominator, strict=True)]
    return Row(name, median(ratios), "x", target, f"pairs {min(ratios):.3g} to {max(ratios):.3g}")
