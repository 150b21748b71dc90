"""A folder of pictures, all of one size, with the factors in `factors.csv` if they are known."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from vae.config import Background, Colour
from vae.data.arrays import warn_of_black
from vae.data.files import DataError, single_line
from vae.data.pictures import SUFFIXES, DecodedPicture, luma, read_picture
from vae.data.splits import ImageArrays
from vae.data.table import read_table

log = logging.getLogger(__name__)

FACTORS = "factors.csv"


def read_folder(folder: Path, background: Background, colour: Colour) -> ImageArrays:
    """The pictures of a folder in the order of their names, and their factors from `factors.csv`.

    Raises:
        DataError: there are no pictures, one cannot be read, or their sizes or channels differ.
        OSError: the folder cannot be read.
    """
    files, others = picture_files(folder)
    skipped = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
    if not files:
        raise DataError(f"{folder} must hold pictures ({', '.join(SUFFIXES)}), it has {skipped or 'none'}")
    if others:
        log.warning(single_line(f"warning: {folder}: found {len(files)} pictures, skipped {skipped}"))
    read = []
    for file in files:
        read.append(read_picture(file, background))
        if read[-1].pixels.shape[1:] != read[0].pixels.shape[1:]:
            raise DataError(
                f"{folder}: pictures must have the same height x width, {files[0].name} is {size_of(read[0])}, "
                f"{file.name} is {size_of(read[-1])}. Crop or scale them to one size"
            )
    log_once(folder, files, [picture.stated for picture in read], logging.INFO)
    log_once(folder, files, [picture.warned for picture in read], logging.WARNING)
    images = in_channels(folder, files, read, colour)
    warn_of_black(images, folder)
    factors = folder / FACTORS
    return ImageArrays(images, read_table(factors, files) if os.path.lexists(factors) else None)


def picture_files(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The picture files of a folder in the order of their names, and the number of other files of each kind.

    Hidden files and `factors.csv` are in neither.

    Raises:
        OSError: the folder cannot be read.
    """
    files, others = [], Counter[str]()
    for file in folder.iterdir():
        if file.name.startswith(".") or file.name == FACTORS:
            continue
        if file.suffix.lower() in SUFFIXES:
            files.append(file)
        elif file.is_dir():
            others["folder"] += 1
        else:
            others[file.suffix.lower() or "file without a suffix"] += 1
    return sorted(files), others


def log_once(folder: Path, files: Sequence[Path], remarks: Iterable[tuple[str, ...]], level: int) -> None:
    """Log each remark once, with the number of its pictures and the first of them."""
    pictures: dict[str, list[Path]] = {}
    for file, texts in zip(files, remarks, strict=True):
        for text in texts:
            pictures.setdefault(text, []).append(file)
    prefix = "warning: " if level >= logging.WARNING else ""
    for text, those in pictures.items():
        line = f"{prefix}{folder}: {len(those)} of {len(files)} pictures {text}; first {those[0].name}"
        log.log(level, single_line(line))


def in_channels(
    folder: Path, files: Sequence[Path], read: Sequence[DecodedPicture], colour: Colour
) -> UInt8[np.ndarray, "images channels height width"]:
    """The pictures in one array, of one or three channels."""
    coloured = next((k for k, picture in enumerate(read) if len(picture.pixels) == 3), None)
    if colour is Colour.auto:
        grey = next((k for k, picture in enumerate(read) if picture.stored_grey), None)
        if coloured is not None and grey is not None:
            raise DataError(
                f"{folder}: pictures must be all grey or all in colour, {files[grey].name} is 1x{size_of(read[grey])} "
                f"and {files[coloured].name} 3x{size_of(read[coloured])}. Set data.colour=rgb or data.colour=grey"
            )
        colour = Colour.grey if coloured is None else Colour.rgb
        count = sum(not picture.stored_grey for picture in read)
        if coloured is None and count:
            what = "pictures are stored in colour but are grey: read as grey"
            log.info(single_line(f"{folder}: {count} of {len(read)} {what}"))
    channels = 1 if colour is Colour.grey else 3
    images = np.empty((len(read), channels, *read[0].pixels.shape[1:]), dtype=np.uint8)
    for image, picture in zip(images, read, strict=True):
        image[:] = luma(picture.pixels) if channels == 1 else picture.pixels  # one channel is repeated
    return images


def size_of(picture: DecodedPicture) -> str:
    """Height x width, for a message."""
    return "x".join(map(str, picture.pixels.shape[1:]))
