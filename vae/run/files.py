"""Files that are written whole or not at all, and read only if they are regular."""

import errno
import itertools
import json
import logging
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class DamagedFileError(Exception):
    """A file of a run that cannot be used. Its text is one line."""


class MissingFileError(DamagedFileError):
    """There is no such file."""


class IrregularFileError(OSError):
    """A folder, pipe, socket or device in the place of a file."""


def shown(path: Path) -> Path:
    """The path from here, if it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def temporary_of(path: Path) -> Path:
    """A new name beside `path`, for its content until that is whole. No two calls give the same one."""
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")


def leftovers_of(path: Path) -> list[Path]:
    """The files that kills have left while `path` was written."""
    pattern = re.compile(re.escape(path.name) + r"(\.[0-9a-f]{16})?\.tmp")  # an earlier version had one name for all
    try:
        return [entry for entry in path.parent.iterdir() if pattern.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def write_atomically(
    path: Path, content: bytes | memoryview, keep: Path | None = None, *, durable: bool = True
) -> None:
    """Put `content` at `path` so that a reader, or a kill at any moment, finds the old file or the new one, whole.

    Several processes may write the same path at once: one of their files is there in the end, whole.

    Args:
        path: where to. A symbolic link is replaced, never followed.
        content: what to.
        keep: the old file stays, under this name.
        durable: not even a machine that loses its power loses it again; takes milliseconds.

    Raises:
        OSError: the disk is full or cannot be written; the old file is untouched.
    """
    temporary = temporary_of(path)
    try:
        with temporary.open("xb") as file:  # O_EXCL: neither a file nor a link of somebody else's is written into
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if keep is not None:
            _keep(path, keep)
        if path.is_dir() and not path.is_symlink():
            log.warning(f"warning: {shown(path)} is no file but a directory. It was renamed to {set_aside(path).name}")
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def give_second_name(path: Path, second: Path, keep: Path | None = None) -> None:
    """Have the file at `path` stand at `second` too, atomically; what is there now stays, if named, as `keep`."""
    if keep is not None:
        _keep(second, keep)
    temporary = temporary_of(second)
    try:
        try:
            os.link(path, temporary)
        except OSError:  # a file system without hard links
            with path.open("rb") as source, temporary.open("xb") as copy:
                shutil.copyfileobj(source, copy)
        temporary.replace(second)
    finally:
        temporary.unlink(missing_ok=True)


def _keep(path: Path, name: Path) -> None:
    if path.is_file():
        give_second_name(path, name)


def set_aside(path: Path) -> Path:
    """Rename what is at `path` and cannot be used to a free name beside it, which is returned. Nothing is deleted."""
    endings = itertools.chain(["damaged"], (f"damaged-{number}" for number in itertools.count(2)))
    names = (path.with_name(f"{path.name}.{ending}") for ending in endings)
    free = next(name for name in names if not os.path.lexists(name))
    path.rename(free)
    return free


def read_regular(path: Path, most: int = -1) -> bytes:
    """The content of a file, or its first `most` bytes. It must be regular: a reader could wait for a pipe for ever.

    Raises:
        OSError: it is missing, no regular file, or cannot be read.
    """
    refuse_irregular(path, os.stat(path))  # before it is opened, which alone may do something to a device
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        refuse_irregular(path, os.fstat(file.fileno()))
        return file.read(most)


def refuse_irregular(path: Path, found: os.stat_result) -> None:
    """Raise an `OSError`, an `IrregularFileError`, unless `found` is of a regular file."""
    if not stat.S_ISREG(found.st_mode):
        raise IrregularFileError(errno.EINVAL, "not a regular file", str(path))


def remove(path: Path) -> None:
    """Remove a file of a run, if it is there. A directory in its place is set aside."""
    if path.is_dir() and not path.is_symlink():
        log.warning(f"warning: {shown(path)} is no file but a directory. It was renamed to {set_aside(path).name}")
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` for people and programs, atomically."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, not nested deeply, whose numbers are in a range in which they can be reckoned with.

    What was no character is replaced, so that all texts can be printed.

    Raises:
        DamagedFileError: the file is missing, cannot be read, or holds something else. Its text is one line.
    """
    try:
        content = json.loads(read_regular(path))
    except FileNotFoundError:
        raise MissingFileError(f"{path.name} is missing") from None
    except OSError as error:
        raise DamagedFileError(f"{path.name} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else " ".join(str(error).split())[:100]
        raise DamagedFileError(f"{path.name} is damaged: {reason}") from None
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path.name} is damaged: it must hold an object")
    try:
        return {_printable(key): _checked(value, key, NESTED) for key, value in content.items()}
    except ValueError as error:
        raise DamagedFileError(f"{path.name} is damaged: {error}") from None


NESTED = 8  # objects and lists in each other, at most
LARGEST = 1e60  # number: more than sums of single precision can come to, and its square is finite


def _checked(value: Any, name: str, depth: int) -> Any:
    match value:
        case dict() | list() if depth == 0:
            raise ValueError(f"{_printable(name)[:100]} is too deeply nested")
        case dict():
            return {_printable(key): _checked(below, f"{name}.{key}", depth - 1) for key, below in value.items()}
        case list():
            return [_checked(below, f"{name}.{index}", depth - 1) for index, below in enumerate(value)]
        case str():
            return _printable(value)
        case int() | float() if LARGEST < abs(value) < math.inf:
            raise ValueError(f"{_printable(name)[:100]} is out of range")
    return value


def _printable(text: str) -> str:
    return text.encode(errors="replace").decode()
