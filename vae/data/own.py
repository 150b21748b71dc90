"""The user's own images, in an .npz or a folder of pictures."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae.config import Background, Colour, ImagesConfig
from vae.data.arrays import as_images, as_labels, factors_of_table
from vae.data.files import (
    DataError,
    expanded,
    kind_of,
    read_bytes,
    reason,
    sha256_of,
    sha256_of_files,
    single_line,
)
from vae.data.folder import FACTORS, picture_files, read_folder
from vae.data.images import Splits
from vae.data.npz import read_npz
from vae.data.pictures import SUFFIXES, luma
from vae.data.splits import ImageArrays, random_splits

log = logging.getLogger(__name__)

ARRAYS = ("images", "labels", "factors", "factor_names")  # in an .npz


@dataclass(frozen=True)
class ImagesData:
    """The user's own images."""

    config: ImagesConfig

    def read(self) -> Splits:
        """The images, in three disjoint sets."""
        config = self.config
        arrays = read_own(Path(config.path), config.background, config.colour)
        return random_splits(arrays, config.validation_size, config.test_size, config.binarisation)

    def checksums(self) -> dict[str, str]:
        """The sha256 of the .npz; or of the names and contents of a folder's pictures and factors."""
        path = expanded(self.config.path, "data.path")
        name = path.absolute().name
        try:
            if path.is_file():
                return {name: sha256_of(read_bytes(path))}
            factors = [path / FACTORS] if os.path.lexists(path / FACTORS) else []
            return {name: sha256_of_files(path, [*picture_files(path)[0], *factors])}
        except OSError as error:
            raise DataError(f"{path} cannot be read: {reason(error)}") from None

    def describe(self) -> str:
        """The path, and what is done with the pixels."""
        config = self.config
        return (
            f"{config.path}, binarisation {config.binarisation.value}, "
            f"background {config.background.value}, colour {config.colour.value}"
        )


def read_own(path: Path, background: Background = Background.black, colour: Colour = Colour.auto) -> ImageArrays:
    """The images, and their factors and labels if there are any.

    Args:
        path: an .npz or a folder of pictures; `~` is the home directory.
        background: the colour behind the transparent pixels of pictures.
        colour: how many channels the images get.

    Raises:
        DataError: the images cannot be read, or are not all of one shape.
    """
    path = expanded(path, "data.path")
    try:
        if path.is_dir():
            return read_folder(path, background, colour)
        if path.is_file():
            return read_archive(path, colour)
        kind = kind_of(path)
    except MemoryError:
        raise DataError(f"{path} does not fit in the memory. Take fewer or smaller images") from None
    except (OSError, ValueError) as error:
        raise DataError(f"data.path must be an .npz or a folder of pictures, got {path}: {reason(error)}") from None
    raise DataError(f"data.path must be an .npz or a folder of pictures, got {path}, which is neither: it is {kind}")


def read_archive(path: Path, colour: Colour) -> ImageArrays:
    """`images` (n, h, w), (n, h, w, c) or (n, c, h, w), uint8; `labels` (n,), `factors` (n, k), `factor_names` (k,).

    Only `images` must be there. Nothing is unpickled.

    Raises:
        DataError: the file is damaged, or an array has a wrong form.
        PermissionError: the file may not be read.
    """
    try:
        arrays = read_npz(path, ARRAYS)
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many types for a damaged archive
        picture = path.suffix.lower() in SUFFIXES
        fix = "Give the folder of the pictures" if picture else "Write it anew with numpy.savez(file, images=array)"
        raise DataError(f"{path} must be an .npz of plain arrays: {reason(error)}. {fix}") from None
    given = arrays.get("images")
    if given is None:
        holds = ", ".join(arrays)[:200] or "none"
        raise DataError(
            f"{path} must hold an array `images`, it holds {holds}. Write it with numpy.savez(file, images=array)"
        )
    others = ", ".join(name for name, array in arrays.items() if array is None)[:200]
    if others:
        log.warning(single_line(f"warning: {path}: ignored {others}; the arrays read are {', '.join(ARRAYS)}"))
    images = as_images(given, path)
    factors = factors_of_table(arrays.get("factors"), arrays.get("factor_names"), len(images), path)
    labels = arrays.get("labels")
    if colour is Colour.grey and images.shape[1] == 3:
        images = np.stack([luma(image) for image in images])
    elif colour is Colour.rgb and images.shape[1] == 1:
        images = images.repeat(3, axis=1)
    return ImageArrays(images, factors, None if labels is None else as_labels(labels, len(images), path))
