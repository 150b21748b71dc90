"""Checkpoints: written atomically, with a checksum, and read without running code.

A file is one line, `beta-vae 2 <length of the rest> <CRC-32 of the rest>`, then the output of `torch.save`. The length
detects every truncation. The CRC detects every flip of one or two bits (up to 512 MiB), and misses one in four billion
of all other damages.
"""

import hashlib
import io
import logging
import os
import re
import zlib
from pathlib import Path
from typing import Any

import torch

from vae.run.files import IrregularFileError, add_name, open_regular, set_aside, write_atomically
from vae.run.names import LAST, PREVIOUS

log = logging.getLogger(__name__)

FORMAT = b"beta-vae "  # the begin of the first line, in every version
LONGEST_LINE = 80  # bytes of the first line


class CheckpointError(Exception):
    """A checkpoint that cannot be used. Its text is one line: what is wrong, and the fix."""


class DamagedCheckpointError(CheckpointError):
    """The checkpoint is missing or damaged, so an older one may be used instead."""


def save(path: Path, state: dict[str, Any], keep: Path | None = None) -> None:
    """Write a checkpoint.

    Args:
        path: of the file.
        state: a tree of tensors, numbers and texts.
        keep: the path to which an older checkpoint at `path` is moved. None: it is replaced.

    Raises:
        OSError: the disk is full or cannot be written. An older checkpoint at `path` is unchanged.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    write_atomically(path, first_line_of(payload) + payload, keep)


def first_line_of(payload: bytes) -> bytes:
    """The first line of a checkpoint with this payload."""
    return FORMAT + b"2 %016x %08x\n" % (len(payload), zlib.crc32(payload))


def load_newest(folder: Path) -> dict[str, Any]:
    """The checkpoint `last` in `folder`. If it is missing or damaged, the checkpoint `previous`, with a warning.

    A damaged `last` is renamed. If `last` cannot be read but may be undamaged, `previous` is not used.

    Raises:
        CheckpointError: neither can be used, or `last` cannot be read.
    """
    last, previous = folder / LAST, folder / PREVIOUS
    try:
        return load(last)
    except DamagedCheckpointError as error:
        try:
            state = load(previous)
        except CheckpointError:
            raise error from None
        problem = str(error).partition(". ")[0]
        if os.path.lexists(last):
            problem += f", and is kept as {set_aside(last).name}"
        add_name(previous, last)  # the next save makes `last` the new `previous`
        log.warning(f"warning: {problem}. {previous} of step {state.get('step')} is used")
        return state


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint. All tensors are on the CPU.

    Raises:
        DamagedCheckpointError: the file is missing, is damaged, or is not a regular file or not a checkpoint.
        CheckpointError: the file cannot be read now, or not by this version.
    """
    try:
        with open_regular(path) as file:
            first = file.readline(LONGEST_LINE)
            _check_first_line(path, first, os.fstat(file.fileno()).st_size - len(first))
            payload = file.read()
    except (FileNotFoundError, NotADirectoryError, IrregularFileError) as error:
        raise DamagedCheckpointError(
            f"cannot read {path}: {error.strerror}. Name a run that has saved a checkpoint"
        ) from None
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path}: {error.strerror}. It may be undamaged: make it readable, and try again"
        ) from None
    if first not in (first_line_of(payload), FORMAT + b"1 %s\n" % hashlib.sha256(payload).hexdigest().encode()):
        raise DamagedCheckpointError(f"{path} is damaged: its checksum does not match. Use another checkpoint")
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise errors of many types
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} cannot be read: {reason}. Use another checkpoint") from None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise CheckpointError(f"{path} must contain a state by names, got something else. Use another checkpoint")
    return state


def _check_first_line(path: Path, first: bytes, length: int) -> None:
    """Check the first line, before the rest of `length` bytes is read, which may be terabytes."""
    version = re.match(FORMAT + rb"(\d+) ", first)
    if version and int(version[1]) > 2:
        raise CheckpointError(
            f"{path} is not a checkpoint of this version of beta-vae. Use the version that saved it, "
            "or another checkpoint"
        )
    if version and int(version[1]) == 1:  # in tests/golden only: a checksum without a length
        return
    found = re.fullmatch(FORMAT + rb"2 ([0-9a-f]{16}) [0-9a-f]{8}\n", first)
    if found is None:
        raise DamagedCheckpointError(f"{path} is not a checkpoint of beta-vae, or is damaged. Use another checkpoint")
    if int(found[1], 16) != length:
        raise DamagedCheckpointError(f"{path} is damaged: its length is wrong. Use another checkpoint")
