"""A model and images -> numbers: the laws that hold whatever the batches, and that nothing else is touched."""

import json
import math
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vae.data import ImageSet
from vae.disentanglement.own_metrics import TEST_NUMBERS
from vae.measures import evaluation
from vae.measures.bound import importance_weighted_bound
from vae.measures.evaluation import (
    EVALUATION_SEED,
    Encoding,
    aggregate_numbers,
    correlation,
    decomposition_numbers,
    elbo_numbers,
    encode_images,
    final_numbers,
    latent_numbers,
    per_latent,
    tight_bound,
)
from vae.model.mlp import mlp_vae
from vae.model.vae import VAE

LATENTS = 4


@pytest.fixture
def vae() -> VAE:
    """A model whose posteriors differ from image to image."""
    torch.manual_seed(0)
    vae = mlp_vae((1, 28, 28), LATENTS, hidden=(32,))
    with torch.no_grad():
        vae.encoder.layers[-1].weight.mul_(5)
    return vae


@pytest.fixture
def encoding(vae, tiny_images) -> Encoding:
    return encode_images(vae, tiny_images)


def in_batches_of(size: int, vae: VAE, images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> Encoding:
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "BATCH", size)
        return encode_images(vae, images)


def same(a: Encoding, b: Encoding) -> bool:
    return all(torch.equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(Encoding))


# Batches


def test_posteriors_samples_and_distortions_fit_together_whatever_the_batches(vae, tiny_images, monkeypatch):
    whole = in_batches_of(256, vae, tiny_images, monkeypatch)
    parts = in_batches_of(100, vae, tiny_images, monkeypatch)
    assert torch.equal(parts.labels, whole.labels)
    assert torch.equal(parts.saturated, whole.saturated)
    for name in ("mean", "logvar", "rate"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), rtol=1e-5, atol=1e-5)
    # Other batches draw other noise, so z and the distortion differ; what must hold is how they belong together.
    with torch.no_grad():
        distortion = -vae.decode(parts.z).log_prob(tiny_images.pixels.float() / 255)
    torch.testing.assert_close(parts.distortion, distortion, rtol=1e-5, atol=1e-3)
    noise = ((parts.z - parts.mean) / (0.5 * parts.logvar).exp()).double()
    # Four standard errors of the mean and of the variance of a standard normal.
    assert abs(noise.mean()) < 4 / math.sqrt(noise.numel())
    assert abs(noise.var() - 1) < 4 * math.sqrt(2 / noise.numel())
    assert len(noise.unique(dim=0)) == len(noise)  # no image has the noise of another


def test_a_ragged_last_batch_counts_every_image_once_and_as_much_as_all_others(vae, tiny_images, monkeypatch):
    few = tiny_images.first(65)
    encoding = in_batches_of(64, vae, few, monkeypatch)  # a last batch of 1
    assert torch.equal(encoding.labels, few.labels)
    assert all(len(getattr(encoding, field.name)) == 65 for field in fields(Encoding))
    numbers = elbo_numbers(encoding)
    assert numbers["distortion"] == pytest.approx(sum(encoding.distortion.tolist()) / 65)
    assert numbers["rate"] == pytest.approx(sum(encoding.rate.sum(1).tolist()) / 65)
    assert numbers["elbo"] == -(numbers["distortion"] + numbers["rate"])


# Chance


def test_evaluating_twice_gives_the_same_numbers(vae, tiny_images):
    images = replace(tiny_images, redrawn=True)
    mean = images.mean()
    first = encode_images(vae, images), final_numbers(vae, images, mean, weight=4.0)
    torch.randn(7)
    second = encode_images(vae, images), final_numbers(vae, images, mean, weight=4.0)
    assert same(first[0], second[0])
    assert first[1] == second[1]


def test_two_models_are_measured_with_the_same_noise(vae, tiny_images):
    torch.manual_seed(1)
    other = mlp_vae((1, 28, 28), LATENTS, hidden=(8,))
    noise = [
        (encoding.z - encoding.mean) / (0.5 * encoding.logvar).exp()
        for encoding in (encode_images(vae, tiny_images), encode_images(other, tiny_images))
    ]
    torch.testing.assert_close(*noise, rtol=1e-3, atol=1e-3)


def test_evaluating_changes_neither_the_model_nor_torchs_generator(vae, tiny_images):
    # A latent far beyond its bounds, which a training step would reset.
    with torch.no_grad():
        vae.encoder.layers[-1].bias[LATENTS] = 1_000.0
    vae.train()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    state = torch.get_rng_state()
    final_numbers(vae, replace(tiny_images, redrawn=True), tiny_images.mean(), weight=4.0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())
    assert all(parameter.grad is None for parameter in vae.parameters())


# Numbers


def test_the_statistics_of_each_latent_are_those_of_their_definition(encoding):
    found = per_latent(encoding)
    mean, variance = encoding.mean.double(), encoding.logvar.double().exp()
    close = {"rtol": 1e-4, "atol": 1e-5, "check_dtype": False}
    total = found["kl_variance_term"] + found["kl_mean_term"] + found["kl_logvar_term"]
    torch.testing.assert_close(total, found["kl"], **close)
    torch.testing.assert_close(found["kl"].sum(), encoding.rate.sum(1).mean())
    torch.testing.assert_close(found["mean_of_posterior_mean"], mean.mean(0), **close)
    second = mean.square().mean(0) - mean.mean(0).square()
    torch.testing.assert_close(found["variance_of_posterior_mean"], second, **close)
    torch.testing.assert_close(found["mean_posterior_variance"], variance.mean(0), **close)


def test_the_latents_are_in_the_order_of_their_rates(encoding):
    rates = [float(encoding.rate_per_latent[latent]) for latent in encoding.by_rate]
    assert sorted(encoding.by_rate) == list(range(LATENTS))
    assert rates == sorted(rates, reverse=True)


def test_units_are_counted_as_active_by_each_definition():
    encoding = constant_encoding(mean=0.0, logvar=0.0)
    logvar = torch.tensor([0.8, 0.8, 0.8]).log().expand(20, 3)
    mean = torch.zeros(20, 3)
    mean[::2, 0] = 0.21  # variance .011
    mean[::2, 1] = 0.19  # variance .009
    rate = torch.tensor([0.011, 0.009, 0.5]).expand(20, 3)
    saturated = torch.tensor([True, False, False]).expand(20, 3)
    numbers = latent_numbers(replace(encoding, mean=mean, logvar=logvar, rate=rate, saturated=saturated))
    assert numbers["active_units"] == 1
    assert numbers["active_units_by_rate"] == 2
    assert numbers["active_units_by_posterior_variance"] == 3
    assert 1 < numbers["participation_ratio"] < 2
    assert numbers["saturated_fraction"] == pytest.approx(1 / 3)


def test_final_numbers_are_those_of_the_summary(vae, tiny_images):
    numbers = final_numbers(vae, tiny_images, tiny_images.mean(), weight=4.0)
    assert set(numbers) == TEST_NUMBERS
    assert numbers["images"] == 256
    assert numbers["loss"] == pytest.approx(numbers["distortion"] + 4 * numbers["rate"])
    assert numbers["loss_weight"] == 4
    assert numbers["information_ceiling"] == math.log(256)
    assert sum(numbers["rate_per_latent"]) == pytest.approx(numbers["rate"], rel=1e-5)
    assert len(numbers["label_information_per_latent"]) == LATENTS
    assert json.loads(json.dumps(numbers)) == numbers


def test_the_baseline_is_the_distortion_of_a_decoder_that_gives_the_mean_image(vae, tiny_images):
    numbers = final_numbers(vae, tiny_images, tiny_images.mean(), weight=1.0)
    with torch.no_grad():
        vae.decoder.output.weight.zero_()
    vae.start_at(tiny_images.mean(), tiny_images.variance())
    assert elbo_numbers(encode_images(vae, tiny_images))["distortion"] == pytest.approx(
        numbers["baseline_distortion"], rel=1e-4
    )


# The aggregate posterior


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(2, 40))
def test_the_correlation_is_that_of_samples_of_the_aggregate_posterior(seed, latents, images):
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(images, latents, generator=generator)
    logvar = torch.randn(images, latents, generator=generator)
    encoding = replace(constant_encoding(0.0, 0.0, images, latents), mean=mean, logvar=logvar)
    draws = 4_000
    picked = torch.arange(draws) % images
    z = mean[picked] + (0.5 * logvar[picked]).exp() * torch.randn(draws, latents, generator=generator)
    # `draws` is not always a multiple of `images`, and heavy tails mix: a loose bound, far below an error of formula.
    torch.testing.assert_close(correlation(encoding), torch.corrcoef(z.T).reshape(latents, latents), rtol=0, atol=0.15)


def test_an_aggregate_posterior_that_is_the_prior_costs_nothing():
    mean = torch.tensor([[1.0], [-1.0]]).repeat(50, 1) * math.sqrt(0.5)
    encoding = replace(constant_encoding(0.0, math.log(0.5), 100, 1), mean=mean)
    numbers = aggregate_numbers(encoding)
    assert numbers["aggregate_posterior_kl"] == pytest.approx(0, abs=1e-6)
    assert numbers["gaussian_total_correlation"] == pytest.approx(0, abs=1e-6)


PARTS = ("mutual_information", "total_correlation", "dimension_wise_kl")


@pytest.mark.parametrize("densities", [1, 256 * LATENTS * 100, 10**9])
def test_the_parts_and_the_residual_sum_to_the_rate(encoding, densities):
    numbers = decomposition_numbers(encoding, densities)
    rate = sum(numbers[part] for part in (*PARTS, "decomposition_residual"))
    assert rate == pytest.approx(elbo_numbers(encoding)["rate"], abs=1e-9)
    assert numbers["mutual_information"] <= math.log(256) + 1e-5


# The ceiling of the mutual information. The expected values are outputs of another implementation, 5 000 images.


def independent_encoding(rates: list[float], images: int = 5_000) -> Encoding:
    """Exactly independent Gaussian latents of these rates, whose q(z) is the prior: variances e^-2r, 1 in all."""
    generator = torch.Generator().manual_seed(0)
    variance = torch.exp(-2 * torch.tensor(rates)).expand(images, len(rates))
    mean = (1 - variance).sqrt() * torch.randn(variance.shape, generator=generator)
    z = mean + variance.sqrt() * torch.randn(variance.shape, generator=generator)
    blank = constant_encoding(0.0, 0.0, images, len(rates))
    return replace(blank, mean=mean, logvar=variance.log(), z=z)


@pytest.mark.parametrize(("rates", "expected"), [([17.1 / 7] * 7, 8.56), ([1.5] * 3, 0.05)])
def test_independent_latents_have_the_total_correlation_of_shuffled_ones(rates, expected):
    numbers = decomposition_numbers(independent_encoding(rates))
    assert numbers["total_correlation"] == pytest.approx(expected, abs=max(0.05, 0.1 * expected))
    assert numbers["total_correlation_shuffled"] == pytest.approx(
        numbers["total_correlation"], abs=max(0.05, 0.05 * expected)
    )
    near = numbers["mutual_information"] > numbers["information_ceiling"] - 1
    assert near == (sum(rates) > 8)
    assert near == (numbers["mutual_information_shuffled"] > numbers["information_ceiling"] - 1)


def test_where_nothing_is_cut_off_the_total_correlation_is_true_and_the_shuffled_one_small():
    rate, truth, images = 5.8, 2.5, 5_000
    variance = math.exp(-rate)  # of two posteriors, of latents with variance 1 in all
    rho = math.sqrt(1 - math.exp(-2 * truth)) / (1 - variance)  # of their means
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, images, generator=generator)
    mean = math.sqrt(1 - variance) * torch.stack([first, rho * first + math.sqrt(1 - rho**2) * second], 1)
    z = mean + math.sqrt(variance) * torch.randn(mean.shape, generator=generator)
    logvar = torch.full_like(mean, -rate)
    numbers = decomposition_numbers(replace(constant_encoding(0.0, 0.0, images, 2), mean=mean, logvar=logvar, z=z))
    assert numbers["mutual_information"] < numbers["information_ceiling"] - 1
    assert numbers["total_correlation"] == pytest.approx(2.57, abs=0.1)
    assert numbers["total_correlation_shuffled"] == pytest.approx(0.18, abs=0.1)


def dependent_encoding(pairs: int, rate: float, truth: float, images: int = 5_000) -> Encoding:
    """Pairs of Gaussian latents with a total correlation of `truth` each; every latent has this rate."""
    variance = math.exp(-2 * rate)  # of a posterior, of a latent with variance 1 in all
    rho = math.sqrt(1 - math.exp(-2 * truth)) / (1 - variance)  # of the means
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, images, pairs, generator=generator)
    mean = math.sqrt(1 - variance) * torch.cat([first, rho * first + math.sqrt(1 - rho**2) * second], 1)
    z = mean + math.sqrt(variance) * torch.randn(mean.shape, generator=generator)
    blank = constant_encoding(0.0, 0.0, images, 2 * pairs)
    return replace(blank, mean=mean, logvar=torch.full_like(mean, -2 * rate), z=z)


@pytest.mark.parametrize(
    ("pairs", "rate", "truth", "seen"), [(1, 2.9, 2.5, 2.4), (4, 1.2, 0.625, 1.25), (1, 8.4, 2.5, 0)]
)
def test_the_ceiling_hides_dependence_and_the_shuffled_total_correlation_tells_that_it_does(pairs, rate, truth, seen):
    # Rates of 5.8, 9.6 and 16.8 nats, and a truth of 2.5 nats in each case; the ceiling is 8.5 nats.
    numbers = decomposition_numbers(dependent_encoding(pairs, rate, truth), densities=40_000_000)
    above = numbers["total_correlation"] - numbers["total_correlation_shuffled"]
    assert above == pytest.approx(seen, abs=0.2)
    assert (numbers["total_correlation_shuffled"] > 0.5) == (above < 0.9 * pairs * truth)


# The tight bound


def test_the_rise_of_the_bound_is_that_over_the_halves_of_the_same_samples(vae, tiny_images):
    found = tight_bound(vae, tiny_images, samples=10)
    assert found["rise_from_half"] > 0
    generator = torch.Generator().manual_seed(EVALUATION_SEED)
    x = tiny_images.batch(torch.arange(256), generator)
    halves = [float(importance_weighted_bound(vae, x, 5, generator).double().mean()) for _ in range(2)]
    assert found["bound"] - found["rise_from_half"] == pytest.approx(sum(halves) / 2, rel=1e-6)
    assert "rise_from_half" not in tight_bound(vae, tiny_images, samples=5)  # which has no halves


def test_the_tight_bound_takes_the_first_images_and_says_how_many(vae, tiny_images):
    found = tight_bound(vae, tiny_images, limit=10)
    assert (found["images"], found["samples"]) == (10, 100)
    assert found == tight_bound(vae, tiny_images.first(10))
    assert found["bound"] > elbo_numbers(encode_images(vae, tiny_images.first(10)))["elbo"]


# Dead latents


def constant_encoding(mean: float, logvar: float, images: int = 20, latents: int = 3) -> Encoding:
    """Every image with the same posterior."""
    shape = (images, latents)
    rate = 0.5 * (mean**2 + math.exp(logvar) - 1 - logvar)
    return Encoding(
        distortion=torch.full((images,), 50.0),
        rate=torch.full(shape, rate),
        mean=torch.full(shape, mean),
        logvar=torch.full(shape, logvar),
        z=torch.full(shape, mean),
        saturated=torch.zeros(shape, dtype=torch.bool),
        labels=torch.arange(images) % 10,
    )


@pytest.mark.parametrize(("mean", "logvar", "images"), [(0.0, 0.0, 20), (5.0, -10.0, 1), (5.0, 10.0, 20)])
def test_constant_latents_give_no_nan(mean, logvar, images):
    encoding = constant_encoding(mean, logvar, images)
    everything = (elbo_numbers, latent_numbers, aggregate_numbers, decomposition_numbers)
    for numbers in (of(encoding) for of in everything):
        assert all(math.isfinite(number) for number in numbers.values())
    assert all(statistic.isfinite().all() for statistic in per_latent(encoding).values())
    torch.testing.assert_close(correlation(encoding), torch.eye(3))


@pytest.mark.parametrize("dead", [[1], list(range(LATENTS))])
def test_a_model_with_dead_latents_gives_no_nan_anywhere(vae, tiny_images, dead):
    with torch.no_grad():
        for row in [row for latent in dead for row in (latent, LATENTS + latent)]:
            vae.encoder.layers[-1].weight[row] = 0
            vae.encoder.layers[-1].bias[row] = 0
    numbers = final_numbers(vae, tiny_images, tiny_images.mean(), weight=4.0)
    json.dumps(numbers, allow_nan=False)
    assert all(numbers["rate_per_latent"][latent] == 0 for latent in dead)
    assert all(numbers["label_information_per_latent"][latent] == pytest.approx(0, abs=1e-9) for latent in dead)
    assert numbers["active_units"] <= LATENTS - len(dead)


def test_a_single_image_gives_no_nan(vae, tiny_images):
    few = tiny_images.first(1)
    numbers = final_numbers(vae, few, tiny_images.mean(), weight=1.0)
    json.dumps(numbers, allow_nan=False)
    assert correlation(encode_images(vae, few)).isfinite().all()
