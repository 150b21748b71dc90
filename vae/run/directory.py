"""The directory of a run: its lock, what it holds, and what killed processes left in it."""

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vae.run.files import DamagedFileError, leftovers_of, read_json, relative_to_cwd, write_atomically
from vae.run.names import (
    BEST,
    CHECKPOINTS,
    CODES,
    CONFIGURATION,
    CONFIGURATION_COPY,
    FIGURES,
    LAST,
    LOCK,
    LOCK_HOLDER,
    METRICS,
    PREVIOUS,
    RUN,
    SUMMARY,
)
from vae.run.summary import read_summary

log = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS = 30.0  # long enough for a process that is saving and stopping


class RunExistsError(Exception):
    """The directory holds another run, or is being trained in. Its text is one line."""


class BusyError(RunExistsError):
    """Another process is training in the directory."""


@contextmanager
def locked(directory: Path, *, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> Iterator[None]:
    """Hold the lock of a run's directory, so that no other process trains there. Makes the directory.

    Args:
        directory: of the run.
        timeout_seconds: how long to wait for another process to release the lock.

    Raises:
        BusyError: another process still holds it. Names that process, its host and the lock's file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / LOCK)
    try:
        _acquire(lock, directory, timeout_seconds)
        remove_leftovers(directory)
        _note_holder(directory)
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):
                (directory / LOCK_HOLDER).unlink()
        lock.release()


def _acquire(lock: FileLock, directory: Path, timeout_seconds: float) -> None:
    occupied = f"{relative_to_cwd(directory)} is being trained by another process"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning(f"warning: {occupied}. Waiting up to {timeout_seconds:g} s for it to stop")
        try:
            lock.acquire(timeout=timeout_seconds)
        except Timeout:
            raise BusyError(
                f"{occupied}, {_holder(directory)}, which holds {relative_to_cwd(directory / LOCK)}. "
                "Wait until it ends, or stop it. If no such process runs, delete that file"
            ) from None


def _note_holder(directory: Path) -> None:
    """Write who holds the lock, into a file of its own: filelock may empty the lock's file, or write to it."""
    holder = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}
    with suppress(OSError):  # if the disk is full, training reports it
        write_atomically(directory / LOCK_HOLDER, json.dumps(holder).encode(), durable=False)


def _holder(directory: Path) -> str:
    """The process that holds the lock of a run, as far as it is known."""
    try:
        holder = read_json(directory / LOCK_HOLDER)
        return f"process {int(holder['process'])} on {str(holder['host'])[:100]} since {str(holder['since'])[:40]}"
    except (DamagedFileError, KeyError, TypeError, ValueError):
        return "unknown"


def has_checkpoint(directory: Path) -> bool:
    """Whether the run in `directory` has saved a checkpoint that it can be resumed from."""
    # Unlike Path.exists, os.path.exists raises nothing where a permission is missing.
    return any(os.path.exists(directory / CHECKPOINTS / name) for name in (LAST, PREVIOUS))


def holds_a_run(directory: Path) -> bool:
    """Whether `directory` holds a checkpoint, or the results of a run that is done."""
    return has_checkpoint(directory) or read_summary(directory)["status"] == "done"


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files of killed processes. Only for the holder of the lock, as no other process writes."""
    files = [CONFIGURATION, CONFIGURATION_COPY, RUN, SUMMARY, CODES, METRICS, LOCK_HOLDER]
    files += [f"{CHECKPOINTS}/{name}" for name in (LAST, PREVIOUS, BEST)]
    temporaries = [path for name in files for path in leftovers_of(directory / name)]
    if not (directory / FIGURES).is_symlink():
        temporaries += (directory / FIGURES).glob("*.png.*.tmp")
    for temporary in temporaries:
        temporary.unlink(missing_ok=True)
