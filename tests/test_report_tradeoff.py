"""The rate-distortion curve between trained models."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vae.measures.linear_vae import Spectrum, predict_linear
from vae.report.tradeoff import OutOfRangeError, Point, curve_through, keeps_the_law, point_between, within_budget

TOY = torch.tensor([8, 4, 2, 1, 0.5, *[0.05] * 15], dtype=torch.float64)


def exact(beta: float) -> Point:
    """On the curve D = 80 + 6 beta, R = 25 - 6 ln beta, for which dD = -beta dR."""
    return Point(float(beta), 80.0 + 6 * beta, 25 - 6 * math.log(beta))


def linear(beta: float) -> Point:
    """Of the linear model of the toy data."""
    found = predict_linear(Spectrum(TOY, float(TOY.sum()), 20), float(beta), latents=20, variance=0.1)
    return Point(float(beta), found.distortion, found.rate)


@given(st.lists(st.floats(1.05, 4), min_size=1, max_size=5), st.floats(0.01, 0.99))
@settings(max_examples=30, deadline=None)
def test_the_curve_goes_through_all_models_and_both_coordinates_find_the_same_point(factors, share):
    points = [linear(1.0)]
    for factor in factors:
        points.append(linear(points[-1].beta * factor))
    points = [point for point in points if point.beta < 75]  # of which a latent is active
    if len(points) < 2:
        return
    at = curve_through(points)
    for point in points:
        assert at(point.beta) == pytest.approx(point)
    low, high = points[-2:]
    rate = low.rate - share * (low.rate - high.rate)
    found = point_between(points, low, high, "rate", rate)
    assert found.rate == pytest.approx(rate)
    assert low.beta < found.beta < high.beta
    assert low.distortion < found.distortion < high.distortion
    assert point_between(points, low, high, "distortion", found.distortion).beta == pytest.approx(found.beta, rel=1e-6)


def test_a_curve_that_is_linear_in_the_logarithm_of_beta_is_found_exactly():
    points = [exact(beta) for beta in (1, 8)]
    assert keeps_the_law(*points)
    for beta in (1.5, 3.0, 6.0):
        assert within_budget(points, "rate", exact(beta).rate).point == pytest.approx(exact(beta), rel=1e-9)
        assert within_budget(points, "distortion", exact(beta).distortion).point == pytest.approx(
            exact(beta), rel=1e-9
        )


def test_the_beta_between_trained_ones_is_near_that_of_the_linear_theory():
    points = [linear(beta) for beta in (1, 2, 4, 8, 16, 32)]
    for beta in (1.5, 3.0, 6.0, 12.0, 24.0):
        found = within_budget(points, "rate", linear(beta).rate).point
        assert found.beta == pytest.approx(beta, rel=0.03)
        assert found.distortion == pytest.approx(linear(beta).distortion, rel=0.01)


@pytest.mark.parametrize(("beta", "distortion", "rate"), [(2.175, 87.97, 16.73), (2.56, 92.56, 14.60)])
def test_models_between_those_of_the_readme_are_predicted(beta, distortion, rate):
    """These two were trained like those of the README's table, on 25 epochs of MNIST."""
    table = [(1.0, 72.85, 27.29), (2.0, 85.79, 17.87), (4.0, 106.30, 9.87), (8.0, 133.52, 4.97)]
    found = within_budget([Point(*row) for row in table], "rate", rate).point
    assert found.beta == pytest.approx(beta, rel=0.03)
    assert found.distortion == pytest.approx(distortion, abs=0.5)


@pytest.mark.parametrize("name", ["rate", "distortion"])
def test_a_budget_of_a_trained_model_returns_it(name):
    points = [exact(beta) for beta in (1, 2, 4)]
    for point in points:
        found = within_budget(points, name, getattr(point, name))
        assert (found.point, list(found.ends)) == (point, [point])


def test_a_larger_budget_of_rate_is_a_smaller_beta_and_less_distortion():
    points = [exact(beta) for beta in (1, 2, 4)]
    found = [within_budget(points, "rate", rate).point for rate in (17.0, 18.0, 20.0, 20.5, 21.0, 23.0, 25.0)]
    assert [point.beta for point in found] == sorted((point.beta for point in found), reverse=True)
    assert [point.distortion for point in found] == sorted((point.distortion for point in found), reverse=True)


@pytest.mark.parametrize(
    ("name", "budget", "said", "largest"),
    [
        ("rate", 10.0, "the smallest rate that was trained is 16.6822 nats, at beta=4", (6, 40)),
        ("rate", 40.0, "the largest rate that was trained is 25 nats, at beta=1", (0.1, 0.7)),
        ("distortion", 80.0, "the smallest distortion that was trained is 86 nats, at beta=1", (0.1, 0.7)),
        ("distortion", 120.0, "the largest distortion that was trained is 104 nats, at beta=4", (6, 40)),
    ],
)
def test_nothing_is_extrapolated_and_a_beta_to_train_is_named(name, budget, said, largest):
    with pytest.raises(OutOfRangeError, match=said) as raised:
        within_budget([exact(beta) for beta in (1, 2, 4)], name, budget)
    assert largest[0] <= raised.value.try_beta <= largest[1]


def test_where_the_law_is_broken_a_trained_model_is_taken():
    points = [Point(1.0, 86.0, 25.0), Point(2.0, 100.0, 21.0), exact(4)]  # a slope of 3.5, steeper than 2
    found = within_budget(points, "rate", 23.0)
    assert (found.point, list(found.broken)) == (points[1], [(1, 2)])
    assert found.point.rate <= 23


def test_without_a_curve_a_trained_model_is_taken():
    points = [exact(beta) for beta in (1, 2, 4)]
    assert within_budget(points, "rate", 22.0, interpolate=False).point == points[1]


def test_a_beta_of_0_and_a_rate_that_does_not_fall_keep_no_law():
    assert keeps_the_law(exact(1), exact(2))
    assert not keeps_the_law(Point(0.0, 80.0, 50.0), exact(1))
    assert not keeps_the_law(exact(1), Point(2.0, 90.0, 25.0))
    assert not keeps_the_law(exact(1), Point(2.0, 85.0, 20.0))
