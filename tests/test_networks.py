"""Networks: shapes for every image size, mirrors, and gradients that reach every parameter."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vae.model.burgess import ConvDecoder, ConvEncoder, halvings
from vae.model.layers import RowwiseLinear, mlp
from vae.model.mlp import MLPDecoder, MLPEncoder


def widths(layers: nn.Module) -> list[tuple[int, int]]:
    return [(layer.in_features, layer.out_features) for layer in layers.modules() if isinstance(layer, nn.Linear)]


@given(st.integers(5, 10_000))
def test_halvings_go_from_the_side_down_to_at_most_four(side):
    sides = halvings(side)
    assert sides[0] == side
    assert all(after == before // 2 for before, after in itertools.pairwise(sides))
    assert 2 <= sides[-1] <= 4 < sides[-2]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_conv_networks_take_every_side_there_and_back(channels):
    for side in range(8, 129):
        image = (channels, side, side)
        encoder, decoder = ConvEncoder(image, 3, channels=2, width=4), ConvDecoder(image, 3, channels=2, width=4)
        with torch.no_grad():
            encoded = encoder(torch.zeros(2, *image))
            decoded = decoder(encoded[:, :3])
        assert encoded.shape == (2, 6), side
        assert decoded.shape == (2, *image), side


@pytest.mark.parametrize("image", [(1, 28, 28), (3, 5, 9), (2, 1, 1)])
@pytest.mark.parametrize("latent_dim", [1, 7])
@pytest.mark.parametrize("batch", [1, 4])
def test_mlp_networks_take_any_image_there_and_back(image, latent_dim, batch):
    encoded = MLPEncoder(image, latent_dim, (6, 5))(torch.zeros(batch, *image))
    assert encoded.shape == (batch, 2 * latent_dim)
    assert MLPDecoder(image, latent_dim, (6, 5))(encoded[:, :latent_dim]).shape == (batch, *image)


@pytest.mark.parametrize("network", [ConvEncoder, ConvDecoder])
@pytest.mark.parametrize(("height", "width"), [(28, 32), (32, 28), (7, 7)])
def test_conv_networks_refuse_images_that_are_not_square_or_too_small(network, height, width):
    with pytest.raises(ValueError, match=f"square images of side 8 or more, got {height}x{width}. Resize"):
        network((1, height, width), 2)


def test_the_decoder_has_the_widths_of_the_encoder_backwards():
    assert widths(MLPEncoder((1, 4, 4), 3, (10, 8))) == [(16, 10), (10, 8), (8, 6)]
    assert widths(MLPDecoder((1, 4, 4), 3, (10, 8))) == [(3, 8), (8, 10), (10, 16)]


def test_64_pixels_make_the_architecture_of_burgess():
    encoder, decoder = ConvEncoder((1, 64, 64), 10), ConvDecoder((1, 64, 64), 10)
    convolutions = [layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d)]
    back = [layer for layer in decoder.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in convolutions] == [32, 32, 32, 32]
    assert [layer.out_channels for layer in back] == [32, 32, 32, 1]
    assert all(layer.kernel_size == (4, 4) and layer.stride == (2, 2) for layer in convolutions + back)
    assert widths(encoder) == [(512, 256), (256, 256), (256, 20)]
    assert widths(decoder) == [(10, 256), (256, 256), (256, 512)]


def test_no_activation_follows_the_last_layer():
    layers = mlp([3, 5, 5, 2], nn.Tanh)
    assert [type(layer) for layer in layers] == [RowwiseLinear, nn.Tanh, RowwiseLinear, nn.Tanh, RowwiseLinear]


@pytest.mark.parametrize("make", [MLPEncoder, MLPDecoder, ConvEncoder, ConvDecoder])
def test_the_output_of_every_network_is_unbounded_on_both_sides(make):
    arguments = ((8,),) if make in (MLPEncoder, MLPDecoder) else (8, 8)
    network = make((1, 8, 8), 2, *arguments)
    inputs = torch.randn(64, *((1, 8, 8) if make in (MLPEncoder, ConvEncoder) else (2,)))
    with torch.no_grad():
        out = network(1e4 * inputs)
    assert out.min() < -10
    assert out.max() > 10


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (MLPEncoder((1, 9, 9), 3, (8, 8), nn.Tanh), (1, 9, 9)),
        (MLPDecoder((1, 9, 9), 3, (8, 8), nn.Tanh), (3,)),
        (ConvEncoder((1, 9, 9), 3, 4, 8, nn.Tanh), (1, 9, 9)),
        (ConvDecoder((1, 9, 9), 3, 4, 8, nn.Tanh), (3,)),
    ],
    ids=["mlp encoder", "mlp decoder", "conv encoder", "conv decoder"],
)
def test_the_activation_is_used_and_every_parameter_is_reached(network, inputs):
    torch.manual_seed(0)
    assert not any(isinstance(layer, nn.ReLU) for layer in network.modules())
    network(torch.randn(8, *inputs)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


# The rows of the weights


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("batch", [0, 1, 31, 32, 100])
def test_a_product_by_rows_is_the_product_and_so_are_its_gradients(batch):
    torch.set_float32_matmul_precision("highest")
    ours, plain = RowwiseLinear(20, 32), nn.Linear(20, 32)
    plain.load_state_dict(ours.state_dict())
    x, direction = torch.randn(batch, 20), torch.randn(batch, 32)
    found = []
    for layer in (ours, plain):
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        y.backward(direction)
        found.append([y.detach(), leaf.grad, *(parameter.grad for parameter in layer.parameters())])
    torch.testing.assert_close(*found)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("threads", "batch", "precision", "by_rows"),
    [(2, 31, "highest", True), (2, 32, "highest", False), (1, 31, "highest", False), (2, 31, "medium", False)],
)
def test_a_product_goes_by_rows_where_the_weight_is_larger_and_threads_of_mkl_share_it(
    threads, batch, precision, by_rows
):
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)  # "medium" leaves it to oneDNN
    y = RowwiseLinear(20, 32)(torch.randn(batch, 20))
    assert (y.stride() == (1, batch)) is by_rows
