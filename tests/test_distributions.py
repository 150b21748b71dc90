"""Distributions: the bounded log-variance and its way back, and log-densities against torch and brute force."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal
from torch.nn.functional import binary_cross_entropy_with_logits

from vae.probability.distributions import (
    Bernoulli,
    DiagonalNormal,
    Gaussian,
    LogvarBounds,
    bound_logvar,
    log_sum_exp,
)
from vae.probability.divergences import kl_to_standard_normal
from vae.probability.finite import NonFiniteError
from vae.probability.prior import log_prior, standard_normal

laws = settings(max_examples=200, deadline=None)
anything = st.floats(width=32, allow_nan=False)
numbers = st.floats(-50, 50, width=32)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# The bound


@laws
@given(anything, st.floats(-20, 0, width=32), st.floats(0, 20, width=32))
def test_forward_the_bound_is_a_clamp(raw, low, high):
    logvar = torch.tensor([raw])
    assert bound_logvar(logvar, LogvarBounds(low, high)).equal(logvar.clamp(low, high))


@laws
@given(anything, anything, st.floats(-20, 0, width=32), st.floats(0.5, 20, width=32), st.integers(1, 8))
def test_outside_the_bounds_the_gradient_leads_back_whatever_the_loss_says(raw, incoming, low, high, rows):
    leaf = torch.full((rows, 2), raw, requires_grad=True)
    bound_logvar(leaf, LogvarBounds(low, high)).backward(torch.full((rows, 2), incoming))
    distance = raw - min(max(raw, low), high)
    reach = high - low
    pull = math.copysign(1, distance) + min(max(distance, -reach), reach)  # a step goes against it
    assert float(leaf.grad[0, 0]) == pytest.approx(incoming if distance == 0 else pull / rows, rel=1e-5)


def test_a_scalar_is_bounded_too():
    raw = torch.tensor(50.0, requires_grad=True)
    bounded = bound_logvar(raw)
    bounded.backward()
    assert bounded.item() == 10
    assert raw.grad.item() == 21


# The posterior


@laws
@given(st.lists(numbers, min_size=3, max_size=3), st.lists(numbers, min_size=3, max_size=3))
def test_sampler_density_and_kl_read_the_same_bounded_logvar(raw, noise):
    mean = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64)
    raw, noise = (torch.tensor([values], dtype=torch.float64) for values in (raw, noise))
    posterior = DiagonalNormal(mean, raw, LogvarBounds(-4.0, 3.0))
    logvar = raw.clamp(-4, 3)
    z = posterior.rsample(noise)
    oracle = Independent(Normal(mean, (logvar / 2).exp()), 1)
    torch.testing.assert_close(z, mean + (logvar / 2).exp() * noise)
    torch.testing.assert_close(posterior.log_prob(z), oracle.log_prob(z))
    torch.testing.assert_close(posterior.kl_to_standard(), kl_to_standard_normal(mean, logvar))


@pytest.mark.parametrize("leading", [(3,), (5, 3)])
def test_the_densities_of_posterior_and_prior_are_those_of_torch(leading):
    mean, logvar = torch.randn(2, 3, 4, dtype=torch.float64, generator=seeded(0))
    z = torch.randn(*leading, 4, dtype=torch.float64, generator=seeded(1))
    oracle = Independent(Normal(mean, (logvar / 2).exp()), 1)
    torch.testing.assert_close(DiagonalNormal(mean, logvar).log_prob(z), oracle.log_prob(z))
    oracle = Independent(Normal(torch.zeros_like(mean), 1.0), 1)
    torch.testing.assert_close(log_prior(z), oracle.log_prob(z))


def test_samples_of_the_prior_come_from_the_given_generator():
    torch.manual_seed(0)
    state, first = torch.get_rng_state(), standard_normal((3, 2), seeded(5))
    assert torch.equal(first, standard_normal((3, 2), seeded(5)))
    assert torch.equal(first, torch.randn(3, 2, generator=seeded(5)))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_kl_is_the_mean_log_ratio_of_samples():
    mean, logvar = torch.tensor([[1.0, -0.5]]), torch.tensor([[-1.0, 0.7]])
    posterior = DiagonalNormal(mean, logvar)
    z = posterior.rsample(torch.randn(100_000, 1, 2, generator=seeded(0)))
    log_ratio = posterior.log_prob(z) - log_prior(z)
    error = log_ratio.mean() - posterior.kl_to_standard().sum()
    assert abs(error) < 4 * log_ratio.std() / len(z) ** 0.5


def test_saturation_counts_what_sits_on_a_bound_or_beyond():
    logvar = torch.tensor([[-50.0, -10.0, -9.9, 0.0], [9.9, 10.0, 11.0, 3e38]])
    saturated = DiagonalNormal(torch.zeros(2, 4), logvar).saturated()
    assert saturated.tolist() == [[True, True, False, False], [False, True, True, True]]
    narrow = DiagonalNormal(torch.zeros(2, 4), logvar, LogvarBounds(-60.0, 9.95)).saturated()
    assert narrow.float().mean() == 3 / 8


@pytest.mark.parametrize("name", ["mean", "logvar"])
def test_nan_is_refused_by_the_posterior_and_so_by_the_bound(name):
    arguments = {"mean": torch.zeros(2, 3), "logvar": torch.zeros(2, 3)}
    arguments[name][0, 1] = math.nan
    with pytest.raises(NonFiniteError, match=f"{name} must not hold NaN, got 1 of 6"):
        DiagonalNormal(**arguments)


# Sums of densities


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@laws
@given(st.lists(st.floats(-2000, 100, width=32), min_size=1, max_size=30), st.integers(0, 3))
def test_the_log_of_a_sum_of_densities_is_that_of_torch_and_its_gradient_their_shares(dtype, values, many):
    log_densities = torch.tensor([values * 10**many] * 2, dtype=dtype, requires_grad=True)
    total = log_sum_exp(log_densities, 1)
    torch.testing.assert_close(total, torch.logsumexp(log_densities, 1))
    total.sum().backward()
    torch.testing.assert_close(log_densities.grad, log_densities.detach().softmax(1))


def test_a_density_of_zero_adds_nothing_and_nan_does_not_pass_unseen():
    assert log_sum_exp(torch.tensor([-math.inf, 2.0]), 0) == 2.0
    assert log_sum_exp(torch.tensor([math.nan, 2.0]), 0).isnan()


# Bernoulli


@laws
@given(st.lists(st.floats(-30, 30), min_size=3, max_size=3))
def test_the_bernoulli_probabilities_of_all_images_sum_to_one(logits):
    images = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64)
    logits = torch.tensor(logits, dtype=torch.float64).expand(8, 3)
    assert Bernoulli(logits).log_prob(images).exp().sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0, 20.0])
@pytest.mark.parametrize("kind", ["grey", "binary", "drawn"])
def test_the_bernoulli_density_is_the_binary_cross_entropy(spread, kind):
    logits = spread * torch.randn(50, 1, 28, 28, generator=seeded(0))
    uniform = torch.rand(logits.shape, generator=seeded(1))
    x = {"grey": uniform, "binary": uniform.round(), "drawn": (uniform < logits.sigmoid()).float()}[kind]
    oracle = -binary_cross_entropy_with_logits(logits.double(), x.double(), reduction="none").flatten(1).sum(1)
    torch.testing.assert_close(Bernoulli(logits).log_prob(x).double(), oracle, rtol=1e-6, atol=0)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 27, 27), (1, 28, 28), (3, 28, 28), (3, 64, 64), (1, 16, 70)])
def test_a_pixel_of_which_nothing_is_known_costs_ln_2_however_many_there_are(shape):
    torch.set_flush_denormal(True)
    logits, x = torch.zeros(2, *shape), torch.rand(2, *shape, generator=seeded(0))
    expected = torch.full((2,), -math.prod(shape) * math.log(2))
    torch.testing.assert_close(Bernoulli(logits).log_prob(x), expected)
    assert Bernoulli(logits[:0]).log_prob(x[:0]).shape == (0,)


def test_images_of_another_shape_are_refused():
    with pytest.raises(RuntimeError, match="must match"):
        Bernoulli(torch.zeros(4, 1, 8, 4)).log_prob(torch.zeros(4, 1, 4, 8))


def test_sure_and_right_pixels_cost_less_than_a_millionth_of_a_nat_too_much_or_too_little():
    logits = torch.linspace(-40, 40, 8_001).view(-1, 1)
    x = (logits > 0).float()
    oracle = -binary_cross_entropy_with_logits(logits.double(), x.double(), reduction="none").squeeze(1)
    ours = Bernoulli(logits).log_prob(x)
    assert (ours <= 0).all()
    torch.testing.assert_close(ours.double(), oracle, rtol=0, atol=2e-6)


def test_the_bernoulli_gradient_is_that_of_the_plain_formula():
    logits = (10 * torch.randn(4, 1, 5, 5, generator=seeded(0))).requires_grad_()
    x = torch.rand(logits.shape, generator=seeded(1))
    weight = torch.randn(4, generator=seeded(2))
    plain = -binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
    expected = torch.autograd.grad((weight * plain).sum(), logits)
    torch.testing.assert_close(torch.autograd.grad((weight * Bernoulli(logits).log_prob(x)).sum(), logits), expected)


@pytest.mark.parametrize("target", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("logit", [-1e38, -1e4, 0.0, 1e4, 1e38])
def test_the_bernoulli_density_stays_finite_at_any_logit(logit, target):
    logits = torch.full((1, 2), logit, requires_grad=True)
    log_prob = Bernoulli(logits).log_prob(torch.full((1, 2), target))
    log_prob.sum().backward()
    oracle = torch.full((2,), logit, dtype=torch.float64)
    expected = -binary_cross_entropy_with_logits(oracle, torch.full_like(oracle, target), reduction="sum")
    assert log_prob.item() == pytest.approx(expected.item(), rel=1e-6)
    assert logits.grad.isfinite().all()


def test_the_bernoulli_mean_is_the_probability_of_a_one():
    p = torch.tensor([[0.1, 0.5, 0.9]])
    torch.testing.assert_close(Bernoulli(p.logit()).mean, p)


# Gaussian


def test_the_gaussian_density_is_that_of_torch_summed_over_the_pixels():
    mean, x = torch.randn(2, 5, 2, 3, 3, dtype=torch.float64, generator=seeded(0))
    logvar = torch.tensor(-1.7, dtype=torch.float64)
    oracle = Independent(Normal(mean, (logvar / 2).exp()), 3).log_prob(x)
    torch.testing.assert_close(Gaussian(mean, logvar).log_prob(x), oracle)


def test_the_gaussian_density_with_a_variance_of_each_pixel_is_that_of_torch():
    mean, x = torch.randn(2, 5, 2, 3, 3, dtype=torch.float64, generator=seeded(0))
    logvar = torch.randn(2, 3, 3, dtype=torch.float64, generator=seeded(1)).requires_grad_()
    oracle = Independent(Normal(mean, (logvar / 2).exp()), 3).log_prob(x)
    log_prob = Gaussian(mean, logvar).log_prob(x)
    torch.testing.assert_close(log_prob, oracle)
    (gradient,) = torch.autograd.grad(log_prob.sum(), logvar)
    (expected,) = torch.autograd.grad(oracle.sum(), logvar)
    torch.testing.assert_close(gradient, expected)
    same = Gaussian(mean, torch.full((2, 3, 3), -1.7, dtype=torch.float64)).log_prob(x)
    torch.testing.assert_close(same, Gaussian(mean, torch.tensor(-1.7, dtype=torch.float64)).log_prob(x))


def test_the_likeliest_variance_is_the_mean_square_of_the_residuals():
    mean, x = torch.randn(2, 6, 10, dtype=torch.float64, generator=seeded(0))
    logvar = (x - mean).square().mean().log().requires_grad_()
    (at_best,) = torch.autograd.grad(Gaussian(mean, logvar).log_prob(x).mean(), logvar)
    (too_wide,) = torch.autograd.grad(Gaussian(mean, logvar + 1).log_prob(x).mean(), logvar)
    assert abs(at_best) < 1e-12
    assert too_wide < -1
