"""The configuration of a whole run: the keys of the root."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vae.config.data import (
    Binarisation,
    ImagesConfig,
    SpritesConfig,
    TableConfig,
    check_grid,
    check_pictures,
    check_places,
    check_sizes,
)
from vae.config.model import GaussianConfig, check_model_of_table, check_variances
from vae.config.objective import check_gates, check_objective
from vae.config.rules import ConfigError, between, check_points, check_ranges


class Device(StrEnum):
    """The device of the tensors. `auto` is CUDA if there is one, else MPS, else the CPU."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(StrEnum):
    """The number format of matrix multiplications in the networks. The rest is always fp32."""

    fp32 = "fp32"
    bf16 = "bf16"


class Optimizer(StrEnum):
    """The optimizer of the networks."""

    adam = "adam"
    adagrad = "adagrad"


class Between(StrEnum):
    """The value of a schedule between its points."""

    line = "line"  # linear from one point to the next
    hold = "hold"  # that of the point before


@dataclass
class TrackingConfig:
    """What is shown, logged and saved during a run."""

    tensorboard: bool
    details: bool | None
    progress: bool
    log_every_steps: int = field(metadata=between(1, 10**9))
    save_every_steps: int | None = field(metadata=between(1, 10**9))
    save_every_seconds: float | None = field(metadata=between(0, 10**6))
    explorer: bool


@dataclass
class Config:
    """The configuration of a run. `configs/config.yaml` says what each key means, with its unit."""

    beta: float = field(metadata=between(0, 1e6))
    beta_warmup_steps: int = field(metadata=between(0, 10**9))
    seed: int = field(metadata=between(0, 2**31 - 1))
    epochs: int = field(metadata=between(1, 1_000_000))
    batch_size: int = field(metadata=between(1, 60_000))
    optimizer: Optimizer
    adam_epsilon: float = field(metadata=between(0, 1, above=True))
    learning_rate: float = field(metadata=between(0, 10, above=True))
    learning_rate_epochs: list[int] | None = field(metadata=between(0, 1_000_000))
    learning_rate_factors: list[float] | None = field(metadata=between(0, 1e6))
    learning_rate_between: Between
    gradient_norm_limit: float | None = field(metadata=between(0, 1e9, above=True))
    evaluate_every_epochs: int = field(metadata=between(1, 1_000_000))
    early_stopping_epochs: int | None = field(metadata=between(1, 1_000_000))
    logvar_min: float = field(metadata=between(-80, 80))
    logvar_max: float = field(metadata=between(-80, 80))
    device: Device
    threads: int | None = field(metadata=between(1, 1_024))
    precision: Precision
    compile: bool
    disentanglement: bool
    metrics: list[str]
    resume: str | None
    sweep: str | None
    tracking: TrackingConfig
    data: Any  # this and the following: a dataclass of `vae.config.options.OPTIONS`
    likelihood: Any
    model: Any
    objective: Any

    def __post_init__(self) -> None:
        """Check all values.

        Raises:
            ConfigError: a value is outside its range, or two values contradict each other.
        """
        check_ranges(self)
        check_places(vars(self.data))
        check_sizes(self.data)
        if self.sweep is not None:
            check_sweep(self.sweep)
        if self.logvar_min >= self.logvar_max:
            raise ConfigError(
                f"logvar_min must be below logvar_max, got {self.logvar_min:g} and {self.logvar_max:g}. "
                "The defaults are -10 and 10"
            )
        epochs, factors = self.learning_rate_epochs, self.learning_rate_factors
        check_points("learning_rate_epochs", epochs, "learning_rate_factors", factors)
        check_objective(self.objective, self.beta, self.beta_warmup_steps)
        check_gates(self.objective, self.model, self.likelihood)
        binarisation = getattr(self.data, "binarisation", Binarisation.none)  # not all data can be binarised
        if isinstance(self.likelihood, GaussianConfig) and binarisation is not Binarisation.none:
            raise ConfigError(
                f"a Gaussian likelihood needs grey pixels, got data.binarisation={binarisation}. "
                "Add likelihood=bernoulli, or data.binarisation=none"
            )
        if isinstance(self.likelihood, GaussianConfig):
            check_variances(self.likelihood)
        if self.early_stopping_epochs is not None:
            if self.data.validation_size == 0:
                raise ConfigError(
                    "early_stopping_epochs needs validation images, got data.validation_size=0. "
                    "Keep some, or set early_stopping_epochs=null"
                )
            if self.early_stopping_epochs < self.evaluate_every_epochs:
                raise ConfigError(
                    f"early_stopping_epochs must be {self.evaluate_every_epochs} or more with "
                    f"evaluate_every_epochs={self.evaluate_every_epochs}, got {self.early_stopping_epochs}. Raise it"
                )
        if isinstance(self.data, SpritesConfig):
            check_grid(self.data)
        if isinstance(self.data, ImagesConfig):
            check_pictures(self.data)
        if isinstance(self.data, TableConfig):
            check_model_of_table(self.model, self.likelihood)


def check_sweep(name: str) -> None:
    """Check that a folder can have this name.

    Raises:
        ConfigError: it cannot.
    """
    if name in ("", ".", "..") or "/" in name or not name.isprintable() or len(name.encode(errors="replace")) > 255:
        shown = ascii(name[:40])[1:-1] or "an empty name"
        raise ConfigError(
            f"sweep must be the name of a folder in outputs, without / and of at most 255 bytes, got {shown}. "
            "Take a plain word"
        )
