"""Files that are written atomically, and read only if they are regular files."""

import errno
import itertools
import json
import logging
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

log = logging.getLogger(__name__)

DEEPEST = 8  # objects and lists inside each other in a JSON file
LARGEST_NUMBER = 1e60  # in a JSON file: larger than any sum in float32, and its square is finite


class DamagedFileError(Exception):
    """A file of a run cannot be used. Its text is one line."""


class MissingFileError(DamagedFileError):
    """A file of a run is missing."""


class IrregularFileError(OSError):
    """A path is a folder, pipe, socket or device instead of a file."""


def relative_to_cwd(path: Path) -> Path:
    """The path relative to the working directory if it is below it, else the path itself."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def printable(text: str) -> str:
    """The text with a `?` for each character that UTF-8 cannot encode, as paths and JSON may contain."""
    return text.encode(errors="replace").decode()


def temporary_of(path: Path) -> Path:
    """A new, unique path beside `path` for its content while it is written."""
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")


def leftovers_of(path: Path) -> list[Path]:
    """The temporary files of killed writes to `path`, whose name may be a pattern such as `*.png`."""
    return list(path.parent.glob(f"{path.name}.{'[0-9a-f]' * 16}.tmp"))


def write_atomically(path: Path, content: bytes, keep: Path | None = None, *, durable: bool = True) -> None:
    """Write `content` to `path`. Even if the process is killed, `path` is either the old file or the new one.

    Several processes may write to the same path at once. The last write stays.

    Args:
        path: of the file. A symbolic link is replaced, not followed.
        content: of the new file.
        keep: the path to which the old file is moved. None: it is removed.
        durable: wait until the content is on the disk, so that a power failure cannot lose it. Takes milliseconds.

    Raises:
        OSError: the disk is full or cannot be written. The old file is unchanged.
    """
    temporary = temporary_of(path)
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if keep is not None and path.is_file():
            add_name(path, keep)
        _set_folder_aside(path)
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path for a new file or folder, which becomes `path` at the end.

    After an error neither is there, nor are the folders above that were made for it.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    temporary = temporary_of(path)
    try:
        with suppress(FileExistsError):  # a file is in the place of a folder: writing says so
            path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # it would hide the error above
            temporary.unlink(missing_ok=True)
        for folder in made:
            with suppress(OSError):  # it is not empty: all went well
                folder.rmdir()


def add_name(path: Path, name: Path) -> None:
    """Give the file at `path` a second name, atomically. An existing file of that name is replaced."""
    temporary = temporary_of(name)
    try:
        try:
            os.link(path, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, temporary)
        temporary.replace(name)
    finally:
        temporary.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be used to `<name>.damaged`, `<name>.damaged-2`, ... Returns the new path."""
    free = path.with_name(f"{path.name}.damaged")
    for number in itertools.count(2):
        if not os.path.lexists(free):
            break
        free = path.with_name(f"{path.name}.damaged-{number}")
    return path.rename(free)


def remove(path: Path) -> None:
    """Remove a file of a run, if it exists. A directory of that name is renamed, with a warning."""
    _set_folder_aside(path)
    path.unlink(missing_ok=True)


def _set_folder_aside(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shown = relative_to_cwd(path)
        log.warning(f"warning: {shown} is no file but a directory. It was renamed to {set_aside(path).name}")


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading. Other files are refused, as reading from a pipe could block.

    Raises:
        IrregularFileError: it is not a regular file.
        OSError: it is missing or cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise IrregularFileError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb")


def read_regular(path: Path, most: int = -1) -> bytes:
    """The content of a regular file, or its first `most` bytes.

    Raises:
        OSError: as `open_regular`.
    """
    with open_regular(path) as file:
        return file.read(most)


def read_end(path: Path, most: int) -> bytes:
    """The last `most` bytes of a regular file, from the beginning of a line on.

    Raises:
        OSError: as `open_regular`.
    """
    with open_regular(path) as file:
        if file.seek(0, os.SEEK_END) <= most:
            file.seek(0)
            return file.read()
        file.seek(-most - 1, os.SEEK_END)
        return file.read().partition(b"\n")[2]


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON, atomically."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. All texts in it can be printed.

    Raises:
        MissingFileError: the file is missing.
        DamagedFileError: the file cannot be read or has no object, or the object is nested too deeply or has a number
            out of range.
    """
    try:
        content = json.loads(read_regular(path))
        if not isinstance(content, dict):
            raise ValueError("it must hold an object")
        return {printable(key): _bounded(value, key, DEEPEST) for key, value in content.items()}
    except FileNotFoundError:
        raise MissingFileError(f"{path.name} is missing") from None
    except OSError as error:
        raise DamagedFileError(f"{path.name} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else " ".join(str(error).split())[:160]
        raise DamagedFileError(f"{path.name} is damaged: {reason}") from None


def _bounded(value: Any, name: str, depth: int) -> Any:
    """The value with printable texts. Raises `ValueError` if it is nested too deeply or has a number out of range."""
    match value:
        case dict() | list() if depth == 0:
            raise ValueError(f"{printable(name)[:100]} is too deeply nested")
        case dict():
            return {printable(key): _bounded(below, f"{name}.{key}", depth - 1) for key, below in value.items()}
        case list():
            return [_bounded(below, f"{name}.{index}", depth - 1) for index, below in enumerate(value)]
        case str():
            return printable(value)
        case int() | float() if LARGEST_NUMBER < abs(value) < math.inf:
            raise ValueError(f"{printable(name)[:100]} is out of range")
    return value
