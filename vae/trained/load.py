"""Load a trained model from the directory of a run, or from a folder that `export` has written."""

from pathlib import Path
from typing import Any

import torch

from vae.config import ConfigError, Device
from vae.model.build import Network
from vae.model.device import choose_device
from vae.run import checkpoint, record
from vae.run.directory import has_checkpoint
from vae.run.learned import load_learned
from vae.run.names import BEST, CHECKPOINTS, LAST
from vae.run.summary import read_summary
from vae.trained.description import description_of_record
from vae.trained.model import TrainedModel


def load(
    place: str | Path,
    *,
    device: str = "auto",
    checkpoint: str = LAST,
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
        encoder: the user's own network of a run with `model=custom`: the module, or the function that makes it.
        decoder: likewise.

    Raises:
        ConfigError: there is no model, or one with networks of the user's own, which were not given.
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
    stored = record.read(folder)
    rates = read_summary(folder).get("test", {}).get("rate_per_latent")
    try:
        description = description_of_record(stored, rates)
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from None
    state = learned_state(folder, checkpoint)
    with torch.random.fork_rng(devices=[]):  # the new weights, which are replaced, would draw from it
        vae = description.build(encoder, decoder)
    load_learned(vae, None, state, record.fingerprint(stored))
    return TrainedModel(vae, description, choose_device(Device[device]))


def learned_state(directory: Path, name: str) -> dict[str, Any]:
    """The checkpoint `last` or `best` of a run.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    if name == BEST and not (directory / CHECKPOINTS / BEST).exists() and has_checkpoint(directory):
        raise checkpoint.CheckpointError(
            f"no epoch of {directory} was the best: beta, or a capacity, was still warming up. "
            "Take its last checkpoint"
        )
    return checkpoint.load(directory / CHECKPOINTS / name)
