"""The closed forms of the linear VAE: published numbers, the definition by minimisation, and laws."""

import math

import pytest
import torch
from configured import record_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch.distributions import MultivariateNormal

from vae.app.data import build_data
from vae.measures.linear_vae import (
    Spectrum,
    collapse_thresholds,
    learned_variance,
    linear_log_likelihood,
    predict_linear,
)
from vae.measures.spectrum import spectrum_of

TOY = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, *[0.05] * 15], dtype=torch.float64)


def spectrum(eigenvalues: torch.Tensor) -> Spectrum:
    return Spectrum(eigenvalues, float(eigenvalues.sum()), len(eigenvalues))


@pytest.fixture(scope="module")
def mnist(mnist_root) -> Spectrum:
    config = record_of(data={"binarisation": "none", "root": str(mnist_root)}).config
    return spectrum_of(build_data(config).read().train, 20)


@pytest.mark.parametrize(
    ("beta", "active", "rate", "distortion"),
    [
        (0.25, 20, 17.036, 732.35),
        (0.5, 20, 10.104, 734.85),
        (1.0, 12, 4.350, 738.86),
        (2.0, 6, 1.399, 742.94),
        (4.0, 1, 0.126, 746.29),
        (5.149, 0, 0.0, 746.86),
    ],
)
def test_the_prediction_for_grey_mnist_is_that_of_an_independent_program(mnist, beta, active, rate, distortion):
    found = predict_linear(mnist, beta, 20, 1.0)
    assert found.active == active
    assert found.rate == pytest.approx(rate, abs=6e-4)
    assert found.distortion == pytest.approx(distortion, abs=6e-3)


@pytest.mark.parametrize(
    ("latents", "variance", "nll", "rate"),
    [(20, 0.02462, -299.38, 40.21), (10, 0.03490, -181.80, 21.04), (2, 0.05621, -11.64, 4.36)],
)
def test_a_learned_variance_on_grey_mnist_is_that_of_probabilistic_pca(mnist, latents, variance, nll, rate):
    found = predict_linear(mnist, 1.0, latents)
    assert found.variance == pytest.approx(variance, abs=6e-6)
    assert -found.elbo == pytest.approx(nll, abs=6e-3)
    assert found.rate == pytest.approx(rate, abs=6e-3)


def test_the_toys_latents_go_out_one_after_another():
    found = [predict_linear(spectrum(TOY), float(beta), 5, 0.1) for beta in (0.6, 1, 2, 4, 8, 16, 32, 64, 100)]
    assert [prediction.active for prediction in found] == [5, 5, 5, 5, 4, 3, 2, 1, 0]
    assert collapse_thresholds(spectrum(TOY), 6, 0.1).tolist() == pytest.approx([80, 40, 20, 10, 5, 0.5])


eigenvalues = st.lists(st.floats(0.01, 50), min_size=2, max_size=8).map(
    lambda values: torch.tensor(sorted(values, reverse=True), dtype=torch.float64)
)


@settings(max_examples=60, deadline=None)
@given(eigenvalues, st.floats(0.1, 8), st.floats(0.05, 5), st.integers(1, 9))
def test_no_other_gaussian_code_has_a_lower_loss(values, beta, variance, latents):
    """The loss of a direction with eigenvalue l as a function of its rate r: its squared error is l e^(-2r)."""
    found = predict_linear(spectrum(values), beta, latents, variance)
    each = torch.zeros(len(values), dtype=torch.float64)
    each[: min(latents, len(values))] = found.rates[: len(values)]

    def loss(rates: torch.Tensor) -> float:
        squares = float((values * (-2 * rates).exp()).sum())
        fixed = 0.5 * len(values) * math.log(2 * math.pi * variance)
        return fixed + squares / (2 * variance) + beta * float(rates.sum())

    assert found.loss == pytest.approx(loss(each), rel=1e-9)
    for place in range(min(latents, len(values))):
        for step in (-1e-3, 1e-3):
            other = each.clone()
            other[place] = (other[place] + step).clamp_min(0)
            assert loss(other) >= found.loss - 1e-9


@settings(max_examples=60, deadline=None)
@given(eigenvalues, st.floats(0.1, 6), st.integers(1, 7))
def test_a_learned_variance_has_the_lowest_loss_of_all_variances(values, beta, latents):
    latents = min(latents, len(values) - 1)
    whole = spectrum(values)
    found = predict_linear(whole, beta, latents)
    lowest = minimize_scalar(
        lambda ln: predict_linear(whole, beta, latents, math.exp(ln)).loss,
        bounds=(math.log(1e-4), math.log(100)),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found.loss <= lowest.fun + 1e-6


def test_the_slope_of_distortion_over_rate_is_minus_beta():
    for beta in (0.7, 3.0, 9.0, 30.0):
        before, after = (predict_linear(spectrum(TOY), beta * change, 5, 0.1) for change in (0.9999, 1.0001))
        slope = (after.distortion - before.distortion) / (after.rate - before.rate)
        assert slope == pytest.approx(-beta, rel=1e-4)


def test_the_elbo_of_beta_1_is_the_log_density_of_the_data():
    """For data whose covariance the model has exactly, the mean of ln N(x; b, C) is -(d ln 2 pi e + ln det C) / 2."""
    values = torch.tensor([5.0, 3.0, 0.2, 0.2, 0.2], dtype=torch.float64)
    found = predict_linear(spectrum(values), 1.0, 2)
    assert found.variance == pytest.approx(0.2)
    density = -0.5 * (5 * math.log(2 * math.pi * math.e) + float(values.log().sum()))
    assert found.elbo == pytest.approx(density)


def test_more_latents_than_dimensions_have_rate_zero():
    found = predict_linear(spectrum(torch.tensor([4.0, 2.0], dtype=torch.float64)), 1.0, 5, 1.0)
    assert found.rates.tolist() == pytest.approx([math.log(2), 0.5 * math.log(2), 0, 0, 0])


def test_a_learned_variance_that_would_fall_to_zero_is_refused():
    flat = spectrum(torch.tensor([4.0, 2.0, 0.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="a learned variance falls to 0, because 2 latents describe these data"):
        learned_variance(flat, 1.0, 2)
    assert learned_variance(flat, 1.0, 1) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("beta", "variance", "rule"), [(0.0, 1.0, "beta must be above 0"), (1.0, 0.0, "the variance must be above 0")]
)
def test_numbers_that_make_no_sense_are_refused(beta, variance, rule):
    with pytest.raises(ValueError, match=rule):
        predict_linear(spectrum(TOY), beta, 5, variance)


def test_missing_eigenvalues_are_refused():
    with pytest.raises(ValueError, match="3 latents need 3 eigenvalues, got 1"):
        predict_linear(Spectrum(TOY[:1], 20.0, 9), 1.0, 3, 1.0)


@settings(max_examples=60, deadline=None)
@given(eigenvalues, st.floats(0.05, 20), st.integers(1, 9), st.floats(0.05, 5))
def test_beta_only_scales_the_variance_of_the_elbo(values, beta, latents, variance):
    """The loss over beta is the negative ELBO at the variance beta * s2, up to a constant."""
    found = spectrum(values)
    one = predict_linear(found, beta, latents, variance).loss / beta
    other = predict_linear(found, 1.0, latents, beta * variance).loss
    logs = math.log(2 * math.pi * variance) / beta - math.log(2 * math.pi * beta * variance)
    assert one - other == pytest.approx(0.5 * len(values) * logs, rel=1e-9, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(eigenvalues, st.floats(0.05, 20), st.integers(1, 7), st.sampled_from([0.1, 1.0, None]))
def test_as_many_latents_are_active_as_have_a_threshold_above_beta(values, beta, latents, variance):
    latents = min(latents, len(values) - 1)
    found = spectrum(values)
    ends = collapse_thresholds(found, latents, variance)
    assert torch.equal(ends, ends.sort(descending=True).values)
    if float((ends / beta - 1).abs().min()) > 1e-6:
        assert predict_linear(found, beta, latents, variance).active == int((ends > beta).sum())


def test_equal_eigenvalues_have_thresholds_that_do_not_rise_by_rounding():
    ends = collapse_thresholds(spectrum(torch.tensor([12.0, 12.0, 1.0], dtype=torch.float64)), 2)
    assert ends[0] >= ends[1]


def test_a_learned_variance_collapses_at_the_first_eigenvalue_over_the_mean_one():
    assert float(collapse_thresholds(spectrum(TOY), 5)[0]) == pytest.approx(8 / float(TOY.mean()))


def test_with_as_many_latents_as_dimensions_beta_1_leaves_the_variance_open():
    for values in ([3.0, 2.0], [0.7, 0.3, 0.1], [5.1, 1.3, 1.3]):
        found = spectrum(torch.tensor(values, dtype=torch.float64))
        assert learned_variance(found, 1.0, 9) == pytest.approx(values[-1])
        losses = [predict_linear(found, 1.0, 9, share * values[-1]).loss for share in (1, 0.5, 1e-3)]
        assert losses == pytest.approx([losses[0]] * 3)


def test_the_elbo_of_a_learned_variance_is_the_likelihood_of_probabilistic_pca():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 6, generator=generator, dtype=torch.float64) @ torch.diag(torch.arange(6, 0, -1).double())
    values, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
    found = spectrum(values.flip(0))
    for latents in (1, 3, 5):
        best = predict_linear(found, 1.0, latents)
        weight = vectors.flip(1)[:, :latents] * (found.eigenvalues[:latents] - best.variance).sqrt()
        evidence = linear_log_likelihood(x, weight, x.mean(0), best.variance)
        assert float(evidence.mean()) == pytest.approx(best.elbo, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.floats(0.01, 9), st.integers(0, 1000))
def test_the_likelihood_of_any_linear_decoder_is_that_of_the_whole_covariance(pixels, latents, variance, seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(pixels, latents, generator=generator, dtype=torch.float64)
    bias, x = torch.randn(pixels, generator=generator).double(), torch.randn(7, pixels, generator=generator).double()
    whole = MultivariateNormal(bias, weight @ weight.T + variance * torch.eye(pixels, dtype=torch.float64))
    assert torch.allclose(linear_log_likelihood(x, weight, bias, variance), whole.log_prob(x), rtol=1e-8)
    with pytest.raises(ValueError, match=r"^the variance must be above 0, got 0\.0"):
        linear_log_likelihood(x, weight, bias, 0.0)
