"""Information and dependence of codes: by counting, by closed form, and from posteriors without bins."""

import math

import numpy as np
import pytest
from known_codes import grid, nothing, seeded
from scipy.integrate import quad
from scipy.linalg import sqrtm
from scipy.stats import norm

from vae.data.factors import Factors
from vae.disentanglement.dependence import dependence, gaussian_wasserstein
from vae.disentanglement.mig_chen import mig_chen, mixture_entropy
from vae.disentanglement.representation import Sizes, information_matrix

GAUSSIAN_NATS = 0.5 * math.log(2 * math.pi * math.e)


def covariance(seed: int, size: int = 4) -> np.ndarray:
    root = seeded(seed).standard_normal((size, size))
    return root @ root.T


# Counting


def test_a_code_has_the_information_of_a_factor_that_was_put_into_it():
    levels = grid(4, 6, copies=20).levels
    codes = np.stack([levels[:, 0], -levels[:, 1], levels[:, 1] // 2, np.zeros(len(levels))], axis=1).astype(float)
    nats = np.array([[math.log(4), 0], [0, math.log(6)], [0, math.log(3)], [0, 0]])
    assert information_matrix(codes, levels) == pytest.approx(nats, abs=1e-12)


# Chen's MIG


def chen(mean, logvar, factors: Factors, samples: int = 4_000, components: int = 400):
    sizes = Sizes(samples=samples, components=components)
    return mig_chen(mean, np.broadcast_to(logvar, mean.shape).copy(), factors, sizes, seeded())


def test_posteriors_that_determine_the_factors_have_a_gap_of_one():
    factors = grid(3, 5)
    found = chen(10.0 * factors.levels, -2.0, factors)
    assert found.score == pytest.approx(1, abs=0.03)
    assert found.matrix == pytest.approx(np.diag(np.log([3, 5])), abs=0.05)


def test_posteriors_equal_to_the_prior_have_no_gap():
    found = chen(np.zeros((60, 2)), 0.0, grid(3, 5, copies=4))
    assert found.score == pytest.approx(0, abs=0.03)
    assert found.matrix == pytest.approx(np.zeros((2, 2)), abs=0.05)


def test_the_information_of_two_overlapping_posteriors_is_that_of_the_integral():
    def surprise(z: float) -> float:
        density = 0.5 * norm.pdf(z, -1) + 0.5 * norm.pdf(z, 1)
        return -density * math.log(density)

    nats = quad(surprise, -12, 12)[0] - GAUSSIAN_NATS
    factors = grid(2, copies=20)
    found = chen(2.0 * factors.levels - 1, 0.0, factors, samples=40_000)
    assert found.matrix[0, 0] == pytest.approx(nats, abs=0.02)
    assert found.score == pytest.approx(nats / math.log(2), abs=0.03)


def test_levels_count_as_often_as_they_occur():
    factors = Factors.of({"rare": np.arange(100) < 10})
    found = chen(1_000.0 * factors.levels, 4.0 * factors.levels, factors, samples=20_000)  # the rarer are wider
    assert found.matrix[0, 0] == pytest.approx(-0.1 * math.log(0.1) - 0.9 * math.log(0.9), abs=0.03)
    assert found.score == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("components", [400, 4_000])
def test_images_that_no_two_are_alike_hide_no_information_if_they_are_all_in_the_mixture(components):
    factors = grid(2, copies=200)
    mean = np.arange(400.0)[:, None] + 1_000 * factors.levels  # in two clusters
    found = chen(mean, -8.0, factors, components=components)
    assert found.matrix[0, 0] == pytest.approx(math.log(2), abs=0.05)


@pytest.mark.parametrize("logvar", [-3.0, 2.0])
def test_the_entropy_of_posteriors_far_apart_is_that_of_one_and_of_their_choice(logvar):
    found = mixture_entropy(100 * np.arange(7.0)[:, None], np.full((7, 1), logvar), 20_000, seeded())
    assert found == pytest.approx([GAUSSIAN_NATS + logvar / 2 + math.log(7)], abs=0.02)


def test_the_information_does_not_see_the_unit_of_a_latent():
    factors = grid(3, 4, copies=5)
    mean = factors.levels + seeded(1).standard_normal((60, 2))
    straight = chen(mean, -1.0, factors)
    scaled = chen(mean * 8, -1.0 + math.log(64), factors)
    assert scaled.matrix == pytest.approx(straight.matrix, abs=1e-9)


# Dependence


def test_the_wasserstein_distance_is_that_of_the_matrix_root():
    c = covariance(1)
    expected = 2 * np.trace(c) - 2 * np.trace(sqrtm(c * np.diag(c)[:, None])).real
    assert gaussian_wasserstein(c) == pytest.approx(expected)
    assert gaussian_wasserstein(9 * c) == pytest.approx(9 * expected)
    assert gaussian_wasserstein(np.pad(c, (0, 1))) == pytest.approx(expected)  # a dead latent adds nothing
    assert gaussian_wasserstein(np.diag([1.0, 4.0, 0.0, 1e-3])) == pytest.approx(0, abs=1e-12)
    assert gaussian_wasserstein(np.ones((2, 2))) == pytest.approx(4 - 2 * math.sqrt(2))


def test_dependence_is_that_of_the_pairs_that_depend():
    one, other = grid(4, 4, copies=100).levels.astype(float).T
    apart = dependence(np.stack([one, other], 1))
    assert apart == pytest.approx(dict.fromkeys(apart, 0), abs=1e-9)
    same = dependence(np.stack([one, 3 - one, other], 1))
    assert same["mutual_information_score"] == pytest.approx(math.log(4) / 3)  # one of three pairs
    assert same["gaussian_wasserstein_normalised"] == pytest.approx((2 - math.sqrt(2)) * 2 / 3)


@pytest.mark.parametrize("value", [0.0, 1 / 3])
def test_codes_that_are_all_the_same_or_of_one_latent_do_not_depend_on_each_other(value):
    for codes in (nothing(grid(4, 4), value=value).codes, grid(4, 4).levels[:, :1].astype(float)):
        found = dependence(codes)
        assert found == pytest.approx(dict.fromkeys(found, 0), abs=1e-12)
