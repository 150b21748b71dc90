"""The state of a run on disk: atomic, checksummed, and read without running anything it holds.

A file is one line, `beta-vae 2 <length of the rest> <CRC-32 of the rest>`, then what `torch.save` gives. torch alone
notices a truncation but no flipped bit. The length notices every truncation, the CRC every flip of one or two bits
(up to 512 MiB); of other damage it misses one in four billion. Version 1 had a sha256, in more than twice the time.
"""

import hashlib
import io
import logging
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_crc32_options, set_crc32_options

from vae.run.files import (
    IrregularFileError,
    give_second_name,
    read_regular,
    refuse_irregular,
    set_aside,
    write_atomically,
)
from vae.run.names import LAST, PREVIOUS

log = logging.getLogger(__name__)

MAGIC = b"beta-vae "
HEADER = re.compile(rb"beta-vae 2 ([0-9a-f]{16}) [0-9a-f]{8}\n")
LARGEST_WITHOUT_LENGTH = 2**32  # bytes of a file whose first line does not say how long it is


class CheckpointError(Exception):
    """A checkpoint that cannot be used. Its text is one line: what is wrong, and the fix."""


class DamagedCheckpointError(CheckpointError):
    """It is missing, or not what was saved: nothing is lost by taking an older one."""


def save(path: Path, state: dict[str, Any], keep: Path | None = None) -> None:
    """Write `state`, a tree of tensors, numbers and texts.

    Args:
        path: where to.
        state: what to.
        keep: what is at `path` now stays, under this name.

    Raises:
        OSError: the disk is full or cannot be written; an older checkpoint at `path` is untouched.
    """
    room = len(header_of(b""))
    buffer = io.BytesIO(bytes(room))
    buffer.seek(room)
    with without_crc32():
        torch.save(state, buffer)
    content = buffer.getbuffer()  # megabytes, of which nothing is copied
    content[:room] = header_of(content[room:])
    write_atomically(path, content, keep)


@contextmanager
def without_crc32() -> Iterator[None]:
    """Without torch's own checksum, which takes longer than all else in `torch.save`; ours covers the same bytes."""
    before = get_crc32_options()
    set_crc32_options(False)
    try:
        yield
    finally:
        set_crc32_options(before)


def header_of(payload: bytes | memoryview) -> bytes:
    """The first line of a checkpoint with this payload, of the same length for every payload."""
    return MAGIC + b"2 %016x %08x\n" % (len(payload), zlib.crc32(payload))


def header_of_version_1(payload: bytes | memoryview) -> bytes:
    """The first line that checkpoints had until November 2026."""
    return MAGIC + b"1 " + hashlib.sha256(payload).hexdigest().encode() + b"\n"


def load_newest(folder: Path) -> dict[str, Any]:
    """The newest checkpoint of a run: `last`, or with a warning the one before it if that is missing or damaged.

    A damaged `last` is kept under another name. One that may be whole, but cannot be read now, is never passed over.

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
        give_second_name(previous, last)  # the next save keeps what is `last`: this one, not the damaged one
        log.warning(f"warning: {problem}. Taking {previous} of step {state.get('step')}")
        return state


def refuse_too_long(path: Path) -> None:
    """Refuse a file that is longer than its first line says, before it is read: it may be of terabytes.

    Raises:
        DamagedCheckpointError: it is.
        OSError: it is missing, no regular file, or cannot be read.
    """
    refuse_irregular(path, path.stat())
    with path.open("rb") as file:
        found = HEADER.match(file.readline(80))
    most = len(found[0]) + int(found[1], 16) if found else LARGEST_WITHOUT_LENGTH
    if path.stat().st_size > most:
        raise DamagedCheckpointError(f"{path} is damaged: it is longer than what was saved. Use another checkpoint")


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote, its tensors on the CPU: who loads them puts them where they belong.

    Raises:
        DamagedCheckpointError: the file is missing, damaged, no regular file or not a checkpoint at all.
        CheckpointError: it cannot be read now, or not by this version.
    """
    try:
        refuse_too_long(path)
        content = read_regular(path)
    except (FileNotFoundError, NotADirectoryError, IrregularFileError) as error:
        raise DamagedCheckpointError(
            f"cannot read {path}: {error.strerror}. Name a run that has saved a checkpoint"
        ) from None
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path}: {error.strerror}. It may be whole: make it readable, and try again"
        ) from None
    header, _, payload = content.partition(b"\n")
    if not header.startswith(MAGIC):
        raise DamagedCheckpointError(f"{path} is not a checkpoint of beta-vae. Use another checkpoint")
    version = header.removeprefix(MAGIC).partition(b" ")[0]
    expected = {b"1": header_of_version_1, b"2": header_of}.get(version)
    if expected is None and re.fullmatch(rb"[1-9]\d{0,3}", version):
        raise CheckpointError(
            f"{path} is not a checkpoint of this version of beta-vae. Use the version that saved it, "
            "or another checkpoint"
        )
    if expected is None or header + b"\n" != expected(payload):
        raise DamagedCheckpointError(f"{path} is damaged: its checksum does not match. Use another checkpoint")
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # content that nobody saved: torch and pickle have many words for it
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} cannot be read: {reason}. Use another checkpoint") from None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise CheckpointError(f"{path} must hold a state by names, it is of another kind. Use another checkpoint")
    return state
