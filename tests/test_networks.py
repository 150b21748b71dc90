"""Networks: shapes for every image size, mirrors, and gradients that reach every parameter."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vae.model.burgess import conv_vae
from vae.model.linear import linear_vae
from vae.model.locatello import locatello_vae
from vae.model.mlp import mlp_vae
from vae.model.reset import reset_lost_latents


def widths(network: nn.Module) -> list[tuple[int, int]]:
    return [(layer.in_features, layer.out_features) for layer in network.modules() if isinstance(layer, nn.Linear)]


@torch.no_grad()
def there_and_back(vae, image) -> None:
    encoded = vae.encoder(torch.zeros(2, *image))
    assert encoded.shape == (2, 2 * vae.latent_dim)
    assert vae.decoder(encoded[:, : vae.latent_dim]).shape == (2, *image), image


@pytest.mark.parametrize("channels", [1, 3])
def test_conv_networks_take_every_side_there_and_back(channels):
    for side in (*range(8, 66), 127, 128):
        there_and_back(conv_vae((channels, side, side), 3, channels=2, width=4), (channels, side, side))


@pytest.mark.parametrize("image", [(1, 28, 28), (3, 5, 9), (2, 1, 1)])
@pytest.mark.parametrize("latent_dim", [1, 7])
def test_mlp_networks_take_any_image_there_and_back(image, latent_dim):
    there_and_back(mlp_vae(image, latent_dim, (6, 5)), image)


def test_an_mlp_without_hidden_layers_is_linear():
    vae = mlp_vae((1, 3, 3), 2, hidden=())
    there_and_back(vae, (1, 3, 3))
    z = torch.randn(5, 2)
    assert torch.allclose(vae.decoder(z) + vae.decoder(-z), 2 * vae.decoder(torch.zeros(5, 2)), atol=1e-5)


@pytest.mark.parametrize("image", [(1, 28, 28), (3, 5, 9), (1, 1, 6)])
def test_the_linear_network_has_linear_means_and_one_log_variance_for_all_images(image):
    vae = linear_vae(image, 4)
    there_and_back(vae, image)
    torch.nn.init.normal_(vae.encoder.bias.bias)
    x, y = torch.randn(2, 7, *image)
    origin, of_x, of_y, of_both = (vae.encode(images) for images in (0 * x, x, y, x + y))
    assert torch.allclose(of_both.mean, of_x.mean + of_y.mean - origin.mean, atol=1e-5)
    assert torch.equal(of_x.logvar, of_y.logvar)
    with torch.no_grad():
        vae.encoder.bias.bias[4:] = -50  # beyond the bounds of the log-variance
    assert torch.equal(reset_lost_latents(vae, vae.encode(x)).logvar, torch.zeros(7, 4))
    z = torch.randn(5, 4)
    assert torch.allclose(vae.decoder(z) + vae.decoder(-z), 2 * vae.decoder(0 * z), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(8, 150), st.integers(8, 150))
def test_conv_networks_take_rectangles_there_and_back(channels, height, width):
    there_and_back(conv_vae((channels, height, width), 3, channels=2, width=4), (channels, height, width))


def test_conv_networks_halve_the_longer_side_alone_when_the_shorter_is_4():
    vae = conv_vae((1, 8, 40), 2, channels=2, width=4)
    x = torch.zeros(1, 1, 8, 40)
    sizes = [tuple((x := layer(x)).shape[2:]) for layer in vae.encoder.convolutions]
    assert sizes == [(4, 20), (4, 10), (4, 5), (4, 2)]


@pytest.mark.parametrize("size", [(16, 16), (48, 48), (16, 64), (80, 32)])
def test_the_network_of_locatello_takes_sides_that_are_multiples_of_16(size):
    there_and_back(locatello_vae((3, *size), 4), (3, *size))


@pytest.mark.parametrize(
    ("make", "wrong", "message"),
    [
        (conv_vae, [(28, 7), (7, 28), (7, 7)], "images of height and width 8 or more, got {}x{}. Resize"),
        (locatello_vae, [(32, 20), (20, 32), (28, 28)], "sides of 16, 32, 48, ... pixels, got {}x{}. Resize"),
    ],
)
def test_convolutional_networks_refuse_images_they_do_not_take(make, wrong, message):
    for height, width in wrong:
        with pytest.raises(ValueError, match=message.format(height, width)):
            make((1, height, width), 2)


def test_the_decoder_has_the_widths_of_the_encoder_backwards_unless_it_is_given_its_own():
    vae = mlp_vae((1, 4, 4), 3, (10, 8))
    assert widths(vae.encoder) == [(16, 10), (10, 8), (8, 6)]
    assert widths(vae.decoder) == [(3, 8), (8, 10), (10, 16)]
    assert widths(mlp_vae((1, 4, 4), 3, (10, 8), decoder_hidden=(5, 7)).decoder) == [(3, 5), (5, 7), (7, 16)]


def test_64_pixels_make_the_architecture_of_burgess():
    vae = conv_vae((1, 64, 64), 10)
    convolutions = [layer for layer in vae.modules() if isinstance(layer, nn.Conv2d)]
    back = [layer for layer in vae.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in convolutions] == [32, 32, 32, 32]
    assert [layer.out_channels for layer in back] == [32, 32, 32, 1]
    assert all(layer.kernel_size == (4, 4) and layer.stride == (2, 2) for layer in convolutions + back)
    assert widths(vae.encoder) == [(512, 256), (256, 256), (256, 20)]
    assert widths(vae.decoder) == [(10, 256), (256, 256), (256, 512)]


@pytest.mark.parametrize(
    "make",
    [lambda **given: mlp_vae((1, 9, 9), 3, (8, 8), **given), lambda **given: conv_vae((1, 9, 9), 3, 4, 8, **given)],
    ids=["mlp", "conv"],
)
def test_outputs_are_unbounded_the_activation_is_used_and_every_parameter_is_reached(make):
    torch.manual_seed(0)
    vae = make()
    for network, inputs in ((vae.encoder, torch.randn(64, 1, 9, 9)), (vae.decoder, torch.randn(64, 3))):
        out = network(1e4 * inputs)
        assert out.min() < -10
        assert out.max() > 10
    smooth = make(activation=nn.Tanh)
    assert not any(isinstance(layer, nn.ReLU) for layer in smooth.modules())
    smooth.decoder(smooth.encoder(torch.randn(8, 1, 9, 9))[:, :3]).square().sum().backward()
    missed = [name for name, p in smooth.named_parameters() if p.grad is None or not p.grad.any()]
    assert missed == []
