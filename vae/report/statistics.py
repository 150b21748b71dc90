"""Means with their confidence, the slopes of rate and distortion, and rank correlations."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from vae.report.members import Member

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and half the width of its confidence interval, which one seed does not have."""

    mean: float
    half_width: float | None
    count: int


def estimate(values: Sequence[float]) -> Estimate:
    """The mean and its 95 % confidence interval by Student's t, as for independent normal values.

    Example:
        >>> found = estimate([1.0, 2.0, 3.0])
        >>> found.mean, round(found.half_width, 3)
        (2.0, 2.484)
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Estimate(mean, None, n)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Estimate(mean, float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(n), n)


def estimates(grouped: Mapping[str, Sequence[Member]], name: str) -> dict[str, Estimate]:
    """A number's mean over the members of each setting that have it."""
    found = {setting: values_of(members, name) for setting, members in grouped.items()}
    return {setting: estimate(values) for setting, values in found.items() if values}


def values_of(members: Sequence[Member], name: str) -> list[float]:
    """A number of each member that has it; where nothing could be divided by nothing, there is none."""
    return [m.numbers[name] for m in members if math.isfinite(m.numbers.get(name, math.nan))]


@dataclass(frozen=True)
class Slope:
    """What a nat of rate costs in distortion, from one beta to the next.

    At the optimum of each beta the slope lies between the two: the lower convex hull of (rate, distortion) has slope
    -beta where beta's loss is least (Alemi et al., 2018).
    """

    low: float
    high: float
    slope: float

    @property
    def holds(self) -> bool:
        """Whether it lies between the two."""
        return self.low <= self.slope <= self.high

    @property
    def law(self) -> str:
        """In words."""
        if self.holds:
            return "holds"
        if self.slope == math.inf:
            return "broken: the rate does not fall"
        if self.slope <= 0:
            return "broken: the distortion does not rise"
        return "broken: outside the two, so not both are at their optimum"


def slopes(grouped: Mapping[str, Sequence[Member]]) -> list[Slope]:
    """Between means over seeds, from each beta to the next larger one. Infinite where the rate does not fall.

    None where runs are not comparable: settings that differ in something besides beta, and objectives of which beta
    weighs something else than the rate.
    """
    every = [m for members in grouped.values() for m in members]
    by_beta: dict[float, list[Member]] = {}
    for member in every:
        by_beta.setdefault(member.beta, []).append(member)
    weighed = all(m.summary.get("objective", "beta") == "beta" and not math.isnan(m.beta) for m in every)
    if not weighed or len(by_beta) < len(grouped):
        return []
    points = sorted(
        (beta, *(math.fsum(m.numbers[name] for m in members) / len(members) for name in ("rate", "distortion")))
        for beta, members in by_beta.items()
    )
    return [
        Slope(beta, more, (worse - distortion) / (rate - less) if rate > less else math.inf)
        for (beta, rate, distortion), (more, less, worse) in itertools.pairwise(points)
    ]


def rank_correlations(columns: Sequence[Sequence[float]]) -> Float[np.ndarray, "columns columns"]:
    """Spearman's, of each column with each; not a number where a column does not vary."""
    from scipy.stats import rankdata  # it loads for half a second, which reports without scores need not wait for

    ranks = np.stack([rankdata(column) for column in columns])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix: Float[np.ndarray, "columns columns"] = centred @ centred.T / np.outer(length, length)
    return matrix
