"""The user's own images: an .npz, or a folder of pictures; grey or colour, with factors if they are known."""

import hashlib
import logging
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from vae.config import Background, Colour
from vae.data.archives import UNREADABLE, array_names, read_array
from vae.data.checks import hash_of
from vae.data.factors import Factors
from vae.data.files import DataError, expanded, kind_of, one_line, read_bytes, reason
from vae.data.pictures import SUFFIXES, Picture, luma, read_picture
from vae.data.table import as_factors, as_text, from_array, read_table

log = logging.getLogger(__name__)

LONGEST_TAIL = 22 + 2**16  # bytes: the last record of a zip archive, and a comment
FACTORS = "factors.csv"  # in a folder: a column `file`, then one a factor
ARRAYS = ("images", "labels", "factors", "factor_names")  # in an archive
CHUNK_IMAGES = 256  # made grey at a time


@dataclass(frozen=True)
class Own:
    """Images of one shape, in [0, 255], and what is known of them.

    Attributes:
        images: of one channel, grey, or three.
        factors: the levels of the generative factors, where they are given.
        labels: the class of each image, where it is given; plots are coloured by it.
    """

    images: UInt8[np.ndarray, "images channels height width"]
    factors: Factors | None = None
    labels: Int64[np.ndarray, " images"] | None = None


def read_own(path: Path, background: Background = Background.black, colour: Colour = Colour.auto) -> Own:
    """The images, and their factors and labels if there are any.

    Args:
        path: of an .npz or of a folder of pictures; `~` is the home directory.
        background: what lies behind transparent pixels of pictures.
        colour: how many channels the images have.

    Raises:
        DataError: they cannot be read, or are not all alike.
    """
    path = expanded(path, "data.path")
    try:
        if path.is_dir():
            return read_folder(path, background, colour)
        if path.is_file():
            return read_npz(path, colour)
        kind = kind_of(path)
    except MemoryError:
        raise DataError(f"{path} does not fit in the memory. Take fewer or smaller images") from None
    except (OSError, ValueError) as error:
        raise DataError(f"data.path must be an .npz or a folder of pictures, got {path}: {reason(error)}") from None
    raise DataError(f"data.path must be an .npz or a folder of pictures, got {path}, which is neither: it is {kind}")


def own_checksum(path: Path) -> dict[str, str]:
    """The sha256 of the .npz; or of the names and contents of all pictures, and of the factors, of a folder.

    Raises:
        DataError: a file cannot be read.
    """
    path = expanded(path, "data.path")
    name = path.absolute().name
    try:
        if path.is_file():
            return {name: hash_of(read_bytes(path))}
        factors = path / FACTORS
        files = [*pictures(path)[0], *([factors] if os.path.lexists(factors) else [])]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from None
    whole = hashlib.sha256()
    for file in files:
        # Of the contents' checksum, whose length is known: so no byte can move from a content to the next name.
        whole.update(os.fsencode(file.name) + b"\0" + hash_of(read_bytes(file)).encode())
    return {name: whole.hexdigest()}


def read_npz(path: Path, colour: Colour) -> Own:
    """`images` (n, h, w), (n, h, w, c) or (n, c, h, w), uint8; `labels` (n,), `factors` (n, k), `factor_names` (k,).

    All but the images may be missing.

    Raises:
        DataError: an array is missing, or is not what it should be. Nothing is unpickled.
    """
    try:
        with path.open("rb") as opened:  # is_zipfile would hide why a path cannot be opened
            if opened.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
                raise ValueError("it is a single array, an .npy")
            if not zipfile.is_zipfile(opened):
                raise ValueError("it is no archive")
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                archive.open(member).close()  # a damaged name would be that of an array nobody asks for
            if len(archive.namelist()) != arrays_announced(path):
                raise ValueError("its table of contents is damaged")
            names = array_names(archive)
            if len(set(names)) < len(names):
                raise ValueError("two of its arrays have one name")
            arrays = {name: read_array(archive, name) for name in ARRAYS if f"{name}.npy" in archive.namelist()}
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from None
    except UNREADABLE as error:
        one = path.suffix.lower() in SUFFIXES
        fix = "Give the folder of the pictures" if one else "Write it anew with numpy.savez(file, images=array)"
        raise DataError(f"{path} must be an .npz of plain arrays: {reason(error)}. {fix}") from None
    others = [name for name in names if name not in arrays]
    if "images" not in arrays:
        if "images" in names:
            raise DataError(f"{path} must hold images.npy, it holds `images` without .npy. Write it with numpy.savez")
        holds = ", ".join(names)[:200] or "none"
        raise DataError(f"{path} must hold an array `images`, it holds {holds}. Name it so in numpy.savez")
    if others:
        log.warning(
            one_line(f"warning: {path}: ignored {', '.join(others)[:200]}; what is read is {', '.join(ARRAYS)}")
        )
    images = channels_first(arrays["images"], path)
    warn_of_black(images, path)
    count = len(images)
    labels = as_labels(arrays["labels"], count, path) if "labels" in arrays else None
    factors = factors_of(arrays, count, path)
    if colour is Colour.grey and images.shape[1] == 3:
        images = np.concatenate([luma(images[k : k + CHUNK_IMAGES]) for k in range(0, count, CHUNK_IMAGES)])
    elif colour is Colour.rgb and images.shape[1] == 1:
        images = images.repeat(3, axis=1)
    return Own(images, factors, labels)


def arrays_announced(path: Path) -> int:
    """How many files the last record of a zip archive says there are: a damaged table may have swallowed some."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LONGEST_TAIL))
        tail = file.read()
    at = tail.rfind(b"PK\5\6") + 10
    return int.from_bytes(tail[at : at + 2], "little")


def factors_of(arrays: dict[str, np.ndarray], count: int, path: Path) -> Factors | None:
    """The factors in the arrays of an archive of `count` images, or None.

    Raises:
        DataError: they do not fit the images or their names, or hold no numbers or words.
    """
    if "factors" not in arrays:
        if "factor_names" in arrays:
            raise DataError(f"{path}: factor_names need an array `factors` of shape ({count}, factors), there is none")
        return None
    table = arrays["factors"]
    if table.ndim != 2 or len(table) != count:
        fix = "Give them as factors[:, None]" if table.shape == (count,) else "Give one row an image"
        raise DataError(f"{path}: factors must have the shape ({count}, factors), got {table.shape}. {fix}")
    columns = table.shape[1]
    names = [f"factor_{k}" for k in range(columns)]
    if "factor_names" in arrays:
        given = arrays["factor_names"]
        names = [name.strip() for name in as_text(given.ravel(), f"{path}: factor_names")]
        if given.shape != (columns,) or len(set(names)) < columns or "" in names:
            raise DataError(f"{path}: factor_names must be {columns} different names, got {', '.join(names)[:200]}")
    return as_factors({name: from_array(table[:, k], name, path) for k, name in enumerate(names)}, path)


def as_labels(labels: np.ndarray, count: int, path: Path) -> Int64[np.ndarray, " images"]:
    """The class of each image.

    Raises:
        DataError: they are not one whole number an image, from 0.
    """
    if labels.shape != (count,) or labels.dtype.kind not in "biu":
        raise DataError(
            f"{path}: labels must be whole numbers of shape ({count},), got {labels.dtype} {labels.shape}. "
            "Convert them with astype(int), or leave them out"
        )
    if labels.min() < 0 or labels.max() > np.iinfo(np.int32).max:
        raise DataError(
            f"{path}: labels must lie in [0, 2147483647], go from {labels.min()} to {labels.max()}. "
            "Number them with numpy.unique(labels, return_inverse=True)[1]"
        )
    return labels.astype(np.int64)


def channels_first(images: np.ndarray, path: Path) -> UInt8[np.ndarray, "images channels height width"]:
    """The images with their axes in order."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise DataError(
            f"{path}: images must be uint8 of shape (n, height, width), (n, height, width, channels) or "
            f"(n, channels, height, width), got {images.dtype} {images.shape}{conversion(images)}"
        )
    if images.ndim == 3:
        return images[:, None]
    if images.shape[1] in (1, 3) and images.shape[3] in (1, 3):
        raise DataError(
            f"{path}: images of shape {images.shape} may have their channels first or last. "
            "Give grey ones without the axis of channels, others at least 4 pixels high and wide"
        )
    if images.shape[1] in (1, 3):
        return images
    if images.shape[3] in (1, 3):
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    alpha = 4 in (images.shape[1], images.shape[3])
    fix = "Drop the alpha channel, or composite them first" if alpha else "Keep 1 or 3 of them"
    raise DataError(f"{path}: images must have 1 or 3 channels, got the shape {images.shape}. {fix}")


def warn_of_black(images: UInt8[np.ndarray, "images channels height width"], path: Path) -> None:
    """Warn of images without a pixel above 1 of 255: often 1 was meant to be white."""
    largest = images.max()
    if largest <= 1:
        nearly = "0 and 1 of 255: nearly black; multiply by 255 if 1 is white"
        log.warning(one_line(f"warning: {path}: images are {nearly if largest else '0 everywhere: black'}"))


def conversion(images: np.ndarray) -> str:
    """How images of another type become uint8, as the end of a sentence; nothing if there is no one way."""
    match images.dtype.kind:
        case "f":
            return ". If they lie in [0, 1]: (255 * images).round().astype('uint8')"
        case "b":
            return ". Convert them: 255 * images.astype('uint8')"
        case "u" if images.dtype.itemsize == 2:
            return ". If they fill 16 bits: (images / 257).round().astype('uint8')"
        case "i" | "u" if images.dtype != np.uint8:
            return ". If they lie in [0, 255]: images.astype('uint8')"
        case _:
            return ""


def read_folder(folder: Path, background: Background, colour: Colour) -> Own:
    """The pictures of a folder in the order of their names, all of one size; factors from `factors.csv`.

    Raises:
        DataError: there are none, one cannot be read, or they are not all alike.
        OSError: the folder cannot be read.
    """
    files, others = pictures(folder)
    skipped = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
    if not files:
        what = f"it has {skipped}" if others else "it has none"
        raise DataError(f"{folder} must hold pictures ({', '.join(SUFFIXES)}), {what}")
    if others:
        log.warning(one_line(f"warning: {folder}: found {len(files)} pictures, skipped {skipped}"))
    read = []
    for file in files:
        read.append(read_picture(file, background))
        if read[-1].pixels.shape[1:] != read[0].pixels.shape[1:]:
            raise DataError(
                f"{folder}: pictures must be alike in height x width, {files[0].name} is {size_of(read[0])}, "
                f"{file.name} is {size_of(read[-1])}. Crop or scale them to one size"
            )
    state(folder, files, [picture.stated for picture in read], logging.INFO)
    state(folder, files, [picture.warned for picture in read], logging.WARNING)
    images = in_channels(folder, files, read, colour)
    warn_of_black(images, folder)
    factors = folder / FACTORS
    return Own(images, read_table(factors, files) if os.path.lexists(factors) else None)


def pictures(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The picture files of a folder, by name; and how many others of each kind there are.

    Hidden files and the factors are in neither.

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


def state(folder: Path, files: Sequence[Path], said: Iterable[tuple[str, ...]], level: int) -> None:
    """Log each thing that was said of pictures once, with their number and the first of them."""
    first: dict[str, Path] = {}
    counts = Counter[str]()
    for file, texts in zip(files, said, strict=True):
        for text in texts:
            first.setdefault(text, file)
            counts[text] += 1
    prefix = "warning: " if level >= logging.WARNING else ""
    for text, count in counts.items():
        log.log(
            level, one_line(f"{prefix}{folder}: {count} of {len(files)} pictures {text}; first {first[text].name}")
        )


def in_channels(
    folder: Path, files: Sequence[Path], read: Sequence[Picture], colour: Colour
) -> UInt8[np.ndarray, "images channels height width"]:
    """The pictures in one array, of one or three channels.

    Raises:
        DataError: some files are stored in grey, others are in colour, and `colour` does not say what is meant.
    """
    coloured = next((k for k, picture in enumerate(read) if len(picture.pixels) == 3), None)
    if colour is Colour.auto:
        grey = next((k for k, picture in enumerate(read) if picture.stored_grey), None)
        if coloured is not None and grey is not None:
            raise DataError(
                f"{folder}: pictures must be all grey or all in colour, {files[grey].name} is 1x{size_of(read[grey])} "
                f"and {files[coloured].name} 3x{size_of(read[coloured])}. Set data.colour=rgb or data.colour=grey"
            )
        colour = Colour.grey if coloured is None else Colour.rgb
        in_vain = sum(not picture.stored_grey for picture in read)
        if coloured is None and in_vain:
            log.info(
                one_line(
                    f"{folder}: {in_vain} of {len(read)} pictures are stored in colour and have none: read as grey"
                )
            )
    channels = 1 if colour is Colour.grey else 3
    images = np.empty((len(read), channels, *read[0].pixels.shape[1:]), dtype=np.uint8)
    for image, picture in zip(images, read, strict=True):
        image[:] = luma(picture.pixels) if channels == 1 else picture.pixels  # one channel is repeated
    return images


def size_of(picture: Picture) -> str:
    """Height and width, to be read."""
    return "x".join(map(str, picture.pixels.shape[1:]))
