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


def upsampling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """A 4x4 transposed convolution from side n to side 2n."""
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)


def downsampling(inputs: int, outputs: int, before: tuple[int, int], after: tuple[int, int]) -> nn.Conv2d:
    """A convolution from one height and width to another. Each side is halved, by a 4x4 kernel, or kept, by 3x3."""
    kernel, stride = _kernel(before, after)
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=1)


def upsampling_to(inputs: int, outputs: int, before: tuple[int, int], after: tuple[int, int]) -> nn.ConvTranspose2d:
    """A transposed convolution: the mirror of `downsampling`, from its height and width back to those before it."""
    kernel, stride = _kernel(after, before)
    remainder = (after[0] - stride[0] * before[0], after[1] - stride[1] * before[1])  # 2n and 2n + 1 both halve to n
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride=stride, padding=1, output_padding=remainder)


def _kernel(large: tuple[int, int], small: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The height and width of a kernel, and its strides."""
    down, across = (large[0] != small[0], large[1] != small[1])
    return (3 + down, 3 + across), (1 + down, 1 + across)


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
