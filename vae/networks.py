"""Encoders and decoders: tensors in, tensors out. What the numbers mean is `model`'s business.

An encoder takes images (batch, channels, height, width) to (batch, 2 * latent): means, then log-variances. A decoder
takes latents (batch, latent) to one number a pixel, and calls the layer that ends it `output`.
"""

import itertools
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae.divergences import at_hand

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


class MLPEncoder(nn.Module):
    """A fully connected encoder (Kingma & Welling, 2014, Appendix C.2).

    Args:
        image: (channels, height, width).
        latent_dim: the number of latents.
        hidden: widths of the hidden layers, from the image on.
        activation: makes the non-linearity.
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        latent_dim: int,
        hidden: Sequence[int],
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        channels, height, width = image
        self.layers = mlp([channels * height * width, *hidden, 2 * latent_dim], activation)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch two_latents"]:
        """Means, then log-variances."""
        out: Tensor = self.layers(x.flatten(1))
        return out


class MLPDecoder(nn.Module):
    """The mirror of `MLPEncoder`, with the same arguments."""

    def __init__(
        self,
        image: tuple[int, int, int],
        latent_dim: int,
        hidden: Sequence[int],
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        self.image = image
        channels, height, width = image
        backwards = list(reversed(hidden))
        self.layers = nn.Sequential(mlp([latent_dim, *backwards], activation), activation())
        self.output = nn.Linear(backwards[-1], channels * height * width)

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channels height width"]:
        """One number a pixel."""
        out: Tensor = self.output(self.layers(z))
        return out.view(-1, *self.image)


def halvings(side: int) -> list[int]:
    """The sides of the maps of 4x4 stride-2 convolutions, from `side` until it is at most 4.

    Example:
        >>> halvings(64), halvings(28)
        ([64, 32, 16, 8, 4], [28, 14, 7, 3])
    """
    sides = [side]
    while sides[-1] > 4:
        sides.append(sides[-1] // 2)
    return sides


class ConvEncoder(nn.Module):
    """The encoder of Burgess et al. (2018), "Understanding disentangling in beta-VAE".

    4x4 convolutions of stride 2 until the map's side is at most 4 (four for 64x64), then two fully connected layers.
    The paper does not say what they start with; here it is He's weights, by which the published curves of this network
    are met: torch's own, less than half as large, stay on a plateau for most of the first epoch of dSprites.

    Args:
        image: (channels, height, width), the image square.
        latent_dim: the number of latents.
        channels: of every convolution.
        width: of the two fully connected layers.
        activation: makes the non-linearity.
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        latent_dim: int,
        channels: int = 32,
        width: int = 256,
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        sides = _square_sides(image)
        inputs = [image[0]] + [channels] * (len(sides) - 2)
        convolutions = [nn.Sequential(nn.Conv2d(i, channels, 4, stride=2, padding=1), activation()) for i in inputs]
        self.convolutions = nn.Sequential(*convolutions)
        self.layers = mlp([channels * sides[-1] ** 2, width, width, 2 * latent_dim], activation)
        self.apply(start_as_he)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch two_latents"]:
        """Means, then log-variances."""
        out: Tensor = self.layers(self.convolutions(x).flatten(1))
        return out


class ConvDecoder(nn.Module):
    """The mirror of `ConvEncoder`, with the same arguments."""

    def __init__(
        self,
        image: tuple[int, int, int],
        latent_dim: int,
        channels: int = 32,
        width: int = 256,
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        sides = _square_sides(image)
        smallest = (channels, sides[-1], sides[-1])
        self.layers = nn.Sequential(
            mlp([latent_dim, width, width, channels * sides[-1] ** 2], activation),
            activation(),
            nn.Unflatten(1, smallest),
        )
        # A side of 2n and one of 2n + 1 both halve to n: the remainder says which one to come back to.
        remainders = [side % 2 for side in reversed(sides[:-1])]
        self.deconvolutions = nn.Sequential(
            *(nn.Sequential(_double(channels, channels, remainder), activation()) for remainder in remainders[:-1])
        )
        self.output = _double(channels, image[0], remainders[-1])
        self.apply(start_as_he)

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channels height width"]:
        """One number a pixel."""
        out: Tensor = self.output(self.deconvolutions(self.layers(z)))
        return out


class LocatelloEncoder(nn.Module):
    """The encoder of Locatello et al. (2019), Table 1: the last two convolutions are 2x2, one fully connected layer.

    Args:
        image: (channels, height, width), the image square, its side a multiple of 16; 64 in the paper.
        latent_dim: the number of latents.
    """

    def __init__(self, image: tuple[int, int, int], latent_dim: int) -> None:
        super().__init__()
        smallest = _sixteenth(image)
        self.layers = nn.Sequential(
            nn.Conv2d(image[0], 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 2, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * smallest**2, 256),
            nn.ReLU(),
            nn.Linear(256, 2 * latent_dim),
        )
        self.apply(start_as_glorot)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch two_latents"]:
        """Means, then log-variances."""
        out: Tensor = self.layers(x)
        return out


class LocatelloDecoder(nn.Module):
    """The decoder of Locatello et al. (2019), Table 1, with the same arguments."""

    def __init__(self, image: tuple[int, int, int], latent_dim: int) -> None:
        super().__init__()
        smallest = _sixteenth(image)
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 256),
            nn.ReLU(),
            nn.Linear(256, 64 * smallest**2),
            nn.ReLU(),
            nn.Unflatten(1, (64, smallest, smallest)),
            _double(64, 64, 0),
            nn.ReLU(),
            _double(64, 32, 0),
            nn.ReLU(),
            _double(32, 32, 0),
            nn.ReLU(),
        )
        self.output = _double(32, image[0], 0)
        self.apply(start_as_glorot)

    def forward(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channels height width"]:
        """One number a pixel."""
        out: Tensor = self.output(self.layers(z))
        return out


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


def _sixteenth(image: tuple[int, int, int]) -> int:
    _, height, width = image
    if height != width or height % 16:
        raise ValueError(
            f"the network of Locatello et al. needs square images, 16, 32, 48, ... pixels wide, got {height}x{width}. "
            "Resize the images, or use model=conv or model=mlp"
        )
    return height // 16


def _double(inputs: int, outputs: int, remainder: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, output_padding=remainder)


def _square_sides(image: tuple[int, int, int]) -> list[int]:
    _, height, width = image
    if height != width or height < 8:
        raise ValueError(
            f"the convolutional networks need square images of side 8 or more, got {height}x{width}. "
            "Resize the images or use model=mlp"
        )
    return halvings(height)
