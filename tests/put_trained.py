"""Directories of runs that have saved a checkpoint with new weights, and were killed then: made in milliseconds."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from configured import record_of

from vae.config.preparation import ImagePreparation, Preparation
from vae.model.build import Network, build_vae
from vae.probability.distributions import LogvarBounds
from vae.run import checkpoint, record

LATENTS = 3
DIGITS = ImagePreparation((1, 28, 28), True)


def put_trained(
    directory: Path,
    preparation: Preparation = DIGITS,
    networks: Mapping[str, Network] | None = None,
    choices: dict[str, str] | None = None,
    **values: Any,
) -> Path:
    """The directory of such a run, with these options and values of its configuration."""
    values = {"model": {"latent_dim": LATENTS, "hidden": [8]}} | values
    stored = replace(record_of(choices or {}, **values), preparation=preparation)
    config = stored.config
    with torch.random.fork_rng():
        torch.manual_seed(0)
        bounds = LogvarBounds(config.logvar_min, config.logvar_max)
        vae = build_vae(config.model, config.likelihood, bounds, preparation.image, **(networks or {}))
    state = {"vae": vae.state_dict(), "step": 5, "configuration": record.fingerprint(stored)}
    record.write(directory, stored)
    checkpoint.save(directory / "checkpoints" / "last", state)
    return directory
