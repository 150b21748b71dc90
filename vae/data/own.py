"""The user's own images: an .npz, or a folder of pictures; grey or colour, with factors if they are known."""

import csv
import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from vae.data.checks import hash_of
from vae.data.factors import Factors
from vae.data.idx import DataError, read_bytes, reason

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
LONGEST_TAIL = 22 + 2**16  # bytes: the last record of a zip archive, and a comment
FACTORS = "factors.csv"  # in a folder: a column `file`, then one a factor

Own = tuple[UInt8[np.ndarray, "images channels height width"], Factors | None]


def read_own(path: Path) -> Own:
    """The images in [0, 255], grey or of three colours, and their factors if there are any.

    Raises:
        DataError: they cannot be read, or are not all alike.
    """
    path = path.expanduser()
    if path.is_dir():
        return read_folder(path)
    if path.is_file():
        return read_npz(path)
    raise DataError(f"data.path must be an .npz or a folder of pictures, got {path}, which is neither")


def own_checksum(path: Path) -> dict[str, str]:
    """The sha256 of the .npz, or of all pictures and factors of a folder in the order of their names."""
    path = path.expanduser()
    if path.is_file():
        return {path.name: hash_of(read_bytes(path))}
    whole = hashlib.sha256()
    for file in [*pictures(path), path / FACTORS]:
        if file.exists():
            whole.update(file.name.encode() + b"\0" + read_bytes(file))
    return {path.name: whole.hexdigest()}


def read_npz(path: Path) -> Own:
    """`images` (n, h, w), (n, h, w, c) or (n, c, h, w), uint8; `factors` (n, k) and `factor_names` (k,) if given.

    Raises:
        DataError: an array is missing, or is not what it should be. Nothing is unpickled.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no archive")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for member in archive.zip.namelist():
                archive.zip.open(member).close()  # a damaged name would be that of an array nobody asks for
            if len(archive.zip.namelist()) != arrays_announced(path):
                raise ValueError("its table of contents is damaged")
            arrays = {name: archive[name] for name in ("images", "factors", "factor_names") if name in archive.files}
    except (
        OSError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,  # what it calls encrypted, or compressed in a way it does not know
        AttributeError,
    ) as error:
        raise DataError(
            f"{path} must be an .npz of plain arrays: {reason(error)}. Write it anew with numpy.savez"
        ) from None
    if "images" not in arrays:
        raise DataError(f"{path} must hold an array `images`, it has none. Name it so in numpy.savez")
    images = channels_first(arrays["images"], path)
    if "factors" not in arrays:
        return images, None
    table = arrays["factors"]
    if table.ndim != 2 or len(table) != len(images):
        raise DataError(f"{path}: factors must have the shape ({len(images)}, factors), got {table.shape}")
    names = arrays.get("factor_names", np.array([f"factor_{k}" for k in range(table.shape[1])]))
    if names.shape != table.shape[1:] or len(set(names.tolist())) < len(names):
        raise DataError(f"{path}: factor_names must be {table.shape[1]} different names, got {names.tolist()}"[:300])
    return images, as_factors({str(name): table[:, k] for k, name in enumerate(names)}, path)


def arrays_announced(path: Path) -> int:
    """How many files the last record of a zip archive says there are: a damaged table may have swallowed some."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LONGEST_TAIL))
        tail = file.read()
    at = tail.rfind(b"PK\5\6") + 10
    return int.from_bytes(tail[at : at + 2], "little")


def channels_first(images: np.ndarray, path: Path) -> UInt8[np.ndarray, "images channels height width"]:
    """The images with their axes in order."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise DataError(
            f"{path}: images must be uint8 of shape (n, height, width), (n, height, width, channels) or "
            f"(n, channels, height, width), got {images.dtype} {images.shape}"
        )
    if images.ndim == 3:
        return images[:, None]
    if images.shape[1] in (1, 3):
        return images
    if images.shape[3] in (1, 3):
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    raise DataError(f"{path}: images must have 1 or 3 channels, got the shape {images.shape}")


def read_folder(folder: Path) -> Own:
    """The pictures of a folder in the order of their names, all of one size; factors from `factors.csv`.

    Raises:
        DataError: there are none, one cannot be read, or they are not all alike.
    """
    files = pictures(folder)
    if not files:
        raise DataError(f"{folder} must hold pictures ({', '.join(SUFFIXES)}), it has none")
    images = [read_picture(file) for file in files]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        odd = next(file for file, image in zip(files, images, strict=True) if image.shape != images[0].shape)
        raise DataError(
            f"{folder}: pictures must be alike, {files[0].name} is {size_of(images[0])}, {odd.name} is not"
        )
    return np.stack(images), read_factors(folder / FACTORS, files)


def pictures(folder: Path) -> list[Path]:
    """The picture files of a folder, by name."""
    return sorted(
        file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )


def read_picture(file: Path) -> UInt8[np.ndarray, "channels height width"]:
    """A picture as one grey or three colour channels.

    Raises:
        DataError: it is no picture.
    """
    try:
        with Image.open(file) as picture:
            grey = picture.mode in ("1", "L", "I", "I;16", "LA")
            pixels = np.asarray(picture.convert("L" if grey else "RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{file} must be a picture: {reason(error)}. Remove or replace it") from None
    return pixels[None] if grey else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def size_of(image: UInt8[np.ndarray, "channels height width"]) -> str:
    """Channels, height and width, to be read."""
    return "x".join(map(str, image.shape))


def read_factors(path: Path, files: list[Path]) -> Factors | None:
    """The factors of the pictures, or None if there is no such file."""
    if not path.exists():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} must be a table in CSV: {reason(error)}") from None
    if not rows or "file" not in rows[0]:
        raise DataError(f"{path} must begin with the names of its columns, one of them `file`")
    table: dict[Any, dict[Any, Any]] = {row["file"]: row for row in rows}
    missing = [file.name for file in files if file.name not in table]
    if missing:
        raise DataError(f"{path} must have a row for every picture, {missing[0]} has none")
    names = [name for name in rows[0] if name not in ("file", None)]
    uneven = [row["file"] for row in rows if None in row or None in row.values()]
    if uneven:
        raise DataError(f"{path} must have as many values in every row as names, {uneven[0]} has not")
    return as_factors({name: np.array([table[file.name][name] for file in files]) for name in names}, path)


def as_factors(columns: dict[str, np.ndarray], path: Path) -> Factors:
    """The factors that vary.

    Raises:
        DataError: none does, or a value is not a number.
    """
    for name, column in columns.items():
        if column.dtype.kind == "O" or (column.dtype.kind == "f" and not np.isfinite(column).all()):
            raise DataError(f"{path}: the factor {name} must have finite numbers or words only")
    factors = Factors.of(columns)
    if not factors.names:
        raise DataError(f"{path}: a factor must vary, and none of {', '.join(columns) or 'none'} does")
    return factors
