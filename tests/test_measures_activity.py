"""Counts of the latents that carry information, on latents made by hand, and the cost of a decoder without any."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal
from torch.nn.functional import binary_cross_entropy

from vae.measures.activity import (
    active_by_posterior_variance,
    active_by_rate,
    active_by_variance,
    baseline_distortion,
    effective_latents,
    gaussian_baseline,
    participation_ratio,
)
from vae.model.heads import GaussianHead
from vae.probability.distributions import LogvarBounds

laws = settings(max_examples=100, deadline=None)


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Counting latents


def test_a_latent_is_active_where_its_mean_varies():
    steps = torch.linspace(-1, 1, 5)  # of variance 0.5
    mean = torch.stack([steps, 0.2 * steps, 0.1 * steps, torch.full((5,), 9.0)], 1)
    assert active_by_variance(mean).tolist() == [1, 1, 0, 0]
    assert active_by_variance(mean, threshold=0.3).tolist() == [1, 0, 0, 0]
    assert active_by_variance(mean[:1]).tolist() == [0, 0, 0, 0]


def test_a_latent_is_active_where_its_mean_rate_is_above_the_threshold():
    rate = torch.tensor([[0.0, 0.03, 0.015, 2.0], [0.0, 0.0, 0.0, 0.0]])
    assert active_by_rate(rate).tolist() == [0, 1, 0, 1]
    assert active_by_rate(rate, threshold=0.5).tolist() == [0, 0, 0, 1]


def test_a_latent_is_active_where_its_posteriors_are_narrower_than_the_prior():
    variance = torch.tensor([[0.2, 0.89, 0.91, 1.5, 0.5], [0.1, 0.89, 0.91, 1.5, 1.6]])
    assert active_by_posterior_variance(variance.log()).tolist() == [1, 1, 0, 0, 0]
    assert active_by_posterior_variance(variance.log(), threshold=0.5).tolist() == [1, 0, 0, 0, 0]


@laws
@given(st.floats(0.0, 0.99))
def test_where_each_latent_has_the_priors_variance_the_three_definitions_draw_nearly_one_line(share):
    # The means take `share` of a variance of 1 and the posteriors the rest.
    mean = math.sqrt(share) * tensor([[1.0], [-1.0]])
    logvar = torch.full_like(mean, math.log(1 - share))
    by_posterior, by_mean = active_by_posterior_variance(logvar, 0.99), active_by_variance(mean)
    if abs(share - 0.01) > 1e-9:
        assert torch.equal(by_posterior, by_mean)
    rate = 0.5 * (mean.square() + logvar.exp() - 1 - logvar)
    if not 0.009 < share < 0.021:  # where -ln(1 - share) / 2 passes 0.01
        assert torch.equal(active_by_rate(rate), by_mean)


@pytest.mark.parametrize("n", [0, 1, 20])
def test_latents_of_equal_rate_all_count_and_those_of_none_do_not(n):
    rate = torch.cat([torch.full((n,), 0.7), torch.zeros(3)])
    assert effective_latents(rate) == pytest.approx(n)


@laws
@given(st.lists(st.floats(0.0, 1e3), min_size=1, max_size=6).filter(lambda rates: sum(rates) > 1e-3), st.floats(1, 10))
def test_the_effective_number_lies_between_one_and_all_and_ignores_the_unit(rates, unit):
    number = effective_latents(tensor(rates))
    assert 1 - 1e-9 <= number <= len(rates) + 1e-9
    assert effective_latents(unit * tensor(rates)) == pytest.approx(number)


# The participation ratio


@pytest.mark.parametrize("n", [1, 7])
def test_directions_of_equal_variance_all_participate_and_constant_ones_do_not(n):
    signs = torch.cartesian_prod(*[tensor([-1.0, 1.0])] * n).reshape(-1, n)  # uncorrelated, variance 1
    mean = torch.cat([signs, torch.full((len(signs), 3), 0.1, dtype=torch.float64)], 1)
    assert participation_ratio(mean) == pytest.approx(n)


@laws
@given(st.integers(0, 2**31), st.integers(1, 5), st.floats(0.1, 10.0))
def test_the_participation_ratio_sees_neither_axes_nor_unit_and_is_that_of_the_eigenvalues(seed, latents, unit):
    mean = torch.randn(40, latents, generator=seeded(seed), dtype=torch.float64)
    mean = mean * torch.arange(1, latents + 1)
    turn, _ = torch.linalg.qr(torch.randn(latents, latents, generator=seeded(seed + 1), dtype=torch.float64))
    ratio = participation_ratio(mean)
    eigenvalues = torch.linalg.svdvals(mean - mean.mean(0)).square()
    assert ratio == pytest.approx(float(eigenvalues.sum() ** 2 / eigenvalues.square().sum()))
    assert 1 - 1e-9 <= ratio <= latents + 1e-9
    assert participation_ratio(unit * mean @ turn + 3.0) == pytest.approx(ratio)


@pytest.mark.parametrize("images", [1, 10_000])
def test_without_any_variance_no_direction_participates(images):
    assert participation_ratio(torch.tensor([[0.1, 0.7]]).expand(images, 2)) == 0.0


# The baseline


def test_the_baseline_is_the_cross_entropy_of_the_images_with_their_mean(tiny_images):
    x = tiny_images.pixels.double() / 255
    mean = x.mean(0)
    model = mean.clamp(1e-3, 1 - 1e-3).expand_as(x)
    per_image = binary_cross_entropy(model, x, reduction="none").flatten(1).sum(1)
    assert baseline_distortion(mean, mean) == pytest.approx(per_image.mean().item(), rel=1e-9)
    assert baseline_distortion(mean, 1 - mean) > baseline_distortion(mean, mean)


def test_a_pixel_the_model_excludes_has_a_finite_cost():
    dark, lit = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    assert baseline_distortion(lit, dark) == pytest.approx(-math.log(1e-3))
    assert baseline_distortion(dark, dark) == pytest.approx(-math.log(1 - 1e-3))


@pytest.mark.parametrize("logvar", [torch.tensor(-1.3), torch.tensor([[[0.0, 1.0], [-2.0, 3.0], [0.5, -0.5]]])])
def test_the_gaussian_baseline_of_a_fixed_variance_is_the_density_of_the_images_around_the_mean(logvar):
    x = 5 + 3 * torch.randn(40, 1, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = x[:20].mean(0)
    oracle = -Independent(Normal(model, (logvar.double() / 2).exp()), 3).log_prob(x).mean()
    baseline = gaussian_baseline(x.mean(0), x.var(0, correction=0), model, logvar)
    assert baseline == pytest.approx(oracle.item(), rel=1e-9)


@pytest.mark.parametrize("each", [False, True])
def test_the_gaussian_baseline_of_a_learned_variance_is_the_least(each):
    x = 5 + torch.tensor([[0.5], [3.0]]) * torch.randn(40, 1, 2, 1, generator=torch.Generator().manual_seed(0))
    mean, variance = x.mean(0), x.var(0, correction=0)
    best = gaussian_baseline(mean, variance, mean, each=each)
    logvar = variance.log() if each else variance.mean().log()
    assert best == pytest.approx(gaussian_baseline(mean, variance, mean, logvar), rel=1e-6)
    for shift in (-0.1, 0.1):
        assert gaussian_baseline(mean, variance, mean, logvar + shift) > best


@pytest.mark.parametrize("shape", [(), (1, 2, 2)])
@pytest.mark.parametrize("bounds", [LogvarBounds(), LogvarBounds(-2.0, 1.0)])
def test_the_gaussian_baseline_is_one_that_the_model_can_reach_where_pixels_never_change(shape, bounds):
    x = torch.rand(50, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    x[:, :, 0] = 0.25
    mean, variance = x.mean(0), x.var(0, correction=0)
    head = GaussianHead(1.0, True, bounds, shape)
    head.start_at(variance)
    reached = -head(mean.expand_as(x)).log_prob(x).mean()
    baseline = gaussian_baseline(mean, variance, mean, each=bool(shape), bounds=bounds)
    assert baseline == pytest.approx(reached.item(), rel=1e-5)
