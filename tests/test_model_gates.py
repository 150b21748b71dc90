"""The gates of the multi-rate VAE: one plain VAE for each beta, and the exact one for linear networks."""

import copy
import math

import pytest
import torch

from vae.measures.curve import rate_distortion_curve
from vae.measures.evaluation import elbo_numbers, encode_images
from vae.measures.linear_vae import Spectrum, predict_linear
from vae.model.burgess import conv_vae
from vae.model.gates import MultiRateVAE, multi_rate_vae, root_gate
from vae.model.heads import GaussianHead
from vae.model.linear import linear_vae
from vae.model.locatello import locatello_vae
from vae.model.mlp import mlp_vae
from vae.model.reset import reset_lost_latents
from vae.objectives import MultiRateObjective, elbo_terms
from vae.objectives.optimizers import adam
from vae.probability.prior import standard_normal
from vae.training.step import backpropagate

NETWORKS = {
    "linear": lambda: linear_vae((1, 6, 6), 3),
    "mlp": lambda: mlp_vae((1, 6, 6), 3, (9, 8)),
    "shallow": lambda: mlp_vae((1, 6, 6), 3, ()),
    "conv": lambda: conv_vae((2, 9, 8), 3, 4, 8),
    "locatello": lambda: locatello_vae((1, 16, 16), 3),
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def multi_rate(name: str, beta: float = 1.0) -> MultiRateVAE:
    """A model whose gates all have slopes and levels of their own."""
    torch.manual_seed(0)
    vae = multi_rate_vae(NETWORKS[name](), 0.1, 10.0, beta)
    generator = seeded(1)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return vae


def images(vae: MultiRateVAE, count: int = 5) -> torch.Tensor:
    z = torch.zeros(1, vae.latent_dim)
    return torch.rand(count, *vae.decode(z).mean.shape[1:], generator=seeded(2))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("beta", [0.1, 0.7, 10.0])
def test_the_model_at_a_beta_is_a_plain_one_that_computes_the_same(name, beta):
    vae, plain = multi_rate(name), multi_rate(name).at(beta)
    assert type(plain) is type(NETWORKS[name]())
    assert plain.state_dict().keys() == NETWORKS[name]().state_dict().keys()
    x = images(vae)
    with torch.no_grad(), vae.conditioned(torch.tensor([beta])):
        given, found = vae.encode(x), plain.encode(x)
        torch.testing.assert_close(found.mean, given.mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.logvar, given.logvar, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(plain.decode(given.mean).mean, vae.decode(given.mean).mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_image_of_a_batch_has_its_own_beta(name):
    vae = multi_rate(name)
    x, betas, noise = images(vae), torch.tensor([0.1, 0.4, 1.0, 3.0, 10.0]), torch.randn(5, 3, generator=seeded(3))
    with torch.no_grad():
        with vae.conditioned(betas):
            together = elbo_terms(vae, x, noise)
        for i, beta in enumerate(betas.tolist()):
            alone = elbo_terms(vae.at(beta), x[i : i + 1], noise[i : i + 1])
            torch.testing.assert_close(together.rate[i], alone.rate[0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(together.distortion[i], alone.distortion[0], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(vae.encode(x).mean, vae.at(1.0).encode(x).mean, rtol=1e-4, atol=1e-5)


def test_the_model_at_a_beta_shares_no_weights_with_it():
    vae = multi_rate("mlp")
    before = copy.deepcopy(vae.state_dict())
    for parameter in vae.at(2.0).parameters():
        parameter.data.zero_()
    torch.testing.assert_close(vae.state_dict(), before, rtol=0, atol=0)


def test_a_beta_outside_the_trained_range_is_refused():
    with pytest.raises(ValueError, match=r"beta must be from 0.1 to 10, the range of the training, got 11"):
        multi_rate("mlp").at(11.0)


def test_betas_are_log_uniform_and_one_lies_in_each_part_of_the_range():
    betas = multi_rate("mlp").draw_betas(1000, seeded(0))
    places = (betas.log() - math.log(0.1)) / math.log(100)
    assert (places * 1000).floor().long().tolist() == pytest.approx(list(range(1000)), abs=1)
    assert torch.equal(betas, multi_rate("mlp").draw_betas(1000, seeded(0)))


def test_the_gradient_of_a_gate_is_finite_everywhere():
    u = torch.tensor([-100.0, -1.0, -1e-3, -1e-7, 0.0, 1e-7, 5.0], requires_grad=True)
    root_gate(u).sum().backward()
    assert bool(u.grad.isfinite().all())


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_a_lost_latent_is_reset_for_all_betas(name):
    vae = multi_rate(name)
    last = [p for _, p in vae.encoder.named_parameters()][-1]
    with torch.no_grad():
        last[3] = 40.0  # the log-variance of the first latent
        x = images(vae)
        reset = reset_lost_latents(vae, vae.encode(x))
        assert float(reset.unbounded_logvar[:, 0].abs().max()) < 5
        torch.testing.assert_close(vae.encode(x).unbounded_logvar, reset.unbounded_logvar, rtol=1e-4, atol=1e-4)


def test_the_loss_weighs_the_rate_of_each_image_by_its_own_beta():
    vae, objective = multi_rate("mlp"), MultiRateObjective(1.0, 0.5)
    x = images(vae, 40)
    found = backpropagate(vae, x, objective, 0, seeded(4))
    generator = seeded(4)
    noise = standard_normal((40, 3), generator, x.device)
    betas = vae.draw_betas(40, generator)
    with torch.no_grad(), vae.conditioned(betas):
        terms = elbo_terms(vae, x, noise)
    expected = betas.sqrt() * (terms.distortion + betas * terms.rate.sum(1))
    assert found.loss.item() == pytest.approx(expected.mean().item(), rel=1e-5)
    assert objective.rate_weight(0) == 1.0
    with pytest.raises(ValueError, match="needs a model with gates"):
        objective(terms, 0)


# The linear model, for which the optimum of each beta is known

TOY = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, *[0.05] * 15], dtype=torch.float64)
VARIANCE = 0.1
STEPS = 1250
BETAS = (0.6, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0)


def toy_images(count: int = 1024) -> torch.Tensor:
    """Images with exactly the eigenvalues `TOY`."""
    x = torch.randn(count, 20, dtype=torch.float64, generator=seeded(0))
    white = torch.linalg.qr(x - x.mean(0))[0] * math.sqrt(count)
    turned = torch.linalg.qr(torch.randn(20, 20, dtype=torch.float64, generator=seeded(1)))[0]
    return ((white * TOY.sqrt()) @ turned.T).float().view(count, 1, 1, 20)


def exact_terms(vae, x: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The rate of each latent, falling, and the distortion of a linear VAE, without sampling, in nats."""
    with torch.no_grad():
        posterior, weight = vae.encode(x), vae.decoder.output.weight
        residual = (x - vae.decode(posterior.mean).mean).flatten(1).square().sum(1)
        squares = residual + (posterior.logvar.exp() * weight.square().sum(0)).sum(1)
        distortion = 0.5 * (20 * math.log(2 * math.pi * VARIANCE) + squares / VARIANCE)
        return posterior.kl_to_standard().mean(0).sort(descending=True).values, float(distortion.mean())


def test_one_training_of_the_linear_model_gives_the_closed_form_for_each_beta():
    torch.manual_seed(0)
    x, generator = toy_images(), seeded(0)
    plain = linear_vae((1, 1, 20), 5, GaussianHead(VARIANCE, learned=False))
    vae, objective = multi_rate_vae(plain, 0.6, 100.0, 1.0), MultiRateObjective(1.0, -0.5)
    optimizer = adam(vae.parameters(), 0.05)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / STEPS)
        optimizer.zero_grad()
        backpropagate(vae, x[torch.randperm(len(x), generator=generator)], objective, step, generator)
        optimizer.step()
    spectrum = Spectrum(TOY, float(TOY.sum()), 20)
    for beta in BETAS:
        expected = predict_linear(spectrum, beta, 5, VARIANCE)
        rates, distortion = exact_terms(vae.at(beta), x)
        assert int((rates > 1e-3).sum()) == expected.active
        torch.testing.assert_close(rates, expected.rates.float(), rtol=0, atol=0.02)
        assert distortion + beta * float(rates.sum()) == pytest.approx(expected.loss, abs=0.01)


def test_the_curve_has_the_numbers_of_the_plain_model_at_each_beta(tiny_images):
    vae = multi_rate_vae(mlp_vae(tiny_images.shape, 3, (8,)), 0.5, 10.0, 3.0)
    few = tiny_images.first(30)
    curve = rate_distortion_curve(vae, few, 3.0)
    betas = [point["beta"] for point in curve]
    assert betas == sorted(set(betas))
    assert {0.5, 1.0, 2.0, 3.0, 4.0, 8.0, 10.0} <= set(betas)
    assert 20 <= len(betas) <= 27
    for point in curve[::6]:
        expected = elbo_numbers(encode_images(vae.at(point["beta"]), few))
        assert point["rate"] == pytest.approx(expected["rate"], rel=1e-4)
        assert point["distortion"] == pytest.approx(expected["distortion"], rel=1e-4)
