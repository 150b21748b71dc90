"""Dividing images into a training, a validation and a test set."""

import logging
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from vae.config import Binarisation
from vae.config.preparation import ImagePreparation, Preparation
from vae.data.factors import Factors
from vae.data.files import DataError
from vae.data.images import ImageSet, Splits, sample_bernoulli
from vae.data.packed import PackedPixels

log = logging.getLogger(__name__)

SEED = 20_131_220  # of splits and static binarisation, instead of the run's: all runs are tested on the same images


@runtime_checkable
class Data(Protocol):
    """A source of images."""

    def read(self) -> Splits:
        """The images on the CPU.

        Raises:
            DataError: the images cannot be found, downloaded or read, or have a wrong form.
        """

    def checksums(self) -> dict[str, str]:
        """The sha256 of each file the images are read from, by name. Call it after `read`.

        Raises:
            DataError: a file cannot be read.
        """

    def describe(self) -> str:
        """One line about the images, for the log."""


@dataclass(frozen=True)
class ImageArrays:
    """Images of one shape, with what is known of each.

    Attributes:
        images: bytes from 0 to 255, or finite floats in a unit of their own. One channel is grey, three are RGB.
        factors: the levels of the generative factors.
        labels: the class of each image, which colours plots.
        label_names: the name of each class, by its number.
        names: the file of each image, relative to the folder of the data.
    """

    images: UInt8[np.ndarray, "images channels height width"] | Float32[np.ndarray, "images channels height width"]
    factors: Factors | None = None
    labels: Int64[np.ndarray, " images"] | None = None
    label_names: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value of x: 0 and 1 for bytes."""
        if self.images.dtype == np.uint8:
            return 0.0, 1.0
        return float(self.images.min()), float(self.images.max())

    @property
    def preparation(self) -> ImagePreparation:
        """How such images become x without any change."""
        low, high = self.range
        unit = low >= 0 and high <= 1
        _, channels, height, width = self.images.shape
        shown = (0.0, 1.0) if unit else (low, high)
        return ImagePreparation((channels, height, width), unit_interval=unit, shown=shown)


def grid_splits(pixels: PackedPixels, factors: Factors, validation_size: int, test_size: int) -> Splits:
    """The splits of images on a full grid of factors: the training set has all of them, as in the literature.

    Leaving images out would make holes in the grid. So validation and test images are drawn from the training set,
    with replacement and with one seed for all runs.

    Args:
        pixels: all images.
        factors: the factors of all images. The first one is the label.
        validation_size: the number of validation images.
        test_size: the number of test images.
    """
    labels = torch.from_numpy(factors.levels[:, 0].astype(np.int64))
    train = ImageSet(pixels, labels, redrawn=False, factors=factors)
    generator = np.random.default_rng(SEED)
    draws = [torch.from_numpy(generator.integers(len(pixels), size=size)) for size in (test_size, validation_size)]
    test, validation = (
        ImageSet(PackedPixels(pixels.bits[index], pixels.image), labels[index], redrawn=False) for index in draws
    )
    return Splits(train, validation, test, ImagePreparation(train.shape))


def random_splits(
    arrays: ImageArrays,
    validation_size: int | float,
    test_size: int | float,
    binarisation: Binarisation,
    preparation: Preparation | None = None,
) -> Splits:
    """Three disjoint sets, drawn with one seed for all runs. With labels, all sets have the classes in equal shares.

    Images without labels get the level of the first factor as label, or 0 if there are no factors.

    Args:
        arrays: the images.
        validation_size: below 1 a share of the images, else the number of validation images.
        test_size: below 1 a share of the images, else the number of test images.
        binarisation: how pixels become 0 and 1.
        preparation: how the images were prepared. None: they were only binarised.

    Raises:
        DataError: no training image would be left, or binarised floats lie outside [0, 1].
    """
    preparation = preparation or arrays.preparation
    if isinstance(preparation, ImagePreparation):
        preparation = replace(preparation, binarised=binarisation is not Binarisation.none)
    images, factors, labels = as_grey_bytes(arrays, binarisation), arrays.factors, arrays.labels
    parts = split_indices(len(images), labels, validation_size, test_size)
    if labels is None:
        labels = np.zeros(len(images), dtype=np.int64) if factors is None else factors.levels[:, 0].astype(np.int64)
    pixels = torch.from_numpy(images)
    train, validation, test = (
        ImageSet(
            pixels[torch.from_numpy(part)],
            torch.from_numpy(labels[part]),
            redrawn=False,
            names=None if arrays.names is None else tuple(arrays.names[k] for k in part),
        )
        for part in parts
    )
    if factors is not None:
        part = factors.part(parts[0])
        train = replace(train, factors=part if part.names else None)
    return binarised(Splits(train, validation, test, preparation, arrays.label_names), binarisation)


def split_indices(
    count: int, labels: Int64[np.ndarray, " count"] | None, validation_size: int | float, test_size: int | float
) -> list[Int64[np.ndarray, " part"]]:
    """The numbers of the training, the validation and the test images, each sorted.

    Args:
        count: of all images, or rows of a table.
        labels: the class of each. None: there are no classes.
        validation_size: as for `random_splits`.
        test_size: as for `random_splits`.

    Raises:
        DataError: no training image would be left.
    """
    validation, test = (count_of(size, count) for size in (validation_size, test_size))
    rest = count - validation - test
    if rest < 1:
        raise DataError(
            f"data.validation_size + data.test_size must be below {count}, the number of images, "
            f"got {validation} + {test}. Lower them, or give more images"
        )
    order = np.random.default_rng(SEED).permutation(count)
    if labels is not None:
        return [np.sort(part) for part in in_classes(order, labels, rest, test)]
    return [np.sort(part) for part in np.split(order, [rest, rest + validation])]


def count_of(size: int | float, total: int) -> int:
    """The number of images that a size stands for: below 1 it is a share of all, but at least one image.

    Example:
        >>> count_of(0.1, 4), count_of(0.1, 40), count_of(7, 40), count_of(0, 40)
        (1, 4, 7, 0)
    """
    return round(size) if size >= 1 or size == 0 else max(1, round(size * total))


def in_classes(
    order: Int64[np.ndarray, " images"],
    labels: Int64[np.ndarray, " images"],
    train_size: int,
    test_size: int,
) -> list[Int64[np.ndarray, " part"]]:
    """The images of the three sets, each with its share of every class.

    The shares are rounded by the largest remainder. Every class has a training image, if there are enough of them.

    Args:
        order: a permutation of the images, in which they are taken.
        labels: the class of each image.
        train_size: the number of training images.
        test_size: the number of test images. The other images are for validation.
    """
    _, classes = np.unique(labels, return_inverse=True)
    counts = np.bincount(classes)
    train = shared_out(train_size, counts)
    while train.min() == 0 and train.max() > 1:
        train[train.argmax()] -= 1
        train[train.argmin()] += 1
    test = shared_out(test_size, counts - train)
    ends = np.column_stack([train, counts - test])  # of the training and of the validation images of each class
    own = [np.split(order[classes[order] == k], ends[k]) for k in range(len(counts))]
    return [np.concatenate(part) for part in zip(*own, strict=True)]


def shared_out(seats: int, counts: Int64[np.ndarray, " classes"]) -> Int64[np.ndarray, " classes"]:
    """As many seats in proportion to the counts, rounded by the largest remainder. No class gets more than its count.

    Example:
        >>> shared_out(5, np.array([10, 20, 21])).tolist()
        [1, 2, 2]
    """
    total = int(counts.sum())
    shares, remainders = np.divmod(seats * counts, max(1, total))
    order = np.argsort(-remainders, kind="stable")[: seats - int(shares.sum())]
    shares[order] += 1
    return shares


def as_grey_bytes(arrays: ImageArrays, binarisation: Binarisation) -> np.ndarray:
    """The images as they are, but floats as bytes if they are to be binarised.

    Raises:
        DataError: floats that are to be binarised lie outside [0, 1].
    """
    images = arrays.images
    if binarisation is Binarisation.none or images.dtype == np.uint8:
        return images
    low, high = arrays.range
    if low < 0 or high > 1:
        raise DataError(
            f"data.binarisation={binarisation.value} needs grey values in [0, 1], got {low:g} to {high:g}. "
            "Divide them, or set data.binarisation=none likelihood=gaussian_learned"
        )
    log.info("binarisation: P(1) of a pixel is its grey value, rounded to a multiple of 1/255")
    rounded: np.ndarray = np.rint(255 * images).astype(np.uint8)
    return rounded


def binarised(splits: Splits, binarisation: Binarisation) -> Splits:
    """The sets with pixels 0 and 255. With `dynamic`, training images are sampled again in every batch.

    All runs use one seed, so they are validated and tested on the same images.
    """
    if binarisation is Binarisation.none:
        return splits
    generator = torch.Generator().manual_seed(SEED)

    def sampled(images: ImageSet) -> ImageSet:
        assert isinstance(images.pixels, Tensor)
        return replace(images, pixels=sample_bernoulli(images.pixels, generator).byte() * 255)

    # The test images first: their samples must not depend on the size of the other sets.
    test, validation = sampled(splits.test), sampled(splits.validation)
    dynamic = binarisation is Binarisation.dynamic
    train = replace(splits.train, redrawn=True) if dynamic else sampled(splits.train)
    return replace(splits, train=train, validation=validation, test=test)
