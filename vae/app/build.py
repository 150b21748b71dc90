"""Builds objects from a configuration. Each option is chosen in one place, by a `match` on its dataclass."""

import math
from collections.abc import Mapping
from typing import Any, assert_never

import torch
from torch import nn

from vae.app.foreign import imported, raised
from vae.config import (
    Activation,
    BernoulliConfig,
    Between,
    Config,
    ConfigError,
    ConvConfig,
    GaussianConfig,
    LikelihoodConfig,
    LocatelloConfig,
    MLPConfig,
    Optimizer,
    Precision,
    Start,
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
    ObjectiveConfig,
    TargetRateConfig,
    TotalCorrelationConfig,
)
from vae.data.images import ImageSet
from vae.model.burgess import conv_vae
from vae.model.check import check_networks
from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.layers import start_as_glorot
from vae.model.locatello import locatello_vae
from vae.model.mlp import mlp_vae
from vae.model.vae import VAE
from vae.objectives import (
    BetaObjective,
    CapacityObjective,
    DipObjective,
    FactorObjective,
    FreeBitsObjective,
    ImportanceWeightedObjective,
    Objective,
    Stateful,
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

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    Activation.relu: nn.ReLU,
    Activation.tanh: nn.Tanh,
    Activation.silu: nn.SiLU,
    Activation.gelu: nn.GELU,
}


def build_vae(config: Config, image: tuple[int, int, int]) -> VAE:
    """The model for images of (channels, height, width).

    Raises:
        ConfigError: the network does not take such images.
    """
    try:
        # Channels last: half again as fast in bf16 for convolutions, no slower in fp32, and nothing to other layers.
        return vae_of(config, image).to(memory_format=torch.channels_last)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def vae_of(config: Config, image: tuple[int, int, int]) -> VAE:
    """The model, as `build_vae` returns it. An image size that the network does not take is a `ValueError`."""
    bounds = LogvarBounds(config.logvar_min, config.logvar_max)
    head = build_head(config.likelihood, bounds)
    match config.model:
        case MLPConfig(latent_dim, hidden, activation, decoder_hidden, decoder_activation, start):
            of_decoder = ACTIVATIONS[decoder_activation or activation]
            vae = mlp_vae(image, latent_dim, hidden, ACTIVATIONS[activation], head, bounds, decoder_hidden, of_decoder)
            return vae.apply(start_as_glorot) if start is Start.glorot else vae
        case ConvConfig(latent_dim, channels, width, activation):
            return conv_vae(image, latent_dim, channels, width, ACTIVATIONS[activation], head, bounds)
        case LocatelloConfig(latent_dim):
            return locatello_vae(image, latent_dim, head, bounds)
        case CustomModelConfig(latent_dim, encoder, decoder, options):
            own_encoder = own_network(encoder, "model.encoder", image, latent_dim, options)
            own_decoder = own_network(decoder, "model.decoder", image, latent_dim, options)
            vae = VAE(own_encoder, own_decoder, head, latent_dim, bounds)
            check_networks(vae, torch.linspace(0, 1, 8 * math.prod(image)).view(8, *image))
            return vae
        case _:
            assert_never(config.model)


def own_network(
    text: str, key: str, image: tuple[int, int, int], latent_dim: int, options: Mapping[str, Any]
) -> nn.Module:
    """The module that the user's function or class returns.

    Args:
        text: names the function, as `module:name`.
        key: the key of the configuration that has this value, for the error.
        image: (channels, height, width).
        latent_dim: the number of latents.
        options: further keyword arguments.

    Raises:
        ConfigError: the function cannot be imported or called, or does not return a module.
    """
    make = imported(text, key)
    rule = f"{key} must take (image, latent_dim, **model.options) and return an nn.Module"
    try:
        network = make(image, latent_dim, **options)
    except Exception as error:
        raise ConfigError(f"{rule}, got {raised(error)}. Change {text}, or model.options") from error
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{rule}, got {type(network).__name__} of {text}. Return the module")
    return network


def build_head(likelihood: LikelihoodConfig, bounds: LogvarBounds) -> BernoulliHead | GaussianHead:
    """The head, which turns the output of the decoder into a likelihood."""
    match likelihood:
        case BernoulliConfig():
            return BernoulliHead()
        case GaussianConfig(variance, learned):
            return GaussianHead(variance, learned, bounds)
        case _:
            assert_never(likelihood)


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
