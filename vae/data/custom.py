"""Images that are read by the user's own function."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vae.config import CustomDataConfig
from vae.data.arrays import as_array, as_images, factors_of_columns
from vae.data.factors import Factors
from vae.data.files import DataError, expanded, kind_of, read_bytes, sha256_of, sha256_of_files
from vae.data.images import Splits
from vae.data.splits import ImageArrays, random_splits
from vae.data.table import shortened


@dataclass
class CustomData:
    """Images that are read by a function, which the user names as `module:name` in `data.target`.

    The function is called as `read(path, **options)` with the `pathlib.Path` of `data.path` and with `data.options`.
    It returns the images, or a pair of the images and their factors:

    - images: an array or tensor (n, height, width), (n, channels, height, width) or (n, height, width, channels), of
      uint8, bool or finite floats, with 1 or 3 channels. Floats outside [0, 1] need a Gaussian likelihood.
    - factors: a mapping from the name of a factor to its n values, numbers or words.

    Args:
        config: the configuration of the data.
        reader: calls the function with a path and options. It turns the function's errors into `DataError`.
    """

    config: CustomDataConfig
    reader: Callable[[Path, Mapping[str, Any]], Any]
    _sha256: str = field(init=False)  # of the arrays that were read

    def read(self) -> Splits:
        """The images, in three disjoint sets."""
        config = self.config
        path = expanded(config.path, "data.path")
        arrays = arrays_of(self.reader(path, config.options), f"data.target={config.target}")
        self._sha256 = sha256_of_arrays(arrays)
        return random_splits(arrays, config.validation_size, config.test_size, config.binarisation)

    def checksums(self) -> dict[str, str]:
        """The sha256 of the file at `data.path`, or of all files below it, and of what the function returned."""
        path = expanded(self.config.path, "data.path")
        if path.is_dir():
            sha256 = sha256_of_files(path, sorted(file for file in path.rglob("*") if not file.is_dir()))
        elif path.is_file():
            sha256 = sha256_of(read_bytes(path))
        else:
            raise DataError(
                f"data.path must be a file or a folder, got {path}, which is {kind_of(path)}. Name another"
            )
        return {path.absolute().name: sha256, f"the images of {self.config.target}": self._sha256}

    def describe(self) -> str:
        """The function, its arguments and the binarisation."""
        config = self.config
        options = "".join(f", {name} {value}" for name, value in config.options.items())
        return f"{config.path} by {config.target}{options}, binarisation {config.binarisation.value}"


def arrays_of(returned: object, source: str) -> ImageArrays:
    """The images and factors that a reader returned, checked. Errors name `source`."""
    pair = returned if isinstance(returned, tuple) else (returned, None)
    if len(pair) != 2:
        raise DataError(f"{source} must return images, or images and factors, got a tuple of {len(pair)}. Return two")
    given, factors = pair
    images = as_images(as_array(given, f"{source}: images"), source)
    images = np.require(images, requirements=("C", "W"))  # torch takes no read-only array
    if factors is None:
        return ImageArrays(images)
    if not isinstance(factors, Mapping) or not all(isinstance(name, str) for name in factors):
        raise DataError(
            f"{source}: factors must be a mapping from names to values, got {type(factors).__name__}. Return a dict"
        )
    columns = {name: as_array(values, f"{source}: the factor {shortened(name)}") for name, values in factors.items()}
    for name, column in columns.items():
        if column.shape != (len(images),):
            raise DataError(
                f"{source}: the factor {shortened(name)} must have one value for each image, the shape "
                f"({len(images)},), got {column.shape}. Return it so"
            )
    return ImageArrays(images, factors_of_columns(columns, source))


def sha256_of_arrays(arrays: ImageArrays) -> str:
    """One sha256 of images and factors, in hexadecimal digits."""
    levels = None if arrays.factors is None else factors_content(arrays.factors)
    content = [arrays.images.shape, sha256_of(np.ascontiguousarray(arrays.images).data), levels]
    return sha256_of(json.dumps(content).encode())


def factors_content(factors: Factors) -> Sequence[object]:
    """The names of factors, the sha256 of their levels, and that of their values if these are not evenly spaced."""
    content = [factors.names, sha256_of(np.ascontiguousarray(factors.levels).data)]
    if np.allclose(factors.values, factors.levels / (np.array(factors.sizes) - 1), rtol=0, atol=1e-12):
        return content
    return [*content, sha256_of(np.ascontiguousarray(factors.values).data)]
