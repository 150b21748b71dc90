"""Files as the readers need them: regular ones only, a home directory for `~`, and a lock that is not silent."""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class DataError(Exception):
    """One line: what is wrong with the data, and the fix."""

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))


def one_line(text: str) -> str:
    r"""The text without line breaks and control characters, and in a form that UTF-8 can write.

    A path, or a library's message, may hold any of them.

    Example:
        >>> one_line("a\nb\x1b[31m\udcff")
        'a b\\x1b[31m\\udcff'
    """
    joined = " ".join(text.splitlines())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined)


def reason(error: Exception) -> str:
    """What went wrong, without the number and the path that an OSError puts around it."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def expanded(path: Path, key: str) -> Path:
    """The path with a leading `~` or `~user` replaced by the home directory. `key` is named in the error.

    Raises:
        DataError: that user has no home directory.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise DataError(f"{key} must be a path, got {path}: {reason(error)}") from error


def kind_of(path: Path) -> str:
    """What is at a path where a regular file should be, in words."""
    if not os.path.lexists(path):
        return "missing"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"a link to {os.readlink(path)}: {reason(error)}" if path.is_symlink() else reason(error)
    return KINDS.get(stat.S_IFMT(mode), "something else")


def read_bytes(path: Path, most: int = -1) -> bytes:
    """The content of a regular file, or its first `most` bytes.

    Raises:
        DataError: there is no such file, it is something else, or it cannot be read.
    """
    try:
        # Asked before opening: opening a named pipe would wait for its writer.
        if not path.is_file():
            kind = kind_of(path)
            raise DataError(f"{path} is missing" if kind == "missing" else f"{path} must be a regular file, is {kind}")
        with path.open("rb") as file:
            return file.read(most)
    except MemoryError as error:
        raise DataError(f"{path} does not fit in the memory") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from error


@contextmanager
def locked(lock: Path, file: Path, timeout_seconds: float = -1) -> Iterator[None]:
    """Hold the lock that is taken to write `file`. Where another process has it, a log line says that this one waits.

    Args:
        lock: the lock's file, which is made.
        file: what is written while the lock is held.
        timeout_seconds: how long to wait; -1 is for ever.

    Raises:
        filelock.Timeout: the other process still has it.
        OSError: the lock's file cannot be made.
    """
    holder = FileLock(lock)
    try:
        holder.acquire(timeout=0)
    except Timeout:
        until = "" if timeout_seconds < 0 else f" up to {timeout_seconds:g} s"
        log.warning(one_line(f"waiting{until} for another process that is writing {file} and holds {lock}"))
        holder.acquire(timeout=timeout_seconds)
    try:
        yield
    finally:
        holder.release()
