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

FACTORS = "factors.csv"  # a column `file`, then one a factor


def read_folder(folder: Path, background: Background, colour: Colour) -> ImageArrays:
    """The pictures of a folder in the order of their names, all of one size; factors from `factors.csv`.

    Raises:
        DataError: there are none, one cannot be read, or they are not all alike.
        OSError: the folder cannot be read.
    """
    files, others = picture_files(folder)
    skipped = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
    if not files:
        what = f"it has {skipped}" if others else "it has none"
        raise DataError(f"{folder} must hold pictures ({', '.join(SUFFIXES)}), {what}")
    if others:
        log.warning(single_line(f"warning: {folder}: found {len(files)} pictures, skipped {skipped}"))
    read = []
    for file in files:
        read.append(read_picture(file, background))
        if read[-1].pixels.shape[1:] != read[0].pixels.shape[1:]:
            raise DataError(
                f"{folder}: pictures must be alike in height x width, {files[0].name} is {size_of(read[0])}, "
                f"{file.name} is {size_of(read[-1])}. Crop or scale them to one size"
            )
    log_once(folder, files, [picture.stated for picture in read], logging.INFO)
    log_once(folder, files, [picture.warned for picture in read], logging.WARNING)
    images = in_channels(folder, files, read, colour)
    warn_of_black(images, folder)
    factors = folder / FACTORS
    return ImageArrays(images, read_table(factors, files) if os.path.lexists(factors) else None)


def picture_files(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The picture files of a folder, by name; and how many others of each kind there are.

    Hidden files and the factors are left out of both.

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


def log_once(folder: Path, files: Sequence[Path], said: Iterable[tuple[str, ...]], level: int) -> None:
    """Log each text once, with the number of pictures it was said of and the first of them."""
    first: dict[str, Path] = {}
    counts = Counter[str]()
    for file, texts in zip(files, said, strict=True):
        for text in texts:
            first.setdefault(text, file)
            counts[text] += 1
    prefix = "warning: " if level >= logging.WARNING else ""
    for text, count in counts.items():
        said_of = f"{count} of {len(files)} pictures"
        log.log(level, single_line(f"{prefix}{folder}: {said_of} {text}; first {first[text].name}"))


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
            what = "pictures are stored in colour and have none: read as grey"
            log.info(single_line(f"{folder}: {count} of {len(read)} {what}"))
    channels = 1 if colour is Colour.grey else 3
    images = np.empty((len(read), channels, *read[0].pixels.shape[1:]), dtype=np.uint8)
    for image, picture in zip(images, read, strict=True):
        image[:] = luma(picture.pixels) if channels == 1 else picture.pixels  # one channel is repeated
    return images


def size_of(picture: DecodedPicture) -> str:
    """Height and width, to be read."""
    return "x".join(map(str, picture.pixels.shape[1:]))
