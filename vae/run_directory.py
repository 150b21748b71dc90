"""The files of a run's directory, who may write them, and how: whole or not at all."""

import errno
import itertools
import json
import logging
import math
import os
import re
import secrets
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

CONFIGURATION = ".hydra/config.yaml"  # what was configured: see `vae.stored`
RUN = "run.json"
SUMMARY = "summary.json"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"  # the folder of these three
CONFIGURATION_COPY = f"{CHECKPOINTS}/config.yaml"
LAST, BEST = "last", "best"
PREVIOUS = "previous"  # the `last` before this one, should this one be damaged
LAST_CHECKPOINT = f"{CHECKPOINTS}/{LAST}"
FIGURES = "figures"  # the folder of the newest of each
CODES = "codes.npz"  # of the first test images, so that runs can be compared without their models
LOG = "train.log"
LOCK = ".lock"  # held by the process that trains
LOCK_HOLDER = ".lock-holder"  # which process that is: for the message to another one that wants the lock
LOCK_PATIENCE_SECONDS = 30.0  # for a process that is just saving and stopping


class DamagedFileError(Exception):
    """A file of a run that cannot be used. Its text is one line."""


class MissingFileError(DamagedFileError):
    """There is no such file."""


class IrregularFileError(OSError):
    """A folder, pipe, socket or device in the place of a file."""


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


def remove_leftovers(directory: Path) -> None:
    """Remove what kills have left of a run's files. The caller holds the run's lock, so nobody is writing them."""
    run = [CONFIGURATION, CONFIGURATION_COPY, RUN, SUMMARY, CODES, METRICS, LOCK_HOLDER]
    for name in (*run, *(f"{CHECKPOINTS}/{name}" for name in (LAST, PREVIOUS, BEST))):
        for temporary in leftovers_of(directory / name):
            temporary.unlink(missing_ok=True)
    if not (directory / FIGURES).is_symlink():
        for temporary in (directory / FIGURES).glob("*.png.*.tmp"):
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


def read_summary(directory: Path) -> dict[str, Any]:
    """What the run in `directory` said when it ended, checked: who reads it need not check again.

    Of a run that is `done` it has `beta`, `seed`, `epochs`, `steps`, `seconds` and `test` with `distortion`, `rate`
    and `elbo`; of one that `failed`, `code` and `error`. Everything else that is used is of the right type if it is
    there.

    Returns:
        The summary. `{"status": "unfinished"}` if there is none; with the reason as `error` if it is damaged.
    """
    try:
        summary = read_json(directory / SUMMARY)
        problem = problem_of_summary(summary)
    except MissingFileError:
        return {"status": "unfinished"}
    except DamagedFileError as error:
        return {"status": "unfinished", "error": str(error)}
    return summary if problem is None else {"status": "unfinished", "error": f"{SUMMARY} is damaged: {problem}"}


def problem_of_summary(summary: Mapping[str, Any]) -> str | None:
    """What is wrong with the fields of a summary; None if nothing is."""
    match summary.get("status"):
        case "done":
            needed = NEEDED_OF_DONE
        case "failed":
            needed = NEEDED_OF_FAILED
        case "unfinished":
            needed = set()
        case _:
            return "status must be done, failed or unfinished"
    for name, (is_right, rule) in SUMMARY_FIELDS.items():
        found: Any = summary
        for key in name.split("."):
            found = found.get(key, ABSENT) if isinstance(found, Mapping) else ABSENT
        if found is ABSENT and name in needed:
            return f"{name} is missing"
        if found is not ABSENT and not is_right(found):
            return f"{name} must be {rule}"
    found = summary.get("disentanglement")
    if found is None:
        return None
    if "numbers" not in found:
        return "disentanglement.numbers is missing"
    scored, others = len(found.get("factors", [])), len(found.get("left_out", {}))
    widths = {"squared_correlation": scored + others}  # SAP, continuous, is of all factors
    if any(len(matrix[0]) != widths.get(name, scored) for name, matrix in found.get("matrices", {}).items()):
        return "disentanglement.matrices must have a column for each of disentanglement.factors"
    return None


ABSENT = object()


def is_number(value: Any) -> TypeGuard[float]:
    """Whether JSON gave a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: Any) -> TypeGuard[float]:
    """Whether JSON gave a finite number, which a float can hold."""
    return is_number(value) and abs(value) <= sys.float_info.max


def is_count(value: Any) -> TypeGuard[int]:
    """Whether JSON gave 0, 1, 2, ..."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _not_negative(value: Any) -> bool:
    return is_finite(value) and value >= 0


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_finite, value))


def _are_numbers_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_number, value.values()))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_texts_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _are_matrices(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_matrix, value.values()))


def _is_matrix(value: Any) -> bool:
    rows = value if isinstance(value, list) else []
    known = all(
        isinstance(row, list) and row and all(is_number(n) and abs(n) != math.inf for n in row) for row in rows
    )
    return bool(rows) and known and len({len(row) for row in rows}) == 1


def _says_how_long(value: Any) -> bool:
    known = isinstance(value, dict) and value.keys() == {"epochs", "early_stopping_epochs"}
    return known and is_count(value["epochs"]) and all(e is None or is_count(e) for e in value.values())


Rule = tuple[Callable[[Any], bool], str]
NOT_NEGATIVE: Rule = (_not_negative, "a finite number, 0 or more")
FINITE: Rule = (is_finite, "a finite number")
COUNT: Rule = (is_count, "a whole number, 0 or more")
TEXT: Rule = (_is_text, "a text")
SUMMARY_FIELDS: Mapping[str, Rule] = {
    "code": (is_count, "an exit code"),
    "error": TEXT,
    "objective": TEXT,
    "beta": NOT_NEGATIVE,
    "seed": COUNT,
    "epochs": COUNT,
    "steps": COUNT,
    "seconds": NOT_NEGATIVE,
    "conditions": (_is_object, "an object"),
    "unfinished": (_is_object, "an object"),
    "loss_change_per_epoch": (lambda value: value is None or is_finite(value), "a finite number or null"),
    "asked": (_says_how_long, "epochs and early_stopping_epochs"),
    "test": (_is_object, "an object"),
    "test.distortion": FINITE,
    "test.rate": FINITE,
    "test.elbo": FINITE,
    "test.importance_weighted_bound": (_is_object, "an object"),
    "test.importance_weighted_bound.bound": FINITE,
    "test.importance_weighted_bound.rise_from_half": FINITE,
    "test.rate_per_latent": (_are_numbers, "a list of finite numbers"),
    "disentanglement": (_is_object, "an object"),
    "disentanglement.numbers": (_are_numbers_by_name, "numbers by their name"),
    "disentanglement.factors": (_are_texts, "a list of names"),
    "disentanglement.left_out": (_are_texts_by_name, "texts by their name"),
    "disentanglement.matrices": (_are_matrices, "matrices of numbers by their name"),
}
NEEDED_OF_DONE = {"beta", "seed", "epochs", "steps", "seconds", "test", "test.distortion", "test.rate", "test.elbo"}
NEEDED_OF_FAILED = {"code", "error"}


class Origin(NamedTuple):
    """What `run.json` says of where a run's numbers come from, and what is wrong with that file, in one line."""

    fields: dict[str, Any]
    problem: str | None


def read_origin(directory: Path) -> Origin:
    """What is known of where the run in `directory` comes from.

    Returns:
        The fields that are as they should be. `problem` says that the file, or a field, is missing or damaged;
        None if nothing is.
    """
    try:
        found = read_json(directory / RUN)
    except DamagedFileError as error:
        return Origin({}, str(error))
    bad = [name for name, (is_right, _) in ORIGIN_FIELDS.items() if name in found and not is_right(found[name])]
    fields = {name: value for name, value in found.items() if name not in bad}
    return Origin(fields, f"{RUN} is damaged in {', '.join(bad)}" if bad else None)


ORIGIN_FIELDS: Mapping[str, Rule] = {
    "started": TEXT,
    "command": (_are_texts, "a list of words"),
    "revision": (lambda value: value is None or _is_text(value), "a text or null"),
    "python": TEXT,
    "versions": (_are_texts_by_name, "texts by their name"),
    "platform": TEXT,
    "device": TEXT,
    "threads": COUNT,
    "data_sha256": (_are_texts_by_name, "texts by their name"),
    "continued": (lambda value: isinstance(value, list) and all(map(_is_object, value)), "a list of objects"),
}
