"""The files of a run's directory, who may write them, and how: whole or not at all."""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

CONFIGURATION = ".hydra/config.yaml"  # what was configured: see `vae.stored`
RUN = "run.json"
SUMMARY = "summary.json"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"  # the folder of these three
LAST, BEST = "last", "best"
PREVIOUS = "previous"  # the `last` before this one, should this one be damaged
LAST_CHECKPOINT = f"{CHECKPOINTS}/{LAST}"
FIGURES = "figures"  # the folder of the newest of each
CODES = "codes.npz"  # of the first test images, so that runs can be compared without their models
LOCK = ".lock"  # held by the process that trains
LOCK_PATIENCE_SECONDS = 30.0  # for a process that is just saving and stopping


class RunExistsError(Exception):
    """A directory that holds another run, or one that is being trained. Its text is one line."""


@contextmanager
def held(directory: Path, patience_seconds: float = 30.0) -> Iterator[None]:
    """Nobody else trains in `directory` meanwhile.

    Raises:
        RunExistsError: another process does, and does not stop.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / LOCK)
    try:
        _acquire(lock, f"{shown(directory)} is being trained by another process", patience_seconds)
        remove_leftovers(directory)
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, occupied: str, patience: float) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning(f"warning: {occupied}. Waiting up to {patience:g} s for it to stop")
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            raise RunExistsError(f"{occupied}. Wait until it ends, or stop it") from None


def has_checkpoint(directory: Path) -> bool:
    """Whether the run in `directory` has saved something to go on from, were it only the one before the last."""
    return any((directory / CHECKPOINTS / name).exists() for name in (LAST, PREVIOUS))


def holds_a_run(directory: Path) -> bool:
    """Whether there is something in `directory` to lose: a checkpoint, or the numbers of a run that is done."""
    return has_checkpoint(directory) or read_summary(directory)["status"] == "done"


def shown(path: Path) -> Path:
    """The path from here, if it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def temporary_of(path: Path) -> Path:
    """Where the content of `path` is written before it is given that name."""
    return path.with_name(path.name + ".tmp")


def write_atomically(
    path: Path, content: bytes | memoryview, keep: Path | None = None, *, durable: bool = True
) -> None:
    """Put `content` at `path` so that a reader, or a kill at any moment, finds the old file or the new one, whole.

    Args:
        path: where to.
        content: what to.
        keep: the old file stays, under this name.
        durable: not even a machine that loses its power loses it again; takes milliseconds.

    Raises:
        OSError: the disk is full or cannot be written; the old file is untouched.
    """
    temporary = temporary_of(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if keep is not None:
            _keep(path, keep)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(directory: Path) -> None:
    """Remove what a kill in the midst of writing has left of a run's files. Nobody else writes them meanwhile."""
    files = [directory / name for name in (CONFIGURATION, RUN, SUMMARY, CODES, METRICS)]
    for path in (*files, *(directory / CHECKPOINTS / name for name in (LAST, PREVIOUS, BEST))):
        temporary_of(path).unlink(missing_ok=True)
    for temporary in (directory / FIGURES).glob(temporary_of(Path("*")).name):
        temporary.unlink()


def give_second_name(path: Path, second: Path, keep: Path | None = None) -> None:
    """Have the file at `path` stand at `second` too, atomically; what is there now stays, if named, as `keep`."""
    if keep is not None:
        _keep(second, keep)
    temporary = temporary_of(second)
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, temporary)
    temporary.replace(second)


def _keep(path: Path, name: Path) -> None:
    if path.is_file():
        give_second_name(path, name)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` for people and programs, atomically."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def read_summary(directory: Path) -> dict[str, Any]:
    """What the run in `directory` said when it ended; `{"status": "unfinished"}` if it has not, or not readably."""
    try:
        summary = json.loads((directory / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return {"status": "unfinished"}
    return summary if isinstance(summary, dict) and "status" in summary else {"status": "unfinished"}
