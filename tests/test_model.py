"""The VAE: what it encodes and decodes, where it starts, and how it comes back when its variances are thrown away."""

import functools
import math

import pytest
import torch
from torch import nn

from vae.data.mnist import read_idx
from vae.model.burgess import ConvDecoder, conv_vae
from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.mlp import mlp_vae
from vae.model.vae import VAE
from vae.objectives import BetaObjective, elbo_terms
from vae.objectives.schedules import LinearWarmup
from vae.probability.distributions import LogvarBounds
from vae.probability.finite import NonFiniteError

IMAGE = (1, 28, 28)
MAKE = {
    "mlp": lambda: mlp_vae(IMAGE, latent_dim=5, hidden=(64,)),
    "conv": lambda: conv_vae(IMAGE, latent_dim=5, channels=8, width=32),
}
both = pytest.mark.parametrize("kind", ["mlp", "conv"])


@functools.cache
def fresh(kind: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return MAKE[kind]().state_dict()


def model(kind: str) -> VAE:
    vae = MAKE[kind]()
    vae.load_state_dict(fresh(kind))
    return vae


def train(vae: VAE, images: torch.Tensor, steps: int = 200, gradient_norm_limit: float = math.inf) -> float:
    """Adam(1e-3) at beta 1; the mean loss of the last 20 steps."""
    vae.train()
    optimizer = torch.optim.Adam(vae.parameters(), 1e-3)
    objective = BetaObjective(LinearWarmup(1.0))
    generator = torch.Generator().manual_seed(1)
    losses = []
    for step in range(steps):
        x = images[torch.randint(len(images), (64,), generator=generator)]
        loss = objective(elbo_terms(vae, x, torch.randn(64, vae.latent_dim, generator=generator)), step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), gradient_norm_limit)
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20


@pytest.fixture(scope="module")
def ordinary_loss(images):
    return functools.cache(lambda kind: train(model(kind), images))


@torch.no_grad()
def raw_logvar(vae: VAE, images: torch.Tensor) -> torch.Tensor:
    return vae.encoder(images)[:, vae.latent_dim :]


@pytest.fixture(scope="module")
def images(tiny_images):
    return tiny_images.pixels.float() / 255


def last_layer(vae: VAE) -> nn.Linear:
    return vae.encoder.layers[-1]


def saturated_fraction(vae: VAE, images: torch.Tensor) -> float:
    vae.eval()
    with torch.no_grad():
        return vae.encode(images).saturated().float().mean().item()


# Coming back


@both
@pytest.mark.parametrize("latents", [slice(5, None), slice(7, 8)], ids=["all", "one"])
@pytest.mark.parametrize("thrown_to", [50.0, -50.0, 1e38])
def test_a_thrown_logvar_comes_back_and_training_goes_on_as_without(kind, latents, thrown_to, images, ordinary_loss):
    vae = model(kind)
    last_layer(vae).bias.data[latents] = thrown_to
    assert saturated_fraction(vae, images) == pytest.approx(1.0 if latents.start == 5 else 0.2)
    loss = train(vae, images)
    assert raw_logvar(vae, images).abs().max() <= 10
    assert saturated_fraction(vae, images) == 0
    assert loss == pytest.approx(ordinary_loss(kind), rel=0.25)


def scale_logvar_weights(vae: VAE, factor: float) -> None:
    last_layer(vae).weight.data[vae.latent_dim :] *= factor


def test_logvars_thrown_by_the_weights_to_one_side_come_back(images):
    vae = model("conv")
    scale_logvar_weights(vae, 300.0)
    assert saturated_fraction(vae, images) > 0.5
    train(vae, images, gradient_norm_limit=100.0)
    assert saturated_fraction(vae, images) == 0


def test_recall_leaves_ordinary_training_bit_for_bit_alone(images, monkeypatch):
    with_recall, without = model("mlp"), model("mlp")
    train(with_recall, images, steps=30)
    monkeypatch.setattr(VAE, "recall", lambda _, logvar: logvar)
    train(without, images, steps=30)
    for name, value in without.state_dict().items():
        assert value.equal(with_recall.state_dict()[name]), name


def thrown(low: float, high: float) -> torch.Tensor:
    """Four images, five latents; only the log-variances of latent 2 are not 0."""
    logvar = torch.zeros(4, 5)
    logvar[:, 2] = torch.linspace(low, high, 4)
    return logvar


@pytest.mark.parametrize(("low", "high"), [(11.5, 80.0), (-80.0, -11.5), (50.0, 50.0), (1e38, 3e38)])
def test_recall_puts_the_middle_of_a_thrown_latent_at_the_prior(low, high):
    vae = model("mlp")
    before = last_layer(vae).bias.detach().clone()
    recalled = vae.recall(thrown(low, high))
    middle = low / 2 + high / 2
    shift = torch.tensor([0.0, 0.0, middle, 0.0, 0.0])
    torch.testing.assert_close(recalled, thrown(low, high) - shift)
    torch.testing.assert_close(last_layer(vae).bias.detach(), before - torch.cat([torch.zeros(5), shift]))


@pytest.mark.parametrize(("low", "high"), [(9.0, 80.0), (-80.0, -9.0), (-50.0, 50.0), (10.5, 80.0), (-80.0, -10.5)])
def test_recall_leaves_a_latent_of_which_one_image_is_inside_or_near(low, high):
    vae = model("mlp")
    before = last_layer(vae).bias.detach().clone()
    assert vae.recall(thrown(low, high)).equal(thrown(low, high))
    assert last_layer(vae).bias.equal(before)


def test_recall_goes_by_the_bounds_of_the_model():
    vae = mlp_vae(IMAGE, latent_dim=5, hidden=(4,), bounds=LogvarBounds(-3.0, 2.0))
    assert vae.recall(thrown(3.5, 4.5))[:, 2].mean() == pytest.approx(0, abs=1e-6)
    assert vae.recall(thrown(-3.5, -3.5)).equal(thrown(-3.5, -3.5))


@both
def test_evaluation_recalls_nothing(kind, images):
    vae = model(kind).eval()
    last_layer(vae).bias.data[5:] = 50.0
    before = last_layer(vae).bias.detach().clone()
    assert (vae.encode(images[:4]).logvar == 10).all()
    assert last_layer(vae).bias.equal(before)
    assert (vae.train().encode(images[:4]).logvar.abs() < 1).all()


def test_a_gradient_limit_brings_back_logvars_thrown_both_ways(mnist_root):
    """Without it the KL's gradient of e^10 / 2 just inside the bound throws other images out on the far side."""
    images = read_idx(mnist_root / "MNIST" / "raw" / "train-images-idx3-ubyte")[:2_000].unsqueeze(1).float() / 255
    torch.manual_seed(0)
    vae = mlp_vae(IMAGE, latent_dim=20)
    scale_logvar_weights(vae, 100.0)  # a quarter is saturated
    train(vae, images, gradient_norm_limit=100.0)
    assert saturated_fraction(vae, images) == 0


# Encoding and decoding


@pytest.mark.parametrize("latent_dim", [1, 2, 20])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("make", [mlp_vae, functools.partial(conv_vae, channels=4, width=8)], ids=["mlp", "conv"])
def test_shapes_hold_for_any_batch_and_number_of_latents(make, latent_dim, batch):
    vae = make((2, 16, 16), latent_dim)
    x = torch.rand(batch, 2, 16, 16)
    posterior = vae.encode(x)
    assert posterior.mean.shape == posterior.logvar.shape == (batch, latent_dim)
    assert vae.decode(posterior.mean).mean.shape == x.shape
    assert vae.sample(torch.randn(batch, latent_dim)).shape == x.shape


def test_the_encoder_gives_means_then_log_variances(images):
    vae = model("mlp").eval()
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


def test_nan_pixels_are_refused_at_the_posterior(images):
    x = images[:2].clone()
    x[0, 0, 0, 0] = math.nan
    with pytest.raises(NonFiniteError, match="mean must not hold NaN, got 5 of 10"):
        model("mlp").eval().encode(x)


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
    vae.start_at(mean, 0.1)
    ignore_z(vae)
    expected = mean.clamp(1e-3, 1 - 1e-3) if isinstance(head, BernoulliHead) else mean
    torch.testing.assert_close(vae.sample(torch.randn(2, 2)), expected.expand(2, -1, -1, -1))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_conv_decoder_that_ignores_z_starts_at_the_mean_of_each_channel(channels):
    vae = conv_vae((channels, 12, 12), 2, 4, 8)
    mean = mean_image(channels)
    vae.start_at(mean, 0.1)
    ignore_z(vae)
    expected = mean.mean((1, 2), keepdim=True).expand_as(mean)
    torch.testing.assert_close(vae.sample(torch.randn(1, 2))[0], expected)


@pytest.mark.parametrize("variance", [0.07, 0.0])
def test_a_learned_variance_starts_at_that_of_the_data_even_if_that_is_zero(variance):
    head = GaussianHead(0.5, learned=True)
    vae = mlp_vae((1, 4, 4), 2, (4,), head=head)
    vae.start_at(torch.full((1, 4, 4), 0.3), variance)
    assert head.logvar.item() == pytest.approx(math.log(variance + 1e-8))
    assert vae.decode(torch.zeros(1, 2)).log_prob(torch.zeros(1, 1, 4, 4)).isfinite().all()


def test_a_given_variance_is_kept_and_is_no_parameter():
    head = GaussianHead(0.5, learned=False)
    vae = mlp_vae((1, 4, 4), 2, (4,), head=head)
    vae.start_at(torch.full((1, 4, 4), 0.3), 0.07)
    assert vae.decode(torch.zeros(1, 2)).logvar.exp().item() == pytest.approx(0.5)
    assert "head.logvar" in vae.state_dict()
    assert "head.logvar" not in dict(vae.named_parameters())


def test_starting_at_the_mean_changes_the_output_biases_only():
    vae = conv_vae((1, 12, 12), 2, 4, 8)
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    vae.start_at(mean_image(1), 0.1)
    changed = [name for name, value in vae.state_dict().items() if not value.equal(before[name])]
    assert isinstance(vae.decoder, ConvDecoder)
    assert changed == ["decoder.output.bias"]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("make", [mlp_vae, conv_vae])
@pytest.mark.parametrize("samples", [(), (3,)])
def test_two_threads_find_the_terms_and_gradients_of_one(make, samples):
    vae = make(IMAGE, latent_dim=40)  # more numbers a posterior than images: MKL goes by the rows of each weight
    x, noise = torch.rand(16, *IMAGE), torch.randn(*samples, 16, 40)
    found = []
    for threads in (2, 1):
        torch.set_num_threads(threads)
        vae.zero_grad()
        terms = elbo_terms(vae, x, noise)
        terms.elbo.mean().backward()
        found.append([terms.distortion.detach(), terms.rate.detach(), *(p.grad.clone() for p in vae.parameters())])
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)  # sums of the convolutions, in another order
