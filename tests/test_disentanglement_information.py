"""Bins, information and dependence: by counting, by closed form, and from posteriors without bins."""

import math

import numpy as np
import pytest
from known_codes import grid, nothing, seeded
from scipy.integrate import quad
from scipy.linalg import sqrtm
from scipy.stats import norm
from sklearn.metrics import mutual_info_score

from vae.data.factors import Factors
from vae.disentanglement import Codes
from vae.disentanglement.discretise import BINS, binned, entropies, entropy, information_matrix, mutual_information
from vae.disentanglement.mig_chen import mig_chen, mixture_entropy
from vae.disentanglement.unsupervised import dependence, gaussian_total_correlation, gaussian_wasserstein

GAUSSIAN_NATS = 0.5 * math.log(2 * math.pi * math.e)


def covariance(seed: int, size: int = 4) -> np.ndarray:
    root = seeded(seed).standard_normal((size, size))
    return root @ root.T


# Bins


def test_six_codes_in_three_bins():
    assert binned(np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]]).T, bins=3).ravel().tolist() == [0, 0, 1, 1, 2, 2]


def test_bins_are_those_of_a_histogram():
    codes = seeded(0).standard_normal((1_000, 3)) * np.array([1.0, 1e-6, 1e6])
    bins = binned(codes)
    for column, code in zip(bins.T, codes.T, strict=True):
        assert np.bincount(column, minlength=BINS).tolist() == np.histogram(code, BINS)[0].tolist()


@pytest.mark.parametrize("value", [0.0, 0.3, -7.7])
def test_a_constant_latent_is_in_one_bin(value):
    assert len(np.unique(binned(np.full((50, 1), value, np.float32)))) == 1


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_latent_that_varies_in_its_last_digit_is_binned(kind):
    code = np.full(20, 0.3, kind)
    code[::2] = np.nextafter(kind(0.3), kind(1))
    bins = binned(code[:, None]).ravel()
    assert bins.min() >= 0
    assert bins.max() < BINS
    assert mutual_information(bins, np.arange(20) % 2) == pytest.approx(math.log(2))


# Counting


def test_entropy_of_three_levels_alike_is_ln_3():
    assert entropy(np.array([1, 1, 2, 2, 3, 3])) == pytest.approx(math.log(3))
    assert entropy(np.array([4, 4, 4])) == 0
    assert entropies(np.array([[0, 1], [1, 1], [0, 1], [1, 1]], np.int32)) == pytest.approx([math.log(2), 0])


def test_information_is_that_of_scikit_learn():
    generator = seeded(0)
    one = generator.integers(6, size=500)
    for other in (generator.integers(9, size=500), one, 5 - one, one // 2, (one + generator.integers(2, size=500))):
        assert mutual_information(one, other) == pytest.approx(mutual_info_score(one, other), abs=1e-12)
        assert mutual_information(one, other) == pytest.approx(mutual_information(other, one), abs=1e-12)


def test_a_code_has_the_information_of_a_factor_that_was_put_into_it():
    levels = grid(4, 6, copies=20).levels
    codes = np.stack([levels[:, 0], -levels[:, 1], levels[:, 1] // 2, np.zeros(len(levels))], axis=1).astype(float)
    nats = np.array([[math.log(4), 0], [0, math.log(6)], [0, math.log(3)], [0, 0]])
    assert information_matrix(codes, levels) == pytest.approx(nats, abs=1e-12)


# Chen's MIG


def chen(mean, logvar, factors: Factors, samples: int = 4_000, components: int = 400):
    return mig_chen(mean, np.broadcast_to(logvar, mean.shape).copy(), factors, samples, components, seeded())


def test_posteriors_that_determine_the_factors_have_a_gap_of_one():
    factors = grid(3, 5)
    found = chen(10.0 * factors.levels, -2.0, factors)
    assert found.score == pytest.approx(1, abs=0.03)
    assert found.information == pytest.approx(np.diag(np.log([3, 5])), abs=0.05)


def test_posteriors_equal_to_the_prior_have_no_gap():
    found = chen(np.zeros((60, 2)), 0.0, grid(3, 5, copies=4))
    assert found.score == pytest.approx(0, abs=0.03)
    assert found.information == pytest.approx(np.zeros((2, 2)), abs=0.05)


def test_the_information_of_two_overlapping_posteriors_is_that_of_the_integral():
    def surprise(z: float) -> float:
        density = 0.5 * norm.pdf(z, -1) + 0.5 * norm.pdf(z, 1)
        return -density * math.log(density)

    nats = quad(surprise, -12, 12)[0] - GAUSSIAN_NATS
    factors = grid(2, copies=20)
    found = chen(2.0 * factors.levels - 1, 0.0, factors, samples=40_000)
    assert found.information[0, 0] == pytest.approx(nats, abs=0.02)
    assert found.score == pytest.approx(nats / math.log(2), abs=0.03)


def test_levels_count_as_often_as_they_occur():
    factors = Factors.of({"rare": np.arange(100) < 10})
    found = chen(1_000.0 * factors.levels, 4.0 * factors.levels, factors, samples=20_000)  # the rarer are wider
    assert found.information[0, 0] == pytest.approx(entropy(factors.levels[:, 0]), abs=0.03)
    assert found.score == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("components", [400, 4_000])
def test_images_that_no_two_are_alike_hide_no_information_if_they_are_all_in_the_mixture(components):
    factors = grid(2, copies=200)
    mean = np.arange(400.0)[:, None] + 1_000 * factors.levels  # in two clusters
    found = chen(mean, -8.0, factors, components=components)
    assert found.information[0, 0] == pytest.approx(math.log(2), abs=0.05)


def test_the_entropy_of_one_posterior_is_that_of_a_gaussian():
    logvar = np.array([[-3.0, 0.0, 2.0]])
    found = mixture_entropy(np.ones((1, 3)), logvar, np.zeros(1, np.int64), 20_000, seeded())
    assert found == pytest.approx(GAUSSIAN_NATS + 0.5 * logvar[0], abs=0.02)


def test_the_entropy_of_posteriors_far_apart_is_that_of_one_and_of_which():
    found = mixture_entropy(100 * np.arange(7.0)[:, None], np.zeros((7, 1)), np.arange(7), 20_000, seeded())
    assert found == pytest.approx([GAUSSIAN_NATS + math.log(7)], abs=0.02)


def test_the_information_does_not_see_the_unit_of_a_latent():
    factors = grid(3, 4, copies=5)
    mean = factors.levels + seeded(1).standard_normal((60, 2))
    straight = chen(mean, -1.0, factors)
    scaled = chen(mean * 8, -1.0 + math.log(64), factors)
    assert scaled.information == pytest.approx(straight.information, abs=1e-9)


# Dependence


def test_a_correlation_of_nine_tenths_is_0_830_nats():
    assert gaussian_total_correlation(np.array([[1, 0.9], [0.9, 1]])) == pytest.approx(-0.5 * math.log(0.19))


def test_total_correlation_is_that_of_the_determinants():
    c = covariance(0)
    expected = 0.5 * (np.log(np.diag(c)).sum() - np.linalg.slogdet(c)[1])
    assert gaussian_total_correlation(c) == pytest.approx(expected)
    unit = np.outer([1, 10, 0.1, 3], [1, 10, 0.1, 3])
    assert gaussian_total_correlation(c * unit) == pytest.approx(expected)


def test_the_wasserstein_distance_is_that_of_the_matrix_root():
    c = covariance(1)
    expected = 2 * np.trace(c) - 2 * np.trace(sqrtm(c * np.diag(c)[:, None])).real
    assert gaussian_wasserstein(c) == pytest.approx(expected)
    assert gaussian_wasserstein(9 * c) == pytest.approx(9 * expected)


def test_independent_latents_do_not_depend_on_each_other():
    c = np.diag([1.0, 4.0, 0.0, 1e-3])
    assert gaussian_total_correlation(c) == 0
    assert gaussian_wasserstein(c) == pytest.approx(0, abs=1e-12)


def test_a_dead_latent_adds_nothing_and_a_repeated_one_much():
    c = covariance(2)
    dead = np.pad(c, (0, 1))
    assert gaussian_total_correlation(dead) == pytest.approx(gaussian_total_correlation(c))
    assert gaussian_wasserstein(dead) == pytest.approx(gaussian_wasserstein(c))
    assert 15 < gaussian_total_correlation(np.ones((2, 2))) < 20
    assert gaussian_wasserstein(np.ones((2, 2))) == pytest.approx(4 - 2 * math.sqrt(2))


def test_dependence_of_codes_that_are_drawn():
    factors = grid(4, 4, copies=100)
    one, other = factors.levels[:, :1].astype(float), factors.levels[:, 1:].astype(float)
    apart = dependence(Codes(np.hstack([one, other]), factors), 3_000, seeded())
    assert apart.gaussian_total_correlation == pytest.approx(0, abs=0.01)
    assert apart.gaussian_wasserstein_normalised == pytest.approx(0, abs=0.01)
    assert apart.mutual_information_score == pytest.approx(0, abs=0.01)
    same = dependence(Codes(np.hstack([one, 3 - one, other]), factors), 3_000, seeded())
    assert same.mutual_information_score == pytest.approx(math.log(4) / 3, abs=0.01)  # one of three pairs
    assert same.gaussian_wasserstein_normalised == pytest.approx((2 - math.sqrt(2)) * 2 / 3, abs=0.02)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 7.7])
def test_codes_that_are_all_the_same_do_not_depend_on_each_other(value):
    found = dependence(nothing(grid(4, 4), value=value), 2_000, seeded())
    assert found.gaussian_total_correlation == 0
    assert found.gaussian_wasserstein == pytest.approx(0, abs=1e-12)
    assert found.gaussian_wasserstein_normalised == 0
    assert found.mutual_information_score == 0


def test_one_latent_has_nothing_to_depend_on():
    factors = grid(4, 4)
    found = dependence(Codes(factors.levels[:, :1].astype(float), factors), 200, seeded())
    assert found.gaussian_total_correlation == pytest.approx(0, abs=1e-12)
    assert found.gaussian_wasserstein == pytest.approx(0, abs=1e-9)
    assert found.mutual_information_score == 0
