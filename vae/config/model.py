"""The configuration of the network and of the likelihood."""

from dataclasses import dataclass, field
from typing import Any

from vae.config.rules import Choice, between


class Start(Choice):
    """The weights that training starts from."""

    torch = "torch"  # torch's own: a third as large as Glorot's, in variance, in a square layer; and random biases
    glorot = "glorot"  # Glorot & Bengio (2010), and no biases


class Activation(Choice):
    """The non-linearity between the layers."""

    relu = "relu"
    tanh = "tanh"
    silu = "silu"
    gelu = "gelu"


@dataclass
class MLPConfig:
    """Fully connected encoder, and its mirror as the decoder where no other is given."""

    latent_dim: int = field(metadata=between(1, 10_000))
    hidden: list[int] = field(metadata=between(1, 100_000))
    activation: Activation
    decoder_hidden: list[int] | None = field(metadata=between(1, 100_000))
    decoder_activation: Activation | None
    start: Start


@dataclass
class ConvConfig:
    """The convolutions of Burgess et al. (2018), with as many as the image's side takes."""

    latent_dim: int = field(metadata=between(1, 10_000))
    channels: int = field(metadata=between(1, 4_096))
    width: int = field(metadata=between(1, 100_000))
    activation: Activation


@dataclass
class LocatelloConfig:
    """The convolutions of Locatello et al. (2019)."""

    latent_dim: int = field(metadata=between(1, 10_000))


@dataclass
class BernoulliConfig:
    """Pixels are 0 or 1."""


@dataclass
class GaussianConfig:
    """Pixels are real numbers around the decoder's mean; one variance for all of them."""

    variance: float = field(metadata=between(1e-6, 1e6))
    learned: bool


@dataclass
class CustomModelConfig:
    """Networks of the user's own, each named by module and name: `my_nets:encoder`."""

    latent_dim: int = field(metadata=between(1, 10_000))
    encoder: str
    decoder: str
    options: dict[str, Any]


LikelihoodConfig = BernoulliConfig | GaussianConfig
ModelConfig = MLPConfig | ConvConfig | LocatelloConfig | CustomModelConfig
