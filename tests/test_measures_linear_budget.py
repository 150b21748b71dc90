"""The linear β-VAE inverted: the beta of a rate, of a distortion and of a number of active latents."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vae.measures.linear_budget import beta_for_active, beta_for_distortion, beta_for_rate
from vae.measures.linear_vae import Spectrum, predict_linear


def spectrum(*eigenvalues: float) -> Spectrum:
    found = torch.tensor(eigenvalues, dtype=torch.float64)
    return Spectrum(found, float(found.sum()), len(found))


TOY = spectrum(8, 4, 2, 1, 0.5, *[0.05] * 15)
SPECTRA = st.lists(st.floats(0.01, 50), min_size=2, max_size=12).map(lambda v: spectrum(*sorted(v, reverse=True)))


@pytest.mark.parametrize(
    ("beta", "rate", "active"),
    [(0.6, 8.778, 5), (1, 7.501, 5), (2, 5.768, 5), (4, 4.035, 5), (8, 2.534, 4), (16, 1.382, 3), (32, 0.573, 2)],
)
def test_the_toy_whose_rates_were_reached_by_training(beta, rate, active):
    found = beta_for_rate(TOY, rate, latents=20, variance=0.1)  # trained rates are within 0.02 nats of the theory
    assert found == pytest.approx(beta, rel=0.02)
    assert predict_linear(TOY, found, latents=20, variance=0.1).active == active


@given(SPECTRA, st.integers(1, 12), st.floats(0.05, 20), st.sampled_from([0.1, 1.0, None]))
@settings(max_examples=100, deadline=None)
def test_the_predicted_rate_and_distortion_lead_back_to_beta(data, latents, beta, variance):
    try:
        predicted = predict_linear(data, beta, latents, variance)
    except ValueError:
        assume(False)
    assume(predicted.rate > 1e-3)
    assert beta_for_rate(data, predicted.rate, latents, variance) == pytest.approx(beta, rel=1e-7)
    assert beta_for_distortion(data, predicted.distortion, latents, variance) == pytest.approx(beta, rel=1e-7)


@given(SPECTRA, st.integers(1, 12), st.floats(0, 20), st.sampled_from([0.1, 1.0, None]))
@settings(max_examples=100, deadline=None)
def test_a_model_of_the_chosen_beta_has_the_rate_of_the_budget(data, latents, rate, variance):
    beta = beta_for_rate(data, rate, latents, variance)
    try:
        predicted = predict_linear(data, beta, latents, variance)
    except ValueError:  # a learned variance that falls to 0
        assume(False)
    if variance is None and latents >= len(data.eigenvalues):
        assert predicted.rate <= rate + 1e-7  # the rate may jump, where nothing is left but what the latents describe
    else:
        assert predicted.rate == pytest.approx(rate, abs=1e-7)


@pytest.mark.parametrize("variance", [0.1, None])
def test_the_threshold_of_a_number_of_active_latents_is_sharp(variance):
    for active in range(5):
        beta = beta_for_active(TOY, active, latents=5, variance=variance)
        assert predict_linear(TOY, beta * 1.000001, latents=5, variance=variance).active == active
        assert predict_linear(TOY, beta * 0.999999, latents=5, variance=variance).active == active + 1


def test_equal_eigenvalues_go_out_together():
    data = spectrum(4, 4, 4, 1)
    assert beta_for_active(data, 2, 4, variance=1.0) == pytest.approx(4)
    assert beta_for_rate(data, 0.0, 4, variance=1.0) == pytest.approx(4)


def test_a_rate_of_0_is_where_the_last_latent_goes_out_and_so_is_a_distortion_above_all():
    assert beta_for_rate(TOY, 0.0, 20, variance=0.1) == pytest.approx(80)
    assert beta_for_distortion(TOY, 1e9, 20, variance=0.1) == pytest.approx(80)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: beta_for_rate(TOY, -1.0, 20, 0.1), "the rate must be 0 nats or more, got -1"),
        (lambda: beta_for_distortion(TOY, -100.0, 5, 0.1), "5 latents need a distortion above -0.897"),
        (lambda: beta_for_distortion(TOY, -100.0, 5, None), "5 latents need a distortion above -4."),
        (lambda: beta_for_active(TOY, 5, 5, 0.1), "must be from 0 to 4, fewer than can ever be active, got 5"),
        (lambda: beta_for_active(TOY, -1, 5, 0.1), "must be from 0 to 4"),
        (lambda: beta_for_rate(spectrum(0, 0), 1.0, 2, 0.1), "the data must vary, got equal images only"),
    ],
)
def test_what_no_beta_reaches_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
