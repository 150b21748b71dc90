"""A network as a list of plain layers, which a page can compute."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vae.config import ConfigError
from vae.model.heads import GaussianHead
from vae.model.linear import LinearEncoder
from vae.model.vae import VAE
from vae.probability.distributions import bound_logvar

ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.SiLU: "silu", nn.GELU: "gelu"}
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "gelu": functional.gelu,
}


@dataclass(frozen=True)
class Layer:
    """A layer without its numbers, and the numbers.

    Attributes:
        plain: what it computes, as plain data for JSON: `kind` and the sizes.
        weight: in torch's layout. None if the layer has no numbers.
        bias: one for each output. None likewise.
    """

    plain: dict[str, Any]
    weight: Tensor | None = None
    bias: Tensor | None = None


def layers_of(network: object, name: str) -> list[Layer]:
    """The layers of an encoder or a decoder, in their order.

    Args:
        network: made of the layers of this package's networks.
        name: of the network, for the error.

    Raises:
        ConfigError: it has a layer that the page does not know.
    """
    return list(_layers(network, name))


def _layers(part: object, name: str) -> Iterator[Layer]:
    match part:
        case nn.Sequential():
            for child in part:
                yield from _layers(child, name)
        case nn.Flatten() | nn.Identity():
            pass
        case nn.Unflatten():
            yield Layer({"kind": "shape", "shape": list(part.unflattened_size)})
        case nn.Linear():
            yield _linear(part.weight, part.bias)
        case LinearEncoder():
            yield _linear(torch.cat([part.mean.weight, torch.zeros_like(part.mean.weight)]), part.bias.bias)
        case nn.Conv2d() if _is_plain(part):
            yield Layer({"kind": "convolution", **_sizes(part)}, part.weight, _bias(part))
        case nn.ConvTranspose2d() if _is_plain(part):
            remainder = list(part.output_padding)
            yield Layer(
                {"kind": "transposedConvolution", **_sizes(part), "outputPadding": remainder},
                part.weight,
                _bias(part),
            )
        case nn.GELU() if part.approximate != "none":
            raise _unknown(part, name)
        case nn.Module() if type(part) in ACTIVATIONS:
            yield Layer({"kind": ACTIVATIONS[type(part)]})
        case _:
            raise _unknown(part, name)


def _unknown(part: object, name: str) -> ConfigError:
    return ConfigError(
        f"the explorer computes linear layers, convolutions, ReLU, tanh, SiLU and GELU, got {type(part).__name__} in "
        f"the {name}. Use traverse or evaluate for this run"
    )


def _linear(weight: Tensor, bias: Tensor | None) -> Layer:
    outputs, inputs = weight.shape
    return Layer(
        {"kind": "linear", "inputs": inputs, "outputs": outputs},
        weight,
        weight.new_zeros(outputs) if bias is None else bias,
    )


def _is_plain(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    in_numbers = not isinstance(layer.padding, str)
    return in_numbers and layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"


def _sizes(layer: nn.Conv2d | nn.ConvTranspose2d) -> dict[str, Any]:
    assert not isinstance(layer.padding, str)
    return {
        "inputs": layer.in_channels,
        "outputs": layer.out_channels,
        "kernel": list(layer.kernel_size),
        "stride": list(layer.stride),
        "padding": list(layer.padding),
    }


def _bias(layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    return layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias


def computed(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """The output of the layers for a batch: the definition of what a page computes."""
    for layer in layers:
        plain, weight, bias = layer.plain, layer.weight, layer.bias
        match plain["kind"]:
            case "shape":
                x = x.unflatten(1, plain["shape"])
            case "linear":
                assert weight is not None
                x = functional.linear(x.flatten(1), weight, bias)
            case "convolution":
                assert weight is not None
                x = functional.conv2d(x, weight, bias, plain["stride"], plain["padding"])
            case "transposedConvolution":
                assert weight is not None
                x = functional.conv_transpose2d(
                    x, weight, bias, plain["stride"], plain["padding"], plain["outputPadding"]
                )
            case activation:
                x = FUNCTIONS[activation](x)
    return x


def likelihood_of(vae: VAE) -> tuple[dict[str, Any], Tensor | None]:
    """The likelihood as plain data, and the log-variance of each pixel of a Gaussian with one for each."""
    if not isinstance(vae.head, GaussianHead):
        return {"kind": "bernoulli"}, None
    logvar = vae.head.logvar.detach()
    logvar = bound_logvar(logvar, vae.head.bounds) if vae.head.learned else logvar
    if logvar.ndim == 0:
        return {"kind": "gaussian", "logvar": float(logvar)}, None
    return {"kind": "gaussian", "logvar": None}, logvar.flatten()
