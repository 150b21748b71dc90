"""The user's pictures, arrays and rows as batches of x for a trained model, prepared exactly as in training.

Nothing is read before it is needed, and a batch is in the memory at a time.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vae.config import Colour, Resize
from vae.config.preparation import ImagePreparation, Preparation, TablePreparation
from vae.data.arrays import as_array, as_classes, as_x, in_colour, warn_of_black
from vae.data.files import DataError, expanded, kind_of, reason, single_line
from vae.data.folder import cores, found_pictures, read_prepared
from vae.data.images import sample_bernoulli
from vae.data.layouts import as_model_images
from vae.data.npz import read_npz as read_small_arrays
from vae.data.pictures import SUFFIXES
from vae.data.preparation import standardised
from vae.data.rows import ROWS_AT_ONCE, label_in, open_table, rows_of_array
from vae.data.splits import SEED
from vae.data.streams import Stream, in_memory, read_npy, read_npz

log = logging.getLogger(__name__)

LOOKED_AT = 1_000  # images, whether they are nearly black
CONVERSION = "Convert them: images.astype('uint8') from [0, 255], images / 65535 from 16 bits"
FLOAT_MAX = float(np.finfo(np.float32).max)
PLACES = "a picture, a folder of pictures, an .npz or an .npy"


Progress = Callable[[int], object]  # called with the number of inputs that have been read since the last call


def no_progress(read: int) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Inputs:
    """Inputs for a model.

    Attributes:
        count: how many there are.
        names: the file of each input, relative to the folder that was given; or the number of its row, from 0.
        labels: the label of each input, where there are labels.
    """

    count: int
    names: Sequence[str] | range
    labels: Sequence[str] | None
    _batches: Callable[[int, Progress], Iterator[Tensor]]

    def name(self, number: int) -> str:
        """The file of an input, or the number of its row."""
        return str(self.names[number])

    def label(self, number: int) -> str:
        """The label of an input. Empty where there are no labels."""
        return "" if self.labels is None else self.labels[number]

    def batches(
        self, size: int, progress: Progress = no_progress
    ) -> Iterator[Float[Tensor, "batch channels height width"]]:
        """The prepared inputs in their order, `size` at a time. Each call begins anew and gives the same values.

        Args:
            size: of a batch.
            progress: called while they are read.

        Raises:
            DataError: an input cannot be read, or does not fit the model.
        """
        yield from self._batches(size, progress)


def inputs_of(given: Any, preparation: Preparation, resize: Resize | None = None) -> Inputs:
    """The given inputs, prepared as in training.

    Args:
        given: the path of a picture, of a folder of pictures (class folders are labels), or of an .npz, .npy or .csv;
            a list of paths of pictures; an array or a tensor on any device.
        preparation: of the model's training.
        resize: how pictures of another size are brought to the model's, if training had only one size.

    Raises:
        DataError: they cannot be read, or do not fit the model.
    """
    if isinstance(given, str) and not given:
        raise DataError("the input must be named, got an empty path. Write . for the working directory")
    if isinstance(preparation, TablePreparation):
        if resize is not None:
            raise DataError("the model is of a table, and only pictures can be resized. Leave resize out")
        if isinstance(given, str | Path):
            return of_table(expanded(given, "the input"), preparation)
        return of_rows(given if hasattr(given, "columns") else numbers_of(given), preparation)
    if resize is not None:
        preparation = replace(preparation, resize=resize)
    match given:
        case str() | Path():
            return of_path(expanded(given, "the input"), preparation)
        case [*paths] if paths and all(isinstance(path, str | Path) for path in paths):
            return of_pictures(
                [expanded(path, "the input") for path in paths], list(map(str, paths)), None, preparation
            )
    return of_stream(in_memory(numbers_of(given)), preparation, "the input")


def of_path(path: Path, preparation: ImagePreparation) -> Inputs:
    """The images at a path."""
    try:
        if path.is_dir():
            return of_folder(path, preparation)
        suffix = path.suffix.lower()
        if path.is_file():
            if suffix == ".npy":
                return of_stream(read_npy(path), preparation, path)
            if suffix == ".npz":
                stream = read_npz(path, "images")
                return of_stream(stream, preparation, path, labels_of(path, stream.shape[0]))
            if suffix in SUFFIXES:
                return of_pictures([path], [path.name], None, preparation)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}. Name another") from None
    kind = f"a {suffix or 'file without a suffix'}" if path.is_file() else kind_of(path)
    raise DataError(f"the input of this model must be {PLACES}, got {path}, which is {kind}. Name another")


def of_stream(
    stream: Stream, preparation: ImagePreparation, source: object, labels: Sequence[str] | None = None
) -> Inputs:
    """The images in an array."""
    check_type(stream, preparation, source)
    images = as_model_images(stream, preparation, source)
    if stream.dtype == np.uint8:
        warn_of_black(next(images.chunks(LOOKED_AT)), source)
    if preparation.levels is not None:
        warn_of_x(next(images.chunks(LOOKED_AT)), preparation.levels, source)

    def batches(size: int, progress: Progress) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(SEED)
        first = 0
        for chunk in images.chunks(size):
            progress(len(chunk))
            yield x_of(chunk, preparation, generator, source, first)
            first += len(chunk)

    return Inputs(images.shape[0], range(images.shape[0]), labels, batches)


def of_folder(folder: Path, preparation: ImagePreparation) -> Inputs:
    """The pictures of a folder. If they lie in folders of their own, these are their labels."""
    found = found_pictures(folder)
    return of_pictures(found.files, found.names(), found.classes(), preparation)


def of_pictures(
    files: Sequence[Path], names: Sequence[str], labels: Sequence[str] | None, preparation: ImagePreparation
) -> Inputs:
    """Pictures, which are decoded a batch at a time, in threads."""

    def read(file: Path) -> np.ndarray:
        return read_prepared(file, preparation)

    def batches(size: int, progress: Progress) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(SEED)
        for start in range(0, len(files), size):
            decoded = []
            pool = ThreadPoolExecutor(cores())
            try:
                for pixels in pool.map(read, files[start : start + size]):
                    decoded.append(pixels)
                    progress(1)
            finally:
                pool.shutdown(cancel_futures=True)
            yield drawn(np.stack(decoded), preparation, generator)

    return Inputs(len(files), names, labels, batches)


def of_table(path: Path, preparation: TablePreparation) -> Inputs:
    """The rows of a table in a file, which is read once to count them, and once for each use."""
    table = open_table(path)
    label = label_in(table, preparation)
    labels: list[str] = []
    if label is None:
        count = table.count()
    else:
        for rows in table.rows(preparation.columns[:1], label, ROWS_AT_ONCE, None):
            labels += [sys.intern(word) for word in rows.labels or ()]
        count = len(labels)
    if count == 0:
        raise DataError(f"{path} must have a row below the names of its columns. Add one")

    def batches(size: int, progress: Progress) -> Iterator[Tensor]:
        for rows in table.rows(preparation.columns, None, size, None):
            progress(len(rows.values))
            yield standardised(rows.values, preparation)

    return Inputs(count, range(count), None if label is None else labels, batches)


def of_rows(given: Any, preparation: TablePreparation) -> Inputs:
    """The rows of an array in the order of the model's columns, or of a table of pandas by their names."""
    rows = rows_of_array(given, preparation)
    values = rows.values

    def batches(size: int, progress: Progress) -> Iterator[Tensor]:
        for start in range(0, len(values), size):
            part = values[start : start + size]
            progress(len(part))
            yield standardised(part, preparation)

    return Inputs(len(values), range(len(values)), rows.labels, batches)


def x_of(
    images: np.ndarray, preparation: ImagePreparation, generator: torch.Generator, source: object, first: int
) -> Float[Tensor, "batch channels height width"]:
    """x of some images in an array.

    Args:
        images: (batch, channels, height, width), as `as_model_images` gives them.
        preparation: of the model.
        generator: draws binary pixels, in the order of the images.
        source: for the errors.
        first: the number of the first image, for the errors.

    Raises:
        DataError: a value is out of range or not finite.
    """
    if images.dtype.kind != "b" and images.dtype != np.uint8:
        low, high = preparation.levels or ((0.0, 1.0) if preparation.unit_interval else (-FLOAT_MAX, FLOAT_MAX))
        refuse_values(images, low, high, source, first)
    x = as_x(images, source, preparation.levels)
    return drawn(in_colour(x, Colour.grey if preparation.image[0] == 1 else Colour.rgb), preparation, generator)


def drawn(
    images: np.ndarray, preparation: ImagePreparation, generator: torch.Generator
) -> Float[Tensor, "batch channels height width"]:
    """x of images that are bytes, or floats in the unit of x: binary pixels are drawn."""
    if preparation.binarised and images.dtype != np.uint8:
        images = np.rint(255 * images).astype(np.uint8)
    pixels = torch.from_numpy(np.require(images, requirements=("C", "W")))
    if preparation.binarised:
        return sample_bernoulli(pixels, generator).float()
    return pixels if pixels.is_floating_point() else pixels.float().div_(255)


def check_type(stream: Stream, preparation: ImagePreparation, source: object) -> None:
    """Refuse an array whose values cannot become those of the model's training.

    Raises:
        DataError: names the conversion.
    """
    kind, dtype = stream.dtype.kind, stream.dtype
    if kind not in "biuf":
        raise DataError(f"{source}: images must be numbers, got {dtype}. Convert them")
    is_bytes = kind == "b" or dtype == np.uint8
    if not preparation.unit_interval and kind != "f":
        raise DataError(
            f"{source}: the model was trained on floats in a unit of their own, got {dtype}. Give floats in it"
        )
    if preparation.levels is not None and is_bytes:
        low, high = preparation.levels
        raise DataError(
            f"{source}: the model was trained on values from {low:g} to {high:g}, got {dtype}. Give such values"
        )
    if preparation.levels is None and kind in "iu" and not is_bytes:
        raise DataError(f"{source}: images must be uint8, bool or floats in [0, 1], got {dtype}. {CONVERSION}")


def warn_of_x(images: np.ndarray, levels: tuple[float, float], source: object) -> None:
    """Log a warning if stored values are so small that they may be x already, as the model returns it."""
    low, high = levels
    if images.dtype.kind == "f" and images.min() >= 0 and images.max() <= 1 < low + (high - low) / 255:
        given = f"values from {images.min():g} to {images.max():g} of {low:g} to {high:g}"
        fix = f"If they are x, between 0 and 1, give x * {high - low:g} + {low:g}"
        log.warning(single_line(f"warning: {source}: images are nearly black, with {given}. {fix}"))


def refuse_values(images: np.ndarray, low: float, high: float, source: object, first: int) -> None:
    """Refuse NaN and values outside [low, high]. The error names the first such image."""
    if images.dtype.kind == "f":  # numpy warns when it casts a bound that the type cannot hold
        largest = float(np.finfo(images.dtype).max)
        low, high = max(low, -largest), min(high, largest)
    good = (images >= low) & (images <= high)
    if good.all():
        return
    row = int((~good).reshape(len(good), -1).any(1).argmax())
    value = images[row][~good[row]][0]
    rule = f"lie in [{low:g}, {high:g}]" if np.isfinite(value) else "be finite"
    raise DataError(f"{source}: pixels must {rule}, got {value:g} in image {first + row}. Clamp, scale or remove it")


def labels_of(path: Path, count: int) -> list[str] | None:
    """The labels in an .npz: the words, or the numbers, or their names in `label_names`."""
    try:
        arrays = read_small_arrays(path, ("labels", "label_names"))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many types for a damaged file
        raise DataError(
            f"{path} must be an .npz of plain arrays: {reason(error)}. Write it anew with numpy.savez"
        ) from None
    labels, names = as_classes(arrays.get("labels"), arrays.get("label_names"), count, path)
    if labels is None:
        return None
    return [sys.intern(str(label) if names is None else names[label]) for label in labels.tolist()]


def numbers_of(given: Any) -> np.ndarray:
    """An array, a tensor or nested lists of numbers as an array."""
    first = given[0] if isinstance(given, list | tuple) and given else given
    if isinstance(first, Image.Image):  # numpy would take the numbers in a palette for shades
        raise DataError("a picture of Pillow must be given as an array. Write numpy.asarray(image.convert('RGB'))")
    array = as_array(given, "the input")
    if array.dtype.kind not in "biuf":
        raise DataError(
            "the input must be a path, or an array or tensor of numbers, "
            f"got {type(given).__name__} of {array.dtype}. Give one of them"
        )
    return array
