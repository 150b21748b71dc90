"""Decoded pictures, kept in a file. A second run reads them in the time that their checksum takes.

A cache file is named by the sha256 of all that its content depends on: the names and contents of the picture files,
the options, and the versions of the decoders. Sizes and times of files are no part of it, because they can stay the
same when the content changes. A cache file may be removed at any time.
"""

import json
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import PIL
from jaxtyping import UInt8
from PIL import features

from vae.data.files import DataError, locked, reason, sha256_of, single_line, write_whole
from vae.data.pictures import PictureOptions

log = logging.getLogger(__name__)

VERSION = 1  # raise it whenever the same files and options give other pixels or other remarks
CACHE_HEADER = b"beta-vae pictures 1 "
LONGEST_LINE = 2**24  # bytes of the remarks
LEAST_BYTES = 2**23  # of picture files: fewer are decoded in a second, and not kept
DECODERS = ("jpg", "webp", "libtiff", "littlecms2", "zlib")


@dataclass(frozen=True)
class Pictures:
    """Pictures of one shape.

    Attributes:
        images: one channel is grey, three are RGB.
        remarks: what is to be logged about them, each with its level.
    """

    images: UInt8[np.ndarray, "images channels height width"]
    remarks: tuple[tuple[int, str], ...]


def cache_of(root: Path, sha256: str, options: PictureOptions) -> Path:
    """The cache file of pictures. It has a folder of its own, so that the lock is its own, too.

    Args:
        root: the folder of all data.
        sha256: of the names and contents of the picture files.
        options: what the pictures become.
    """
    versions = [PIL.__version__, *(features.version(name) for name in DECODERS)]
    key = json.dumps([VERSION, sha256, asdict(options), versions], sort_keys=True)
    return root / "pictures" / sha256_of(key.encode()) / "images"


def cached(path: Path, decode: Callable[[], Pictures], *, may_write: bool) -> Pictures:
    """The pictures in a cache file. If there is none, they are decoded and kept.

    A cache that cannot be read or written is said and changes nothing else.

    Args:
        path: the cache file.
        decode: makes the pictures.
        may_write: whether the cache file may be written.
    """
    found = read_cache(path)  # without the lock first: the folder may be read-only
    if found is not None or not may_write:
        return found or decode()
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path, "Set data.root to another folder"))
        except DataError as error:
            log.warning(single_line(f"warning: the decoded pictures are not kept: {error}"))
            return decode()
        found = read_cache(path)  # another process may have decoded them while this one waited
        if found is not None:
            return found
        if path.exists():
            log.warning(single_line(f"warning: {path} is damaged: the pictures are decoded again"))
        made = decode()
        try:
            write_cache(path, made)
        except OSError as error:
            log.warning(
                single_line(
                    f"warning: the decoded pictures are not kept: {path} cannot be written: {reason(error)}. "
                    "Set data.root to another folder"
                )
            )
        else:
            log.info(single_line(f"the decoded pictures are kept in {path}"))
        return made


def write_cache(path: Path, pictures: Pictures) -> None:
    """Write a cache file: its sha256, a line of JSON, the pixels. The caller must hold the lock.

    Raises:
        OSError: it cannot be written.
    """
    line = json.dumps({"shape": pictures.images.shape, "remarks": pictures.remarks}).encode() + b"\n"
    images = np.ascontiguousarray(pictures.images)
    write_whole(path, CACHE_HEADER + checksum(line, images).encode() + b"\n", line, images.data.cast("B"))


def read_cache(path: Path) -> Pictures | None:
    """The pictures in a cache file, mapped into the memory. None if it is missing, damaged or cannot be read."""
    try:
        if not path.is_file():  # opening a named pipe would block
            return None
        with path.open("rb") as file:
            header, line = file.readline(len(CACHE_HEADER) + 65), file.readline(LONGEST_LINE)
            start = file.tell()
        if not header.startswith(CACHE_HEADER):
            return None
        content = json.loads(line)
        # Copied on writing: the file is never changed, and torch takes no array that is read-only.
        images = np.asarray(np.memmap(path, np.uint8, "c", start)).reshape(content["shape"])
        if header != CACHE_HEADER + checksum(line, images).encode() + b"\n":
            return None
        return Pictures(images, tuple((level, text) for level, text in content["remarks"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def checksum(line: bytes, images: UInt8[np.ndarray, "images channels height width"]) -> str:
    """The sha256 of the two parts of a cache file."""
    return sha256_of((sha256_of(line) + sha256_of(images.data.cast("B"))).encode())
