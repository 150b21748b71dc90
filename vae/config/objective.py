"""The configuration of the objective: a dataclass for each option."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vae.config.model import CustomModelConfig, GaussianConfig
from vae.config.rules import ConfigError, between, check_points

WEIGHT = between(0, 1e6)


class Covariance(StrEnum):
    """The covariance matrix that DIP-VAE penalises."""

    means = "means"  # of the posterior means: DIP-VAE-I
    aggregate = "aggregate"  # of z ~ q(z): DIP-VAE-II


@dataclass
class BetaConfig:
    """Beta weighs the rate. Beta may follow a schedule in steps."""

    cycles: int = field(metadata=between(1, 10_000))
    at_steps: list[int] | None = field(metadata=between(0, 10**9))
    factors: list[float] | None = field(metadata=WEIGHT)


@dataclass
class CapacityConfig:
    """The distance of the rate from a growing capacity in nats is penalised. There is no beta."""

    gamma: float = field(metadata=WEIGHT)
    c_min: float = field(metadata=between(0, 1e4))
    c_max: float = field(metadata=between(0, 1e4))
    steps: int = field(metadata=between(0, 10**9))


@dataclass
class TotalCorrelationConfig:
    """Beta weighs the total correlation."""

    alpha: float = field(metadata=WEIGHT)
    gamma: float = field(metadata=WEIGHT)
    stratified: bool


@dataclass
class FactorConfig:
    """Beta weighs the rate, and gamma the total correlation."""

    gamma: float = field(metadata=WEIGHT)
    hidden: list[int] = field(metadata=between(1, 100_000))
    learning_rate: float = field(metadata=between(0, 10, above=True))


@dataclass
class DipConfig:
    """Beta weighs the rate. Two more weights are those of the covariance off and on its diagonal."""

    covariance: Covariance
    lambda_od: float = field(metadata=WEIGHT)
    lambda_d: float = field(metadata=WEIGHT)


@dataclass
class FreeBitsConfig:
    """Beta weighs the rate above the free nats of each latent."""

    free_nats: float = field(metadata=between(0, 1e3))


@dataclass
class TargetRateConfig:
    """A controller adjusts beta so that the rate, in nats, stays at a target."""

    rate: float = field(metadata=between(0, 1e4, above=True))
    proportional: float = field(metadata=between(0, 10))
    integral: float = field(metadata=between(0, 1, above=True))


@dataclass
class TargetDistortionConfig:
    """A controller adjusts beta so that the distortion, in nats, stays at a target."""

    distortion: float = field(metadata=between(-1e7, 1e7))
    speed: float = field(metadata=between(0, 1, above=True))
    smoothing: float = field(metadata=between(0, 0.99999))


@dataclass
class MultiRateConfig:
    """One training for all betas of a range. The beta of the root is that of the run's numbers and figures."""

    beta_min: float = field(metadata=between(0, 1e6, above=True))
    beta_max: float = field(metadata=between(0, 1e6, above=True))
    emphasis: float = field(metadata=between(-1, 1))


@dataclass
class ImportanceWeightedConfig:
    """The importance weighted bound. There is no beta."""

    samples: int = field(metadata=between(1, 10_000))


@dataclass
class CustomObjectiveConfig:
    """A loss of the user's own, named by module and name: `my_losses:MMD`."""

    target: str
    options: dict[str, Any]


ObjectiveConfig = (
    BetaConfig
    | CapacityConfig
    | TotalCorrelationConfig
    | FactorConfig
    | DipConfig
    | FreeBitsConfig
    | TargetRateConfig
    | TargetDistortionConfig
    | MultiRateConfig
    | ImportanceWeightedConfig
    | CustomObjectiveConfig
)


def check_objective(objective: ObjectiveConfig, beta: float, warmup_steps: int) -> None:
    """Refuse a beta that the objective would not use, and schedules of beta that contradict each other.

    Args:
        objective: its own values.
        beta: of the root.
        warmup_steps: `beta_warmup_steps` of the root.

    Raises:
        ConfigError: one line with the keys and values.
    """
    match objective:
        case BetaConfig():
            _check_schedule(objective, warmup_steps)
        case CapacityConfig():
            _refuse_beta("capacity weighs the rate by objective.gamma", beta, warmup_steps)
        case TargetRateConfig():
            _refuse_beta("target_rate chooses beta itself", beta, warmup_steps)
        case TargetDistortionConfig():
            _refuse_beta("target_distortion chooses beta itself", beta, warmup_steps)
        case MultiRateConfig():
            _check_range(objective, beta, warmup_steps)
        case ImportanceWeightedConfig():
            _refuse_beta("importance_weighted bounds ln p(x) at beta 1 only", beta, warmup_steps)


def _check_schedule(objective: BetaConfig, warmup_steps: int) -> None:
    steps, cycles = objective.at_steps, objective.cycles
    check_points("objective.at_steps", steps, "objective.factors", objective.factors)
    if steps and (warmup_steps > 0 or cycles > 1):
        raise ConfigError(
            f"objective.at_steps is a schedule of its own, got beta_warmup_steps={warmup_steps} and "
            f"objective.cycles={cycles} too. Leave these out"
        )
    if cycles > 1 and warmup_steps == 0:
        raise ConfigError(
            f"objective.cycles repeats the warm-up, got objective.cycles={cycles} without one. "
            "Set beta_warmup_steps, the length of half a cycle"
        )


def _check_range(objective: MultiRateConfig, beta: float, warmup_steps: int) -> None:
    low, high = objective.beta_min, objective.beta_max
    if low >= high:
        raise ConfigError(
            f"objective.beta_min must be below objective.beta_max, got {low:g} and {high:g}. "
            "The defaults are 0.1 and 10"
        )
    if not low <= beta <= high:
        raise ConfigError(
            f"beta must be from objective.beta_min={low:g} to objective.beta_max={high:g}, got {beta:g}. "
            "Widen the range, or choose another beta"
        )
    if warmup_steps != 0:
        raise ConfigError(
            f"objective=multi_rate trains all betas at once, got beta_warmup_steps={warmup_steps}. Leave it out"
        )


def check_gates(objective: ObjectiveConfig, model: Any, likelihood: Any) -> None:
    """Refuse what the gates of `multi_rate` cannot condition on beta.

    Raises:
        ConfigError: the networks are the user's own, or the variance is learned, whose optimum depends on beta.
    """
    if not isinstance(objective, MultiRateConfig):
        return
    if isinstance(model, CustomModelConfig):
        raise ConfigError(
            "objective=multi_rate puts gates into the networks of this package, got model=custom. "
            "Use model=mlp, conv, locatello or linear"
        )
    if isinstance(likelihood, GaussianConfig) and likelihood.learned:
        raise ConfigError(
            "objective=multi_rate needs one likelihood for all betas, got likelihood.learned=true. "
            "Use likelihood=gaussian, whose variance is fixed"
        )


def _refuse_beta(reason: str, beta: float, warmup_steps: int) -> None:
    for key, value, unset in (("beta", beta, 1), ("beta_warmup_steps", warmup_steps, 0)):
        if value != unset:
            raise ConfigError(f"objective={reason}, got {key}={value:g}. Leave {key} out")
