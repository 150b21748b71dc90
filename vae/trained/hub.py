"""Exported folders on the Hugging Face Hub. Tokens, caches and mirrors are those of huggingface_hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vae.config import ConfigError
from vae.model.build import Network
from vae.trained.exported import CONFIGURATION, NAMES, WEIGHTS, optional, read_exported
from vae.trained.load import load
from vae.trained.model import TrainedModel


def from_pretrained(
    name: str | Path,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    device: str = "auto",
    encoder: Network | None = None,
    decoder: Network | None = None,
) -> TrainedModel:
    """A trained model from the Hugging Face Hub, as `vae.load` returns it. Nothing that is downloaded is executed.

    Args:
        name: the repository, as in `owner/name`; or an exported folder on this machine.
        revision: its branch, tag or commit. None for the newest.
        local_files_only: whether to take what was downloaded before, without the network.
        device: as for `vae.load`.
        encoder: the network of a model with the author's own, as for `vae.load`.
        decoder: likewise.

    Raises:
        ConfigError: there is no such repository, it has no exported model, or huggingface_hub is missing.
        CheckpointError: the weights are damaged.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        hub = optional("huggingface_hub", "from_pretrained")
        with _one_line(f"{name} could not be fetched from the hub"):
            folder = Path(
                hub.snapshot_download(
                    str(name),
                    revision=revision,
                    local_files_only=local_files_only,
                    allow_patterns=[CONFIGURATION, WEIGHTS],
                )
            )
    return load(folder, device=device, encoder=encoder, decoder=decoder)


def push_to_hub(folder: str | Path, name: str, *, private: bool = False, revision: str | None = None) -> str:
    """Upload an exported folder to the Hugging Face Hub: the files of the export, and no others.

    Args:
        folder: written by `vae.export`.
        name: the repository, as in `owner/name`. It is made if it does not exist.
        private: whether a new repository is private.
        revision: the branch. None for the main one.

    Returns:
        The address of the commit.

    Raises:
        ConfigError: the folder is not an exported one, the hub refuses it, or huggingface_hub is missing.
        CheckpointError: the weights are damaged.
    """
    hub = optional("huggingface_hub", "push_to_hub")
    place = Path(folder).expanduser()
    read_exported(place)  # a damaged folder is not published
    with _one_line(f"{folder} could not be uploaded to {name}"):
        api = hub.HfApi(library_name="beta-vae")
        repository = api.create_repo(name, private=private, exist_ok=True).repo_id
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=place,
            revision=revision,
            allow_patterns=list(NAMES),
            commit_message="A model of beta-vae",
        )
    return str(commit)


@contextmanager
def _one_line(problem: str) -> Iterator[None]:
    """All that the hub refuses becomes one line."""
    try:
        yield
    except Exception as error:  # errors of huggingface_hub and of its client have no common type
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigError(f"{problem}: {reason}") from None
