"""The bound, against models whose evidence is known, and its memory."""

import functools
import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from vae.measures import bound as room
from vae.measures.bound import importance_weighted_bound
from vae.model.heads import GaussianHead
from vae.model.mlp import mlp_vae
from vae.model.vae import VAE
from vae.objectives import elbo_terms
from vae.probability.finite import NonFiniteError

VARIANCE = 0.25


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
    return importance_weighted_bound(vae, x, samples, seeded(seed))


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


# Its cost


@pytest.mark.parametrize("pixels", [1, 4 * 30 * 7])
def test_the_bound_does_not_depend_on_how_much_is_decoded_at_once(monkeypatch, pixels):
    x = torch.rand(30, 1, 2, 2, generator=seeded(1))
    together = bound(linear_gaussian(3.0), x, 20, seed=2)
    monkeypatch.setattr(room, "PIXELS_AT_ONCE", pixels)
    torch.testing.assert_close(bound(linear_gaussian(3.0), x, 20, seed=2), together, rtol=1e-5, atol=1e-5)


def test_thousands_of_samples_sum_without_a_loss_of_digits(monkeypatch):
    # Whatever the samples, each weight is the evidence: a sum that lost digits on the way would drift from it.
    monkeypatch.setattr(room, "PIXELS_AT_ONCE", 80)
    x = torch.rand(2, 1, 2, 2, generator=seeded(1))
    torch.testing.assert_close(bound(linear_gaussian(), x, 5_000).double(), evidence(x), rtol=1e-6, atol=1e-6)


def test_memory_does_not_grow_with_the_samples():
    decoded, vae = [], linear_gaussian()
    vae.decoder.register_forward_hook(lambda *call: decoded.append(call[-1].numel()))
    bound(vae, torch.rand(1_000, 1, 2, 2), 2_000)
    assert sum(decoded) == 8_000_000
    assert max(decoded) <= room.PIXELS_AT_ONCE


# Refusals


def test_a_bound_of_no_samples_is_refused():
    with pytest.raises(ValueError, match="samples must be 1 or more, got 0"):
        bound(linear_gaussian(), ONE, 0)


def test_a_decoder_that_gives_nan_is_noticed():
    vae = linear_gaussian()
    vae.decoder.output.bias.data[1] = math.nan
    with pytest.raises(NonFiniteError, match="the importance weights must not hold NaN"):
        bound(vae, ONE, 3)
