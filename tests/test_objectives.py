"""The objective: one meaning of beta, sums that are sums, and a loss that stays finite."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy

from vae.model.burgess import conv_vae
from vae.model.heads import GaussianHead
from vae.model.mlp import mlp_vae
from vae.objectives import BetaObjective, Terms, elbo_terms
from vae.objectives.schedules import LinearWarmup
from vae.probability.distributions import Bernoulli, DiagonalNormal

laws = settings(max_examples=100, deadline=None)
nats = st.floats(-1e3, 1e3)
MODELS = {
    "mlp": lambda: mlp_vae((1, 12, 12), 3, (8,)),
    "conv": lambda: conv_vae((1, 12, 12), 3, 4, 8),
    "gaussian": lambda: mlp_vae((1, 12, 12), 3, (8,), head=GaussianHead(0.1, learned=True)),
}


@st.composite
def terms(draw) -> Terms:
    batch, latent = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    distortion = draw(st.lists(nats, min_size=batch, max_size=batch))
    rate = draw(st.lists(st.floats(0.0, 100.0), min_size=batch * latent, max_size=batch * latent))
    return Terms(
        torch.tensor(distortion, dtype=torch.float64),
        torch.tensor(rate, dtype=torch.float64).view(batch, latent),
    )


def loss(terms: Terms, beta: float) -> float:
    return BetaObjective(LinearWarmup(beta))(terms, 0).item()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Beta


@laws
@given(terms(), st.floats(0.0, 100.0))
def test_the_loss_is_affine_in_beta_and_its_slope_is_the_mean_rate(terms, beta):
    distortion = math.fsum(terms.distortion) / len(terms.distortion)
    rate = math.fsum(terms.rate.flatten()) / len(terms.rate)  # summed over the latents, a mean over the images
    assert loss(terms, 0.0) == pytest.approx(distortion, rel=1e-12, abs=1e-11)
    assert loss(terms, beta) == pytest.approx(distortion + beta * rate, rel=1e-12, abs=1e-11)


@laws
@given(terms())
def test_beta_1_is_the_negative_elbo(terms):
    assert loss(terms, 1.0) == pytest.approx(-terms.elbo.mean().item(), rel=1e-12, abs=1e-12)


def test_nothing_is_averaged_over_latents_or_pixels():
    assert loss(Terms(torch.zeros(2), torch.ones(2, 7)), 4.0) == 28
    logits = torch.zeros(2, 3, 5, 5)
    assert -Bernoulli(logits).log_prob(torch.ones(2, 3, 5, 5))[0].item() == pytest.approx(75 * math.log(2))


@pytest.mark.parametrize(("step", "beta"), [(0, 0.0), (5, 2.0), (10, 4.0), (11, 4.0)])
def test_the_rate_is_weighted_by_the_beta_of_the_step(step, beta):
    terms = Terms(torch.tensor([3.0]), torch.tensor([[0.25, 0.5]]))
    assert BetaObjective(LinearWarmup(4.0, steps=10))(terms, step).item() == 3 + beta * 0.75


# The terms


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_the_terms_are_the_textbook_formulas(kind):
    torch.manual_seed(0)
    vae, x, noise = MODELS[kind](), torch.rand(4, 1, 12, 12), torch.randn(4, 3)
    found = elbo_terms(vae, x, noise)
    mean, logvar = vae.encoder(x).chunk(2, 1)
    z = mean + (logvar / 2).exp() * noise
    distortion = binary_cross_entropy(vae.decoder(z).sigmoid(), x, reduction="none").sum((1, 2, 3))
    torch.testing.assert_close(found.distortion, distortion)
    torch.testing.assert_close(found.rate, 0.5 * (logvar.exp() + mean**2 - 1 - logvar), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(found.elbo, -distortion - found.rate.sum(1))


@pytest.mark.parametrize("kind", MODELS)
def test_a_permuted_batch_has_permuted_terms(kind):
    torch.manual_seed(0)
    vae, x, noise = MODELS[kind](), torch.rand(6, 1, 12, 12), torch.randn(6, 3)
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    straight, permuted = elbo_terms(vae, x, noise), elbo_terms(vae, x[order], noise[order])
    torch.testing.assert_close(permuted.distortion, straight.distortion[order])
    torch.testing.assert_close(permuted.rate, straight.rate[order])


@pytest.mark.parametrize("kind", MODELS)
def test_the_gradient_reaches_every_parameter(kind):
    torch.manual_seed(0)
    vae = MODELS[kind]()
    found = elbo_terms(vae, torch.rand(16, 1, 12, 12), torch.randn(16, 3))
    BetaObjective(LinearWarmup(4.0))(found, 0).backward()
    assert [name for name, p in vae.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert ("head.logvar" in dict(vae.named_parameters())) == (kind == "gaussian")


# Numbers that are far out


@pytest.mark.parametrize("beta", [0.0, 4.0])
@pytest.mark.parametrize("logvar", [-1e38, 1e38, "mixed"])
def test_loss_and_gradients_stay_finite_however_far_the_posterior_is_thrown(beta, logvar):
    signs = torch.randn(3, 128, 20, generator=seeded(0)).sign()
    raw = 1e38 * signs[0] if logvar == "mixed" else torch.full((128, 20), logvar)
    raw, mean = raw.requires_grad_(), (1e18 * signs[1]).requires_grad_()
    torch.manual_seed(0)
    decoder = mlp_vae((1, 28, 28), 20, (50,)).decoder
    posterior = DiagonalNormal(mean, raw)
    likelihood = Bernoulli(decoder(posterior.rsample(torch.randn(128, 20, generator=seeded(1)))))
    x = torch.rand(128, 1, 28, 28, generator=seeded(2))
    found = Terms(-likelihood.log_prob(x), posterior.kl_to_standard())
    value = BetaObjective(LinearWarmup(beta))(found, 0)
    value.backward()
    assert value.isfinite()
    for tensor in (mean, raw, *decoder.parameters()):
        assert tensor.grad.isfinite().all()
    assert (raw.grad.sign() == raw.detach().sign()).all()  # back inside
