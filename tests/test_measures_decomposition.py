"""The three parts of the rate: laws, then aggregates whose parts are known."""

import math
from dataclasses import astuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from vae.measures import decomposition as room
from vae.measures.decomposition import RateDecomposition, aggregate_log_densities, decompose_rate
from vae.measures.moments import gaussian_total_correlation
from vae.probability.divergences import kl_to_standard_normal

laws = settings(max_examples=50, deadline=None)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sampled(mean: torch.Tensor, logvar: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """One sample of each posterior."""
    noise = torch.randn(mean.shape, generator=seeded(seed), dtype=mean.dtype)
    return mean + (0.5 * logvar).exp() * noise


def posteriors(images: int, latents: int, seed: int, dtype=torch.float64) -> tuple[torch.Tensor, ...]:
    """Means, log-variances and samples of posteriors that differ in both."""
    mean, logvar = torch.randn(2, images, latents, generator=seeded(seed), dtype=dtype)
    logvar = logvar - 1
    return mean, logvar, sampled(mean, logvar, seed + 1)


def parts_of(mean: torch.Tensor, logvar: torch.Tensor, seed: int = 0) -> RateDecomposition:
    return decompose_rate(mean, logvar, sampled(mean, logvar, seed), len(mean))


# Laws


@laws
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 5), st.sampled_from([torch.float32, torch.float64]))
def test_the_three_parts_sum_to_the_sampled_rate(seed, images, latents, dtype):
    mean, logvar, z = posteriors(images, latents, seed, dtype)
    parts = decompose_rate(mean, logvar, z, samples=(images + 1) // 2)
    total = parts.mutual_information + parts.total_correlation + parts.dimension_wise_kl
    assert total == pytest.approx(parts.sampled_rate, abs=1e-6)


def test_the_three_parts_sum_to_the_analytic_rate_and_none_is_negative_but_for_the_samples():
    mean, logvar, z = posteriors(4_000, 4, seed=0)
    parts = decompose_rate(mean, logvar, z, samples=4_000)
    rate = float(kl_to_standard_normal(mean, logvar).sum(1).mean())
    total = parts.mutual_information + parts.total_correlation + parts.dimension_wise_kl
    assert total == pytest.approx(rate, abs=0.05)
    assert all(part > -0.05 for part in astuple(parts))


@laws
@given(st.integers(0, 2**31), st.integers(1, 40), st.floats(0.1, 100.0))
def test_mutual_information_is_at_most_the_logarithm_of_the_number_of_images(seed, images, spread):
    mean, logvar, _ = posteriors(images, 3, seed)
    assert parts_of(spread * mean, logvar, seed).mutual_information <= math.log(images) + 1e-9


@laws
@given(st.integers(0, 2**31), st.floats(-5.0, 5.0))
def test_one_image_is_nothing_to_know_and_its_latents_share_nothing(seed, logvar):
    mean = torch.randn(1, 4, generator=seeded(seed), dtype=torch.float64)
    parts = parts_of(mean, torch.full_like(mean, logvar), seed)
    assert parts.mutual_information == pytest.approx(0, abs=1e-9)
    assert parts.total_correlation == pytest.approx(0, abs=1e-9)
    assert parts.dimension_wise_kl == pytest.approx(parts.sampled_rate, abs=1e-9)


@laws
@given(st.integers(0, 2**31), st.integers(2, 50))
def test_images_far_apart_are_known_for_certain(seed, images):
    mean = 1e3 * torch.arange(images, dtype=torch.float64)[:, None].expand(images, 2)
    parts = parts_of(mean, torch.zeros_like(mean), seed)
    assert parts.mutual_information == pytest.approx(math.log(images), abs=1e-9)
    assert parts.total_correlation == pytest.approx(math.log(images), abs=1e-9)  # either latent tells all of the other


def test_posteriors_that_are_the_prior_have_no_part_at_all():
    nothing = torch.zeros(50, 3)
    assert astuple(parts_of(nothing, nothing)) == pytest.approx((0, 0, 0, 0), abs=1e-5)


@laws
@given(st.integers(0, 2**31), st.integers(2, 6), st.floats(-4.0, 1.0))
def test_latents_that_are_independent_over_the_images_share_nothing(seed, levels, logvar):
    # Every combination of levels once: q(z) is the product of its marginals, at every z.
    axis = torch.randn(2, levels, generator=seeded(seed), dtype=torch.float64)
    mean = torch.cartesian_prod(axis[0], axis[1])
    parts = parts_of(mean, torch.full_like(mean, logvar), seed)
    assert parts.total_correlation == pytest.approx(0, abs=1e-9)


@laws
@given(st.integers(0, 2**31), st.permutations(range(4)))
def test_the_parts_know_no_order_of_the_latents(seed, order):
    mean, logvar, z = posteriors(20, 4, seed)
    straight = decompose_rate(mean, logvar, z, 20)
    assert astuple(decompose_rate(mean[:, order], logvar[:, order], z[:, order], 20)) == pytest.approx(
        astuple(straight), abs=1e-9
    )


# Oracles


def test_the_parts_of_a_gaussian_aggregate_are_those_of_its_covariance():
    # Means of N(0, C - I/4) and posteriors of variance 1/4: with many images q(z) is N(0, C).
    covariance = torch.tensor([[1.5, 0.6], [0.6, 0.8]], dtype=torch.float64)
    root = torch.linalg.cholesky(covariance - 0.25 * torch.eye(2, dtype=torch.float64))
    mean = torch.randn(8_000, 2, generator=seeded(0), dtype=torch.float64) @ root.T
    parts = parts_of(mean, torch.full_like(mean, math.log(0.25)), seed=1)
    diagonal = covariance.diagonal()
    assert parts.total_correlation == pytest.approx(gaussian_total_correlation(covariance), abs=0.03)
    assert parts.dimension_wise_kl == pytest.approx(0.5 * float((diagonal - 1 - diagonal.log()).sum()), abs=0.03)
    information = 0.5 * float(torch.logdet(covariance)) - 0.5 * 2 * math.log(0.25)
    assert parts.mutual_information == pytest.approx(information, abs=0.03)


@pytest.mark.parametrize("at_once", [1, 40 * 7, 2**20])
def test_the_densities_are_those_of_the_mixture_whatever_the_blocks(monkeypatch, at_once):
    monkeypatch.setattr(room, "DENSITIES_AT_ONCE", at_once)
    mean, logvar, _ = posteriors(40, 3, seed=0)
    z = 2 * torch.randn(11, 3, generator=seeded(5), dtype=torch.float64)
    joint, marginals = aggregate_log_densities(z, mean, logvar)
    uniform, components = Categorical(torch.ones(40, dtype=torch.float64)), Normal(mean, (0.5 * logvar).exp())
    torch.testing.assert_close(joint, MixtureSameFamily(uniform, Independent(components, 1)).log_prob(z))
    for j in range(3):
        of_latent = MixtureSameFamily(uniform, Normal(mean[:, j], (0.5 * logvar[:, j]).exp()))
        torch.testing.assert_close(marginals[:, j], of_latent.log_prob(z[:, j]))


def test_single_precision_is_enough_for_the_narrowest_posteriors():
    mean, logvar, _ = posteriors(500, 5, seed=0)
    narrow = logvar - 8  # down to the default bound of -10 and beyond
    z = sampled(mean, narrow)
    exact = decompose_rate(mean, narrow, z, 500)
    rounded = decompose_rate(mean.float(), narrow.float(), z.float(), 500)
    assert astuple(rounded) == pytest.approx(astuple(exact), abs=1e-2)


def test_the_samples_are_spaced_evenly_over_the_images():
    mean, logvar, z = posteriors(100, 2, seed=0)
    few = decompose_rate(mean, logvar, z, samples=4)
    others = torch.ones(100, dtype=torch.bool)
    others[[0, 25, 50, 75]] = False
    assert decompose_rate(mean, logvar, torch.where(others[:, None], math.nan, z), samples=4) == few


@pytest.mark.parametrize("samples", [0, 11])
def test_more_samples_than_images_or_none_are_refused(samples):
    with pytest.raises(ValueError, match=f"samples must be from 1 to 10, the number of images, got {samples}"):
        decompose_rate(*posteriors(10, 2, seed=0), samples=samples)
