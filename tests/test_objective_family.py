"""The objectives beside beta: each against its paper's formula, and where it must fall back to the negative ELBO."""

import copy
import math

import pytest
import torch
from torch import nn

from vae.measures.bound import importance_weighted_bound
from vae.measures.linear_vae import Spectrum, predict_linear
from vae.model.heads import GaussianHead
from vae.model.linear import linear_vae
from vae.model.mlp import mlp_vae
from vae.objectives import (
    BetaObjective,
    CapacityObjective,
    DipObjective,
    DrawnTerms,
    FactorObjective,
    FreeBitsObjective,
    ImportanceWeightedObjective,
    Stateful,
    TargetDistortionObjective,
    TargetRateObjective,
    TotalCorrelationObjective,
    discriminator,
    elbo_terms,
    schedules_end,
)
from vae.objectives.controller import Controller
from vae.objectives.dip import covariance_of
from vae.objectives.schedules import LinearWarmup
from vae.probability.distributions import DiagonalNormal
from vae.training.step import backpropagate

ONE = LinearWarmup(1.0)
CPU = torch.device("cpu")


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def drawn(batch=6, latent=3, seed=0, dtype=torch.float64, samples=()):
    """Terms of a posterior without networks, whose mean and log-variance are leaves."""
    generator = seeded(seed)
    mean, logvar = torch.randn(2, batch, latent, generator=generator, dtype=dtype)
    posterior = DiagonalNormal(mean.requires_grad_(), logvar.requires_grad_())
    z = posterior.rsample(torch.randn(*samples, batch, latent, generator=generator, dtype=dtype))
    log_likelihood = -(z.square().sum(-1) + 3)
    distortion = -log_likelihood.mean(0) if samples else -log_likelihood
    terms = DrawnTerms(distortion, posterior.kl_to_standard(), posterior, z, log_likelihood, seeded(1))
    return terms, mean, logvar


def factor(beta=ONE, gamma=5.0, latent=3, learning_rate=1e-4, hidden=(16, 16)):
    torch.manual_seed(0)
    return FactorObjective(beta, gamma, discriminator(latent, hidden).double(), learning_rate)


NEUTRAL = {
    "beta": lambda: BetaObjective(ONE),
    "total_correlation": lambda: TotalCorrelationObjective(1.0, ONE, 1.0, 1000, stratified=False),
    "stratified": lambda: TotalCorrelationObjective(1.0, ONE, 1.0, 1000, stratified=True),
    "factor": lambda: factor(gamma=0.0),
    "dip": lambda: DipObjective(ONE, 0.0, 0.0, aggregate=True),
    "free_bits": lambda: FreeBitsObjective(ONE, 0.0),
    "capacity": lambda: CapacityObjective(1.0, LinearWarmup(0.0)),
    "target_rate": lambda: TargetRateObjective(15.0, 0.0, 0.0, CPU),
    "target_distortion": lambda: TargetDistortionObjective(15.0, 0.0, 0.9, CPU),
}


@pytest.mark.parametrize("name", NEUTRAL)
@pytest.mark.parametrize("seed", range(3))
def test_without_its_own_terms_every_objective_and_its_gradient_are_those_of_the_negative_elbo(name, seed):
    terms, *leaves = drawn(seed=seed)
    loss = NEUTRAL[name]()(terms, 0)
    assert loss.item() == pytest.approx(-terms.elbo.mean().item(), rel=1e-12)
    found = torch.autograd.grad(loss, leaves, retain_graph=True)
    torch.testing.assert_close(found, torch.autograd.grad(-terms.elbo.mean(), leaves))


@pytest.mark.parametrize("name", NEUTRAL)
def test_every_objective_keeps_the_protocol(name):
    objective = NEUTRAL[name]()
    assert isinstance(objective, Stateful) == (name in ("factor", "target_rate", "target_distortion"))
    assert isinstance(objective, Stateful) == hasattr(objective, "state_dict")  # else no checkpoint would have it
    assert objective.rate_weight(0) == 1
    terms, *_ = drawn()
    objective(terms, 0)
    assert all(number.ndim == 0 and not number.requires_grad for number in terms.logged.values())


@pytest.mark.parametrize("name", ["factor", "dip", "free_bits"])
def test_beta_is_the_factor_of_the_rate_where_the_objective_has_one(name):
    warm = LinearWarmup(4.0, steps=10)
    objective = {
        "factor": lambda: factor(warm, gamma=0.0),
        "dip": lambda: DipObjective(warm, 0.0, 0.0, aggregate=False),
        "free_bits": lambda: FreeBitsObjective(warm, 0.0),
    }[name]()
    terms, *_ = drawn()
    for step, beta in ((0, 0.0), (5, 2.0), (10, 4.0)):
        expected = (terms.distortion + beta * terms.rate.sum(1)).mean().item()
        assert objective(terms, step).item() == pytest.approx(expected, rel=1e-12)
        assert objective.rate_weight(step) == beta
    assert schedules_end(objective) == 10


# Capacity


def test_a_rate_at_capacity_leaves_the_distortion_alone():
    terms, *_ = drawn()
    capacity = terms.rate.sum(1).mean().item()
    loss = CapacityObjective(1000.0, LinearWarmup(capacity))(terms, 0)
    assert loss.item() == pytest.approx(terms.distortion.mean().item(), rel=1e-9)


@pytest.mark.parametrize(("step", "capacity"), [(0, 0.5), (50, 12.75), (100, 25.0), (500, 25.0)])
def test_the_capacity_grows_and_the_bars_are_around_the_mean_of_the_batch(step, capacity):
    objective = CapacityObjective(10.0, LinearWarmup(25.0, 100, start=0.5))
    terms, *_ = drawn()
    rate = terms.rate.sum(1)
    assert rate.std() > 1  # so that bars around each image would be another number
    expected = terms.distortion.mean() + 10 * abs(rate.mean() - capacity)
    assert objective(terms, step).item() == pytest.approx(expected.item(), rel=1e-12)


# Total correlation


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize(("alpha", "beta", "gamma"), [(1, 6, 1), (0, 4, 2.5), (3, 0, 0)])
def test_the_three_parts_have_the_three_weights(alpha, beta, gamma, stratified):
    terms, *_ = drawn()

    def loss(*weights):
        a, b, c = weights
        return TotalCorrelationObjective(float(a), LinearWarmup(float(b)), float(c), 500, stratified)(terms, 0).item()

    parts = [loss(2, 1, 1) - loss(1, 1, 1), loss(1, 2, 1) - loss(1, 1, 1), loss(1, 1, 2) - loss(1, 1, 1)]
    expected = loss(1, 1, 1) + sum((w - 1) * part for w, part in zip((alpha, beta, gamma), parts, strict=True))
    assert loss(alpha, beta, gamma) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_correlated_latents_cost_more_than_independent_ones():
    generator = seeded(0)
    common, own = torch.randn(400, 1, generator=generator), torch.randn(400, 2, generator=generator)
    losses = []
    for mean in (own, common.expand(400, 2) + 0.05 * own):
        posterior = DiagonalNormal(mean, torch.full((400, 2), -4.0))
        z = posterior.rsample(torch.randn(400, 2, generator=generator))
        terms = DrawnTerms(torch.zeros(400), torch.zeros(400, 2), posterior, z, torch.zeros(400))
        losses.append(TotalCorrelationObjective(1.0, LinearWarmup(2.0), 1.0, 400, stratified=True)(terms, 0))
    assert losses[1] > losses[0] + 0.5


# DIP


@pytest.mark.parametrize("aggregate", [False, True])
def test_a_covariance_of_the_identity_costs_nothing_and_another_what_the_paper_says(aggregate):
    mean = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    share = 0.5 if aggregate else 1.0  # of the variance 1 that the means have
    posterior = DiagonalNormal(mean * share**0.5, torch.full((4, 2), math.log(0.5), dtype=torch.float64))
    objective = DipObjective(ONE, 3.0, 7.0, aggregate)

    def penalty(posterior):
        zero = torch.zeros(4, dtype=torch.float64)
        return objective(DrawnTerms(zero, torch.zeros_like(mean), posterior, mean, zero), 0).item()

    assert penalty(posterior) == pytest.approx(0, abs=1e-12)
    skewed = DiagonalNormal(mean * torch.tensor([2.0, 1.0]) + mean.flip(1), posterior.logvar)
    covariance = torch.tensor([[5.0, 3.0], [3.0, 2.0]], dtype=torch.float64) + 0.5 * aggregate * torch.eye(2)
    torch.testing.assert_close(covariance_of(skewed, aggregate=aggregate), covariance)
    diagonal = covariance.diagonal()
    assert penalty(skewed) == pytest.approx(3 * 2 * 3.0**2 + 7 * (diagonal - 1).square().sum().item())


# Free bits


def test_a_latent_below_its_free_nats_costs_them_and_one_above_costs_its_rate():
    rate = torch.tensor([[0.0, 3.0], [0.4, 1.0]])
    zero = torch.zeros(2)
    terms = DrawnTerms(zero, rate, DiagonalNormal(rate, rate), rate, zero)
    assert FreeBitsObjective(LinearWarmup(2.0), 0.5)(terms, 0).item() == pytest.approx(2 * (0.5 + 2.0))


def test_only_a_latent_above_its_free_nats_is_pulled_to_the_prior():
    mean = torch.tensor([[0.1, 2.0], [-0.1, 2.0]], requires_grad=True)
    posterior = DiagonalNormal(mean, torch.zeros(2, 2))
    zero = torch.zeros(2)
    terms = DrawnTerms(zero, posterior.kl_to_standard(), posterior, mean, zero)
    FreeBitsObjective(ONE, 0.5)(terms, 0).backward()
    assert not mean.grad[:, 0].any()
    assert (mean.grad[:, 1] > 0).all()


# Importance weighting


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return mlp_vae((1, 8, 8), 3, (16,)), torch.rand(5, 1, 8, 8).round()


def test_the_loss_is_the_bound_of_the_estimator(model):
    vae, x = model
    generator = seeded(0)
    noise = torch.stack([torch.randn(5, 3, generator=generator) for _ in range(7)])  # as the estimator draws it
    terms = elbo_terms(vae, x, noise)
    bound = importance_weighted_bound(vae, x, 7, seeded(0))
    torch.testing.assert_close(ImportanceWeightedObjective(7)(terms, 0), -bound.mean())
    torch.testing.assert_close(terms.distortion, -terms.log_likelihood.mean(0))


def test_one_sample_has_the_expectation_of_the_elbo_and_more_samples_a_tighter_bound(model):
    vae, x = model
    with torch.no_grad():
        terms = elbo_terms(vae, x, torch.randn(6000, 5, 3, generator=seeded(0)))
    elbo = -terms.elbo.mean().item()
    bounds = []
    for k in (1, 5, 50):
        parts = [
            ImportanceWeightedObjective(k)(
                DrawnTerms(terms.distortion, terms.rate, terms.posterior, z, log_likelihood), 0
            )
            for z, log_likelihood in zip(terms.z.split(k), terms.log_likelihood.split(k), strict=True)
        ]
        bounds.append(torch.stack(parts).mean().item())
    assert bounds[0] == pytest.approx(elbo, abs=0.03)
    assert bounds[0] > bounds[1] + 0.01 > bounds[2] + 0.01


def test_the_bounds_gradient_weighs_the_samples_by_their_weights():
    terms, mean, logvar = drawn(samples=(4,))
    found = torch.autograd.grad(ImportanceWeightedObjective(4)(terms, 0), [mean, logvar])
    terms, mean, logvar = drawn(samples=(4,))
    log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(terms.z).sum(-1)
    log_weight = terms.log_likelihood + log_prior - terms.posterior.log_prob(terms.z)
    weighted = (log_weight.softmax(0).detach() * log_weight).sum(0).mean()
    torch.testing.assert_close(found, torch.autograd.grad(-weighted, [mean, logvar]))


# Target rate


@pytest.mark.parametrize("target", [5.0, 15.0, 25.0])
@pytest.mark.parametrize("lag", [20.0, 60.0])
def test_the_controller_holds_a_rate_that_follows_beta_slowly_and_noisily(target, lag):
    """A plant like MNIST's: 27 nats at beta 1, 14 nats less a unit of ln beta, reached with a lag of `lag` steps."""
    objective = Controller(0.05, 0.005, CPU)
    rate, seen, generator = 0.0, [], seeded(0)
    for _ in range(600):
        noise = 0.5 * torch.randn((), generator=generator)
        objective.control(torch.tensor(rate) + noise - target)
        settled = 27 - 14 * math.log(float(objective.beta))
        rate += (max(settled, 0.0) - rate) / lag
        seen.append(rate)
    assert abs(sum(seen[400:]) / 200 - target) < 0.5


def test_a_rate_above_the_target_raises_beta_and_one_below_lowers_it():
    for rate, sign in ((20.0, 1), (10.0, -1), (15.0, 0)):
        objective = TargetRateObjective(15.0, 0.05, 0.005, CPU)
        objective.controller.control(torch.tensor(rate) - objective.target)
        assert math.copysign(1, math.log(objective.rate_weight(0))) * (objective.rate_weight(0) != 1) == sign


def test_beta_stays_finite_and_comes_back_from_a_rate_that_ran_away():
    controller = Controller(0.05, 0.005, CPU)
    for rate in (1e30, 1e30):
        controller.control(torch.tensor(rate))
    assert float(controller.beta) == pytest.approx(1e4, rel=1e-3)
    assert controller.is_at_limit
    for _ in range(200):
        controller.control(torch.tensor(-15.0))
    assert float(controller.beta) < 1
    assert not controller.is_at_limit


def test_no_gradient_goes_through_the_controller():
    terms, mean, logvar = drawn()
    objective = TargetRateObjective(1.0, 0.05, 0.005, CPU)
    found = torch.autograd.grad(objective(terms, 0), [mean, logvar])
    beta = objective.rate_weight(0)
    terms, mean, logvar = drawn()
    expected = torch.autograd.grad((terms.distortion + beta * terms.rate.sum(1)).mean(), [mean, logvar])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


# Target distortion


@pytest.mark.parametrize("beta", [8.0, 16.0])
def test_the_beta_of_a_distortion_is_the_one_that_the_linear_theory_knows(beta):
    eigenvalues = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, *[0.05] * 15], dtype=torch.float64)
    spectrum = Spectrum(eigenvalues, float(eigenvalues.sum()), 20)
    expected = predict_linear(spectrum, beta, 5, 0.1)
    generator = seeded(0)
    torch.manual_seed(0)
    vae = linear_vae((1, 1, 20), 5, GaussianHead(0.1, learned=False))
    objective = TargetDistortionObjective(expected.distortion, 3e-3, 0.9, CPU)
    optimizer = torch.optim.Adam(vae.parameters(), 1e-2)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, 1500)
    betas, rates = [], []
    for step in range(1500):
        x = torch.randn(300, 1, 1, 20, generator=generator) * eigenvalues.float().sqrt()
        optimizer.zero_grad()
        numbers = backpropagate(vae, x, objective, step, generator)
        optimizer.step()
        falling.step()
        betas.append(objective.rate_weight(step))
        rates.append(float(numbers.rate.sum(1).mean()))
    assert sum(betas[-500:]) / 500 == pytest.approx(beta, rel=0.02)
    assert sum(rates[-500:]) / 500 == pytest.approx(expected.rate, abs=0.1)
    assert not objective.controller.is_at_limit


def test_a_distortion_that_cannot_be_reached_takes_beta_to_its_limit():
    objective = TargetDistortionObjective(-1000.0, 1e-3, 0.9, CPU)
    for _ in range(50):
        objective(drawn()[0], 0)
    assert objective.rate_weight(0) == pytest.approx(1e-4)
    assert objective.controller.is_at_limit


# FactorVAE


def test_the_discriminator_is_the_papers():
    layers = discriminator(10, [1000] * 6)
    assert [m.out_features for m in layers if isinstance(m, nn.Linear)] == [1000] * 6 + [2]
    assert {m.negative_slope for m in layers if isinstance(m, nn.LeakyReLU)} == {0.2}
    settings = factor().optimizer.param_groups[0]
    assert (settings["lr"], settings["betas"]) == (1e-4, (0.5, 0.9))


def test_the_loss_adds_gamma_times_the_difference_of_the_logits_before_the_discriminators_step():
    objective = factor(gamma=5.0)
    terms, mean, _ = drawn()
    logits = objective.discriminator(terms.z)
    expected = (terms.distortion + terms.rate.sum(1)).mean() + 5 * (logits[:, 0] - logits[:, 1]).mean()
    (gradient,) = torch.autograd.grad(expected, mean, retain_graph=True)
    loss = objective(terms, 0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(torch.autograd.grad(loss, mean)[0], gradient)


def test_the_discriminators_gradient_never_reaches_the_encoder():
    objective = factor()
    terms, mean, logvar = drawn()
    objective.learn(terms.z.detach(), seeded(1))
    assert mean.grad is logvar.grad is None
    objective(terms, 0)  # the discriminator has stepped inside, the encoder has not been differentiated
    assert mean.grad is logvar.grad is None


def test_the_encoders_gradient_never_reaches_the_discriminator():
    objective = factor(gamma=1e6)
    terms, mean, _ = drawn()
    loss = objective(terms, 0)
    before = [(p.detach().clone(), p.grad.clone()) for p in objective.discriminator.parameters()]
    loss.backward()
    assert mean.grad.any()
    for (value, gradient), parameter in zip(before, objective.discriminator.parameters(), strict=True):
        assert torch.equal(value, parameter)
        assert torch.equal(gradient, parameter.grad)


def test_the_discriminator_learns_the_total_correlation_of_a_gaussian():
    correlation = 0.9
    truth = -0.5 * math.log(1 - correlation**2)  # 0.83 nats
    objective = factor(latent=2, learning_rate=2e-3, hidden=(64, 64))
    generator = seeded(0)
    seen = []
    for _ in range(700):
        z = torch.randn(256, 2, generator=generator, dtype=torch.float64)
        z[:, 1] = correlation * z[:, 0] + math.sqrt(1 - correlation**2) * z[:, 1]
        seen.append(objective.estimate(z)[0].item())
        objective.learn(z, generator)
    assert sum(seen[-100:]) / 100 == pytest.approx(truth, abs=0.15)


def test_what_a_learning_objective_has_learnt_comes_back_bit_for_bit():
    of_rate, of_distortion = TargetRateObjective(1.0, 0.05, 0.005, CPU), TargetDistortionObjective(1.0, 0.1, 0.9, CPU)
    for make in (factor, lambda: copy.deepcopy(of_rate), lambda: copy.deepcopy(of_distortion)):
        one, other = make(), make()
        for seed in range(3):
            one(drawn(seed=seed)[0], 0)
        other.load_state_dict(one.state_dict())
        found = [drawn(seed=9)[0] for _ in range(2)]
        assert torch.equal(one(found[0], 0), other(found[1], 0))
        assert found[0].logged == found[1].logged != {}


def test_an_objective_that_learns_nothing_can_log_its_own_terms():
    terms, *_ = drawn()
    TotalCorrelationObjective(1.0, ONE, 1.0, 500, stratified=True)(terms, 0)
    parts = ("mutual_information", "total_correlation", "dimension_wise_kl")
    posterior, z = terms.posterior, terms.z
    log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    assert list(terms.logged) == [f"minibatch_{part}" for part in parts]
    assert sum(terms.logged.values()).item() == pytest.approx((posterior.log_prob(z) - log_prior).mean().item())


def test_what_an_objective_draws_is_drawn_from_the_runs_own_generator():
    found = []
    for global_seed in (1, 2):
        objective, (terms, *_) = factor(), drawn()
        torch.manual_seed(global_seed)
        objective(terms, 0)
        found.append([p.detach().clone() for p in objective.discriminator.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
