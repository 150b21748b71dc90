"""A folder of pictures as one array. Each picture is decoded once, and kept in a cache."""

import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from vae.config.data import Colour, Resize
from vae.config.preparation import ImagePreparation
from vae.data.arrays import warn_of_black
from vae.data.files import DataError, read_bytes, sha256_of, sha256_of_checksums, single_line
from vae.data.picture_cache import LEAST_BYTES, Pictures, cache_of, cached
from vae.data.picture_files import FACTORS, PictureFiles, picture_files
from vae.data.pictures import SUFFIXES, DecodedPicture, PictureOptions, decode_picture, luma, shown_range
from vae.data.splits import ImageArrays
from vae.data.table import read_table

log = logging.getLogger(__name__)

BAR_AFTER_SECONDS = 1.0
SHOWN_CLASSES = 10  # in a log line

Read = TypeVar("Read")


@dataclass(frozen=True)
class Cache:
    """Where decoded pictures are kept.

    Attributes:
        root: the folder of all data.
        may_write: whether the cache may be written, and not only read.
        checksums: the sha256 of each picture file that has been read. `read_folder` adds to it.
    """

    root: Path
    may_write: bool
    checksums: dict[Path, str] = field(default_factory=dict)


def read_folder(folder: Path, options: PictureOptions, cache: Cache | None) -> ImageArrays:
    """The pictures of a folder in the order of their names.

    Their labels are their class folders, if there are any, and their factors are in `factors.csv`, if it is there.

    Args:
        folder: of the pictures.
        options: what the pictures become.
        cache: where decoded pictures are kept. None: nowhere.

    Raises:
        DataError: there are no pictures, one cannot be read, or their sizes or channels differ.
    """
    found = found_pictures(folder)
    say_classes(found)
    checksums = on_all_cores(checksum_of, found.files, "checking pictures")

    def decode() -> Pictures:
        return decoded(found, checksums, options)

    if cache is None or sum(file.stat().st_size for file in found.files) < LEAST_BYTES:
        pictures = decode()
    else:
        sha256 = sha256_of_checksums(folder, zip(found.files, checksums, strict=True))
        pictures = cached(cache_of(cache.root, sha256, options), decode, may_write=cache.may_write)
    if cache is not None:
        cache.checksums.update(zip(found.files, checksums, strict=True))
    for level, text in pictures.remarks:
        prefix = "warning: " if level >= logging.WARNING else ""
        log.log(level, single_line(f"{prefix}{folder}: {text}"))
    warn_of_black(pictures.images, folder)
    table = folder / FACTORS
    factors = read_table(table, found.files) if os.path.lexists(table) else None
    return ImageArrays(pictures.images, factors, found.labels, found.label_names, found.names())


def found_pictures(folder: Path) -> PictureFiles:
    """The pictures of a folder. What is skipped is logged.

    Raises:
        DataError: there are none, or the folder cannot be read.
    """
    found = picture_files(folder)
    skipped = ", ".join(f"{count} {kind}" for kind, count in sorted(found.skipped.items()))
    if not found.files:
        raise DataError(f"{folder} must hold pictures ({', '.join(SUFFIXES)}), it has {skipped or 'none'}")
    if skipped:
        log.warning(single_line(f"warning: {folder}: found {len(found.files)} pictures, skipped {skipped}"))
    return found


def read_prepared(file: Path, preparation: ImagePreparation) -> UInt8[np.ndarray, "channels height width"]:
    """One picture, prepared as the pictures that a model was trained on. Several threads may call it.

    Raises:
        DataError: it cannot be read, or is not what the model takes.
    """
    channels, height, width = preparation.image
    if channels not in (1, 3) or not preparation.unit_interval:
        raise DataError(f"{file} is a picture, but the model was trained on other arrays. Give an array")
    size = None if preparation.resize is None else (height, width)
    resize = preparation.resize or Resize.fit
    options = PictureOptions(preparation.background, preparation.colour, size, resize, preparation.levels)
    picture = decode_picture(read_bytes(file), options, file)
    if picture.pixels.shape[1:] != (height, width):
        raise DataError(
            f"{file} must have the height x width of the model, {height}x{width}, it is {size_of(picture)}. "
            "Scale it, or give --resize fit, crop or stretch"
        )
    if channels == 1 and len(picture.pixels) == 3 and preparation.colour is not Colour.grey:
        raise DataError(f"{file} must be grey, as the images of the model, it is in colour. Convert it")
    image = luma(picture.pixels) if channels == 1 else picture.pixels
    return image if len(image) == channels else image.repeat(channels, axis=0)


def checksum_of(file: Path) -> str:
    """The sha256 of a file."""
    return sha256_of(read_bytes(file))


def decoded(found: PictureFiles, checksums: Sequence[str], options: PictureOptions) -> Pictures:
    """The pictures in one array, and what is to be said of them.

    Raises:
        DataError: one cannot be read, was changed since its sha256 was taken, or their sizes or channels differ.
    """
    names = found.names()

    def read(number: int) -> DecodedPicture:
        file = found.files[number]
        data = read_bytes(file)
        if sha256_of(data) != checksums[number]:
            raise DataError(f"{file} was changed while it was read. Start again")
        return decode_picture(data, options, file)

    first = read(0)

    def read_alike(number: int) -> DecodedPicture:
        picture = read(number)
        if picture.pixels.shape[1:] != first.pixels.shape[1:]:
            raise DataError(
                f"{found.folder}: pictures must have the same height x width, {names[0]} is {size_of(first)}, "
                f"{names[number]} is {size_of(picture)}. Set data.side=64 or data.size=[height,width] to resize them"
            )
        return picture

    pictures = [first, *on_all_cores(read_alike, range(1, len(names)), "decoding pictures")]
    remarks = [
        *counted(names, [picture.remarks.stated for picture in pictures], logging.INFO),
        *counted(names, [picture.remarks.warned for picture in pictures], logging.WARNING),
        *remarks_on_levels(names, pictures, options),
    ]
    channels = channels_of(found, pictures, options.colour, remarks)
    images = np.empty((len(pictures), channels, *first.pixels.shape[1:]), dtype=np.uint8)
    for image in images[::-1]:
        pixels = pictures.pop().pixels  # so that the memory does not hold all of them twice
        image[:] = luma(pixels) if channels == 1 else pixels  # one channel is repeated
    return Pictures(images, tuple(remarks))


def on_all_cores(function: Callable[[Any], Read], values: Sequence[Any], what: str) -> list[Read]:
    """The function of each value, by one thread a core. The error of the first value that has one is raised.

    A bar is shown on a terminal after a second.
    """
    disable = None if sys.stderr is not None and not sys.stderr.closed else True  # None: where stderr is a terminal
    threads = ThreadPoolExecutor(cores())
    try:
        results = threads.map(function, values)
        shown = {"total": len(values), "desc": what, "unit": "", "delay": BAR_AFTER_SECONDS, "leave": False}
        return list(tqdm(results, disable=disable, dynamic_ncols=True, **shown))
    finally:
        threads.shutdown(cancel_futures=True)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def say_classes(found: PictureFiles) -> None:
    """Log the class folders and the number of their pictures."""
    classes = found.classes()
    if classes is not None:
        shown = [f"{name} {count}" for name, count in Counter(classes).items()]
        more = ", ..." if len(shown) > SHOWN_CLASSES else ""
        line = f"{found.folder}: {len(shown)} class folders: {', '.join(shown[:SHOWN_CLASSES])}{more}"
        log.info(single_line(line))


def counted(names: Sequence[str], remarks: Iterable[Sequence[str]], level: int) -> Iterator[tuple[int, str]]:
    """Each remark once, with the number of its pictures and the first of them."""
    pictures: dict[str, list[str]] = {}
    for name, texts in zip(names, remarks, strict=True):
        for text in texts:
            pictures.setdefault(text, []).append(name)
    for text, those in pictures.items():
        yield level, f"{len(those)} of {len(names)} pictures {text}; first {those[0]}"


def remarks_on_levels(
    names: Sequence[str], pictures: Sequence[DecodedPicture], options: PictureOptions
) -> Iterator[tuple[int, str]]:
    """Warnings about pictures of more than 8 bits: little of their range is used, or values were clamped."""
    if options.levels is not None:
        clamped = [(name, n) for name, picture in zip(names, pictures, strict=True) if (n := picture.remarks.clamped)]
        if clamped:
            count, pixels = len(clamped), sum(n for _, n in clamped)
            outside = f"have values outside {shown_range(*options.levels)}, clamped: {pixels} pixels"
            yield logging.WARNING, f"{count} of {len(names)} pictures {outside}; first {clamped[0][0]}"
        return
    ranges = [picture.remarks.used for picture in pictures if picture.remarks.used is not None]
    for largest in sorted({used[2] for used in ranges}):
        those = [used for used in ranges if used[2] == largest]
        low, high = min(used[0] for used in those), max(used[1] for used in those)
        if 0 < high - low < largest / 4:
            yield (
                logging.WARNING,
                f"{len(those)} of {len(names)} pictures use only the values {low:.10g} to {high:.10g} of 0 to "
                f"{largest:.0f}, and are not stretched. Set {shown_range(low, high)} to see more of them",
            )


def channels_of(
    found: PictureFiles, pictures: Sequence[DecodedPicture], colour: Colour, remarks: list[tuple[int, str]]
) -> int:
    """How many channels the pictures get. A remark is added if `auto` makes pictures grey that are stored in colour.

    Raises:
        DataError: the choice is `auto`, and some pictures are grey and others are in colour.
    """
    if colour is not Colour.auto:
        return 1 if colour is Colour.grey else 3
    coloured = next((k for k, picture in enumerate(pictures) if len(picture.pixels) == 3), None)
    grey = next((k for k, picture in enumerate(pictures) if picture.stored_grey), None)
    names = found.names()
    if coloured is not None and grey is not None:
        raise DataError(
            f"{found.folder}: pictures must be all grey or all in colour, {names[grey]} is "
            f"1x{size_of(pictures[grey])} and {names[coloured]} 3x{size_of(pictures[coloured])}. "
            "Set data.colour=rgb or data.colour=grey"
        )
    count = sum(not picture.stored_grey for picture in pictures)
    if coloured is None and count:
        what = "pictures are stored in colour but are grey: read as grey"
        remarks.append((logging.INFO, f"{count} of {len(pictures)} {what}"))
    return 1 if coloured is None else 3


def size_of(picture: DecodedPicture) -> str:
    """Height x width, for a message."""
    return "x".join(map(str, picture.pixels.shape[1:]))
