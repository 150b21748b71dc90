"""Arrays of images, labels and factors as users give them: checked, and brought to one form.

What is wrong with them raises `DataError`: one line that names their `source`, the rule, what was given and the fix.
"""

import logging
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64, UInt8

from vae.data.factors import Factors
from vae.data.files import DataError, single_line
from vae.data.table import as_factors, as_text, from_words, shortened

log = logging.getLogger(__name__)

CONVERSIONS = {  # to uint8, by the kind of numpy's type
    "f": ". If they lie in [0, 1]: (255 * images).round().astype('uint8')",
    "b": ". Convert them: 255 * images.astype('uint8')",
    "u2": ". If they fill 16 bits: (images / 257).round().astype('uint8')",
    "u": ". If they lie in [0, 255]: images.astype('uint8')",
    "i": ". If they lie in [0, 255]: images.astype('uint8')",
}


def as_images(images: np.ndarray, source: object) -> UInt8[np.ndarray, "images channels height width"]:
    """The images with their channels first. A warning says so if they are nearly black.

    Args:
        images: (n, height, width), (n, channels, height, width) or (n, height, width, channels), uint8.
        source: is named in the error, as in every function here.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        kind = "" if images.dtype == np.uint8 else "u2" if images.dtype == np.uint16 else images.dtype.kind
        fix = CONVERSIONS.get(kind, "")
        raise DataError(
            f"{source}: images must be uint8 of shape (n, height, width), (n, height, width, channels) or "
            f"(n, channels, height, width), got {images.dtype} {images.shape}{fix}"
        )
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[1] in (1, 3) and images.shape[3] in (1, 3):
        raise DataError(
            f"{source}: images of shape {images.shape} may have their channels first or last. "
            "Give grey ones without the axis of channels, others at least 4 pixels high and wide"
        )
    elif images.shape[3] in (1, 3):
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    elif images.shape[1] not in (1, 3):
        alpha = 4 in (images.shape[1], images.shape[3])
        fix = "Drop the alpha channel, or composite them first" if alpha else "Keep 1 or 3 of them"
        raise DataError(f"{source}: images must have 1 or 3 channels, got the shape {images.shape}. {fix}")
    warn_of_black(images, source)
    return images


def warn_of_black(images: UInt8[np.ndarray, "images channels height width"], source: object) -> None:
    """Warn of images without a pixel above 1 of 255: often 1 was meant to be white."""
    largest = images.max()
    if largest <= 1:
        nearly = "0 and 1 of 255: nearly black; multiply by 255 if 1 is white"
        log.warning(single_line(f"warning: {source}: images are {nearly if largest else '0 everywhere: black'}"))


def of_unit_interval(images: np.ndarray, source: object) -> UInt8[np.ndarray, "..."]:
    """Floats in [0, 1] as bytes, rounded."""
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
    if labels.min() < 0 or labels.max() > np.iinfo(np.int32).max:
        raise DataError(
            f"{source}: labels must lie in [0, 2147483647], go from {labels.min()} to {labels.max()}. "
            "Number them with numpy.unique(labels, return_inverse=True)[1]"
        )
    return labels.astype(np.int64)


def factor_columns(
    table: np.ndarray | None, names: np.ndarray | None, count: int, source: object
) -> dict[str, np.ndarray] | None:
    """The columns of a table of factors by their names, or by numbers if they have none."""
    if table is None:
        if names is not None:
            raise DataError(
                f"{source}: factor_names need an array `factors` of shape ({count}, factors), there is none"
            )
        return None
    if table.ndim != 2 or len(table) != count:
        fix = "Give them as factors[:, None]" if table.shape == (count,) else "Give one row an image"
        raise DataError(f"{source}: factors must have the shape ({count}, factors), got {table.shape}. {fix}")
    columns = table.shape[1]
    called = [f"factor_{k}" for k in range(columns)]
    if names is not None:
        called = [name.strip() for name in as_text(names.ravel(), f"{source}: factor_names")]
        if names.shape != (columns,) or len(set(called)) < columns or "" in called:
            raise DataError(f"{source}: factor_names must be {columns} different names, got {', '.join(called)[:200]}")
    return {name: table[:, k] for k, name in enumerate(called)}


def factors_of_columns(columns: Mapping[str, np.ndarray], source: object) -> Factors:
    """The factors with these values, one for each image. The factors that never vary are left out and logged."""
    return as_factors({name: from_array(column, name, source) for name, column in columns.items()}, source)


def from_array(column: np.ndarray, name: str, source: object) -> np.ndarray:
    """A column of an array as numbers or words. Text that is a number counts as one, as in a table."""
    where = f"{source}: the factor {shortened(name)}"
    match column.dtype.kind:
        case "b" | "i" | "u":
            return column
        case "f":
            if not np.isfinite(column).all():
                raise DataError(f"{where} must have finite numbers or words only")
            return column
        case "U" | "S":
            return from_words(as_text(column, where), name, source, range(len(column)))
        case _:
            raise DataError(f"{where} must have finite numbers or words only, got {column.dtype}. Convert it")
