"""Arrays of images, labels and factors as users give them: checks and conversions.

A wrong array raises `DataError`: one line that names the `source`, the rule, what was given and the fix.
"""

import logging
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64, UInt8

from vae.data.factors import Factors
from vae.data.files import DataError, single_line
from vae.data.table import as_factors, as_text, from_words, shortened

log = logging.getLogger(__name__)

CONVERSION = ". Convert them: images.astype('uint8') from [0, 255], (255 * images).round().astype('uint8') from [0, 1]"


def as_images(images: np.ndarray, source: object) -> UInt8[np.ndarray, "images channels height width"]:
    """The images with their channels first. A warning is logged if they are nearly black.

    Args:
        images: (n, height, width), (n, channels, height, width) or (n, height, width, channels), uint8.
        source: the file or function that gave the images. Errors name it, as in every function here.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        fix = "" if images.dtype == np.uint8 else CONVERSION
        raise DataError(
            f"{source}: images must be uint8 of shape (n, height, width), (n, height, width, channels) or "
            f"(n, channels, height, width), got {images.dtype} {images.shape}{fix}"
        )
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[1] in (1, 3) and images.shape[3] in (1, 3):
        raise DataError(
            f"{source}: images of shape {images.shape} may have their channels first or last. "
            "Give grey images without an axis of channels, and colour images at least 4 pixels high and wide"
        )
    elif images.shape[3] in (1, 3):
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    elif images.shape[1] not in (1, 3):
        raise DataError(
            f"{source}: images must have 1 or 3 channels, got the shape {images.shape}. "
            "Composite an alpha channel with its background, and drop other channels"
        )
    warn_of_black(images, source)
    return images


def warn_of_black(images: UInt8[np.ndarray, "images channels height width"], source: object) -> None:
    """Log a warning if no pixel is above 1 of 255: often 1 was meant to be white."""
    largest = images.max()
    if largest <= 1:
        nearly = "0 and 1 of 255: nearly black; multiply by 255 if 1 is white"
        log.warning(single_line(f"warning: {source}: images are {nearly if largest else '0 everywhere: black'}"))


def of_unit_interval(images: np.ndarray, source: object) -> UInt8[np.ndarray, "..."]:
    """Floats in [0, 1] as bytes from 0 to 255, rounded."""
    low, high = images.min(initial=1), images.max(initial=0)
    if not (low >= 0 and high <= 1):  # NaN, too
        raise DataError(
            f"{source}: floats must lie in [0, 1], these go from {low:g} to {high:g}. Divide or clamp them"
        )
    scaled: UInt8[np.ndarray, ...] = np.rint(255 * images.astype(np.float32, copy=False)).astype(np.uint8)
    return scaled


def as_labels(labels: np.ndarray, count: int, source: object) -> Int64[np.ndarray, " images"]:
    """The class of each image."""
    if labels.shape != (count,) or labels.dtype.kind not in "biu":
        raise DataError(
            f"{source}: labels must be whole numbers of shape ({count},), got {labels.dtype} {labels.shape}. "
            "Convert them with astype(int), or leave them out"
        )
    if labels.min() < 0:
        raise DataError(
            f"{source}: labels must not be negative, got {labels.min()}. "
            "Number them with numpy.unique(labels, return_inverse=True)[1]"
        )
    if labels.max() >= 2**31:
        raise DataError(
            f"{source}: labels must be below 2147483648, got {labels.max()}. "
            "Number them with numpy.unique(labels, return_inverse=True)[1]"
        )
    return labels.astype(np.int64)


def factors_of_table(table: np.ndarray | None, names: np.ndarray | None, count: int, source: object) -> Factors | None:
    """The factors in the columns of a table. Without names they are called factor_0, factor_1, ..."""
    if table is None:
        if names is not None:
            raise DataError(f"{source}: factor_names need an array `factors` of shape ({count}, factors). Add it")
        return None
    if table.ndim != 2 or len(table) != count:
        raise DataError(
            f"{source}: factors must have the shape ({count}, factors), got {table.shape}. "
            "Give one row for each image; a single factor as factors[:, None]"
        )
    columns = table.shape[1]
    titles = [f"factor_{k}" for k in range(columns)]
    if names is not None:
        titles = [name.strip() for name in as_text(names.ravel(), f"{source}: factor_names")]
        if names.shape != (columns,) or len(set(titles)) < columns or "" in titles:
            raise DataError(f"{source}: factor_names must be {columns} different names, got {', '.join(titles)[:200]}")
    return factors_of_columns({name: table[:, k] for k, name in enumerate(titles)}, source)


def factors_of_columns(columns: Mapping[str, np.ndarray], source: object) -> Factors:
    """The factors with these values, one value for each image. Constant factors are left out and logged."""
    return as_factors({name: from_array(column, name, source) for name, column in columns.items()}, source)


def from_array(column: np.ndarray, name: str, source: object) -> np.ndarray:
    """A column of an array as numbers or words. A text that is a number counts as a number, as in a table."""
    where = f"{source}: the factor {shortened(name)}"
    if column.dtype.kind in "US":
        return from_words(as_text(column, where), name, source, range(len(column)))
    if column.dtype.kind not in "biuf" or not np.isfinite(column).all():
        given = "numbers that are not finite" if column.dtype.kind == "f" else column.dtype
        raise DataError(f"{where} must have finite numbers or words only, got {given}. Convert it")
    return column
