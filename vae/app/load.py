"""Loads a run from its directory: configuration, trained model and images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vae.app.build import build_objective, build_vae
from vae.app.data import build_data, refuse_other_data
from vae.app.foreign import refuse_unnamed_parts, values_of_words
from vae.config import Config
from vae.data.images import Splits
from vae.model.vae import VAE
from vae.objectives import Stateful
from vae.run import record
from vae.run.learned import load_learned, read_learned
from vae.run.names import LAST
from vae.run.record import Record
from vae.training.hardware import prepare_torch


@dataclass(frozen=True)
class Run:
    """A trained model with its configuration and its images."""

    config: Config
    vae: VAE
    splits: Splits
    device: torch.device
    loss_weight: float  # the weight of the rate in the loss, at the last step before the checkpoint


def load_run(directory: Path, name: str = LAST, words: Sequence[str] = ()) -> Run:
    """The run in `directory`, with the learned parameters of `checkpoints/<name>`, ready to be evaluated.

    Args:
        directory: of the run.
        name: `last` or `best`.
        words: name the user's own parts of the run again, as in `["objective.target=my_losses:MMD"]`: a directory does
            not decide what is imported. Only the metrics named here are computed.

    Raises:
        ConfigError: the directory holds no run, or one with parts that the words do not name.
        CheckpointError: the checkpoint is missing or damaged.
        DataError: the images cannot be read, or are not those of the training.
    """
    stored = record.read(directory)
    named = values_of_words(words)
    config = replace(stored.config, metrics=named.get("metrics", []))
    refuse_unnamed_parts(directory, config, named)
    device = prepare_torch(config)
    state = read_learned(directory, name)
    splits = read_images(stored).to(device)
    vae = build_vae(config, splits.train.shape).to(device)
    objective = build_objective(config, len(splits.train), device)
    learner = objective if isinstance(objective, Stateful) else None
    load_learned(vae, learner, state, record.fingerprint(stored))
    weight = objective.rate_weight(max(0, state["step"] - 1))
    return Run(config, vae.eval(), splits, device, weight)


def read_images(stored: Record) -> Splits:
    """The images of a run, on the CPU.

    Raises:
        ConfigError: the reader of the data is the user's own and cannot be imported.
        DataError: the images cannot be read, or are not those of the training.
    """
    data = build_data(stored.config, may_write=False)
    splits = data.read()
    refuse_other_data(stored.data_sha256, data.checksums())
    return splits
