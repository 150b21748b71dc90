"""The user's own images, in an .npz, an .npy or a folder of pictures."""

import os
from dataclasses import dataclass
from pathlib import Path

from vae.config import Background, Colour, ImagesConfig
from vae.data.archive import read_archive
from vae.data.files import (
    DataError,
    expanded,
    kind_of,
    read_bytes,
    reason,
    sha256_of,
    sha256_of_files,
)
from vae.data.folder import FACTORS, picture_files, read_folder
from vae.data.images import Splits
from vae.data.splits import ImageArrays, random_splits


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
        path: an .npz, an .npy or a folder of pictures; `~` is the home directory.
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
        raise DataError(
            f"data.path must be an .npz, an .npy or a folder of pictures, got {path}: {reason(error)}"
        ) from None
    raise DataError(
        f"data.path must be an .npz, an .npy or a folder of pictures, got {path}, which is none of them: it is {kind}"
    )
