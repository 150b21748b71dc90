"""Configuration -> objects. What an option's name stands for is decided here, once, by a `match` on its dataclass."""

import ctypes
import math
import platform
from typing import assert_never

import torch
from torch import nn

from vae.config import (
    Activation,
    BernoulliConfig,
    Between,
    Config,
    ConfigError,
    ConvConfig,
    Device,
    GaussianConfig,
    LikelihoodConfig,
    LocatelloConfig,
    MLPConfig,
    Optimizer,
    Precision,
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
    optimizers,
)
from vae.objectives.schedules import CyclicalWarmup, LinearWarmup, Piecewise, Schedule
from vae.probability.distributions import LogvarBounds
from vae.training.gradients import backpropagate, compiled
from vae.training.loop import Options
from vae.training.products import choose_library
from vae.training.state import TrainState, no_sums

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    Activation.relu: nn.ReLU,
    Activation.tanh: nn.Tanh,
    Activation.silu: nn.SiLU,
    Activation.gelu: nn.GELU,
}


def prepare_torch(config: Config) -> torch.device:
    """Set threads and seed, and choose the device, which is returned, and who makes its products."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    keep_freed_memory()
    # Adam's moments of pixels that are hardly ever lit decay into denormals, which a CPU multiplies slowly.
    torch.set_flush_denormal(True)
    torch.backends.cudnn.deterministic = True  # the same seed, the same result
    torch.manual_seed(config.seed)  # of the initial weights; training has a generator of its own
    device = choose_device(config.device)
    choose_library(device)
    return device


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, for the next step.

    glibc asks the system for every block of some hundred kilobytes or more and gives it back at once: the activations
    of a convolution cost two page faults a step for each 4 KB, a quarter of its time.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)  # bytes; more it does not take
        libc.mallopt(M_TRIM_THRESHOLD, 2**30)


def choose_device(device: Device) -> torch.device:
    """The device that `auto` stands for, or the one that was named."""
    if device is not Device.auto:
        return torch.device(device.value)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


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


def build_optimizer(config: Config, vae: VAE) -> optimizers.Optimizer:
    """Of the model's parameters."""
    match config.optimizer:
        case Optimizer.adam:
            return optimizers.Adam(vae.parameters(), config.learning_rate, epsilon=config.adam_epsilon)
        case Optimizer.adagrad:
            return optimizers.Adagrad(vae.parameters(), config.learning_rate)
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
            generator = torch.Generator(device).manual_seed(config.seed)
            return FactorObjective(beta, gamma, opponent, learning_rate, generator)
        case DipConfig(covariance, lambda_od, lambda_d):
            return DipObjective(beta, lambda_od, lambda_d, aggregate=covariance is Covariance.aggregate)
        case FreeBitsConfig(free_nats):
            return FreeBitsObjective(beta, free_nats)
        case TargetRateConfig(rate, proportional, integral):
            return TargetRateObjective(rate, proportional, integral, device)
        case ImportanceWeightedConfig(samples):
            return ImportanceWeightedObjective(samples)
        case CustomObjectiveConfig():
            raise NotImplementedError
        case _:
            assert_never(objective)


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
    return Piecewise(points, held=config.learning_rate_between is Between.hold)


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
        backpropagate=compiled() if config.compile else backpropagate,
    )
