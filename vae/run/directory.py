"""The files of a run's directory, who may write them, and how: whole or not at all."""

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vae.run.files import DamagedFileError, leftovers_of, read_json, shown, write_atomically
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

LOCK_PATIENCE_SECONDS = 30.0  # for a process that is just saving and stopping


class RunExistsError(Exception):
    """A directory that holds another run, or one that is being trained. Its text is one line."""


class BusyError(RunExistsError):
    """Another process trains in the directory."""


@contextmanager
def held(directory: Path, *, patience_seconds: float = LOCK_PATIENCE_SECONDS) -> Iterator[None]:
    """Nobody else trains in `directory` meanwhile.

    Args:
        directory: of the run.
        patience_seconds: how long to wait for a process that trains there to stop.

    Raises:
        BusyError: another process does, and does not stop. Names it, its host and the lock's file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / LOCK)
    try:
        _acquire(lock, directory, patience_seconds)
        remove_leftovers(directory)
        _note_holder(directory)
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):
                (directory / LOCK_HOLDER).unlink()
        lock.release()


def _acquire(lock: FileLock, directory: Path, patience_seconds: float) -> None:
    occupied = f"{shown(directory)} is being trained by another process"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning(f"warning: {occupied}. Waiting up to {patience_seconds:g} s for it to stop")
        try:
            lock.acquire(timeout=patience_seconds)
        except Timeout:
            raise BusyError(
                f"{occupied}, {_holder(directory)}, which holds {shown(directory / LOCK)}. "
                "Wait until it ends, or stop it. If no such process runs, delete that file"
            ) from None


def _note_holder(directory: Path) -> None:
    """Write who holds the lock.

    In a file of its own: other processes that ask for the lock may empty the lock's file, and where the file system
    has no locks filelock keeps its own record in it.
    """
    holder = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}
    with suppress(OSError):  # a full disk: the run itself will say so
        write_atomically(directory / LOCK_HOLDER, json.dumps(holder).encode(), durable=False)


def _holder(directory: Path) -> str:
    """Who holds the lock of a run, as far as is known."""
    try:
        holder = read_json(directory / LOCK_HOLDER)
        return f"process {int(holder['process'])} on {str(holder['host'])[:100]} since {str(holder['since'])[:40]}"
    except (DamagedFileError, KeyError, TypeError, ValueError):
        return "of which nothing is known"


def has_checkpoint(directory: Path) -> bool:
    """Whether the run in `directory` has saved something to go on from, were it only the one before the last."""
    return any(os.path.exists(directory / CHECKPOINTS / name) for name in (LAST, PREVIOUS))  # no error if unreadable


def holds_a_run(directory: Path) -> bool:
    """Whether there is something in `directory` to lose: a checkpoint, or the numbers of a run that is done."""
    return has_checkpoint(directory) or read_summary(directory)["status"] == "done"


def remove_leftovers(directory: Path) -> None:
    """Remove what kills have left of a run's files. The caller holds the run's lock, so nobody is writing them."""
    run = [CONFIGURATION, CONFIGURATION_COPY, RUN, SUMMARY, CODES, METRICS, LOCK_HOLDER]
    for name in (*run, *(f"{CHECKPOINTS}/{name}" for name in (LAST, PREVIOUS, BEST))):
        for temporary in leftovers_of(directory / name):
            temporary.unlink(missing_ok=True)
    if not (directory / FIGURES).is_symlink():
        for temporary in (directory / FIGURES).glob("*.png.*.tmp"):
            temporary.unlink(missing_ok=True)
