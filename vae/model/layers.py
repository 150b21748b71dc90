"""Layers of several networks, and their initial weights."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn


def mlp(widths: Sequence[int], activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear layers with an activation between them. The widths include those of input and output."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def upsampling(inputs: int, outputs: int, remainder: int = 0) -> nn.ConvTranspose2d:
    """A 4x4 transposed convolution from side n to side 2n + remainder, which is 0 or 1."""
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, output_padding=remainder)


def start_as_he(layer: nn.Module) -> None:
    """He's uniform weights for ReLU, and biases of zero; for `nn.Module.apply`.

    He et al. (2015), "Delving Deep into Rectifiers", Eq. 10, with the fan-in as torch counts it.
    """
    _start(layer, partial(nn.init.kaiming_uniform_, nonlinearity="relu"))


def start_as_glorot(layer: nn.Module) -> None:
    """Glorot's uniform weights (Glorot & Bengio, 2010, Eq. 16), TensorFlow's default, and biases of zero."""
    _start(layer, nn.init.xavier_uniform_)


def _start(layer: nn.Module, weights: Callable[[Tensor], Tensor]) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        weights(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
