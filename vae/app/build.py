"""Configuration -> objects. What an option's name stands for is decided here, once, by a `match` on its dataclass."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import assert_never

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
    DataConfig,
    DspritesConfig,
    GaussianConfig,
    ImagesConfig,
    LikelihoodConfig,
    LocatelloConfig,
    MLPConfig,
    Optimizer,
    Precision,
    SpritesConfig,
    Start,
)
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
from vae.data import DataError
from vae.data.dsprites import ensure_dsprites, read_dsprites
from vae.data.images import ImageSet, Splits, load_splits
from vae.data.own import own_checksum, read_own
from vae.data.sources import checksums, folder_of
from vae.data.splits import of_grid, of_own
from vae.data.sprites import NAMES as SPRITE_FACTORS
from vae.data.sprites import Grid, load_sprites, sprites_checksum
from vae.model.burgess import conv_vae
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
from vae.objectives.terms import elbo_terms
from vae.probability.distributions import LogvarBounds
from vae.training.loop import Options
from vae.training.state import TrainState, no_sums
from vae.training.step import compiled_terms
from vae.training.trial import TrialError, try_objective

DataOfAnyKind = DataConfig | SpritesConfig | DspritesConfig | ImagesConfig

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    Activation.relu: nn.ReLU,
    Activation.tanh: nn.Tanh,
    Activation.silu: nn.SiLU,
    Activation.gelu: nn.GELU,
}


def read_data(config: Config, *, may_write: bool = True) -> Splits:
    """The images, fetched if need be, binarised as configured.

    Args:
        config: of the run.
        may_write: fetch or draw to any place that the configuration names; else only to the user's own cache. False
            for the stored configuration of a run: its directory may be somebody else's.

    Raises:
        DataError: they cannot be had, or are not what they should be.
    """
    data: DataOfAnyKind = config.data
    may_write = may_write or in_own_cache(data)
    match data:
        case DataConfig():
            return load_splits(
                data.name,
                Path(data.root),
                download=data.download and may_write,
                timeout_seconds=data.timeout_seconds,
                validation_size=data.validation_size,
                binarisation=data.binarisation,
            )
        case SpritesConfig():
            grid = grid_of(data)
            sprites = load_sprites(grid, Path(data.root), keep=may_write)
            return of_grid(sprites, grid.factors(), data.validation_size, data.test_size)
        case DspritesConfig():
            download = data.download and may_write
            path = ensure_dsprites(Path(data.path), download=download, timeout_seconds=data.timeout_seconds)
            return of_grid(*read_dsprites(path), data.validation_size, data.test_size)
        case ImagesConfig():
            own = read_own(Path(data.path), data.background, data.colour)
            return of_own(own, data.validation_size, data.test_size, data.binarisation)
        case _:
            assert_never(data)


def in_own_cache(data: DataOfAnyKind) -> bool:
    """Whether the data lie in the user's cache, where every run looks for them unless it is told otherwise."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser().absolute() / "beta-vae"
    place = data.path if isinstance(data, DspritesConfig | ImagesConfig) else data.root
    return Path(os.path.normpath(Path(place).expanduser().absolute())).is_relative_to(cache)


def data_checksums(config: Config) -> dict[str, str]:
    """The sha256 of what the images were read from, in hexadecimal digits, by the name of the file."""
    data: DataOfAnyKind = config.data
    match data:
        case DataConfig():
            return checksums(folder_of(data.name, Path(data.root)))
        case SpritesConfig():
            return sprites_checksum(grid_of(data), Path(data.root))
        case DspritesConfig() | ImagesConfig():
            return own_checksum(Path(data.path))
        case _:
            assert_never(data)


def refuse_other_data(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Go on with the images that the run has seen before, wherever they lie now.

    Raises:
        DataError: they are others.
    """
    if before and sorted(before.values()) != sorted(now.values()):
        changed = [name for name, sha256 in now.items() if sha256 not in before.values()]
        raise DataError(
            f"a run goes on with the data it was trained on, but {', '.join(changed)} is not what it was. "
            "Bring the old data back, continue with data.path=PLACE, or start a new run"
        )


def data_line(config: Config) -> str:
    """What the images are, in a few words."""
    data: DataOfAnyKind = config.data
    match data:
        case DataConfig():
            return f"{data.name.value}, binarisation {data.binarisation.value}"
        case SpritesConfig():
            return "sprites, " + " x ".join(map(str, grid_of(data).sizes)) + " levels of " + ", ".join(SPRITE_FACTORS)
        case DspritesConfig():
            return f"dSprites from {data.path}"
        case ImagesConfig():
            return (
                f"{data.path}, binarisation {data.binarisation.value}, "
                f"background {data.background.value}, colour {data.colour.value}"
            )
        case _:
            assert_never(data)


def grid_of(data: SpritesConfig) -> Grid:
    """The grid of factors that is asked for."""
    sizes = (data.shapes, data.scales, data.orientations, data.positions_x, data.positions_y)
    return Grid(data.side, sizes)


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
    """The same, with the network's own word for images that it does not take."""
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
        case _:
            assert_never(config.model)


def build_head(likelihood: LikelihoodConfig, bounds: LogvarBounds) -> BernoulliHead | GaussianHead:
    """What reads the decoder's numbers."""
    match likelihood:
        case BernoulliConfig():
            return BernoulliHead()
        case GaussianConfig(variance, learned):
            return GaussianHead(variance, learned, bounds)
        case _:
            assert_never(likelihood)


def new_state(config: Config, vae: VAE, device: torch.device, objective: Objective) -> TrainState:
    """The state at step 0."""
    return TrainState(
        vae=vae,
        optimizer=build_optimizer(config, vae),
        generator=torch.Generator(device).manual_seed(config.seed),
        interval_sums=no_sums(vae.latent_dim).to(device),
        epoch_sums=no_sums(vae.latent_dim).double(),
        learner=objective if isinstance(objective, Stateful) else None,
    )


def build_optimizer(config: Config, vae: VAE) -> torch.optim.Optimizer:
    """Of the model's parameters."""
    match config.optimizer:
        case Optimizer.adam:
            return adam(vae.parameters(), config.learning_rate, epsilon=config.adam_epsilon)
        case Optimizer.adagrad:
            return adagrad(vae.parameters(), config.learning_rate)
        case _:
            assert_never(config.optimizer)


def build_objective(config: Config, dataset_size: int, device: torch.device) -> Objective:
    """The loss. `beta` of the root is the factor of the rate, or what the paper calls beta.

    Args:
        config: of the run.
        dataset_size: the number of training images.
        device: of what an objective learns.
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
    """A loss of the user's own.

    Raises:
        ConfigError: it cannot be imported, is not made with these options, or would not read beta.
    """
    target = imported(objective.target, "objective.target")
    if not takes_beta(target) and (config.beta, config.beta_warmup_steps) != (1, 0):
        raise ConfigError(
            f"{objective.target} takes no beta, got beta={config.beta:g} and "
            f"beta_warmup_steps={config.beta_warmup_steps}. Leave them out, or give it a parameter beta"
        )
    try:
        return CustomObjective(target, objective.options, beta)
    except Exception as error:  # whatever foreign code raises
        options = ", ".join(objective.options) or "none"
        raise ConfigError(
            f"{objective.target} must be made with objective.options, got {options}: {raised(error)}"
        ) from error


def try_custom_objective(config: Config, vae: VAE, images: ImageSet) -> list[str]:
    """Try a loss of the user's own on one batch; what is tried is made anew, and then thrown away.

    Returns:
        Warnings, one line each; none for an objective of this package.

    Raises:
        ConfigError: it fails, or gives no loss.
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
    except Exception as error:  # whatever foreign code raises
        raise ConfigError(f"{config.objective.target} fails on a batch of images: {raised(error)}") from error


def build_beta(config: Config, objective: BetaConfig) -> Schedule:
    """The factor of the rate as a function of the step."""
    if objective.at_steps is not None and objective.factors is not None:
        betas = [config.beta * factor for factor in objective.factors]
        return Piecewise(tuple(zip(objective.at_steps, betas, strict=True)))
    if objective.cycles > 1:
        return CyclicalWarmup(config.beta, config.beta_warmup_steps, objective.cycles)
    return LinearWarmup(config.beta, config.beta_warmup_steps)


def build_learning_rate(config: Config, steps_per_epoch: int) -> Schedule:
    """Of the optimiser, as a function of the step."""
    if config.learning_rate_epochs is None or config.learning_rate_factors is None:
        return LinearWarmup(config.learning_rate)
    steps = [epoch * steps_per_epoch for epoch in config.learning_rate_epochs]
    rates = [config.learning_rate * factor for factor in config.learning_rate_factors]
    points = tuple(zip(steps, rates, strict=True))
    return Piecewise(points, constant_between=config.learning_rate_between is Between.hold)


def build_options(config: Config, dataset_size: int) -> Options:
    """How to train on that many images."""
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
        elbo_terms=compiled_terms() if config.compile else elbo_terms,
    )
