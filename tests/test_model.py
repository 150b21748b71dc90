"""The VAE: what it encodes and decodes, where it starts, and how log-variances come back inside their bounds."""

import functools
import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from vae.model.burgess import conv_vae
from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.mlp import mlp_vae
from vae.model.reset import reset_lost_latents
from vae.model.vae import VAE
from vae.objectives import BetaObjective, elbo_terms
from vae.objectives.schedules import LinearWarmup
from vae.probability.distributions import LogvarBounds
from vae.training.step import terms_of_step

IMAGE = (1, 28, 28)
MAKE = {
    "mlp": lambda: mlp_vae(IMAGE, latent_dim=5, hidden=(64,)),
    "conv": lambda: conv_vae(IMAGE, latent_dim=5, channels=8, width=32),
}
both = pytest.mark.parametrize("kind", ["mlp", "conv"])


def model(kind: str) -> VAE:
    torch.manual_seed(0)
    return MAKE[kind]()


def state_of(vae: VAE) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in vae.state_dict().items()}


def train(vae: VAE, images: torch.Tensor, limit: float = math.inf, reset: bool = True) -> float:
    """200 steps of Adam(1e-3) at beta 1; the mean loss of the last 20 steps."""
    vae.train()
    optimizer = torch.optim.Adam(vae.parameters(), 1e-3)
    objective = BetaObjective(LinearWarmup(1.0))
    generator = torch.Generator().manual_seed(1)
    losses = []
    for step in range(200):
        x = images[torch.randint(len(images), (64,), generator=generator)]
        noise = torch.randn(64, vae.latent_dim, generator=generator)
        loss = objective(terms_of_step(vae, x, noise) if reset else elbo_terms(vae, x, noise), step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), limit)
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20


@pytest.fixture(scope="module")
def images(tiny_images):
    return tiny_images.pixels.float() / 255


@pytest.fixture(scope="module")
def undisturbed(images):
    """Loss and parameters after training without any reset, by the kind of network."""

    @functools.cache
    def trained(kind):
        vae = model(kind)
        return train(vae, images, reset=False), vae.state_dict()

    return trained


def last_layer(vae: VAE) -> nn.Linear:
    return vae.encoder.layers[-1]


@torch.no_grad()
def saturated_fraction(vae: VAE, images: torch.Tensor) -> float:
    return vae.encode(images).saturated().float().mean().item()


# Coming back inside the bounds


@pytest.mark.parametrize(
    ("kind", "latents", "value"),
    [
        ("mlp", slice(5, None), 50.0),
        ("mlp", slice(7, 8), 1e38),
        ("conv", slice(7, 8), -50.0),
        ("conv", slice(5, None), 50.0),
    ],
)
def test_lost_latents_come_back_within_200_steps_and_training_goes_on_as_without(
    kind, latents, value, images, undisturbed
):
    vae = model(kind)
    last_layer(vae).bias.data[latents] = value
    assert saturated_fraction(vae, images) == pytest.approx(1.0 if latents.start == 5 else 0.2)
    loss = train(vae, images)
    assert saturated_fraction(vae, images) == 0
    assert loss == pytest.approx(undisturbed(kind)[0], rel=0.25)


def test_log_variances_thrown_to_both_sides_come_back_under_a_gradient_limit(images):
    """Without the limit, the KL's gradient of e^10 / 2 inside the bound moves other images beyond the other bound."""
    vae = model("conv")
    last_layer(vae).weight.data[5:] *= 300
    assert saturated_fraction(vae, images) > 0.5
    train(vae, images, limit=100.0)
    assert saturated_fraction(vae, images) == 0


def test_the_reset_leaves_ordinary_training_bit_for_bit_alone(images, undisturbed):
    vae = model("mlp")
    train(vae, images)
    for name, value in undisturbed("mlp")[1].items():
        assert value.equal(vae.state_dict()[name]), name


class Given(nn.Module):
    """An encoder of the user's own: these log-variances for latent 2 of 5, zeros elsewhere; then a bias."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.register_buffer("outputs", torch.zeros(4, 10))
        self.outputs[:, 7] = torch.linspace(low, high, 4)
        self.bias = nn.Parameter(torch.arange(10.0) / 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        return self.outputs + self.bias - torch.arange(10) / 10


@pytest.mark.parametrize(
    ("low", "high", "bounds", "lost"),
    [
        (11.5, 30.0, LogvarBounds(), True),
        (-30.0, -11.5, LogvarBounds(), True),
        (3.5, 4.5, LogvarBounds(-3.0, 2.0), True),
        (-3.5, -3.5, LogvarBounds(-3.0, 2.0), False),  # beyond by less than 1
        (9.0, 20.0, LogvarBounds(), False),  # one image is inside
        (11.5, 80.0, LogvarBounds(), False),  # would not fit between the bounds
    ],
)
def test_a_reset_moves_the_middle_of_a_lost_latent_to_0_and_nothing_else(low, high, bounds, lost):
    encoder = Given(low, high)
    before = encoder.bias.detach().clone()
    vae = VAE(encoder, nn.Linear(5, 4), BernoulliHead(), 5, bounds)
    posterior = reset_lost_latents(vae, vae.encode(torch.zeros(4, 1, 2, 2)))
    before[7] -= (low + high) / 2 if lost else 0
    torch.testing.assert_close(encoder.bias.detach(), before)
    torch.testing.assert_close(posterior.logvar, vae.encode(torch.zeros(4, 1, 2, 2)).logvar)


def test_an_encoder_without_a_last_bias_of_its_outputs_is_left_alone():
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(4, 10), nn.Linear(10, 10, bias=False))
    nn.init.constant_(encoder[2].weight, 100.0)
    before = [p.clone() for p in encoder.parameters()]
    vae = VAE(encoder, nn.Linear(5, 4), BernoulliHead(), 5)
    reset_lost_latents(vae, vae.encode(torch.ones(4, 1, 2, 2)))
    assert all(map(torch.equal, before, encoder.parameters()))


@both
@pytest.mark.parametrize("training", [True, False])
def test_encoding_changes_nothing(kind, training, images):
    vae = model(kind).train(training)
    last_layer(vae).bias.data[5:] = 50.0
    before = state_of(vae)
    assert (vae.encode(images[:4]).logvar == 10).all()
    assert all(value.equal(before[name]) for name, value in vae.state_dict().items())


# Encoding and decoding


def test_the_encoder_gives_means_then_log_variances(images):
    vae = model("mlp")
    last_layer(vae).weight.data.zero_()
    last_layer(vae).bias.data = torch.arange(-5.0, 5.0)
    posterior = vae.encode(images[:1])
    assert posterior.mean.tolist() == [[-5, -4, -3, -2, -1]]
    assert posterior.logvar.tolist() == [[0, 1, 2, 3, 4]]


def test_the_bounds_of_the_model_are_those_of_its_posterior(images):
    vae = mlp_vae(IMAGE, latent_dim=2, hidden=(4,), bounds=LogvarBounds(-0.01, 0.0))
    logvar = vae.encode(images).logvar
    assert logvar.min() >= torch.tensor(-0.01)
    assert logvar.max() <= 0
    assert saturated_fraction(vae, images) > 0


@both
def test_posterior_and_likelihood_are_fp32_though_the_networks_compute_in_bf16(kind, images):
    vae = model(kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert vae.encoder(images[:2]).dtype == torch.bfloat16
        posterior = vae.encode(images[:2])
        likelihood = vae.decode(posterior.mean)
    assert posterior.mean.dtype == posterior.logvar.dtype == likelihood.mean.dtype == torch.float32


def test_samples_are_the_mean_images_and_carry_no_gradient():
    vae, noise = model("mlp"), torch.randn(3, 5)
    assert vae.sample(noise).equal(vae.decode(noise).mean.detach())
    assert not vae.sample(noise).requires_grad


# Where training starts


def ignore_z(vae: VAE) -> None:
    vae.decoder.output.weight.data.zero_()


def mean_image(channels: int) -> torch.Tensor:
    mean = torch.rand(channels, 12, 12, generator=torch.Generator().manual_seed(0))
    mean[0, 0] = 0.0  # a row that is never lit
    mean[0, 1] = 1.0
    return mean


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("head", [BernoulliHead(), GaussianHead(0.5, learned=False)], ids=["bernoulli", "gaussian"])
def test_a_decoder_that_ignores_z_starts_at_the_mean_image(channels, head):
    vae = mlp_vae((channels, 12, 12), 2, (4,), head=head)
    mean = mean_image(channels)
    vae.start_at(mean, torch.full_like(mean, 0.1))
    ignore_z(vae)
    expected = mean.clamp(1e-3, 1 - 1e-3) if isinstance(head, BernoulliHead) else mean
    torch.testing.assert_close(vae.sample(torch.randn(2, 2)), expected.expand(2, -1, -1, -1))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_conv_decoder_that_ignores_z_starts_at_the_mean_of_each_channel(channels):
    vae = conv_vae((channels, 12, 12), 2, 4, 8)
    mean = mean_image(channels)
    vae.start_at(mean, torch.full_like(mean, 0.1))
    ignore_z(vae)
    expected = mean.mean((1, 2), keepdim=True).expand_as(mean)
    torch.testing.assert_close(vae.sample(torch.randn(1, 2))[0], expected)


@pytest.mark.parametrize("variance", [0.07, 0.0])
def test_a_learned_variance_starts_at_that_of_the_data_even_if_that_is_zero(variance):
    head = GaussianHead(0.5, learned=True)
    vae = mlp_vae((1, 4, 4), 2, (4,), head=head)
    vae.start_at(torch.full((1, 4, 4), 0.3), torch.full((1, 4, 4), variance))
    assert head.logvar.item() == pytest.approx(math.log(variance + 1e-8))
    assert vae.decode(torch.zeros(1, 2)).log_prob(torch.zeros(1, 1, 4, 4)).isfinite().all()


def test_variances_of_each_pixel_start_at_those_of_the_data_and_stay_in_their_bounds():
    variance = torch.tensor([[[0.0, 1e9], [0.04, 4.0]]])
    head = GaussianHead(0.5, learned=True, bounds=LogvarBounds(-10.0, 10.0), shape=(1, 2, 2))
    vae = mlp_vae((1, 2, 2), 2, (4,), head=head)
    vae.start_at(torch.zeros(1, 2, 2), variance)
    expected = torch.tensor([[[-10.0, 10.0], [math.log(0.04), math.log(4.0)]]])
    torch.testing.assert_close(head.logvar.detach(), expected)
    ignore_z(vae)
    x = torch.randn(7, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    oracle = Independent(Normal(torch.zeros(1, 2, 2), (expected / 2).exp()), 3).log_prob(x)
    torch.testing.assert_close(vae.decode(torch.zeros(7, 2)).log_prob(x), oracle)
    several = vae.log_likelihood(x, torch.zeros(3, 7, 2))
    torch.testing.assert_close(several, oracle.expand(3, 7))


def test_a_given_variance_is_kept_and_is_no_parameter():
    head = GaussianHead(0.5, learned=False)
    vae = mlp_vae((1, 4, 4), 2, (4,), head=head)
    vae.start_at(torch.full((1, 4, 4), 0.3), torch.full((1, 4, 4), 0.07))
    assert vae.decode(torch.zeros(1, 2)).logvar.exp().item() == pytest.approx(0.5)
    assert "head.logvar" in vae.state_dict()
    assert "head.logvar" not in dict(vae.named_parameters())


def test_starting_at_the_mean_changes_the_output_biases_only():
    vae = conv_vae((1, 12, 12), 2, 4, 8)
    before = state_of(vae)
    vae.start_at(mean_image(1), torch.full((1, 12, 12), 0.1))
    changed = [name for name, value in vae.state_dict().items() if not value.equal(before[name])]
    assert changed == ["decoder.output.bias"]
