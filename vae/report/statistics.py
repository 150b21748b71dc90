"""Means with confidence intervals, slopes between rate and distortion, and rank correlations."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from scipy.special import stdtrit

from vae.report.members import Member, described, differences

CONFIDENCE = 0.95
STILL_TRAINING = 0.1  # the largest change of the loss in an epoch, as a share of the difference between two betas


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and half the width of its confidence interval. A single seed has no interval."""

    mean: float
    half_width: float | None


def estimate(values: Sequence[float]) -> Estimate:
    """The mean and its 95 % confidence interval by Student's t, which holds for independent normal values.

    Example:
        >>> found = estimate([1.0, 2.0, 3.0])
        >>> found.mean, round(found.half_width, 3)
        (2.0, 2.484)
    """
    n = len(values)
    if n < 2:
        return Estimate(fmean(values), None)
    return Estimate(fmean(values), float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * stdev(values) / math.sqrt(n))


def estimates(grouped: Mapping[str, Sequence[Member]], name: str) -> dict[str, Estimate]:
    """The mean of a number over the members of each setting that have it."""
    found = {setting: finite_values(members, name) for setting, members in grouped.items()}
    return {setting: estimate(values) for setting, values in found.items() if values}


def finite_values(members: Sequence[Member], name: str) -> list[float]:
    """A number of each member that has it, where it is finite."""
    return [m.numbers[name] for m in members if math.isfinite(m.numbers.get(name, math.nan))]


@dataclass(frozen=True)
class Slope:
    """The rise of the distortion for each nat that the rate falls, from one beta to the next larger one.

    The law: if both models are at the optimum of their loss, the slope lies between the two betas. The optimal
    distortion as a function of the rate is convex, and its slope is -beta at the optimum of beta (Alemi et al., 2018).

    Attributes:
        among: the values that tell the two models from those of other slopes, as in `model=conv`; may be empty.
        low: the smaller beta.
        high: the larger one.
        slope: infinite if the rate does not fall.
        holds: whether the slope follows the law; None if this cannot be judged.
        verdict: the same in words, with the reason.
    """

    among: str
    low: float
    high: float
    slope: float
    holds: bool | None
    verdict: str


def series_over_beta(grouped: Mapping[str, Sequence[Member]]) -> list[list[str]]:
    """Lists of settings that differ in beta only."""
    found: dict[str, list[str]] = {}
    for setting, members in grouped.items():
        rest = {key: value for key, value in members[0].conditions.items() if key != "beta"}
        found.setdefault(repr(rest), []).append(setting)
    return list(found.values())


def slopes(grouped: Mapping[str, Sequence[Member]]) -> tuple[list[Slope], str]:
    """The slopes between means over seeds, from each beta to the next larger one.

    The law applies only to runs with the objective distortion + beta * rate that differ in nothing but beta and seed.

    Returns:
        The slopes, and why other runs have none; empty if there is nothing to say.
    """
    if len(grouped) < 2:
        return [], ""
    series = [[m for setting in together for m in grouped[setting]] for together in series_over_beta(grouped)]
    conditions = [members[0].conditions for members in series]
    keys = [key for key in differences(conditions) if key != "beta"]
    found: list[Slope] = []
    without = False
    for members, of_series in zip(series, conditions, strict=True):
        by_beta = [list(same) for _, same in itertools.groupby(members, key=lambda m: m.summary["beta"])]
        if has_another_objective(members):
            without = without or len(by_beta) > 1
        else:
            found += [slope(described(of_series, keys), *pair) for pair in itertools.pairwise(by_beta)]
    if without or (not found and any(map(has_another_objective, series))):
        return found, "the law is about the objective distortion + beta * rate, and a run has another objective"
    if found or not keys:
        return found, ""
    return [], f"the runs differ in more than beta and seed: {', '.join(keys)}"


def has_another_objective(members: Sequence[Member]) -> bool:
    """Whether a member has another objective than distortion + beta * rate."""
    return any(m.summary.get("objective", "beta") != "beta" for m in members)


def slope(among: str, low: Sequence[Member], high: Sequence[Member]) -> Slope:
    """The slope from the members of one beta to those of a larger one. `among` is as in the result."""
    saved = fmean(m.numbers["rate"] for m in low) - fmean(m.numbers["rate"] for m in high)
    cost = fmean(m.numbers["distortion"] for m in high) - fmean(m.numbers["distortion"] for m in low)
    betas = float(low[0].summary["beta"]), float(high[0].summary["beta"])
    steepness = cost / saved if saved > 0 else math.inf
    holds: bool | None = betas[0] <= steepness <= betas[1]
    if reason := why_not_judged([*low, *high], (betas[1] - betas[0]) * abs(saved)):
        holds, verdict = None, f"not judged: {reason}"
    elif saved <= 0:
        verdict = "broken: the rate does not fall"
    elif cost <= 0:
        verdict = "broken: the distortion does not rise"
    else:
        verdict = (
            "holds" if holds else "broken: it is not between the two betas, so they are not both at their optimum"
        )
    return Slope(among, *betas, steepness, holds, verdict)


def why_not_judged(members: Sequence[Member], apart: float) -> str | None:
    """Why these runs cannot show whether the law holds; None if they can.

    The law follows from two inequalities: for each beta, the loss of its own model is below that of the other model.
    The two differences add up to `apart`. A loss that still changes by a tenth of that in an epoch may break the law
    only because training was too short.

    Args:
        members: of both betas.
        apart: the difference of the betas times the difference of the rates, in nats.
    """
    if any(set(m.unfinished) - {"learning_rate"} for m in members):
        return "beta did not reach the end of its schedule"
    changes = [m.summary.get("loss_change_per_epoch") for m in members]
    known = [abs(change) for change in changes if change is not None]
    if len(known) < len(changes):
        return "the change of the loss in the last epoch is not known, as after a single epoch"
    most = max(known)
    if most > STILL_TRAINING * apart:
        return (
            f"the loss still changed by {most:.2g} nats in the last epoch, "
            f"and the two betas are only {apart:.2g} nats apart; train longer"
        )
    return None


def rank_correlations(columns: Mapping[str, Sequence[float]]) -> tuple[list[str], list[list[float]]]:
    """The names of the columns and Spearman's rank correlation of each pair.

    Columns that do not vary, or hold a value that is not finite, are left out.
    """
    from scipy.stats import rankdata  # takes half a second to load, and reports without scores do not need it

    varying = {name: v for name, v in columns.items() if len(set(v)) > 1 and all(map(math.isfinite, v))}
    if len(varying) < 2:
        return [], []
    matrix = np.corrcoef(rankdata(list(varying.values()), axis=1))
    return list(varying), (matrix.round(2) + 0.0).tolist()  # + 0.0 makes -0.0 a 0.0
