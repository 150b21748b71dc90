"""Arrays of images, labels and factors as users give them: checks and conversions.

A wrong array raises `DataError`: one line that names the `source`, the rule, what was given and the fix.
"""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from vae.config import Colour
from vae.data.factors import Factors
from vae.data.files import DataError, single_line
from vae.data.pictures import luma
from vae.data.table import as_factors, as_text, from_words, shortened

log = logging.getLogger(__name__)

LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)
LAYOUTS = "(n, height, width), (n, height, width, channels) or (n, channels, height, width)"


def as_array(given: Any, what: str) -> np.ndarray:
    """An array, a tensor on any device or a sequence as an array. Errors name `what`."""
    if isinstance(given, Tensor):
        try:
            plain = given.detach().cpu()
            return plain.float().numpy() if plain.dtype == torch.bfloat16 else plain.numpy()  # numpy has no bfloat16
        except (TypeError, NotImplementedError) as error:  # it is sparse, quantised, or has no values
            raise DataError(f"{what} must be a plain tensor: {error}. Convert it") from None
    if np.ma.is_masked(given):  # numpy would hand over the values behind the mask
        raise DataError(f"{what} must have a value everywhere, got a masked array. Fill it, or leave such images out")
    try:
        return np.asarray(given)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} must be an array, got {type(given).__name__}: {error}. Convert it") from None


def as_images(
    images: np.ndarray, source: object, levels: tuple[float, float] | None = None, has_range: bool = False
) -> UInt8[np.ndarray, "images channels height width"] | Float32[np.ndarray, "images channels height width"]:
    """The images with their channels first, as bytes or as floats. A warning is logged if they are nearly black.

    Args:
        images: (n, height, width), (n, channels, height, width) or (n, height, width, channels), as `as_x` takes them.
        source: the file or function that gave the images. Errors name it, as in every function here.
        levels: the stored values that become 0 and 1, for images of more than 8 bits.
        has_range: whether the user can set `levels`, by the key `data.range`.
    """
    if images.dtype.kind not in "biuf" or images.ndim not in (3, 4) or 0 in images.shape:
        raise DataError(
            f"{source}: images must be numbers of shape {LAYOUTS}, got {images.dtype} {images.shape}. Convert them"
        )
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[1] in (1, 3) and images.shape[3] in (1, 3):
        raise DataError(
            f"{source}: images of shape {images.shape} may have their channels first or last. "
            "Give grey images without an axis of channels, and colour images at least 4 pixels high and wide"
        )
    elif images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    elif images.shape[1] not in (1, 3):
        raise DataError(
            f"{source}: images must have 1 or 3 channels, got the shape {images.shape}. "
            "Composite an alpha channel with its background, and drop other channels, as images[..., :3] does"
        )
    x = np.require(as_x(images, source, levels, has_range), requirements="C")
    if images.dtype == np.uint8:
        warn_of_black(x, source)
    elif x.min() == x.max():
        log.warning(single_line(f"warning: {source}: all pixels have the same value, {images.flat[0]:g}"))
    return x


def as_x(
    values: np.ndarray, source: object, levels: tuple[float, float] | None = None, has_range: bool = False
) -> UInt8[np.ndarray, "..."] | Float32[np.ndarray, "..."]:
    """The values as bytes, which stand for byte / 255, or as float32, which are x.

    - uint8: bytes as they are.
    - bool: the bytes 0 and 255.
    - floats: finite, as they are. With `levels`, (value - low) / (high - low).
    - other integers: with `levels` only, likewise.

    Args:
        values: of some images.
        source: what gave them.
        levels: the stored values (low, high) that become 0 and 1. Values outside are refused.
        has_range: whether the user can set `levels`, by the key `data.range`.

    Raises:
        DataError: the values cannot be taken without a guess.
    """
    kind = values.dtype.kind
    if levels is not None and (kind == "b" or values.dtype == np.uint8):
        raise DataError(f"{source}: data.range is for more than 8 bits, got {values.dtype}. Leave it out")
    if kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint8:
        return values
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if not np.isfinite([low, high]).all():
        bad = int((~np.isfinite(values)).reshape(len(values), -1).any(axis=1).argmax())
        raise DataError(
            f"{source}: values must be finite, image {bad} has NaN or infinity. Leave it out, or use nan_to_num"
        )
    if levels is None and kind != "f":
        raise DataError(f"{source}: {unknown_levels(values.dtype, int(low), int(high), has_range)}")
    if levels is not None:
        black, white = levels
        if low < black or high > white:
            raise DataError(
                f"{source}: values must lie in data.range=[{black:g},{white:g}], these go from {low:g} to {high:g}. "
                f"Set data.range=[{min(low, black):g},{max(high, white):g}], or clip them"
            )
        values = (values.astype(np.float64) - black) / (white - black)
    elif max(abs(low), abs(high)) > np.finfo(np.float32).max:
        raise DataError(f"{source}: values must fit in 32 bits, these go from {low:g} to {high:g}. Divide them")
    x: np.ndarray = values.astype(np.float32, copy=False)
    return x


def unknown_levels(kind: np.dtype, low: int, high: int, has_range: bool) -> str:
    """The error of integers that may mean anything: 255, 4095 or 65535 may be white."""
    bits = max(1, high).bit_length()
    white = 2**bits - 1 if low >= 0 else high
    black = min(0, low)
    scaled = f"images / {white}" if black == 0 else f"(images + {-black}) / {white - black}"
    eight = "convert them with astype('uint8')" if low >= 0 and 1 < high <= 255 else f"divide them: {scaled}"
    first = f"Set data.range=[{black},{white}], or {eight}" if has_range else eight.capitalize()
    return f"integers of {kind} need the values of black and white, these go from {low} to {high}. {first}"


def in_colour(images: np.ndarray, colour: Colour) -> np.ndarray:
    """The images (n, channels, height, width) with the channels that are asked for."""
    if colour is Colour.grey and images.shape[1] == 3:
        if images.dtype == np.uint8:
            return np.stack([luma(image) for image in images])
        grey: np.ndarray = np.einsum("nchw,c->nhw", images, LUMA)[:, None].astype(np.float32)
        return grey
    return images.repeat(3, axis=1) if colour is Colour.rgb and images.shape[1] == 1 else images


def warn_of_black(images: UInt8[np.ndarray, "images channels height width"], source: object) -> None:
    """Log a warning if no pixel is above 1 of 255: often 1 was meant to be white."""
    largest = images.max()
    if largest <= 1:
        nearly = "0 and 1 of 255: nearly black; convert them with astype(bool) if 1 is white"
        log.warning(single_line(f"warning: {source}: images are {nearly if largest else '0 everywhere: black'}"))


def as_classes(
    labels: np.ndarray | None, names: np.ndarray | None, count: int, source: object
) -> tuple[Int64[np.ndarray, " images"] | None, tuple[str, ...] | None]:
    """The class of each image as a number, and the names of the classes where they have names.

    Args:
        labels: whole numbers, or words. Words are numbered in their sorted order. None: there are no classes.
        names: of the classes, by number, where labels are numbers.
        count: the number of images.
        source: what gave them.
    """
    where = f"{source}: label_names"
    if labels is None:
        if names is not None:
            raise DataError(f"{where} need an array `labels` of shape ({count},). Add it")
        return None, None
    if labels.dtype.kind in "US" and labels.shape == (count,):
        if names is not None:
            raise DataError(f"{where} are for labels that are numbers, these are words. Leave one out")
        words = as_text(labels, f"{source}: labels")
        known = sorted(set(words))
        numbers = {word: number for number, word in enumerate(known)}
        return np.array([numbers[word] for word in words], dtype=np.int64), tuple(known)
    classes = as_labels(labels, count, source)
    if names is None:
        return classes, None
    known = as_text(names.ravel(), where)
    if names.ndim != 1 or len(set(known)) < len(known) or len(known) <= classes.max():
        raise DataError(
            f"{where} must be {classes.max() + 1} different names or more, one for each label from 0, "
            f"got {', '.join(known)[:200]}"
        )
    return classes, tuple(known)


def as_labels(labels: np.ndarray, count: int, source: object) -> Int64[np.ndarray, " images"]:
    """The class of each image."""
    if labels.shape != (count,) or labels.dtype.kind not in "biu":
        raise DataError(
            f"{source}: labels must be whole numbers or words of shape ({count},), got {labels.dtype} {labels.shape}. "
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
