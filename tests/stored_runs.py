"""Directories of runs with new weights, as training leaves them, but without training."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from configured import record_of
from fake_runs import ORIGIN
from torch import nn

from vae.config.preparation import Preparation
from vae.model.vae import VAE
from vae.run import checkpoint, record
from vae.run.names import BEST, CHECKPOINTS, LAST
from vae.trained.description import description_of_record

TEST = {
    "distortion": 70.25,
    "rate": 25.5,
    "elbo": -95.75,
    "active_units": 2.0,
    "importance_weighted_bound": {"images": 100, "samples": 10, "bound": -93.125, "rise_from_half": 0.1},
    "refitted_bound": {"images": 100, "samples": 10, "bound": -92.5, "rise_from_half": 0.02},
    "rate_per_latent": [20.0, 5.5],
}
SUMMARY = {"status": "done", "beta": 4.0, "seed": 7, "epochs": 3, "steps": 30, "seconds": 1.5, "test": TEST}
COMMAND = ["python", "/home/ada/beta-vae/train.py", "data.path=/home/ada/private/pictures", "beta=4"]


def stored_run(
    directory: Path,
    preparation: Preparation,
    choices: dict[str, str] | None = None,
    networks: tuple[nn.Module, nn.Module] | tuple[()] = (),
    summary: dict[str, Any] | None = SUMMARY,
    **values: Any,
) -> Path:
    """A run after 30 steps, with a checkpoint `last`, and one `best` of step 20."""
    found = replace(record_of(choices or {}, beta=4.0, seed=7, **values), preparation=preparation)
    record.write(directory, found)
    vae = new_vae(found, networks)
    for name, step in ((LAST, 30), (BEST, 20)):
        state = {"vae": vae.state_dict(), "step": step, "configuration": record.fingerprint(found)}
        checkpoint.save(directory / CHECKPOINTS / name, state)
    (directory / "run.json").write_text(json.dumps(ORIGIN | {"command": COMMAND}))
    if summary is not None:
        (directory / "summary.json").write_text(json.dumps(summary))
    return directory


def new_vae(found: record.Record, networks: tuple[nn.Module, nn.Module] | tuple[()]) -> VAE:
    """The model of a run. Its weights are the same in every call, and some log-variances exceed their bounds."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = description_of_record(found, None).build(*networks)
        *_, bias = vae.encoder.parameters()
        with torch.no_grad():
            bias.add_(30 * torch.randn(bias.shape))
    return vae
