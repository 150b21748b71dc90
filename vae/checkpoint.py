"""The state of a run on disk: atomic, checksummed, and read without running anything it holds.

A file is one line, `beta-vae 2 <length of the rest> <CRC-32 of the rest>`, then what `torch.save` gives. torch alone
notices a truncation but no flipped bit. The length notices every truncation, the CRC every flip of one or two bits
(up to 512 MiB); of other damage it misses one in four billion. Version 1 had a sha256, in more than twice the time.
"""

import hashlib
import io
import logging
import pickle
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_crc32_options, set_crc32_options

from vae.run_directory import LAST, PREVIOUS, write_atomically

log = logging.getLogger(__name__)

MAGIC = b"beta-vae "


class CheckpointError(Exception):
    """A checkpoint that cannot be used. Its text is one line: what is wrong, and the fix."""


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
    """The newest checkpoint of a run that can be read: `last`, or with a warning the one before it.

    Raises:
        CheckpointError: neither can be read.
    """
    try:
        return load(folder / LAST)
    except CheckpointError as error:
        try:
            state = load(folder / PREVIOUS)
        except CheckpointError:
            raise error from None
        problem = str(error).partition(". ")[0]
        if (folder / LAST).is_dir():  # no file takes the place of a folder
            (folder / LAST).rename(folder / f"{LAST}.folder")
        (folder / PREVIOUS).replace(folder / LAST)  # the next save keeps what is `last`: this one, not the damaged one
        log.warning(f"warning: {problem}. Taking {folder / PREVIOUS} of step {state.get('step')}")
        return state


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote, its tensors on the CPU: who loads them puts them where they belong.

    Raises:
        CheckpointError: the file is missing, damaged, or not one of ours.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path}: {error.strerror}. Name a run that has saved a checkpoint"
        ) from None
    header, _, payload = content.partition(b"\n")
    expected = {MAGIC + b"1": header_of_version_1, MAGIC + b"2": header_of}.get(header[: len(MAGIC) + 1])
    if expected is None:
        raise CheckpointError(f"{path} is not a checkpoint of this version of beta-vae. Use another checkpoint")
    if header + b"\n" != expected(payload):
        raise CheckpointError(f"{path} is damaged: its checksum does not match. Use another checkpoint")
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path} cannot be read: {reason}. Use another checkpoint") from None
    return state
