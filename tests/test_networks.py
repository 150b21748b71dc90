"""Networks: shapes for every image size, mirrors, and gradients that reach every parameter."""

import pytest
import torch
from torch import nn

from vae.model.burgess import conv_decoder, conv_encoder
from vae.model.layers import mlp
from vae.model.mlp import mlp_decoder, mlp_encoder, mlp_vae


def widths(layers: nn.Module) -> list[tuple[int, int]]:
    return [(layer.in_features, layer.out_features) for layer in layers.modules() if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("channels", [1, 3])
def test_conv_networks_take_every_side_there_and_back(channels):
    for side in (*range(8, 66), 127, 128):
        image = (channels, side, side)
        encoder, decoder = conv_encoder(image, 3, channels=2, width=4), conv_decoder(image, 3, channels=2, width=4)
        with torch.no_grad():
            encoded = encoder(torch.zeros(2, *image))
            decoded = decoder(encoded[:, :3])
        assert encoded.shape == (2, 6), side
        assert decoded.shape == (2, *image), side


@pytest.mark.parametrize("image", [(1, 28, 28), (3, 5, 9), (2, 1, 1)])
@pytest.mark.parametrize("latent_dim", [1, 7])
def test_mlp_networks_take_any_image_there_and_back(image, latent_dim):
    encoded = mlp_encoder(image, latent_dim, (6, 5))(torch.zeros(4, *image))
    assert encoded.shape == (4, 2 * latent_dim)
    assert mlp_decoder(image, latent_dim, (5, 6))(encoded[:, :latent_dim]).shape == (4, *image)


@pytest.mark.parametrize("network", [conv_encoder, conv_decoder])
@pytest.mark.parametrize(("height", "width"), [(28, 32), (32, 28), (7, 7)])
def test_conv_networks_refuse_images_that_are_not_square_or_too_small(network, height, width):
    with pytest.raises(ValueError, match=f"square images of side 8 or more, got {height}x{width}. Resize"):
        network((1, height, width), 2)


def test_the_decoder_has_the_widths_of_the_encoder_backwards_unless_it_is_given_its_own():
    vae = mlp_vae((1, 4, 4), 3, (10, 8))
    assert widths(vae.encoder) == [(16, 10), (10, 8), (8, 6)]
    assert widths(vae.decoder) == [(3, 8), (8, 10), (10, 16)]
    assert widths(mlp_vae((1, 4, 4), 3, (10, 8), decoder_hidden=(5, 7)).decoder) == [(3, 5), (5, 7), (7, 16)]


def test_64_pixels_make_the_architecture_of_burgess():
    encoder, decoder = conv_encoder((1, 64, 64), 10), conv_decoder((1, 64, 64), 10)
    convolutions = [layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d)]
    back = [layer for layer in decoder.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in convolutions] == [32, 32, 32, 32]
    assert [layer.out_channels for layer in back] == [32, 32, 32, 1]
    assert all(layer.kernel_size == (4, 4) and layer.stride == (2, 2) for layer in convolutions + back)
    assert widths(encoder) == [(512, 256), (256, 256), (256, 20)]
    assert widths(decoder) == [(10, 256), (256, 256), (256, 512)]


def test_no_activation_follows_the_last_layer():
    layers = mlp([3, 5, 5, 2], nn.Tanh)
    assert [type(layer) for layer in layers] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]


@pytest.mark.parametrize("make", [mlp_encoder, mlp_decoder, conv_encoder, conv_decoder])
def test_the_output_of_every_network_is_unbounded_on_both_sides(make):
    arguments = ((8,),) if make in (mlp_encoder, mlp_decoder) else (8, 8)
    network = make((1, 8, 8), 2, *arguments)
    inputs = torch.randn(64, *((1, 8, 8) if make in (mlp_encoder, conv_encoder) else (2,)))
    with torch.no_grad():
        out = network(1e4 * inputs)
    assert out.min() < -10
    assert out.max() > 10


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (mlp_encoder((1, 9, 9), 3, (8, 8), nn.Tanh), (1, 9, 9)),
        (mlp_decoder((1, 9, 9), 3, (8, 8), nn.Tanh), (3,)),
        (conv_encoder((1, 9, 9), 3, 4, 8, nn.Tanh), (1, 9, 9)),
        (conv_decoder((1, 9, 9), 3, 4, 8, nn.Tanh), (3,)),
    ],
    ids=["mlp encoder", "mlp decoder", "conv encoder", "conv decoder"],
)
def test_the_activation_is_used_and_every_parameter_is_reached(network, inputs):
    torch.manual_seed(0)
    assert not any(isinstance(layer, nn.ReLU) for layer in network.modules())
    network(torch.randn(8, *inputs)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []
