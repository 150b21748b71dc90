"""Builds objects from a configuration. Each option is chosen in one place, by a `match` on its dataclass."""

import math
from typing import assert_never

import torch

from vae.app.foreign import imported, raised
from vae.config import (
    Between,
    Config,
    ConfigError,
    Optimizer,
    Precision,
)
from vae.config.model import CustomModelConfig
from vae.config.objective import (
    BetaConfig,
    CapacityConfig,
    Covariance,
    CustomObjectiveConfig,
    DipConfig,
    FactorConfig,
    FreeBitsConfig,
    ImportanceWeightedConfig,
    MultiRateConfig,
    ObjectiveConfig,
    TargetDistortionConfig,
    TargetRateConfig,
    TotalCorrelationConfig,
)
from vae.data.images import ImageSet
from vae.model import build
from vae.model.gates import multi_rate_vae
from vae.model.vae import VAE
from vae.objectives import (
    BetaObjective,
    CapacityObjective,
    DipObjective,
    FactorObjective,
    FreeBitsObjective,
    ImportanceWeightedObjective,
    MultiRateObjective,
    Objective,
    Stateful,
    TargetDistortionObjective,
    TargetRateObjective,
    TotalCorrelationObjective,
    discriminator,
)
from vae.objectives.custom import CustomObjective, takes_beta
from vae.objectives.optimizers import adagrad, adam
from vae.objectives.schedules import CyclicalWarmup, LinearWarmup, Piecewise, Schedule
from vae.probability.distributions import LogvarBounds
from vae.training.loop import Options
from vae.training.state import TrainState, no_sums
from vae.training.step import compiled_terms, terms_of_step
from vae.training.trial import TrialError, try_objective


def build_vae(config: Config, image: tuple[int, int, int]) -> VAE:
    """The model for images of (channels, height, width).

    Raises:
        ConfigError: the network does not take such images, or one of the user's own cannot be imported.
    """
    model, networks = config.model, {}
    if isinstance(model, CustomModelConfig):
        networks = {name: imported(getattr(model, name), f"model.{name}") for name in ("encoder", "decoder")}
    bounds = LogvarBounds(config.logvar_min, config.logvar_max)
    vae, objective = build.build_vae(model, config.likelihood, bounds, image, **networks), config.objective
    if isinstance(objective, MultiRateConfig):
        return multi_rate_vae(vae, objective.beta_min, objective.beta_max, config.beta)
    return vae


def new_state(config: Config, vae: VAE, device: torch.device, objective: Objective) -> TrainState:
    """The state of a new run, at step 0."""
    return TrainState(
        vae=vae,
        optimizer=build_optimizer(config, vae),
        generator=torch.Generator(device).manual_seed(config.seed),
        interval_sums=no_sums(vae.latent_dim).to(device),
        epoch_sums=no_sums(vae.latent_dim).double(),
        learner=objective if isinstance(objective, Stateful) else None,
    )


def build_optimizer(config: Config, vae: VAE) -> torch.optim.Optimizer:
    """The optimizer of the model's parameters."""
    match config.optimizer:
        case Optimizer.adam:
            return adam(vae.parameters(), config.learning_rate, epsilon=config.adam_epsilon)
        case Optimizer.adagrad:
            return adagrad(vae.parameters(), config.learning_rate)
        case _:
            assert_never(config.optimizer)


def build_objective(config: Config, dataset_size: int, device: torch.device) -> Objective:
    """The loss. `config.beta` is the weight of the rate, or what the paper of the objective calls beta.

    Args:
        config: of the run.
        dataset_size: the number of training images.
        device: for the parameters that the objective itself learns.
    """
    objective: ObjectiveConfig = config.objective
    beta = LinearWarmup(config.beta, config.beta_warmup_steps)
    match objective:
        case BetaConfig():
            return BetaObjective(build_beta(config, objective))
        case CapacityConfig(gamma, c_min, c_max, steps):
            return CapacityObjective(gamma, LinearWarmup(c_max, steps, c_min))
        case TotalCorrelationConfig(alpha, gamma, stratified):
            return TotalCorrelationObjective(alpha, beta, gamma, dataset_size, stratified)
        case FactorConfig(gamma, hidden, learning_rate):
            opponent = discriminator(config.model.latent_dim, hidden).to(device)
            return FactorObjective(beta, gamma, opponent, learning_rate)
        case DipConfig(covariance, lambda_od, lambda_d):
            return DipObjective(beta, lambda_od, lambda_d, aggregate=covariance is Covariance.aggregate)
        case FreeBitsConfig(free_nats):
            return FreeBitsObjective(beta, free_nats)
        case TargetRateConfig(rate, proportional, integral):
            return TargetRateObjective(rate, proportional, integral, device)
        case MultiRateConfig(_, _, emphasis):
            return MultiRateObjective(config.beta, emphasis)
        case TargetDistortionConfig(distortion, speed, smoothing):
            return TargetDistortionObjective(distortion, speed, smoothing, device)
        case ImportanceWeightedConfig(samples):
            return ImportanceWeightedObjective(samples)
        case CustomObjectiveConfig():
            return build_custom_objective(config, objective, beta)
        case _:
            assert_never(objective)


def build_custom_objective(config: Config, objective: CustomObjectiveConfig, beta: Schedule) -> CustomObjective:
    """The user's own loss.

    Raises:
        ConfigError: it cannot be imported, does not accept these options, or has no parameter for the given beta.
    """
    target = imported(objective.target, "objective.target")
    if not takes_beta(target) and (config.beta, config.beta_warmup_steps) != (1, 0):
        raise ConfigError(
            f"{objective.target} takes no beta, got beta={config.beta:g} and "
            f"beta_warmup_steps={config.beta_warmup_steps}. Leave them out, or give it a parameter beta"
        )
    try:
        return CustomObjective(target, objective.options, beta)
    except Exception as error:  # the user's code may raise anything
        options = ", ".join(objective.options) or "none"
        raise ConfigError(
            f"{objective.target} must be made with objective.options, got {options}: {raised(error)}"
        ) from error


def try_custom_objective(config: Config, vae: VAE, images: ImageSet) -> list[str]:
    """Try the user's own loss on one batch, with an instance that is not used again.

    Returns:
        Warnings, one line each. Empty for the objectives of this package.

    Raises:
        ConfigError: the loss raises an error, or its value is no loss.
    """
    if not isinstance(config.objective, CustomObjectiveConfig):
        return []
    generator = torch.Generator(images.device).manual_seed(config.seed)
    few = torch.arange(min(config.batch_size, len(images)), device=images.device)
    objective = build_objective(config, len(images), images.device)
    try:
        return try_objective(objective, vae, images.batch(few, generator))
    except TrialError as error:
        raise ConfigError(f"{config.objective.target}: {error}") from None
    except Exception as error:  # the user's code may raise anything
        raise ConfigError(f"{config.objective.target} fails on a batch of images: {raised(error)}") from error


def build_beta(config: Config, objective: BetaConfig) -> Schedule:
    """The weight of the rate as a function of the step."""
    if objective.at_steps is not None and objective.factors is not None:
        betas = [config.beta * factor for factor in objective.factors]
        return Piecewise(tuple(zip(objective.at_steps, betas, strict=True)))
    if objective.cycles > 1:
        return CyclicalWarmup(config.beta, config.beta_warmup_steps, objective.cycles)
    return LinearWarmup(config.beta, config.beta_warmup_steps)


def build_learning_rate(config: Config, steps_per_epoch: int) -> Schedule:
    """The learning rate as a function of the step."""
    if config.learning_rate_epochs is None or config.learning_rate_factors is None:
        return LinearWarmup(config.learning_rate)
    steps = [epoch * steps_per_epoch for epoch in config.learning_rate_epochs]
    rates = [config.learning_rate * factor for factor in config.learning_rate_factors]
    points = tuple(zip(steps, rates, strict=True))
    return Piecewise(points, constant_between=config.learning_rate_between is Between.hold)


def build_options(config: Config, dataset_size: int) -> Options:
    """The options of the training loop for this number of training images."""
    return Options(
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        gradient_norm_limit=config.gradient_norm_limit,
        early_stopping_epochs=config.early_stopping_epochs,
        log_every_steps=config.tracking.log_every_steps,
        evaluate_every_epochs=config.evaluate_every_epochs,
        save_every_steps=config.tracking.save_every_steps,
        save_every_seconds=config.tracking.save_every_seconds,
        bf16=config.precision is Precision.bf16,
        learning_rate=build_learning_rate(config, math.ceil(dataset_size / config.batch_size)),
        terms_of_step=compiled_terms() if config.compile else terms_of_step,
    )
