"""Divergences: the four properties as laws, the identities of information theory, torch.distributions, accuracy."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, MultivariateNormal, Normal, kl_divergence

from vae.probability.divergences import (
    cross_entropy,
    entropy,
    kl_categorical,
    kl_normal,
    kl_to_standard_normal,
    kl_to_standard_normal_terms,
    mutual_information,
)
from vae.probability.finite import NonFiniteError, refuse_nan

laws = settings(max_examples=60, deadline=None)


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def floats(low: float, high: float, count: int) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(low, high), min_size=count, max_size=count)


def distributions(n: int) -> st.SearchStrategy[torch.Tensor]:
    """Probabilities of n outcomes, some of them zero."""
    weight = st.just(0.0) | st.floats(1e-3, 1.0)
    weights = st.lists(weight, min_size=n, max_size=n).filter(lambda w: sum(w) > 0)
    return weights.map(lambda w: tensor(w) / tensor(w).sum())


@st.composite
def of_equal_size(draw, count: int) -> list[torch.Tensor]:
    return draw(st.integers(1, 6).flatmap(lambda n: st.lists(distributions(n), min_size=count, max_size=count)))


@st.composite
def joints(draw) -> torch.Tensor:
    x, z = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return draw(distributions(x * z)).view(x, z)


@st.composite
def normals(draw, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Means in [-3, 3] and covariances L L^T; the eigenvalues of the covariances stay below 39."""
    k = draw(st.integers(1, 3))
    found = []
    for _ in range(count):
        root = tensor(draw(floats(-2.0, 2.0, k * k))).view(k, k).tril(-1)
        root = root + torch.diag(tensor(draw(floats(0.3, 3.0, k))))
        found.append((tensor(draw(floats(-3.0, 3.0, k))), root @ root.T))
    return found


# Law 1 and 2: never negative, zero only where P = Q


@laws
@given(of_equal_size(2))
def test_the_categorical_kl_is_at_least_half_the_square_of_the_distance(pq):
    p, q = pq  # Pinsker's inequality: so it is non-negative, and zero only at equality
    assert kl_categorical(p, q) >= 0.5 * (p - q).abs().sum() ** 2 - 1e-12
    assert kl_categorical(p, p) == 0


@laws
@given(normals(2))
def test_the_gaussian_kl_is_never_negative_and_vanishes_only_at_equality(qp):
    (mean_q, covariance_q), (mean_p, covariance_p) = q, p = qp
    apart = max((mean_q - mean_p).abs().max(), (covariance_q - covariance_p).abs().max()) > 0.1
    assert kl_normal(*q, *p) > (1e-6 if apart else -1e-9)
    assert abs(kl_normal(*q, *q)) < 1e-9


@laws
@given(st.floats(-50, 50), st.floats(-30, 30))
def test_the_kl_to_the_prior_grows_at_least_as_the_squares_of_mean_and_logvar(mean, logvar):
    # Taylor's remainder: e^l - 1 - l >= l^2/2 min(1, e^l). So it is non-negative, and zero only at the prior.
    least = 0.5 * (mean**2 + 0.5 * logvar**2 * min(1.0, math.exp(logvar)))
    rounding = 1e-15 * (mean**2 + abs(logvar) + math.exp(logvar) * abs(logvar))
    kl = kl_to_standard_normal(tensor([mean]), tensor([logvar]))
    assert kl >= max(0.0, least - rounding)
    assert kl_to_standard_normal(tensor([0.0]), tensor([0.0])) == 0


# Law 3 and 4: not symmetric, no triangle inequality


def test_the_categorical_kl_is_not_a_metric():
    fair, between, loaded = tensor([0.5, 0.5]), tensor([0.75, 0.25]), tensor([0.9, 0.1])
    assert float(kl_categorical(fair, loaded)) == pytest.approx(-0.5 * math.log(0.36))
    assert float(kl_categorical(loaded, fair)) == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2))
    assert kl_categorical(fair, loaded) > 2 * (kl_categorical(fair, between) + kl_categorical(between, loaded))


def test_the_gaussian_kl_is_not_a_metric():
    narrow, wide = (tensor([0.0]), tensor([[1.0]])), (tensor([0.0]), tensor([[4.0]]))
    assert float(kl_normal(*narrow, *wide)) == pytest.approx(0.5 * (0.25 - 1 + math.log(4)))
    assert float(kl_normal(*wide, *narrow)) == pytest.approx(0.5 * (4 - 1 - math.log(4)))
    at = [(tensor([x]), tensor([[1.0]])) for x in (0.0, 1.0, 2.0)]  # KL = (distance)^2 / 2
    assert float(kl_normal(*at[0], *at[2])) == pytest.approx(2.0)
    assert float(kl_normal(*at[0], *at[1]) + kl_normal(*at[1], *at[2])) == pytest.approx(1.0)


# Identities


@laws
@given(of_equal_size(2))
def test_cross_entropy_is_entropy_plus_kl(pq):
    p, q = pq
    torch.testing.assert_close(cross_entropy(p, q), entropy(p) + kl_categorical(p, q))


@laws
@given(of_equal_size(1))
def test_entropy_is_ln_n_minus_the_kl_to_uniform(ps):
    (p,) = ps
    uniform = torch.full_like(p, 1 / len(p))
    torch.testing.assert_close(entropy(p), math.log(len(p)) - kl_categorical(p, uniform))


@laws
@given(joints())
def test_mutual_information_is_the_kl_from_the_product_and_what_the_entropies_say(joint):
    x, z = joint.sum(1), joint.sum(0)
    ratios = torch.where(joint > 0, joint / torch.outer(x, z), 1.0)
    torch.testing.assert_close(mutual_information(joint), (joint * ratios.log()).sum(), atol=1e-12, rtol=1e-9)
    by_entropy = entropy(x) + entropy(z) - entropy(joint.flatten())
    torch.testing.assert_close(mutual_information(joint), by_entropy, atol=1e-12, rtol=1e-9)


@laws
@given(of_equal_size(2))
def test_what_is_independent_shares_nothing_and_what_is_equal_shares_all(pq):
    p, q = pq
    assert abs(mutual_information(torch.outer(p, q))) < 1e-12
    torch.testing.assert_close(mutual_information(torch.diag(p)), entropy(p))


@laws
@given(normals(3))
def test_the_gaussian_kl_does_not_see_an_affine_change_of_variables(given_normals):
    *qp, (shift, cov) = given_normals
    # As a map a covariance itself is too near to a singular one: cubed, its condition eats ten of the sixteen digits.
    matrix = torch.linalg.qr(cov).Q * cov.diagonal().sqrt()  # a rotation after a scaling
    moved = [(matrix @ mean + shift, matrix @ cov @ matrix.T) for mean, cov in qp]
    torch.testing.assert_close(kl_normal(*moved[0], *moved[1]), kl_normal(*qp[0], *qp[1]), rtol=1e-6, atol=1e-8)


@laws
@given(floats(-5.0, 5.0, 3), floats(-8.0, 8.0, 3))
def test_the_full_gaussian_kl_reduces_to_the_diagonal_one(mean, logvar):
    mean, logvar = tensor(mean), tensor(logvar)
    full = kl_normal(mean, torch.diag(logvar.exp()), 0 * mean, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(full, kl_to_standard_normal(mean, logvar).sum(), rtol=1e-9, atol=1e-12)


@laws
@given(floats(-5.0, 5.0, 3), floats(-8.0, 8.0, 3))
def test_the_three_terms_are_those_of_the_note_and_sum_to_the_kl(mean, logvar):
    mean, logvar = tensor(mean), tensor(logvar)
    terms = kl_to_standard_normal_terms(mean, logvar)
    assert not any(term.any() for term in kl_to_standard_normal_terms(torch.zeros(3), torch.zeros(3)))
    torch.testing.assert_close(terms.variance, 0.5 * (logvar.exp() - 1), atol=1e-12, rtol=1e-9)
    torch.testing.assert_close(terms.mean, 0.5 * mean**2)
    torch.testing.assert_close(terms.logvar, -0.5 * logvar)
    torch.testing.assert_close(sum(terms), kl_to_standard_normal(mean, logvar), atol=1e-12, rtol=1e-9)


# Oracles


def test_the_categorical_divergences_are_those_of_torch():
    p, q = torch.rand(2, 4, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p, q = p / p.sum(-1, keepdim=True), q / q.sum(-1, keepdim=True)
    torch.testing.assert_close(kl_categorical(p, q), kl_divergence(Categorical(p), Categorical(q)))
    torch.testing.assert_close(entropy(p), Categorical(p).entropy())


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
@pytest.mark.parametrize("k", [1, 2, 10])
def test_the_gaussian_kl_is_that_of_torch(batch, k):
    generator = torch.Generator().manual_seed(k)
    means = torch.randn(2, *batch, k, dtype=torch.float64, generator=generator)
    roots = torch.randn(2, *batch, k, 2 * k, dtype=torch.float64, generator=generator)
    covariances = roots @ roots.mT + 0.1 * torch.eye(k, dtype=torch.float64)
    q, p = (MultivariateNormal(mean, cov) for mean, cov in zip(means, covariances, strict=True))
    ours = kl_normal(means[0], covariances[0], means[1], covariances[1])
    assert ours.shape == batch
    torch.testing.assert_close(ours, kl_divergence(q, p))


def test_the_gradient_of_the_kl_is_mu_and_half_of_variance_minus_one():
    mean, logvar = (torch.randn(5, 3, dtype=torch.float64).requires_grad_() for _ in range(2))
    kl_to_standard_normal(mean, logvar).sum().backward()
    torch.testing.assert_close(mean.grad, mean.detach())
    torch.testing.assert_close(logvar.grad, 0.5 * (logvar.detach().exp() - 1))


def exact_kl(mean: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """In float64 without cancellation: near 0, e^l - 1 - l by its series."""
    series = sum(logvar**n / math.factorial(n) for n in range(2, 16))
    return 0.5 * (mean**2 + torch.where(logvar.abs() < 0.1, series, logvar.expm1() - logvar))


@pytest.mark.parametrize("mean", [0.0, 1e-4, 1e-2, 0.3, 7.0, 1e4])
def test_float32_loses_no_digits_that_matter(mean):
    random = 20 * torch.rand(20_000, generator=torch.Generator().manual_seed(0)) - 10
    near = torch.logspace(-4, 1, 5_000)
    logvar = torch.cat([torch.linspace(-10, 10, 8_001), random, near, -near]).clamp(-10, 10)
    logvar = logvar[logvar.abs() >= 1e-4]
    mean = torch.full_like(logvar, mean)
    ours, mean, logvar = (values.double() for values in (kl_to_standard_normal(mean, logvar), mean, logvar))
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    exact = exact_kl(mean, logvar)
    for oracle in (kl_divergence(Normal(mean, (logvar / 2).exp()), prior), exact):
        error = (ours / oracle - 1).abs()
        assert error[exact > 1e-3].max() <= 1e-5
        assert error.max() <= 2e-3


# Errors


def test_an_outcome_that_q_excludes_costs_infinity_and_one_that_p_excludes_nothing():
    certain, fair = tensor([[1.0, 0.0], [0.5, 0.5]])
    assert kl_categorical(fair, certain) == math.inf == cross_entropy(fair, certain)
    assert float(kl_categorical(certain, fair)) == pytest.approx(math.log(2))
    assert entropy(certain) == 0


@pytest.mark.parametrize("wrong", [[0.5, 0.4], [1.5, -0.5], [0.0, 0.0]])
@pytest.mark.parametrize("measure", [entropy, lambda p: kl_categorical(p, p), lambda p: cross_entropy(p, p)])
def test_what_is_no_distribution_is_refused(measure, wrong):
    with pytest.raises(ValueError, match=r"p must hold probabilities that sum to 1 .* Divide by the sum"):
        measure(tensor(wrong))


def test_a_covariance_that_is_not_positive_definite_is_refused():
    with pytest.raises(torch.linalg.LinAlgError, match="not positive-definite"):
        kl_normal(tensor([0.0]), tensor([[-1.0]]), tensor([0.0]), tensor([[1.0]]))


@pytest.mark.parametrize("position", range(4))
def test_nan_in_any_argument_of_the_gaussian_kl_is_refused(position):
    arguments = [torch.zeros(2), torch.eye(2), torch.zeros(2), torch.eye(2)]
    arguments[position][0] = math.nan
    name = ("mean_q", "covariance_q", "mean_p", "covariance_p")[position]
    with pytest.raises(NonFiniteError, match=f"{name} must not hold NaN"):
        kl_normal(*arguments)


@pytest.mark.parametrize("divergence", [kl_to_standard_normal, kl_to_standard_normal_terms])
def test_nan_is_refused_by_the_kl_to_the_prior(divergence):
    good, bad = torch.zeros(3), torch.tensor([0.0, math.nan, 0.0])
    with pytest.raises(NonFiniteError, match="mean must not hold NaN, got 1 of 3"):
        divergence(bad, good)
    with pytest.raises(NonFiniteError, match="logvar must not hold NaN, got 1 of 3"):
        divergence(good, bad)


def test_infinities_that_cancel_are_not_taken_for_nan():
    refuse_nan("value", torch.tensor([math.inf, -math.inf]))
    with pytest.raises(NonFiniteError, match="value must not hold NaN, got 1 of 3"):
        refuse_nan("value", torch.tensor([math.inf, -math.inf, math.nan]))
