"""Means with their confidence, the slopes of rate and distortion, and rank correlations."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from vae.report.members import Member

CONFIDENCE = 0.95
STILL_TRAINING = 0.1  # of what two betas are apart: by so much a loss may still change in an epoch


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
    unjudged: str | None = None  # why it cannot be said whether the law holds

    @property
    def holds(self) -> bool:
        """Whether it lies between the two, of runs that can be judged."""
        return self.unjudged is None and self.low <= self.slope <= self.high

    @property
    def law(self) -> str:
        """In words."""
        if self.unjudged is not None:
            return f"not judged: {self.unjudged}"
        if self.holds:
            return "holds"
        if self.slope == math.inf:
            return "broken: the rate does not fall"
        if self.slope <= 0:
            return "broken: the distortion does not rise"
        return "broken: outside the two, so not both are at their optimum"


@dataclass(frozen=True)
class Slopes:
    """The slopes between neighbouring betas; none where the runs cannot be compared, for the reason that is given."""

    found: Sequence[Slope]
    why_none: str | None = None


def slopes(grouped: Mapping[str, Sequence[Member]]) -> Slopes:
    """Between means over seeds, from each beta to the next larger one. Infinite where the rate does not fall.

    Only of runs that differ in beta and seed alone, and whose objective is distortion + beta * rate and nothing else.
    """
    every = [m for members in grouped.values() for m in members]
    if len(grouped) < 2:
        return Slopes([])
    if any(m.summary.get("objective", "beta") != "beta" for m in every):
        return Slopes([], "the law is of the objective distortion + beta * rate, and a run has another")
    if differing := differences([m.conditions for m in every]):
        return Slopes([], f"the runs differ in more than beta and seed: {', '.join(differing)}")
    by_beta: dict[float, list[Member]] = {}
    for member in every:
        by_beta.setdefault(member.beta, []).append(member)
    return Slopes([slope(*pair) for pair in itertools.pairwise(by_beta[beta] for beta in sorted(by_beta))])


def slope(low: Sequence[Member], high: Sequence[Member]) -> Slope:
    """From the members of one beta to those of a larger one."""
    (rate, distortion), (less, worse) = (
        [math.fsum(m.numbers[name] for m in members) / len(members) for name in ("rate", "distortion")]
        for members in (low, high)
    )
    apart = (high[0].beta - low[0].beta) * abs(rate - less)
    steepness = (worse - distortion) / (rate - less) if rate > less else math.inf
    return Slope(low[0].beta, high[0].beta, steepness, why_unjudged([*low, *high], apart))


def why_unjudged(members: Sequence[Member], apart: float) -> str | None:
    """Why it cannot be said of these runs of two betas whether the law holds; None if it can.

    The law compares each beta's loss of its own model with that of the other model. The two differences sum to
    `apart` nats, so a loss that still moves by a tenth of that in an epoch may turn the answer.

    Args:
        members: of both betas.
        apart: the difference of the betas times that of the rates, in nats.
    """
    if any(set(m.unfinished) - {"learning_rate"} for m in members):
        return "beta did not come to the end of its schedule"
    changes = [m.loss_change for m in members]
    if None in changes:
        return "a run does not say whether its loss still changed at the end, as one of a single epoch cannot"
    most = max(abs(change) for change in changes if change is not None)
    if most > STILL_TRAINING * apart:
        return (
            f"the loss still changed by {most:.2g} nats in the last epoch, "
            f"and the two betas are only {apart:.2g} nats apart; train longer"
        )
    return None


def differences(conditions: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that these do not all have the same value of."""
    keys = dict.fromkeys(key for of_one in conditions for key in of_one)
    first = conditions[0]
    return [
        key for key in keys if any(key not in one or key not in first or one[key] != first[key] for one in conditions)
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
