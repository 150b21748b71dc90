"""Write the model of a run into a folder that needs neither the run nor its data."""

import os
from pathlib import Path
from typing import Any

from vae.config import ConfigError
from vae.model.build import Network
from vae.model.vae import count_parameters
from vae.run.directory import is_run
from vae.run.files import written_whole
from vae.run.names import LAST
from vae.run.record import Record
from vae.run.summary import Origin, read_origin
from vae.trained.card import TrainedRun, model_card
from vae.trained.exported import CARD, packed
from vae.trained.load import load_trained
from vae.trained.onnx import onnx_files


def export(
    run: str | Path,
    to: str | Path,
    *,
    onnx: bool = False,
    checkpoint: str = LAST,
    beta: float | None = None,
    encoder: Network | None = None,
    decoder: Network | None = None,
) -> Path:
    """Write the model of a run as `config.json`, `model.safetensors` and a model card.

    `vae.load` reads the folder, and so does huggingface_hub. The folder appears whole or not at all.

    Args:
        run: the directory of a run, or of a sweep's member.
        to: the new folder.
        onnx: whether to add `encoder.onnx` and `decoder.onnx`, each compared with torch first.
        checkpoint: `last`, or `best` by validation ELBO.
        beta: of the model, as for `vae.load`.
        encoder: the user's own network, as for `vae.load`.
        decoder: likewise.

    Returns:
        The folder.

    Raises:
        ConfigError: `run` is no run, `to` exists, a package is missing, or the networks cannot be exported.
        CheckpointError: the checkpoint is missing or damaged.
        OSError: the folder cannot be written.

    Example::

        vae.export("outputs/RUN", to="digits", onnx=True)
        model = vae.load("digits")
    """
    directory, folder = Path(run).expanduser(), Path(to).expanduser()
    if not is_run(directory):
        raise ConfigError(f"only the directory of a run can be exported, got {run}. Name one, as in outputs/RUN")
    refuse_existing(folder)
    vae, description, stored, summary, step = load_trained(directory, checkpoint, encoder, decoder, beta)
    vae.eval()
    origin = read_origin(directory)
    files = packed(description, vae.state_dict(), plain_origin(stored, origin, step))
    if onnx:
        files |= onnx_files(vae, description.preparation)
    training = TrainedRun(stored, origin.fields, summary, step, checkpoint, count_parameters(vae))
    files[CARD] = model_card(description, training, onnx=onnx).encode()
    write_folder(folder, files)
    return folder


def refuse_existing(folder: Path) -> None:
    """Refuse a folder, or a file, that exists.

    Raises:
        ConfigError: it exists.
    """
    if os.path.lexists(folder):
        raise ConfigError(f"the folder of an export must be a new one, got {folder}, which exists. Name another")


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a new folder, which appears with all of them or not at all.

    Raises:
        ConfigError: the folder exists.
        OSError: it cannot be written. No part of it is left.
    """
    with written_whole(folder) as temporary:
        temporary.mkdir()
        for name, content in files.items():
            with (temporary / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        refuse_existing(folder)


def plain_origin(stored: Record, origin: Origin, step: int) -> dict[str, Any]:
    """How the model was trained, as plain data, without the paths of this machine."""
    plain: dict[str, Any] = {"choices": dict(stored.choices), "seed": stored.config.seed, "steps": step}
    return plain | {key: origin.fields[key] for key in ("started", "revision", "versions") if key in origin.fields}
