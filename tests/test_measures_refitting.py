"""Refitted posteriors, against models whose posterior and evidence are known."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence

from vae.measures import refitting as room
from vae.measures.bound import importance_weighted_bound
from vae.measures.evaluation import tight_bound
from vae.measures.refitting import refitted_posterior
from vae.model.burgess import conv_vae
from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.mlp import mlp_vae
from vae.model.vae import VAE

VARIANCE = 0.1
ORTHOGONAL = [[1.0, 0.5], [1.0, -0.5], [-1.0, 0.5], [-1.0, -0.5]]
OBLIQUE = [[1.0, 0.9], [0.6, 0.9], [0.4, -0.3], [0.8, 0.1]]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# A linear decoder


def linear_vae(weight: list[list[float]], beta: float) -> VAE:
    """x ~ N(W z + 0.3, VARIANCE), and the encoder that a training at `beta` would give this decoder."""
    w = torch.tensor(weight)
    precision = torch.eye(2) + w.T @ w / (beta * VARIANCE)
    vae = mlp_vae((1, 2, 2), 2, (4,), activation=nn.Identity, head=GaussianHead(VARIANCE, learned=False)).eval()
    with torch.no_grad():
        first, _, last = vae.encoder.layers
        first.weight.copy_(torch.eye(4))
        first.bias.fill_(-0.3)
        last.weight.copy_(torch.cat([torch.linalg.solve(precision, w.T) / (beta * VARIANCE), torch.zeros(2, 4)]))
        last.bias.copy_(torch.cat([torch.zeros(2), -precision.diagonal().log()]))
        vae.decoder.layers[0][0].weight.copy_(w)
        vae.decoder.layers[0][0].bias.zero_()
        vae.decoder.output.weight.copy_(torch.eye(4))
        vae.decoder.output.bias.fill_(0.3)
    return vae


def evidence(weight: list[list[float]], x: torch.Tensor) -> torch.Tensor:
    """The exact ln p(x), of N(0.3, W W^T + VARIANCE I)."""
    w = torch.tensor(weight, dtype=torch.float64)
    covariance = w @ w.T + VARIANCE * torch.eye(4, dtype=torch.float64)
    return MultivariateNormal(torch.full((4,), 0.3, dtype=torch.float64), covariance).log_prob(x.double().flatten(1))


def true_posterior(weight: list[list[float]], x: torch.Tensor) -> MultivariateNormal:
    w = torch.tensor(weight, dtype=torch.float64)
    precision = torch.eye(2, dtype=torch.float64) + w.T @ w / VARIANCE
    mean = torch.linalg.solve(precision, w.T @ (x.double().flatten(1) - 0.3).T / VARIANCE).T
    return MultivariateNormal(mean, precision_matrix=precision)


@pytest.mark.parametrize("weight", [ORTHOGONAL, OBLIQUE])
@pytest.mark.parametrize("beta", [1, 4, 16])
def test_for_a_linear_decoder_one_step_gives_the_posterior_and_one_sample_the_evidence(weight, beta):
    vae, x = linear_vae(weight, beta), torch.rand(20, 1, 2, 2, generator=seeded(0))
    truth = true_posterior(weight, x)
    for steps in (1, 3):
        found = refitted_posterior(vae, x, steps)
        torch.testing.assert_close(found.mean.double(), truth.mean, rtol=1e-4, atol=1e-5)
        covariance = (found.scale @ found.scale.mT).double()
        torch.testing.assert_close(covariance, truth.covariance_matrix.expand_as(covariance), rtol=1e-4, atol=1e-6)
        bound = importance_weighted_bound(vae, x, 1, seeded(1), found)
        torch.testing.assert_close(bound.double(), evidence(weight, x), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("beta", [1, 4, 16])
def test_the_encoder_of_another_beta_is_loose_by_its_divergence_from_the_posterior(beta):
    vae, x = linear_vae(OBLIQUE, beta), torch.rand(1, 1, 2, 2, generator=seeded(0)).expand(20_000, 1, 2, 2)
    with torch.no_grad():
        q = vae.encode(x[:1])
    encoder = MultivariateNormal(q.mean[0].double(), torch.diag(q.logvar[0].exp().double()))
    truth = true_posterior(OBLIQUE, x[:1])
    loose = float(kl_divergence(encoder, MultivariateNormal(truth.mean[0], truth.covariance_matrix)))
    gaps = (evidence(OBLIQUE, x) - importance_weighted_bound(vae, x, 1, seeded(2)).double()).detach()
    assert float(gaps.mean()) == pytest.approx(loose, abs=5 * float(gaps.std()) / len(gaps) ** 0.5)
    assert loose > 0.05
    few = x[:100]
    refitted = importance_weighted_bound(vae, few, 10, seeded(3), refitted_posterior(vae, few)).double()
    assert float((evidence(OBLIQUE, few) - refitted).abs().max()) < 0.02


# Other decoders


def bent_vae(head: BernoulliHead | GaussianHead, shape: tuple[int, int, int] = (1, 3, 3), latents: int = 2) -> VAE:
    """A nonlinear decoder that uses z."""
    torch.manual_seed(0)
    vae = mlp_vae(shape, latents, (16,), head=head).eval()
    with torch.no_grad():
        vae.decoder.layers[0][0].weight.mul_(3)
        vae.decoder.output.weight.mul_(4)
    return vae


class Rough(nn.Module):
    """An encoder that is wrong by half a unit, with the variances of a high beta."""

    def __init__(self, z: torch.Tensor) -> None:
        super().__init__()
        self.answer = torch.cat([z + 0.5 * torch.randn(z.shape, generator=seeded(9)), torch.full_like(z, -1.0)], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answer[: len(x)]


def integral(vae: VAE, x: torch.Tensor) -> torch.Tensor:
    """ln p(x) of two latents by a sum over a grid."""
    axis = torch.arange(-6, 6, 0.03)
    grid = torch.cartesian_prod(axis, axis)
    prior = -0.5 * grid.double().square().sum(1) - math.log(2 * math.pi)
    with torch.no_grad():
        rows = [vae.log_likelihood(one.expand(len(grid), -1, -1, -1), grid) for one in x]
    return torch.stack([(row.double() + prior).logsumexp(0) for row in rows]) + 2 * math.log(0.03)


HEADS = {
    "bernoulli": BernoulliHead,
    "one variance": lambda: GaussianHead(0.05, learned=False),
    "learned": lambda: GaussianHead(0.06, learned=True),
    "one of each pixel": lambda: GaussianHead(0.1, learned=True, shape=(1, 3, 3)),
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("binary", [True, False])
def test_the_refitted_bound_is_close_to_the_evidence_of_any_likelihood_and_not_above_it(head, binary):
    vae = bent_vae(HEADS[head]())
    z = torch.randn(10, 2, generator=seeded(1))
    vae.encoder = Rough(z)
    x = vae.sample(z)
    x = torch.bernoulli(x.clamp(0, 1), generator=seeded(2)) if binary else x
    truth, q = integral(vae, x), refitted_posterior(vae, x)
    bounds = torch.stack([importance_weighted_bound(vae, x, 100, seeded(s), q).double() for s in range(20)])
    gaps = truth - bounds.mean(0)
    assert (gaps > -5 * bounds.std(0) / 20**0.5 - 2e-3).all()
    assert float(gaps.mean()) < 0.1
    loose = truth - importance_weighted_bound(vae, x, 100, seeded(0)).double()
    assert float(gaps.mean()) < float(loose.mean()) or float(loose.mean()) < 0.02


def test_convolutions_and_several_channels_are_refitted():
    torch.manual_seed(0)
    vae = conv_vae((3, 32, 32), 3).to(memory_format=torch.channels_last).eval()  # as build_vae makes it
    x = torch.rand(4, 3, 32, 32, generator=seeded(0))
    bound = importance_weighted_bound(vae, x, 20, seeded(1), refitted_posterior(vae, x))
    assert bound.isfinite().all()
    assert bound.mean() > importance_weighted_bound(vae, x, 20, seeded(1)).mean() - 0.01


def test_an_encoder_with_extreme_posteriors_still_gives_a_bound():
    vae, x = linear_vae(OBLIQUE, 1), torch.rand(3, 1, 2, 2, generator=seeded(0))
    for mean, logvar in ((300.0, 10.0), (-300.0, -10.0)):
        with torch.no_grad():
            vae.encoder.layers[-1].bias.copy_(torch.tensor([mean, mean, logvar, logvar]))
        bound = importance_weighted_bound(vae, x, 10, seeded(1), refitted_posterior(vae, x)).double()
        torch.testing.assert_close(bound, evidence(OBLIQUE, x), rtol=1e-3, atol=0.02)


class Overflowing(nn.Module):
    """Infinite away from the origin."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.exp(1000 * z.square().sum(1)).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def test_an_image_whose_decoder_overflows_keeps_the_posterior_of_the_encoder():
    vae, x = linear_vae(OBLIQUE, 1), torch.rand(3, 1, 2, 2, generator=seeded(0))
    vae.decoder = Overflowing()
    start, found = refitted_posterior(vae, x, 0), refitted_posterior(vae, x)
    torch.testing.assert_close(found.mean, start.mean)
    torch.testing.assert_close(found.scale, start.scale)


# What it leaves alone


def test_the_model_its_mode_and_all_generators_are_as_before_and_the_result_is_the_same_again():
    vae, x = bent_vae(BernoulliHead()), torch.rand(5, 1, 3, 3, generator=seeded(0))
    before, state = copy.deepcopy(vae.state_dict()), torch.get_rng_state()
    one, other = refitted_posterior(vae, x), refitted_posterior(vae, x)
    assert torch.equal(one.mean, other.mean)
    assert torch.equal(one.scale, other.scale)
    assert torch.equal(torch.get_rng_state(), state)
    assert not vae.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in vae.parameters())
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())


def test_an_image_is_refitted_alike_in_any_batch(monkeypatch):
    vae, x = bent_vae(BernoulliHead()), torch.rand(7, 1, 3, 3, generator=seeded(0)).round()
    together = refitted_posterior(vae, x)
    alone = [refitted_posterior(vae, one[None]) for one in x]
    monkeypatch.setattr(room, "PIXELS_AT_ONCE", 3 * 5 * 9)
    for other in (torch.cat([q.mean for q in alone]), refitted_posterior(vae, x).mean):
        torch.testing.assert_close(other, together.mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.cat([q.scale for q in alone]), together.scale, rtol=1e-4, atol=1e-4)


def test_memory_does_not_grow_with_the_images():
    decoded, vae = [], bent_vae(BernoulliHead())
    vae.decoder.register_forward_hook(lambda *call: decoded.append(call[-1].numel()))
    refitted_posterior(vae, torch.rand(30_000, 1, 3, 3))
    assert max(decoded) <= room.PIXELS_AT_ONCE


def test_the_bound_of_a_set_of_images_is_tighter_and_rises_less_when_refitted(tiny_images):
    torch.manual_seed(0)
    vae = mlp_vae((1, 28, 28), 4, hidden=(32,))
    with torch.no_grad():
        vae.decoder.output.weight.mul_(10)
    by_encoder, refitted = (tight_bound(vae, tiny_images, 50, refit=refit) for refit in (False, True))
    assert (refitted["images"], refitted["samples"]) == (50, 100)
    assert refitted["bound"] > by_encoder["bound"] + 1
    assert refitted["rise_from_half"] < by_encoder["rise_from_half"]
    assert refitted == tight_bound(vae, tiny_images, 50, refit=True)
