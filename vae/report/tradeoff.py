"""The rate-distortion curve through trained models, and the beta between two of them.

The optimal distortion as a function of the rate is convex, and its slope is -beta at the optimum of beta (Alemi et
al., 2018). Between two trained models both ends, both slopes and the total rise of the distortion are therefore known.
The curve between them is the one on which ln beta is a power of the share of the rate that is saved. It is exact where
the rate is linear in ln beta, as in the linear model while no latent goes out.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scipy.special import hyp1f1

MOST_POWER = 700.0  # the largest power that is tried; the smallest is its inverse
LEAST_TIMES, MOST_TIMES = 1.5, 10.0  # how far beyond the last beta the next one may lie


class Point(NamedTuple):
    """A model of one beta: its distortion and rate in nats."""

    beta: float
    distortion: float
    rate: float


@dataclass(frozen=True)
class Arc:
    """The curve between two models. At the share u of the saved rate, ln beta has risen by u^(1/power) of its rise.

    Attributes:
        low: the model of the smaller beta.
        high: that of the larger one, with less rate and more distortion.
        power: above 0. The larger it is, the earlier beta rises.
    """

    low: Point
    high: Point
    power: float

    def at(self, share: float) -> Point:
        """The point at which this share of the rate is saved, from 0 to 1."""
        if share in (0.0, 1.0):
            return self.high if share else self.low
        saved, rise = self.low.rate - self.high.rate, math.log(self.high.beta / self.low.beta)
        exponent = rise * share ** (1 / self.power)
        cost = self.low.beta * saved * share * mean_growth(self.power, exponent)
        return Point(self.low.beta * math.exp(exponent), self.low.distortion + cost, self.low.rate - share * saved)

    def with_rate(self, rate: float) -> Point:
        """The point of this rate, which lies between those of the ends."""
        return self.at((self.low.rate - rate) / (self.low.rate - self.high.rate))

    def with_distortion(self, distortion: float) -> Point:
        """The point of this distortion, which lies between those of the ends."""
        from scipy.optimize import brentq  # takes a quarter of a second to load

        if distortion in (self.low.distortion, self.high.distortion):
            return self.low if distortion == self.low.distortion else self.high
        return self.at(float(brentq(lambda share: self.at(share).distortion - distortion, 0.0, 1.0, xtol=1e-14)))


def mean_growth(power: float, exponent: float) -> float:
    """The mean of exp(exponent * v^(1/power)) over v from 0 to 1.

    Example:
        >>> round(mean_growth(1.0, 1.0), 6)  # e - 1
        1.718282
    """
    return float(hyp1f1(power, power + 1, exponent))


def arc(low: Point, high: Point) -> Arc | None:
    """The curve between two models of neighbouring betas. None if no convex curve has these slopes at its ends.

    That is so if the slope between the two is not between the betas, or if the smaller beta is 0.
    """
    from scipy.optimize import brentq  # takes a quarter of a second to load

    saved, cost = low.rate - high.rate, high.distortion - low.distortion
    if saved <= 0 or not 0 < low.beta < high.beta:
        return None
    growth, rise = cost / saved / low.beta, math.log(high.beta / low.beta)

    def missing(logarithm: float) -> float:
        return mean_growth(math.exp(logarithm), rise) - growth

    limit = math.log(MOST_POWER)
    if not missing(-limit) < 0 < missing(limit):
        return None
    return Arc(low, high, math.exp(float(brentq(missing, -limit, limit, xtol=1e-14))))


class OutOfRangeError(ValueError):
    """No trained model shows what was asked for.

    Attributes:
        try_beta: a beta to train next.
    """

    def __init__(self, reason: str, try_beta: float) -> None:
        super().__init__(reason)
        self.try_beta = try_beta


class Found(NamedTuple):
    """The best point within a budget.

    Attributes:
        point: the model.
        ends: the trained models it lies between; one if it was trained.
        broken: neighbouring betas between which the budget lies, but no convex curve. Empty if there are none.
    """

    point: Point
    ends: Sequence[Point]
    broken: Sequence[tuple[float, float]]


def within_budget(points: Sequence[Point], name: str, budget: float, *, interpolate: bool = True) -> Found:
    """The point of least distortion for a budget of rate, or of least rate for a budget of distortion.

    Args:
        points: the trained models of one curve, by rising beta.
        name: `rate` or `distortion`: which of the two has the budget.
        budget: the largest value, in nats.
        interpolate: whether the models minimise distortion + beta * rate, so that there is a curve between them.

    Raises:
        OutOfRangeError: every trained model has more than the budget, or every one less.
    """
    other = {"rate": "distortion", "distortion": "rate"}[name]
    spent = [float(getattr(point, name)) for point in points]
    if min(spent) > budget or max(spent) < budget:
        raise out_of_range(points, name, budget)
    candidates = [(point, (point,)) for point, value in zip(points, spent, strict=True) if value <= budget]
    found: list[tuple[Point, tuple[Point, ...]]] = [*candidates]
    broken = []
    for low, high in itertools.pairwise(points) if interpolate else ():
        ends = sorted(float(getattr(point, name)) for point in (low, high))
        if not ends[0] < budget < ends[1]:
            continue
        between = arc(low, high)
        if between is None:
            broken.append((low.beta, high.beta))
        else:
            point = between.with_rate(budget) if name == "rate" else between.with_distortion(budget)
            found.append((point, (low, high)))
    point, ends_of_point = min(found, key=lambda one: float(getattr(one[0], other)))
    return Found(point, ends_of_point, broken)


def out_of_range(points: Sequence[Point], name: str, budget: float) -> OutOfRangeError:
    """The error for a budget that is outside of what was trained, with a beta that may reach it."""
    spent = [float(getattr(point, name)) for point in points]
    exceeded = min(spent) > budget
    value = min(spent) if exceeded else max(spent)
    beta = points[spent.index(value)].beta
    words = (
        f"the {'smallest' if exceeded else 'largest'} {name} that was trained is {value:.6g} nats, at beta={beta:g}"
    )
    return OutOfRangeError(words, next_beta(points, name, budget, larger=exceeded == (name == "rate")))


def next_beta(points: Sequence[Point], name: str, budget: float, *, larger: bool) -> float:
    """A beta to train next, beyond the last one at this end, with two digits.

    It is a guess by the slope of the number over ln beta, at least 1.5 and at most 10 times the last one.
    """
    positive = [point for point in points if point.beta > 0]
    if not positive:
        return 1.0
    last, *others = positive[::-1] if larger else positive
    factor = 2.0
    if others:
        slope = (float(getattr(last, name)) - float(getattr(others[0], name))) / math.log(last.beta / others[0].beta)
        if slope != 0:
            exponent = abs((budget - float(getattr(last, name))) / slope)
            factor = min(MOST_TIMES, max(LEAST_TIMES, math.exp(min(exponent, math.log(MOST_TIMES)))))
    return float(f"{last.beta * factor if larger else last.beta / factor:.2g}")
