"""The provenance of a run: command, revision of the code, versions, device, threads and data."""

import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "torchvision", "numpy", "hydra-core", "tensorboard")


def provenance(
    command: Sequence[str], code: str, device: torch.device, data_checksums: Mapping[str, str]
) -> dict[str, Any]:
    """The content of `run.json`.

    Args:
        command: that started the run, in words.
        code: the version of beta-vae.
        device: of the training.
        data_checksums: the sha256 of each file of images, by name.
    """
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": list(command),
        "revision": revision(),
        "python": platform.python_version(),
        "versions": {"beta-vae": code, **{name: version(name) for name in PACKAGES}},
        "platform": platform.platform(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "data_sha256": dict(data_checksums),
    }


def revision() -> str | None:
    """The git commit of the code, with "-dirty" if files have changed since. None if the code is not in a checkout."""
    here = Path(__file__)
    is_tracked = ["git", "ls-files", "--error-unmatch", here.name]  # an environment may lie inside another checkout
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        for command in (is_tracked, describe):
            answer = subprocess.run(command, cwd=here.parent, capture_output=True, text=True, timeout=5)
            if answer.returncode != 0:
                return None
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def device_name(device: torch.device) -> str:
    """The device, and for CUDA the model of the GPU."""
    return f"cuda, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type
