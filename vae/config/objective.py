"""The configuration of the objective.

Each option has a dataclass. Its `check` refuses a value of the root that the objective would not use.
"""

from dataclasses import dataclass, field
from typing import Any

from vae.config.rules import Choice, ConfigError, between, check_points

WEIGHT = between(0, 1e6)


class Covariance(Choice):
    """What DIP-VAE decorrelates."""

    means = "means"  # the posterior means: DIP-VAE-I
    aggregate = "aggregate"  # z ~ q(z): DIP-VAE-II


@dataclass
class BetaConfig:
    """Beta is the factor of the rate."""

    cycles: int = field(metadata=between(1, 10_000))
    at_steps: list[int] | None = field(metadata=between(0, 10**9))
    factors: list[float] | None = field(metadata=WEIGHT)

    def check(self, beta: float, warmup_steps: int) -> None:  # noqa: ARG002
        """Refuse schedules that contradict each other.

        Raises:
            ConfigError: one line.
        """
        steps = self.at_steps
        check_points("objective.at_steps", steps, "objective.factors", self.factors)
        if steps and (warmup_steps > 0 or self.cycles > 1):
            raise ConfigError(
                f"objective.at_steps is a schedule of its own, got beta_warmup_steps={warmup_steps} and "
                f"objective.cycles={self.cycles} too. Leave these out"
            )
        if self.cycles > 1 and warmup_steps == 0:
            raise ConfigError(
                f"objective.cycles repeats the warm-up, got objective.cycles={self.cycles} without one. "
                "Set beta_warmup_steps, the length of half a cycle"
            )


@dataclass
class CapacityConfig:
    """The rate is held at a capacity that grows."""

    gamma: float = field(metadata=WEIGHT)
    c_min: float = field(metadata=between(0, 1e4))
    c_max: float = field(metadata=between(0, 1e4))
    steps: int = field(metadata=between(0, 10**9))

    def check(self, beta: float, warmup_steps: int) -> None:
        """Refuse a beta that would not be read.

        Raises:
            ConfigError: one line.
        """
        _refuse_beta("capacity", "weighs the rate by objective.gamma", beta, warmup_steps)


@dataclass
class TotalCorrelationConfig:
    """Beta is the factor of the total correlation."""

    alpha: float = field(metadata=WEIGHT)
    gamma: float = field(metadata=WEIGHT)
    stratified: bool

    def check(self, beta: float, warmup_steps: int) -> None:
        """Every root key is read."""


@dataclass
class FactorConfig:
    """Beta is the factor of the rate, gamma that of the total correlation."""

    gamma: float = field(metadata=WEIGHT)
    hidden: list[int] = field(metadata=between(1, 100_000))
    learning_rate: float = field(metadata=between(0, 10, above=True))

    def check(self, beta: float, warmup_steps: int) -> None:
        """Every root key is read."""


@dataclass
class DipConfig:
    """Beta is the factor of the rate."""

    covariance: Covariance
    lambda_od: float = field(metadata=WEIGHT)
    lambda_d: float = field(metadata=WEIGHT)

    def check(self, beta: float, warmup_steps: int) -> None:
        """Every root key is read."""


@dataclass
class FreeBitsConfig:
    """Beta is the factor of the rate above the free nats."""

    free_nats: float = field(metadata=between(0, 1e3))

    def check(self, beta: float, warmup_steps: int) -> None:
        """Every root key is read."""


@dataclass
class TargetRateConfig:
    """A controller chooses beta."""

    rate: float = field(metadata=between(0, 1e4, above=True))
    proportional: float = field(metadata=between(0, 10))
    integral: float = field(metadata=between(0, 1, above=True))

    def check(self, beta: float, warmup_steps: int) -> None:
        """Refuse a beta that would not be read.

        Raises:
            ConfigError: one line.
        """
        _refuse_beta("target_rate", "chooses beta itself", beta, warmup_steps)


@dataclass
class ImportanceWeightedConfig:
    """Sampled weights, without a beta."""

    samples: int = field(metadata=between(1, 10_000))

    def check(self, beta: float, warmup_steps: int) -> None:
        """Refuse a beta that would not be read.

        Raises:
            ConfigError: one line.
        """
        _refuse_beta("importance_weighted", "bounds ln p(x) at beta 1 only", beta, warmup_steps)


@dataclass
class CustomObjectiveConfig:
    """A loss of the user's own, named by module and name: `my_losses:MMD`."""

    target: str
    options: dict[str, Any]

    def check(self, beta: float, warmup_steps: int) -> None:
        """Whether beta is read is seen when the target is imported."""


ObjectiveConfig = (
    BetaConfig
    | CapacityConfig
    | TotalCorrelationConfig
    | FactorConfig
    | DipConfig
    | FreeBitsConfig
    | TargetRateConfig
    | ImportanceWeightedConfig
    | CustomObjectiveConfig
)


def _refuse_beta(objective: str, why: str, beta: float, warmup_steps: int) -> None:
    for key, value, unset in (("beta", beta, 1), ("beta_warmup_steps", warmup_steps, 0)):
        if value != unset:
            raise ConfigError(f"objective={objective} {why}, got {key}={value:g}. Leave {key} out")
