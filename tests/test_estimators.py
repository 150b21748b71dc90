"""Estimators: bounds against models whose evidence is known, and information that was made by hand."""

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributions import MultivariateNormal
from torch.nn.functional import binary_cross_entropy

from vae.distributions import DiagonalNormal
from vae.divergences import entropy
from vae.estimators import (
    active_by_rate,
    active_by_variance,
    aggregate_kl,
    aggregate_posterior,
    baseline_distortion,
    effective_latents,
    gaussian_total_correlation,
    importance_weighted_bound,
    label_information,
    log_mean_exp,
)
from vae.model import VAE, GaussianHead, mlp_vae
from vae.objectives import elbo_terms

laws = settings(max_examples=100, deadline=None)
VARIANCE = 0.25


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Log-mean-exp


@laws
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=8), st.floats(-1e5, 1e5))
def test_log_mean_exp_is_its_name_and_moves_with_its_values(values, shift):
    expected = math.log(math.fsum(math.exp(value) for value in values) / len(values))
    assert log_mean_exp(tensor(values)).item() == pytest.approx(expected, abs=1e-12)
    assert log_mean_exp(tensor(values) + shift).item() == pytest.approx(expected + shift, abs=1e-9)


@pytest.mark.parametrize("value", [-1e30, -1e4, 1e4, 1e30])
def test_log_mean_exp_of_equal_values_is_that_value_however_far_out(value):
    assert log_mean_exp(torch.full((3, 4), value)).tolist() == pytest.approx([value] * 3)


# The bound


def linear_gaussian(posterior_scale: float = 1.0) -> VAE:
    """x = W z + 0.3 + noise, with orthogonal columns in W: the posterior is diagonal, and here it is exact.

    `posterior_scale` widens the posterior's standard deviation, which makes it wrong.
    """
    weight = torch.tensor([[1.0, 0.5], [1.0, -0.5], [-1.0, 0.5], [-1.0, -0.5]])
    gain = weight.square().sum(0)  # W^T W, a diagonal
    precision = 1 + gain / VARIANCE
    vae = mlp_vae((1, 2, 2), 2, (4,), activation=nn.Identity, head=GaussianHead(VARIANCE, learned=False)).eval()
    with torch.no_grad():
        first, _, last = vae.encoder.layers
        first.weight.copy_(torch.eye(4))
        first.bias.fill_(-0.3)
        last.weight.copy_(torch.cat([weight.T / VARIANCE / precision[:, None], torch.zeros(2, 4)]))
        last.bias.copy_(torch.cat([torch.zeros(2), -precision.log() + 2 * math.log(posterior_scale)]))
        vae.decoder.layers[0][0].weight.copy_(weight)
        vae.decoder.layers[0][0].bias.zero_()
        vae.decoder.output.weight.copy_(torch.eye(4))
        vae.decoder.output.bias.fill_(0.3)
    return vae


def evidence(x: torch.Tensor) -> torch.Tensor:
    """The exact ln p(x) of `linear_gaussian`."""
    weight = linear_gaussian().decoder.layers[0][0].weight.detach().double()
    covariance = weight @ weight.T + VARIANCE * torch.eye(4, dtype=torch.float64)
    return MultivariateNormal(torch.full((4,), 0.3, dtype=torch.float64), covariance).log_prob(x.double().flatten(1))


def bound(vae: VAE, x: torch.Tensor, samples: int, seed: int = 0) -> torch.Tensor:
    return importance_weighted_bound(vae, x, torch.randn(samples, len(x), vae.latent_dim, generator=seeded(seed)))


@pytest.mark.parametrize("samples", [1, 7])
def test_with_the_exact_posterior_the_bound_is_the_evidence_whatever_the_noise(samples):
    x = torch.rand(5, 1, 2, 2, generator=seeded(1))
    torch.testing.assert_close(bound(linear_gaussian(), x, samples).double(), evidence(x), rtol=1e-5, atol=1e-5)


def test_where_the_decoder_ignores_z_and_the_posterior_is_the_prior_the_bound_is_the_likelihood():
    vae = mlp_vae((1, 3, 3), 2, (4,)).eval()
    for layer in (vae.encoder.layers[-1], vae.decoder.output):
        layer.weight.data.zero_()
    vae.encoder.layers[-1].bias.data.zero_()
    x = torch.rand(4, 1, 3, 3, generator=seeded(0))
    likelihood = vae.decode(torch.zeros(4, 2)).log_prob(x).detach()
    torch.testing.assert_close(bound(vae, x, 5), likelihood)
    torch.testing.assert_close(elbo_terms(vae, x, torch.randn(4, 2)).elbo.detach(), likelihood)


ONE = torch.tensor([[[[0.9, 0.1], [0.4, 0.7]]]])


@functools.cache
def bounds_of_one_image(samples: int, times: int = 4_000) -> torch.Tensor:
    """The bound of the same image, drawn again and again with a posterior three times too wide."""
    return bound(linear_gaussian(3.0), ONE.expand(times, -1, -1, -1), samples, seed=samples).double()


def standard_error(values: torch.Tensor) -> float:
    return float(values.std() / len(values) ** 0.5)


def test_one_sample_of_the_bound_is_the_elbo_in_expectation():
    vae, singles = linear_gaussian(3.0), bounds_of_one_image(1)
    noise = torch.randn(len(singles), 2, generator=seeded(99))
    elbo = elbo_terms(vae, ONE.expand(len(singles), -1, -1, -1), noise).elbo.detach().double()
    assert abs(singles.mean() - elbo.mean()) < 4 * math.hypot(standard_error(singles), standard_error(elbo))


def test_more_samples_tighten_the_bound_from_below_until_it_is_the_evidence():
    exact = evidence(ONE).item()
    means = [bounds_of_one_image(samples).mean().item() for samples in (1, 3, 10, 60)]
    errors = [standard_error(bounds_of_one_image(samples)) for samples in (1, 3, 10, 60)]
    for k in range(3):  # every step is far larger than its Monte Carlo error
        assert means[k + 1] - means[k] > 4 * math.hypot(errors[k], errors[k + 1])
    assert means[-1] < exact + 4 * errors[-1]
    assert exact - means[-1] < 0.05


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


@pytest.mark.parametrize("n", [1, 2, 20])
def test_latents_of_equal_rate_all_count_and_those_of_none_do_not(n):
    rate = torch.cat([torch.full((n,), 0.7), torch.zeros(3)])
    assert effective_latents(rate) == pytest.approx(n)


def test_without_any_rate_no_latent_counts():
    assert effective_latents(torch.zeros(4)) == 0


@laws
@given(st.lists(st.floats(0.0, 1e3), min_size=1, max_size=6).filter(lambda rates: sum(rates) > 1e-3), st.floats(1, 10))
def test_the_effective_number_lies_between_one_and_all_and_ignores_the_unit(rates, unit):
    number = effective_latents(tensor(rates))
    assert 1 - 1e-9 <= number <= len(rates) + 1e-9
    assert effective_latents(unit * tensor(rates)) == pytest.approx(number)


# The aggregate posterior


def test_the_aggregate_posterior_has_the_moments_of_samples_over_all_images():
    mean = torch.randn(500, 3, generator=seeded(0)) @ torch.tensor([[1.0, 0.8, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.1]])
    logvar = torch.randn(500, 3, generator=seeded(1))
    centre, covariance = aggregate_posterior(mean, logvar)
    z = DiagonalNormal(mean, logvar).rsample(torch.randn(400, 500, 3, generator=seeded(2))).flatten(0, 1).double()
    deviations = z - centre
    products = deviations[:, :, None] * deviations[:, None, :]
    assert (deviations.mean(0).abs() < 4 * deviations.std(0) / len(z) ** 0.5).all()
    assert ((products.mean(0) - covariance).abs() < 4 * products.std(0) / len(z) ** 0.5).all()


def test_the_aggregate_kl_is_zero_at_the_prior_and_half_the_square_of_a_shift():
    identity = torch.eye(3, dtype=torch.float64)
    assert aggregate_kl(tensor([0.0, 0.0, 0.0]), identity) == 0
    assert aggregate_kl(tensor([2.0, 0.0, 1.0]), identity) == pytest.approx(2.5)
    assert aggregate_kl(tensor([0.0]), tensor([[4.0]])) == pytest.approx(0.5 * (4 - 1 - math.log(4)))


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize("rho", [0.0, 0.5, -0.9, 0.9])
def test_total_correlation_is_that_of_the_correlation_alone(rho, scale):
    covariance = tensor([[1.0, rho * scale], [rho * scale, scale**2]])
    assert gaussian_total_correlation(covariance) == pytest.approx(-0.5 * math.log(1 - rho**2), abs=1e-12)


def test_a_correlation_of_nine_tenths_is_0_830_nats():
    assert gaussian_total_correlation(tensor([[1.0, 0.9], [0.9, 1.0]])) == pytest.approx(0.830, abs=5e-4)


# Labels


def test_what_a_latent_knows_of_the_label():
    n = 20_000
    labels = torch.randint(10, (n,), generator=seeded(0))
    independent = torch.randn(n, generator=seeded(1))
    mean = torch.stack([independent, labels.float(), (labels % 2).float(), torch.full((n,), 5.0)], 1)
    shares = torch.bincount(labels).double() / n
    parity = torch.stack([shares[::2].sum(), shares[1::2].sum()])
    information = label_information(mean, labels)
    bias = 19 * 9 / (2 * n)
    assert 0 <= information[0] < 2 * bias
    assert information[1].item() == pytest.approx(entropy(shares).item(), rel=1e-6)
    assert information[2].item() == pytest.approx(entropy(parity).item(), rel=1e-6)
    assert information[3].item() == pytest.approx(0.0, abs=1e-12)


def test_information_does_not_see_the_unit_of_a_latent():
    labels = torch.randint(4, (2_000,), generator=seeded(0))
    mean = (labels + torch.randn(2_000, generator=seeded(1)))[:, None].double()
    straight = label_information(mean, labels)
    torch.testing.assert_close(label_information(1e-3 * mean, labels), straight, rtol=1e-2, atol=0)
    assert 0.1 < straight.item() < math.log(4)


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
