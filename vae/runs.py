"""A run from its directory: its configuration, its trained model and its images."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from omegaconf import DictConfig, OmegaConf

from vae import checkpoint
from vae.build import build_objective, build_vae, prepare_torch, read_data
from vae.command_line.composition import OPTIONS
from vae.command_line.older import OPTION, completed
from vae.config import Config, ConfigError
from vae.data.images import Splits
from vae.model import VAE
from vae.objectives import Stateful
from vae.run_directory import BEST, CHECKPOINTS, CONFIGURATION, HYDRA, LAST, has_checkpoint


@dataclass(frozen=True)
class Run:
    """A trained model, with what it was trained on and how."""

    config: Config
    vae: VAE
    splits: Splits
    device: torch.device
    loss_weight: float  # of the rate in the loss: the objective's at the last step before the checkpoint


def load_run(directory: Path, name: str = LAST) -> Run:
    """The run in `directory`, with the parameters of `checkpoints/<name>`, ready to be evaluated.

    Raises:
        ConfigError: the directory holds no run.
        CheckpointError: the checkpoint is missing or damaged.
        DataError: the images cannot be had.
    """
    config = load_config(directory)
    device = prepare_torch(config)
    if name == BEST and not (directory / CHECKPOINTS / BEST).exists() and has_checkpoint(directory):
        raise checkpoint.CheckpointError(
            f"no epoch of {directory} was the best: beta, or a capacity, was still warming up. "
            "Take its last checkpoint"
        )
    state = checkpoint.load(directory / CHECKPOINTS / name)
    splits = read_data(config).to(device)
    vae = build_vae(config, splits.train.shape).to(device)
    vae.load_state_dict(state["vae"])
    objective = build_objective(config, len(splits.train), device)
    if isinstance(objective, Stateful):
        objective.load_state_dict(state["objective"])
    weight = objective.rate_factor(max(0, state["step"] - 1))
    return Run(config, vae.eval(), splits, device, weight)


def load_config(directory: Path) -> Config:
    """The configuration that Hydra stored in `directory`.

    Raises:
        ConfigError: there is none, or it is not one of this version.
    """
    try:
        values = completed(cast("DictConfig", OmegaConf.load(directory / CONFIGURATION)))
        # The stored values do not say which dataclass they are of; the stored choices do.
        choices = OPTION | dict(OmegaConf.load(directory / HYDRA).hydra.runtime.choices)
        schema = OmegaConf.structured(Config)
        for group, options in OPTIONS.items():
            schema[group] = OmegaConf.structured(options[choices[group]])
        return cast("Config", OmegaConf.to_object(OmegaConf.merge(schema, values)))
    except FileNotFoundError as error:
        raise ConfigError(f"{directory} must be the directory of a run, it has no {error.filename}") from None
    except ConfigError:
        raise
    except Exception as error:  # a damaged or older file: omegaconf and yaml have many words for it
        reason = " ".join(str(error).split())
        hidden = (directory / CONFIGURATION).parent
        raise ConfigError(f"{hidden} does not hold the configuration of a run of this version: {reason}") from None
