"""Files and folders of results, which are whole or not there at all."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from vae.app.invocation import UsageError
from vae.run.files import written_whole
from vae.run.signals import SIGNALS


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary path, which becomes `path` at the end. After an error or a signal, neither is there.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    with ending_by_exception(), written_whole(path) as temporary:
        yield temporary


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder, which becomes `path` at the end. After an error or a signal, neither is there.

    Raises:
        UsageError: `path` exists, and is not an empty folder.
        OSError: the disk is full or cannot be written.
    """
    if os.path.lexists(path) and not (path.is_dir() and not path.is_symlink() and not any(path.iterdir())):
        raise UsageError(f"--output must be a new folder, got {path}, which exists. Name another, or remove it")
    with new_file(path) as temporary:
        temporary.mkdir()
        yield temporary
        if path.is_dir():
            path.rmdir()


@contextmanager
def progress_bar(count: int) -> Iterator["tqdm[None]"]:
    """A bar on stderr if that is a terminal."""
    with tqdm(total=count, unit=" inputs", disable=None, dynamic_ncols=True) as bar:
        yield bar


def check_file(path: Path, suffixes: Sequence[str], *inputs: str) -> None:
    """Refuse an output of another kind, and one that is an input.

    Raises:
        UsageError: names --output.
    """
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"--output must end in {' or '.join(suffixes)}, got {path}")
    if path.is_dir():
        raise UsageError(f"--output must be a file, got {path}, which is a folder")
    if any(os.path.exists(given) and os.path.exists(path) and os.path.samefile(given, path) for given in inputs):
        raise UsageError(f"--output must not be the input, got {path}. Name another")


def refuse_inside(path: Path, *inputs: str) -> None:
    """Refuse pictures inside a folder that is an input: they would be inputs of the next command.

    Raises:
        UsageError: names --output.
    """
    for given in inputs:
        if os.path.isdir(given) and Path(given).resolve() in path.resolve().parents:
            raise UsageError(f"--output must lie outside of the input folder {given}, got {path}. Name another place")


@contextmanager
def ending_by_exception() -> Iterator[None]:
    """Signals raise `SystemExit` with the exit code of the signal, so that temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        sys.stderr.write(f"stop   by signal {number}, nothing was written\n")
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
