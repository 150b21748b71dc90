"""Load a trained model from the directory of a run, or from a folder that `export` has written."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vae.config import ConfigError, Device
from vae.config.model import ModelConfig
from vae.config.objective import MultiRateConfig
from vae.model.build import Network
from vae.model.device import choose_device
from vae.model.gates import multi_rate_vae
from vae.model.vae import VAE
from vae.run import record
from vae.run.learned import load_learned, read_learned
from vae.run.names import BEST, LAST
from vae.run.record import Record
from vae.run.summary import read_summary
from vae.trained.description import Description, description_of_record
from vae.trained.exported import is_exported, load_weights, read_description, read_exported
from vae.trained.model import TrainedModel


def load(
    place: str | Path,
    *,
    device: str = "auto",
    checkpoint: str = LAST,
    beta: float | None = None,
    encoder: Network | None = None,
    decoder: Network | None = None,
) -> TrainedModel:
    """A trained model, ready to be used.

    Neither the data nor a configuration file is needed, and the folder may have been moved. Nothing in it is executed.
    Global state of the process does not change: generators, threads and precision stay as they are.

    Args:
        place: the directory of a run, or of a sweep's member, or an exported folder.
        device: `cpu`, `cuda`, `mps`, or `auto` for a GPU if there is one.
        checkpoint: `last`, or `best` by validation ELBO.
        beta: of a run with `objective=multi_rate`, which has a model for each; None for the beta of the run.
        encoder: the user's own network of a run with `model=custom`: the module, or the function that makes it.
        decoder: likewise.

    Raises:
        ConfigError: there is no model, or one with networks of the user's own, which were not given; or no model for
            this beta.
        CheckpointError: the checkpoint is missing or damaged.

    Example::

        model = vae.load("outputs/RUN")
        means = model.encode("pictures/").mean
    """
    folder = Path(place).expanduser()
    if device not in Device.__members__:
        raise ConfigError(f"device must be one of {', '.join(Device)}, got {device}")
    if checkpoint not in (LAST, BEST):
        raise ConfigError(f"checkpoint must be {LAST} or {BEST}, got {checkpoint}")
    if not folder.is_dir():
        raise ConfigError(
            f"a model is loaded from the directory of a run or an exported folder, got {place}, which is none"
        )
    if is_exported(folder):
        if checkpoint != LAST:
            raise ConfigError(f"an exported folder has one model, got checkpoint={checkpoint}. Leave it out")
        if beta is not None:
            raise ConfigError(f"an exported folder has the model of one beta, got beta={beta:g}. Leave it out")
        description, weights = read_exported(folder)
        vae = new_model(description, encoder, decoder)
        load_weights(vae, weights, folder)
    else:
        trained = load_trained(folder, checkpoint, encoder, decoder, beta)
        vae, description = trained.vae, trained.description
    return TrainedModel(vae, description, choose_device(Device[device]))


class Trained(NamedTuple):
    """The model of a run.

    Attributes:
        vae: on the CPU.
        description: of the model.
        stored: the configuration of the run.
        summary: the content of `summary.json`.
        step: the number of steps that the model was trained for.
    """

    vae: VAE
    description: Description
    stored: Record
    summary: Mapping[str, Any]
    step: int


def load_trained(
    folder: Path,
    name: str = LAST,
    encoder: Network | None = None,
    decoder: Network | None = None,
    beta: float | None = None,
) -> Trained:
    """The model of a run. `name` is that of the checkpoint. The other arguments and the errors are those of `load`.

    That of a run with `objective=multi_rate` is the plain one for the beta. Its rates are known for the run's own.
    """
    stored, summary = record.read(folder), read_summary(folder)
    rates = summary.get("test", {}).get("rate_per_latent")
    try:
        description = description_of_record(stored, rates)
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from None
    state = read_learned(folder, name)
    vae, objective = new_model(description, encoder, decoder), stored.config.objective
    if not isinstance(objective, MultiRateConfig):
        if beta is not None:
            raise ConfigError(
                f"{folder} has the model of one beta, got beta={beta:g}. Leave it out, or train objective=multi_rate"
            )
        load_learned(vae, None, state, record.fingerprint(stored))
        return Trained(vae, description, stored, summary, int(state["step"]))
    conditional = multi_rate_vae(vae, objective.beta_min, objective.beta_max, description.beta)
    load_learned(conditional, None, state, record.fingerprint(stored))
    if beta is not None and beta != description.beta:
        description = replace(description, beta=float(beta), rate_per_latent=None)
    try:
        vae = conditional.at(description.beta)
    except ValueError as error:
        raise ConfigError(f"{folder}: {error}") from None
    return Trained(vae, description, stored, summary, int(state["step"]))


def configured_model(place: Path) -> ModelConfig:
    """The configuration of the networks of a run or an exported folder.

    Raises:
        ConfigError: it is neither, or its configuration is damaged.
    """
    if is_exported(place):
        return read_description(place).model
    model: ModelConfig = record.read(place).config.model
    return model


def new_model(description: Description, encoder: Network | None, decoder: Network | None) -> VAE:
    """The model with new weights. Global generators stay as they are."""
    with torch.random.fork_rng(devices=[]):
        return description.build(encoder, decoder)
