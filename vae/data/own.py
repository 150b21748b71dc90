"""The user's own images, in an .npz, an .npy or a folder of pictures."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from vae.config import ImagesConfig
from vae.data.archive import read_archive
from vae.data.files import DataError, expanded, kind_of, read_bytes, reason, sha256_of, sha256_of_checksums
from vae.data.folder import Cache, checksum_of, read_folder
from vae.data.images import Splits
from vae.data.picture_files import FACTORS, picture_files
from vae.data.pictures import PictureOptions, shown_range
from vae.data.splits import ImageArrays, random_splits


@dataclass
class ImagesData:
    """The user's own images.

    Args:
        config: the configuration of the data.
        may_write: whether decoded pictures may be kept in `config.root`.
    """

    config: ImagesConfig
    may_write: bool = True
    _checksums: dict[Path, str] = field(init=False, default_factory=dict)  # of the pictures that were read

    def read(self) -> Splits:
        """The images, in three disjoint sets."""
        config = self.config
        cache = Cache(expanded(config.root, "data.root"), self.may_write, self._checksums)
        options = options_of(config)
        arrays = read_own(Path(config.path), options, cache)
        preparation = replace(
            arrays.preparation,
            levels=options.levels,
            resize=None if options.size is None else options.resize,
            background=config.background,
            colour=config.colour,
        )
        return random_splits(arrays, config.validation_size, config.test_size, config.binarisation, preparation)

    def checksums(self) -> dict[str, str]:
        """The sha256 of the .npz; or of the names and contents of a folder's pictures and factors."""
        path = expanded(self.config.path, "data.path")
        name = path.absolute().name
        try:
            if path.is_file():
                return {name: sha256_of(read_bytes(path))}
            factors = [path / FACTORS] if os.path.lexists(path / FACTORS) else []
            files, known = [*picture_files(path).files, *factors], self._checksums
            return {name: sha256_of_checksums(path, ((file, known.get(file) or checksum_of(file)) for file in files))}
        except OSError as error:
            raise DataError(f"{path} cannot be read: {reason(error)}") from None

    def describe(self) -> str:
        """The path, and what is done with the pixels."""
        config, options = self.config, options_of(self.config)
        parts = [
            config.path,
            *([] if options.size is None else [f"resized to {options.size[0]}x{options.size[1]} ({config.resize})"]),
            f"binarisation {config.binarisation.value}",
            f"background {config.background.value}",
            f"colour {config.colour.value}",
            *([] if options.levels is None else [shown_range(*options.levels)]),
        ]
        return ", ".join(parts)


def options_of(config: ImagesConfig) -> PictureOptions:
    """What pictures become."""
    size = None if config.side is None else (config.side, config.side)
    if config.size is not None:
        size = (config.size[0], config.size[1])
    levels = None if config.range is None else (config.range[0], config.range[1])
    return PictureOptions(config.background, config.colour, size, config.resize, levels)


def read_own(path: Path, options: PictureOptions | None = None, cache: Cache | None = None) -> ImageArrays:
    """The images, and their factors and labels if there are any.

    Args:
        path: an .npz, an .npy or a folder of pictures; `~` is the home directory.
        options: what pictures become. Arrays take only `colour` and `levels` of them.
        cache: where decoded pictures are kept. None: nowhere.

    Raises:
        DataError: the images cannot be read, or are not all of one shape.
    """
    path, options = expanded(path, "data.path"), options or PictureOptions()
    try:
        if path.is_dir():
            return read_folder(path, options, cache)
        if path.is_file():
            if options.size is not None:
                raise DataError(
                    f"data.side and data.size are for a folder of pictures, got data.path={path}. "
                    "Leave them out, or resize the arrays before they are saved"
                )
            return read_archive(path, options.colour, options.levels)
        kind = kind_of(path)
    except MemoryError:
        fix = ", or set data.side" if path.is_dir() else ""
        raise DataError(f"{path} does not fit in the memory. Take fewer or smaller images{fix}") from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"data.path must be an .npz, an .npy or a folder of pictures, got {path}: {reason(error)}"
        ) from None
    raise DataError(
        f"data.path must be an .npz, an .npy or a folder of pictures, got {path}, which is none of them: it is {kind}"
    )
