"""Reading regular files, checksums, atomic writing, and the lock to hold while writing."""

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)


class DataError(Exception):
    """The data cannot be used. The text is one line: what is wrong, and the fix."""

    def __init__(self, text: str) -> None:
        super().__init__(single_line(text))


def single_line(text: str) -> str:
    r"""The text without line breaks, and with unprintable characters escaped. A path may contain any character.

    Example:
        >>> single_line("a\nb\x1b[31m\udcff")
        'a b\\x1b[31m\\udcff'
    """
    joined = " ".join(text.splitlines())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined)


def reason(error: Exception) -> str:
    """The text of an error, without the number and the path that an OSError adds."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def expanded(path: str | Path, key: str) -> Path:
    """The path with a leading `~` or `~user` replaced by the home directory. `key` is named in the error.

    Raises:
        DataError: that user has no home directory.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(f"{key} must be a path, got {path}: {reason(error)}") from error


def kind_of(path: Path) -> str:
    """What is at a path that should be a regular file, in words."""
    if not os.path.lexists(path):
        return "missing"
    if not path.exists():
        return f"a broken link to {os.readlink(path)}"
    return "a directory" if path.is_dir() else "a pipe, a socket or a device"


def read_bytes(path: Path, most: int = -1) -> bytes:
    """The content of a regular file, or its first `most` bytes.

    Raises:
        DataError: the file is missing, is not regular, or cannot be read.
    """
    try:
        # Checked before opening: opening a named pipe blocks until something writes to it.
        if not path.is_file():
            kind = kind_of(path)
            raise DataError(f"{path} is missing" if kind == "missing" else f"{path} must be a regular file, is {kind}")
        with path.open("rb") as file:
            return file.read(most)
    except MemoryError as error:
        raise DataError(f"{path} does not fit in the memory") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from error


def sha256_of(data: bytes | memoryview) -> str:
    """The sha256 in hexadecimal digits.

    Example:
        >>> sha256_of(b"")[:8]
        'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def sha256_of_files(folder: Path, files: Iterable[Path]) -> str:
    """One sha256 of the names and contents of files, in this order. The names are relative to `folder`.

    Raises:
        DataError: a file is not regular or cannot be read.
    """
    return sha256_of_checksums(folder, ((file, sha256_of(read_bytes(file))) for file in files))


def sha256_of_checksums(folder: Path, checksums: Iterable[tuple[Path, str]]) -> str:
    """As `sha256_of_files`, from the sha256 of each file's content."""
    whole = hashlib.sha256()
    for file, checksum in checksums:
        # The checksum of the content has a fixed length, so names and contents cannot be confused.
        whole.update(os.fsencode(file.relative_to(folder)) + b"\0" + checksum.encode())
    return whole.hexdigest()


def write_whole(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file atomically. The caller must hold a lock, because all writers use one temporary file.

    Raises:
        OSError: the disk is full or cannot be written. The old file is unchanged.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, fix: str, timeout_seconds: float = -1) -> Iterator[None]:
    """Hold the lock `.lock` beside `path`, whose folder is created, while `path` is written.

    A log line says so if another process holds the lock.

    Args:
        path: the file or folder that will be written.
        fix: the end of the error message, as in "Set data.root to another".
        timeout_seconds: how long to wait; -1 is without limit.

    Raises:
        DataError: the folder cannot be written, or another process held the lock all the time.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = FileLock(path.parent / ".lock")
        try:
            holder.acquire(timeout=0)
        except Timeout:
            until = "" if timeout_seconds < 0 else f" up to {timeout_seconds:g} s"
            log.warning(single_line(f"waiting{until} for another process that is writing {path}"))
            holder.acquire(timeout=timeout_seconds)
        try:
            yield
        finally:
            holder.release()
    except (OSError, NotImplementedError) as error:
        raise DataError(f"{path.parent} must be a folder that can be written: {reason(error)}. {fix}") from error
