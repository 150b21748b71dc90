"""The configuration of a whole run: the keys of the root."""

from dataclasses import dataclass, field
from typing import Any

from vae.config.data import (
    Binarisation,
    CustomDataConfig,
    ImagesConfig,
    MnistConfig,
    SpritesConfig,
    check_grid,
    check_places,
)
from vae.config.model import GaussianConfig
from vae.config.rules import Choice, ConfigError, between, check_points, check_ranges


class Device(Choice):
    """Where the tensors live. `auto` takes CUDA, then MPS, then the CPU."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(Choice):
    """The number format of the networks' products; the rate, the likelihood and Adam are always fp32."""

    fp32 = "fp32"
    bf16 = "bf16"


class Optimizer(Choice):
    """What takes the steps, with the paper's other constants."""

    adam = "adam"
    adagrad = "adagrad"


class Between(Choice):
    """What a schedule does between its points."""

    line = "line"  # goes straight from one to the next
    hold = "hold"  # stays at the one before


@dataclass
class TrackingConfig:
    """What is shown and written while a run goes on."""

    tensorboard: bool
    progress: bool
    log_every_steps: int = field(metadata=between(1, 10**9))
    save_every_steps: int | None = field(metadata=between(1, 10**9))
    save_every_seconds: float | None = field(metadata=between(0, 10**6))


@dataclass
class Config:
    """A whole run."""

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
    tracking: TrackingConfig
    data: Any  # of these four, one of `vae.config.options.OPTIONS`
    likelihood: Any
    model: Any
    objective: Any

    def __post_init__(self) -> None:
        """Refuse what no run could mean.

        Raises:
            ConfigError: a value outside its range, or two values that contradict each other.
        """
        check_ranges(self)
        check_places(vars(self.data))
        if self.logvar_min >= self.logvar_max:
            raise ConfigError(
                f"logvar_min must be below logvar_max, got {self.logvar_min:g} and {self.logvar_max:g}. "
                "The defaults are -10 and 10"
            )
        check_points(
            *("learning_rate_epochs", self.learning_rate_epochs),
            *("learning_rate_factors", self.learning_rate_factors),
        )
        self.objective.check(self.beta, self.beta_warmup_steps)
        gaussian = isinstance(self.likelihood, GaussianConfig)
        drawn = (
            isinstance(self.data, MnistConfig | ImagesConfig | CustomDataConfig)
            and self.data.binarisation is not Binarisation.none
        )
        if gaussian and drawn:
            raise ConfigError(
                "likelihood=gaussian needs grey pixels, got "
                f"data.binarisation={self.data.binarisation.value}. Add data.binarisation=none"
            )
        if self.early_stopping_epochs is not None and self.data.validation_size == 0:
            raise ConfigError(
                "early_stopping_epochs needs validation images, got data.validation_size=0. "
                "Keep some, or set early_stopping_epochs=null"
            )
        if self.early_stopping_epochs is not None and self.early_stopping_epochs < self.evaluate_every_epochs:
            raise ConfigError(
                f"early_stopping_epochs must be {self.evaluate_every_epochs} or more with "
                f"evaluate_every_epochs={self.evaluate_every_epochs}, got {self.early_stopping_epochs}. Raise it"
            )
        if isinstance(self.data, SpritesConfig):
            check_grid(self.data)
