"""The directory of a run: its lock, whether it holds a run, and the temporary files of killed processes."""

import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vae.run.files import DamagedFileError, leftovers_of, read_json, relative_to_cwd, write_atomically
from vae.run.names import (
    CHECKPOINTS,
    CODES,
    CONFIGURATION,
    CONFIGURATION_COPY,
    EXPLORER,
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
    """The directory already holds a run, or another process trains in it. Its text is one line."""


class BusyError(RunExistsError):
    """Another process is training in the directory."""


@contextmanager
def locked(
    directory: Path, *, timeout_seconds: float = LOCK_TIMEOUT_SECONDS, give_up: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Make the directory of a run and hold its lock, so that no other process trains there.

    Args:
        directory: of the run.
        timeout_seconds: how long to wait for another process to release the lock.
        give_up: is asked every second whether to wait no longer.

    Raises:
        BusyError: another process still holds the lock. The text names that process, its host and the file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _acquire(directory, timeout_seconds, give_up):
        remove_leftovers(directory)
        _note_holder(directory)
        try:
            yield
        finally:
            with suppress(OSError):
                (directory / LOCK_HOLDER).unlink()


def _acquire(directory: Path, timeout_seconds: float, give_up: Callable[[], bool]) -> AbstractContextManager[object]:
    """Acquire the lock, which leaving the returned context releases."""
    lock = FileLock(directory / LOCK)
    occupied = f"{relative_to_cwd(directory)} is being trained by another process"
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        log.warning(f"warning: {occupied}. Waiting up to {timeout_seconds:g} s for it to stop")
    deadline = time.monotonic() + timeout_seconds
    while not give_up() and (left := deadline - time.monotonic()) > 0:
        with suppress(Timeout):
            return lock.acquire(timeout=min(left, 1.0))
    raise BusyError(
        f"{occupied}, {_holder(directory)}, which holds {relative_to_cwd(directory / LOCK)}. "
        "Wait until it ends, or stop it. If no such process runs, delete that file"
    )


def _note_holder(directory: Path) -> None:
    """Write which process holds the lock, in a separate file, as filelock may empty the lock's file or write to it."""
    holder = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}
    with suppress(OSError):  # training reports a full disk
        write_atomically(directory / LOCK_HOLDER, json.dumps(holder).encode(), durable=False)


def _holder(directory: Path) -> str:
    try:
        return "process {process} on {host} since {since}".format_map(read_json(directory / LOCK_HOLDER))
    except (DamagedFileError, KeyError):
        return "unknown"


def is_run(directory: Path) -> bool:
    """Whether `directory` has the configuration of a run."""
    return any((directory / name).exists() for name in (CONFIGURATION, CONFIGURATION_COPY))


def has_checkpoint(directory: Path) -> bool:
    """Whether `directory` has a checkpoint to resume from."""
    # Unlike Path.exists, os.path.exists does not raise if a permission is missing.
    return any(os.path.exists(directory / CHECKPOINTS / name) for name in (LAST, PREVIOUS))


def holds_a_run(directory: Path) -> bool:
    """Whether `directory` has a checkpoint, or the results of a finished run."""
    return has_checkpoint(directory) or read_summary(directory)["status"] == "done"


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files of killed processes. The caller holds the lock, so no other process writes."""
    files = (CONFIGURATION, RUN, SUMMARY, CODES, EXPLORER, METRICS, LOCK_HOLDER)
    for name in (*files, f"{CHECKPOINTS}/*", f"{FIGURES}/*.png"):
        for leftover in leftovers_of(directory / name):
            leftover.unlink(missing_ok=True)
