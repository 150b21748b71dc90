"""Networks as plain layers: they compute what the networks do, and what they cannot express is refused."""

import json

import pytest
import torch
from torch import nn

from vae.config import ConfigError
from vae.model.burgess import conv_vae
from vae.model.heads import GaussianHead
from vae.model.linear import linear_vae
from vae.model.locatello import locatello_vae
from vae.model.mlp import mlp_vae
from vae.model.vae import VAE
from vae.pages.networks import ACTIVATIONS, FUNCTIONS, Layer, computed, layers_of, likelihood_of
from vae.probability.distributions import LogvarBounds

SMALL, LARGE, COLOURS = (1, 28, 28), (1, 64, 64), (3, 32, 32)
MODELS = {
    "mlp": lambda: mlp_vae(SMALL, 3, (16,)),
    "mlp of two layers, tanh": lambda: mlp_vae(SMALL, 3, (16, 8), nn.Tanh),
    "mlp with another decoder": lambda: mlp_vae(
        SMALL, 3, (16,), nn.SiLU, decoder_hidden=(8, 12), decoder_activation=nn.GELU
    ),
    "mlp without hidden layers": lambda: mlp_vae(SMALL, 3, ()),
    "mlp of a row": lambda: mlp_vae((1, 1, 7), 2, (8,)),
    "conv": lambda: conv_vae(SMALL, 3, 4, 16, nn.SiLU),
    "conv of 64x64": lambda: conv_vae(LARGE, 3, 4, 16),
    "conv in colours": lambda: conv_vae(COLOURS, 3, 4, 16, nn.GELU),
    "conv of a wide image": lambda: conv_vae((2, 9, 40), 3, 4, 16),
    "locatello": lambda: locatello_vae(LARGE, 3),
    "linear": lambda: linear_vae(SMALL, 3),
}


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_the_layers_compute_what_the_network_does(name):
    torch.manual_seed(0)
    vae: VAE = MODELS[name]().eval()
    z = torch.randn(4, vae.latent_dim)
    image = vae.decoder(z)
    x = torch.rand(image.shape)
    encoder, decoder = layers_of(vae.encoder, "encoder"), layers_of(vae.decoder, "decoder")
    assert torch.allclose(computed(encoder, x), vae.encoder(x), atol=1e-5)
    assert torch.allclose(computed(decoder, z).view(image.shape), image, atol=1e-5)
    stored = json.loads(json.dumps([layer.plain for layer in (*encoder, *decoder)]))
    again = [Layer(plain, layer.weight, layer.bias) for plain, layer in zip(stored, (*encoder, *decoder), strict=True)]
    assert torch.equal(computed(again[: len(encoder)], x), computed(encoder, x))


@torch.no_grad()
def test_layers_without_biases_have_biases_of_zero():
    network = nn.Sequential(
        nn.Conv2d(1, 3, (2, 3), stride=(1, 2), padding=(1, 0), bias=False),
        nn.ConvTranspose2d(3, 2, 3, stride=2, output_padding=1, bias=False),
        nn.Flatten(),
        nn.LazyLinear(4, bias=False),
    )
    x = torch.rand(2, 1, 6, 7)
    exact = network(x)
    layers = layers_of(network, "encoder")
    assert torch.allclose(computed(layers, x), exact, atol=1e-6)
    assert all(float(layer.bias.abs().sum()) == 0 for layer in layers)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dropout(),
        nn.BatchNorm2d(1),
        nn.LeakyReLU(),
        nn.GELU("tanh"),
        nn.Conv2d(2, 2, 3, groups=2),
        nn.Conv2d(1, 2, 3, dilation=2),
        nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"),
        nn.ConvTranspose2d(1, 2, 3, dilation=2),
        nn.Conv1d(1, 2, 3),
        torch.sigmoid,
    ],
    ids=lambda layer: str(layer) if isinstance(layer, nn.Module) else layer.__name__,
)
def test_an_unknown_layer_is_refused(layer):
    network = nn.Sequential(nn.Flatten(), layer) if isinstance(layer, nn.Module) else layer
    with pytest.raises(ConfigError, match=r"the explorer computes linear layers, .* in the decoder\. Use traverse"):
        layers_of(network, "decoder")


def test_a_padding_in_words_is_refused():
    with pytest.raises(ConfigError, match=r"got Conv2d in the encoder"):
        layers_of(nn.Conv2d(1, 2, 3, padding="same"), "encoder")


def test_an_activation_of_ones_own_is_refused_though_it_is_derived_from_a_known_one():
    class Mine(nn.ReLU):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -x

    with pytest.raises(ConfigError, match="got Mine in the encoder"):
        layers_of(nn.Sequential(Mine()), "encoder")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_is_that_of_torch(activation):
    x = torch.linspace(-6, 6, 101)
    assert torch.equal(FUNCTIONS[ACTIVATIONS[activation]](x), activation()(x))


@torch.no_grad()
def test_the_likelihood_as_plain_data():
    assert likelihood_of(mlp_vae(SMALL, 2)) == ({"kind": "bernoulli"}, None)
    one, none = likelihood_of(mlp_vae(SMALL, 2, head=GaussianHead(0.25, learned=False)))
    assert one == {"kind": "gaussian", "logvar": pytest.approx(-1.3863, abs=1e-4)}
    assert none is None
    head = GaussianHead(0.25, learned=True, shape=SMALL, bounds=LogvarBounds(-2.0, 2.0))
    head.logvar.uniform_(-5, 5)  # beyond the bounds, too
    each, logvars = likelihood_of(mlp_vae(SMALL, 2, head=head))
    assert each == {"kind": "gaussian", "logvar": None}
    assert logvars is not None
    assert torch.equal(logvars, head.logvar.clamp(-2, 2).flatten())
