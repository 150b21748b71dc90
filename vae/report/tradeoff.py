"""The rate-distortion curve through trained models, and the beta between two of them.

The optimal distortion as a function of the rate is convex, and its slope is -beta at the optimum of beta (Alemi et
al., 2018). In the linear model, while no latent goes out, the rate is linear in ln beta and the distortion in beta. So
the rate is interpolated over ln beta, and the distortion over beta, by monotone cubics through all trained models
(Fritsch & Butland, 1984). With two models these are straight lines.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

LEAST_TIMES, MOST_TIMES = 1.5, 10.0  # how far beyond the last beta the next one may lie


class Point(NamedTuple):
    """A model of one beta: its distortion and rate in nats."""

    beta: float
    distortion: float
    rate: float


def curve_through(points: Sequence[Point]) -> Callable[[float], Point]:
    """The point of each beta between the trained ones.

    Args:
        points: two models or more, by rising beta above 0.
    """
    from scipy.interpolate import PchipInterpolator  # takes a quarter of a second to load

    betas, distortions, rates = zip(*points, strict=True)
    rate = PchipInterpolator([math.log(beta) for beta in betas], rates)
    distortion = PchipInterpolator(betas, distortions)
    return lambda beta: Point(beta, float(distortion(beta)), float(rate(math.log(beta))))


def keeps_the_law(low: Point, high: Point) -> bool:
    """Whether the slope between two models lies between their betas, as it does if both are at their optimum.

    False if the smaller beta is 0, whose rate has no bound.
    """
    saved, cost = low.rate - high.rate, high.distortion - low.distortion
    return saved > 0 and 0 < low.beta < high.beta and low.beta <= cost / saved <= high.beta


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
        broken: neighbouring betas between which the budget lies, but whose slope breaks the law.
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
        if keeps_the_law(low, high):
            found.append((point_between(points, low, high, name, budget), (low, high)))
        else:
            broken.append((low.beta, high.beta))
    point, ends_of_point = min(found, key=lambda one: float(getattr(one[0], other)))
    return Found(point, ends_of_point, broken)


def point_between(points: Sequence[Point], low: Point, high: Point, name: str, budget: float) -> Point:
    """The point of the curve with this rate or distortion, between two neighbouring models.

    Args:
        points: the trained models, by rising beta.
        low: one of them.
        high: the next one.
        name: `rate` or `distortion`.
        budget: its value, in nats.
    """
    from scipy.optimize import brentq  # takes a quarter of a second to load

    at = curve_through([point for point in points if point.beta > 0])
    beta = brentq(lambda beta: float(getattr(at(beta), name)) - budget, low.beta, high.beta, xtol=1e-12, rtol=1e-12)
    return at(float(beta))._replace(**{name: budget})


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
