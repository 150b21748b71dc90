"""Rounding of weights: within the tolerance, in few bytes, and better than rounding each weight alone."""

import numpy as np
import pytest
import torch
from torch import Tensor

from vae.config import ConfigError
from vae.model.burgess import conv_vae
from vae.model.mlp import mlp_vae
from vae.pages.networks import Layer, computed, layers_of
from vae.pages.rounding import carry, difference, in_steps, rounded


def same(output: Tensor) -> Tensor:
    return output


@pytest.fixture(scope="module")
def images() -> Tensor:
    """200 smooth images: their pixels depend on one another, as those of pictures do."""
    coarse = torch.rand(200, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (12, 12), mode="bilinear")


def encoder_of(kind: str) -> list[Layer]:
    torch.manual_seed(0)
    vae = mlp_vae((1, 12, 12), 4, (24,)) if kind == "mlp" else conv_vae((1, 12, 12), 4, 4, 16)
    return layers_of(vae.encoder, "encoder")


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
@torch.no_grad()
def test_results_stay_within_the_tolerance(kind, tolerance, images):
    layers = encoder_of(kind)
    exact = computed(layers, images)
    found = rounded(layers, images, same, exact, tolerance)
    error = difference(computed(found.layers, images), exact)
    assert 0 < error <= tolerance
    assert found.error == pytest.approx(error)


@torch.no_grad()
def test_a_wider_tolerance_takes_fewer_bytes_and_steps_are_no_finer_than_they_must_be(images):
    layers = encoder_of("mlp")
    exact = computed(layers, images)
    sizes = [len(rounded(layers, images, same, exact, tolerance).content) for tolerance in (1e-5, 1e-3, 1e-1)]
    assert sizes[0] > sizes[1] > sizes[2]
    assert rounded(layers, images, same, exact, 1e-3).error > 1e-4  # most of the tolerance is used


@torch.no_grad()
def test_the_bytes_are_the_weights_and_the_biases_in_their_order(images):
    layers = encoder_of("conv")
    found = rounded(layers, images, same, computed(layers, images), 1e-3)
    place = 0
    for layer, plain, before in zip(found.layers, found.plain, layers, strict=True):
        if layer.weight is None:
            assert plain == before.plain
            continue
        assert plain == {**before.plain, "step": plain["step"], "planes": plain["planes"]}
        planes, count, outputs = plain["planes"], layer.weight.numel(), layer.bias.numel()
        rows = np.frombuffer(found.content, np.uint8, planes * count, place).reshape(planes, count).astype(np.int64)
        whole = sum(row * 256 ** (planes - 1 - k) for k, row in enumerate(rows)) - 2 ** (8 * planes - 1)
        assert np.allclose(whole * plain["step"], layer.weight.flatten().numpy(), rtol=1e-6, atol=0)
        place += planes * count
        assert np.array_equal(np.frombuffer(found.content, "<f4", outputs, place), layer.bias.numpy())
        place += 4 * outputs
    assert place == len(found.content)


@torch.no_grad()
def test_an_error_that_is_carried_over_is_smaller_than_without(images):
    (layer,) = [layer for layer in encoder_of("mlp") if layer.weight is not None][:1]
    x = images.flatten(1)
    exact = computed([layer], x)
    for step in (0.01, 0.03):
        alone = computed([in_steps(layer, step, None)], x) - exact
        carried = computed([in_steps(layer, step, carry(x))], x) - exact
        assert float(carried.square().mean()) < 0.2 * float(alone.square().mean())
    whole = in_steps(layer, 0.03, carry(x)).weight / 0.03
    assert torch.allclose(whole, whole.round(), atol=1e-3)


@torch.no_grad()
def test_a_step_much_smaller_than_the_weights_changes_next_to_nothing(images):
    (layer,) = [layer for layer in encoder_of("mlp") if layer.weight is not None][:1]
    found = in_steps(layer, 1e-6, carry(images))
    assert float((found.weight - layer.weight).abs().max()) < 1e-4


@torch.no_grad()
def test_weights_of_zero_are_rounded(images):
    layers = [
        Layer(layer.plain, layer.weight * 0, layer.bias) if layer.weight is not None else layer
        for layer in encoder_of("mlp")
    ]
    assert rounded(layers, images, same, computed(layers, images), 1e-3).error < 1e-6


@torch.no_grad()
def test_constant_inputs_are_rounded():
    layers = encoder_of("mlp")
    x = torch.full((20, 1, 12, 12), 0.5)
    assert rounded(layers, x, same, computed(layers, x), 1e-3).error <= 1e-3


@torch.no_grad()
def test_layers_that_compute_something_else_are_refused(images):
    layers = encoder_of("mlp")
    with pytest.raises(
        ConfigError, match=r"the page must compute what torch does within 0\.001, .* got 0\.1\. Use traverse"
    ):
        rounded(layers, images, same, computed(layers, images) + 0.1, 1e-3)


@torch.no_grad()
def test_layers_whose_shapes_do_not_follow_one_another_are_refused(images):
    """A linear layer of torch takes the last axis alone."""
    network = torch.nn.Sequential(torch.nn.Linear(12, 2), torch.nn.Flatten())
    with pytest.raises(ConfigError, match="its layers one after another, got inf"):
        rounded(layers_of(network, "encoder"), images, same, network(images), 1e-3)


@torch.no_grad()
def test_numbers_that_are_not_finite_are_refused(images):
    layers = encoder_of("mlp")
    with pytest.raises(ConfigError, match="got inf"):
        rounded(layers, images, lambda output: output / 0, computed(layers, images), 1e-3)


def test_whole_numbers_that_are_too_large_are_refused():
    layers = [Layer({"kind": "linear", "inputs": 2, "outputs": 1}, torch.tensor([[1e12, 1.0]]), torch.zeros(1))]
    with pytest.raises(ConfigError, match=r"cannot be rounded"):
        rounded(layers, torch.tensor([[0.0, 1.0], [0.0, 0.5]]), same, torch.tensor([[1.0], [0.5]]), 1e-6)


def test_differences_of_large_numbers_count_less():
    assert difference(torch.tensor([1.5, 30.0]), torch.tensor([1.0, 30.25])) == 0.5
    assert difference(torch.tensor([5001.0]), torch.tensor([5000.0])) == pytest.approx(0.01)
    assert difference(torch.tensor([float("nan")]), torch.tensor([1.0])) == float("inf")
