"""The aggregate posterior as a Gaussian: its moments against samples, its divergences against closed forms."""

import math

import pytest
import torch

from vae.measures.moments import aggregate_kl, aggregate_posterior, gaussian_total_correlation
from vae.probability.distributions import DiagonalNormal


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


@pytest.mark.parametrize("rho", [0.0, 0.5, -0.9])
def test_total_correlation_of_two_latents_is_that_of_their_correlation(rho):
    covariance = tensor([[1.0, 5 * rho], [5 * rho, 25.0]])
    assert gaussian_total_correlation(covariance) == pytest.approx(-0.5 * math.log(1 - rho**2), abs=1e-12)


def test_total_correlation_is_that_of_the_determinants_in_any_unit_and_leaves_dead_latents_out():
    root = torch.randn(4, 4, generator=seeded(0), dtype=torch.float64)
    covariance = root @ root.T
    expected = 0.5 * float(covariance.diagonal().log().sum() - torch.logdet(covariance))
    unit = tensor([1.0, 10.0, 0.1, 3.0])
    for same in (covariance, covariance * torch.outer(unit, unit), torch.nn.functional.pad(covariance, (0, 1, 0, 1))):
        assert gaussian_total_correlation(same) == pytest.approx(expected)
    assert gaussian_total_correlation(torch.diag(tensor([1.0, 4.0, 0.0, 1e-3]))) == 0
    assert gaussian_total_correlation(tensor([[1.0, 0.9], [0.9, 0.9]]), above=0.95) == 0
    assert 15 < gaussian_total_correlation(tensor([[1.0, 1.0], [1.0, 1.0]])) < 20  # of a latent that is repeated
