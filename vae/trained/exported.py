"""An exported folder: `config.json`, `model.safetensors` and a model card. Reading one executes nothing in it.

These are the names that huggingface_hub's PyTorchModelHubMixin reads and writes. `config.json` has a checksum of its
own values and one of the weights.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from vae.config import ConfigError
from vae.model.vae import VAE
from vae.run.checkpoint import CheckpointError
from vae.run.directory import is_run
from vae.run.files import DamagedFileError, read_json, read_regular
from vae.run.learned import floats, layout
from vae.trained.description import Description, description_of

CONFIGURATION = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
ENCODER = "encoder.onnx"  # with --onnx only, like the decoder
DECODER = "decoder.onnx"
NAMES = (CONFIGURATION, WEIGHTS, CARD, ENCODER, DECODER)

AGAIN = "Export the run again"
EXTRA = "pip install 'beta-vae[export]'"


def is_exported(folder: Path) -> bool:
    """Whether a folder seems to be an exported one, and no run: it has a file of weights, or a configuration."""
    return not is_run(folder) and any((folder / name).exists() for name in (WEIGHTS, CONFIGURATION))


def packed(description: Description, state: Mapping[str, Any], origin: Mapping[str, Any]) -> dict[str, bytes]:
    """The content of `config.json` and `model.safetensors`, by name.

    Args:
        description: of the model.
        state: its `state_dict`.
        origin: how it was trained, as plain data for JSON. It does not change what the model computes.

    Raises:
        ConfigError: a user's own network has a state or an option that such files cannot hold.
    """
    others = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise ConfigError(f"the state of a network must be tensors to be exported, got {others[0]}. Make it a buffer")
    # Cloned, so that layers with the same weights are stored twice: the format has no references.
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    weights = optional("safetensors.torch", "an export").save(tensors)
    tree = description.plain() | {"origin": dict(origin), "weights_sha256": hashlib.sha256(weights).hexdigest()}
    try:
        content = json.dumps(tree | {"sha256": _checksum(tree)}, indent=2)
        is_complete = description_of(json.loads(content)) == description
    except (TypeError, ValueError):
        is_complete = False
    if not is_complete:
        raise ConfigError("model.options must be numbers, texts, lists and names of them to be exported. Change them")
    return {CONFIGURATION: f"{content}\n".encode(), WEIGHTS: weights}


def read_description(folder: Path) -> Description:
    """The description in an exported folder.

    Raises:
        ConfigError: `config.json` is missing, damaged or edited, or of a later version.
    """
    return _configuration(folder)[0]


def read_exported(folder: Path) -> tuple[Description, dict[str, Tensor]]:
    """The description and the weights in an exported folder. All tensors are on the CPU.

    Raises:
        ConfigError: as for `read_description`, or safetensors is missing.
        CheckpointError: the weights are missing or damaged, or of another export.
    """
    description, checksum = _configuration(folder)
    safetensors = optional("safetensors.torch", "an exported folder")
    path = folder / WEIGHTS
    try:
        content = read_regular(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}. {AGAIN}") from None
    if hashlib.sha256(content).hexdigest() != checksum:
        raise CheckpointError(f"{path} is damaged or of another export: its checksum does not match. {AGAIN}")
    try:
        weights: dict[str, Tensor] = safetensors.load(content)
    except Exception as error:  # a SafetensorError, or one of torch for a type that it does not know
        raise CheckpointError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}. {AGAIN}") from None
    return description, weights


def load_weights(vae: VAE, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Load the weights of an exported folder into its model.

    Raises:
        CheckpointError: they do not fit the model, or are not finite.
    """
    wanted, found = layout(vae.state_dict()), layout(dict(weights))
    for name in wanted | found:
        if wanted.get(name) != found.get(name):
            got = f"'{name}' must be {wanted.get(name, 'absent')}, got {found.get(name, 'nothing')}"
            raise CheckpointError(f"{folder / WEIGHTS} does not fit its model: {got}. {AGAIN}")
    if not all(bool(tensor.isfinite().all()) for tensor in floats(dict(weights))):
        raise CheckpointError(f"{folder / WEIGHTS} must hold finite numbers, got others. {AGAIN}")
    vae.load_state_dict(dict(weights))


def optional(module: str, purpose: str, extra: str = EXTRA) -> Any:
    """A module of the optional packages. `extra` says how they are installed.

    Raises:
        ConfigError: it is not installed. The line says how to install it.
    """
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise ConfigError(f"{purpose} needs {package}, which cannot be imported. Install it: {extra}") from None


def _configuration(folder: Path) -> tuple[Description, Any]:
    """The checked content of `config.json`: the description, and the checksum of the weights."""
    path = folder / CONFIGURATION
    try:
        tree = read_json(path)
    except DamagedFileError as error:
        raise ConfigError(f"{folder}: {error}. {AGAIN}") from None
    try:
        description = description_of(tree)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if tree.pop("sha256", None) != _checksum(tree):
        raise ConfigError(f"{path} was edited or is damaged: its checksum does not match. {AGAIN}")
    return description, tree.get("weights_sha256")


def _checksum(tree: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()
