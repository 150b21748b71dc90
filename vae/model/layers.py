"""Layers that several networks are made of, and the weights they start with."""

import itertools
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae.probability.finite import at_hand

Activation = Callable[[], nn.Module]


class RowwiseLinear(nn.Linear):
    """`nn.Linear`, whose product threads share out by the rows of the weight, where that is the larger factor.

    x W^T they share out by images: each reads all the weights, and before the optimiser's threads can move them every
    other core must give up its copy. Of W x^T each reads the rows that it will move. With MKL's products a step of 128
    images takes some 3 % less by it on Zen 4 (six processes: from 8 % less to 1 % more), no less on Intel. A lone
    thread would lose 2 % by it, and two 2 % where oneDNN makes the products (`choose_library`): there they are left as
    they are.
    """

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """W x + b of each."""
        if at_hand(x) and shared_out_by_mkl() and len(x) < self.out_features:
            return torch.addmm(self.bias.unsqueeze(1), self.weight, x.t()).t()
        return super().forward(x)


def shared_out_by_mkl() -> bool:
    """Whether several threads share a product out, and MKL tells each its part."""
    return torch.get_num_threads() > 1 and torch.get_float32_matmul_precision() == "highest"


def mlp(widths: Sequence[int], activation: Activation) -> nn.Sequential:
    """Linear layers of these widths, input and output included, with the activation between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [RowwiseLinear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def start_as_he(layer: nn.Module) -> None:
    """He's uniform weights for layers with ReLU, as torch counts the inputs of a layer, and no biases.

    He et al. (2015), "Delving Deep into Rectifiers", Eq. 10: linear layers and convolutions keep the size of a signal.
    torch counts a transposed convolution's outputs instead: of stride 2 and 4x4 it halves the signal.
    """
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def start_as_glorot(layer: nn.Module) -> None:
    """Glorot's uniform weights and no biases, with which TensorFlow's layers start (Glorot & Bengio, 2010, Eq. 16)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _double(inputs: int, outputs: int, remainder: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, output_padding=remainder)
