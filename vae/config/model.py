"""The configuration of the network and of the likelihood."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vae.config.rules import ConfigError, between


class Start(StrEnum):
    """The initial weights and biases."""

    torch = "torch"  # the defaults of torch.nn.Linear
    glorot = "glorot"  # weights of Glorot & Bengio (2010), biases 0


class Activation(StrEnum):
    """The non-linearity between the layers."""

    relu = "relu"
    tanh = "tanh"
    silu = "silu"
    gelu = "gelu"


@dataclass
class MLPConfig:
    """Fully connected encoder and decoder. Without `decoder_hidden` the decoder mirrors the encoder."""

    latent_dim: int = field(metadata=between(1, 10_000))
    hidden: list[int] = field(metadata=between(1, 100_000))
    activation: Activation
    decoder_hidden: list[int] | None = field(metadata=between(1, 100_000))
    decoder_activation: Activation | None
    start: Start


@dataclass
class ConvConfig:
    """The convolutions of Burgess et al. (2018). Their number depends on the size of the image."""

    latent_dim: int = field(metadata=between(1, 10_000))
    channels: int = field(metadata=between(1, 4_096))
    width: int = field(metadata=between(1, 100_000))
    activation: Activation


@dataclass
class LocatelloConfig:
    """The convolutions of Locatello et al. (2019)."""

    latent_dim: int = field(metadata=between(1, 10_000))


@dataclass
class LinearConfig:
    """Linear encoder and decoder, as in Lucas et al. (2019)."""

    latent_dim: int = field(metadata=between(1, 10_000))


@dataclass
class BernoulliConfig:
    """Pixels are 0 or 1."""


class Variances(StrEnum):
    """How many variances a Gaussian likelihood has."""

    one = "one"  # for all pixels
    each = "each"  # for each pixel, or each column of a table; learned


@dataclass
class GaussianConfig:
    """Pixels are real numbers, normal around the decoder's mean. Their variances are the same for all images."""

    variance: float = field(metadata=between(1e-6, 1e6))
    learned: bool
    variances: Variances


def check_variances(likelihood: GaussianConfig) -> None:
    """Refuse a fixed variance of each pixel, which would be one value for all.

    Raises:
        ConfigError: the variances are not learned.
    """
    if likelihood.variances is Variances.each and not likelihood.learned:
        raise ConfigError(
            "likelihood.variances=each needs learned variances, got likelihood.learned=false. "
            "Add likelihood.learned=true, or likelihood.variances=one"
        )


@dataclass
class CustomModelConfig:
    """Networks of the user's own, each named by module and name: `my_nets:encoder`."""

    latent_dim: int = field(metadata=between(1, 10_000))
    encoder: str
    decoder: str
    options: dict[str, Any]


LikelihoodConfig = BernoulliConfig | GaussianConfig
ModelConfig = MLPConfig | ConvConfig | LocatelloConfig | LinearConfig | CustomModelConfig


def check_model_of_table(model: ModelConfig, likelihood: LikelihoodConfig) -> None:
    """Refuse convolutions and a Bernoulli likelihood for the rows of a table.

    Raises:
        ConfigError: one of them is chosen.
    """
    if isinstance(likelihood, BernoulliConfig):
        raise ConfigError(
            "data=table needs a Gaussian likelihood, as its columns are no pixels of 0 and 1, got bernoulli. "
            "Add likelihood=gaussian_columns"
        )
    if isinstance(model, ConvConfig | LocatelloConfig):
        name = "conv" if isinstance(model, ConvConfig) else "locatello"
        raise ConfigError(
            f"data=table needs model=mlp, linear or custom, as a row has no neighbouring pixels, got {name}. "
            "Add model=mlp"
        )
