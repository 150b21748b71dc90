"""Dividing images into a training, a validation and a test set."""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from vae.config import Binarisation
from vae.config.preparation import ImagePreparation, Preparation
from vae.data.factors import Factors
from vae.data.files import DataError
from vae.data.images import ImageSet, Splits, sample_bernoulli
from vae.data.packed import PackedPixels

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
    """Images of one shape in [0, 255], with their factors and labels if they are known.

    Attributes:
        images: one channel is grey, three are RGB.
        factors: the levels of the generative factors.
        labels: the class of each image, which colours plots.
    """

    images: UInt8[np.ndarray, "images channels height width"]
    factors: Factors | None = None
    labels: Int64[np.ndarray, " images"] | None = None


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
    validation_size: int,
    test_size: int,
    binarisation: Binarisation,
    preparation: Preparation | None = None,
) -> Splits:
    """Three disjoint sets, drawn with one seed for all runs.

    Images without labels get the level of the first factor as label, or 0 if there are no factors.

    Args:
        arrays: the images.
        validation_size: the number of validation images.
        test_size: the number of test images.
        binarisation: how pixels become 0 and 1.
        preparation: how the images were prepared. None: they were only binarised.

    Raises:
        DataError: no training image would be left.
    """
    pixels, factors = torch.from_numpy(arrays.images), arrays.factors
    total, rest = len(pixels), len(pixels) - validation_size - test_size
    if rest < 1:
        raise DataError(
            f"data.validation_size + data.test_size must be below {total}, the number of images, "
            f"got {validation_size} + {test_size}. Lower them"
        )
    labels = arrays.labels
    if labels is None:
        labels = np.zeros(total, dtype=np.int64) if factors is None else factors.levels[:, 0].astype(np.int64)
    order = np.random.default_rng(SEED).permutation(total)
    parts = [np.sort(part) for part in np.split(order, [rest, rest + validation_size])]
    train, validation, test = (
        ImageSet(pixels[torch.from_numpy(part)], torch.from_numpy(labels[part]), redrawn=False) for part in parts
    )
    if factors is not None:
        # Numbered again, because some levels may not occur among the training images.
        part = Factors.of({name: factors.levels[parts[0], k] for k, name in enumerate(factors.names)})
        train = replace(train, factors=part if part.names else None)
    preparation = preparation or ImagePreparation(train.shape, binarisation is not Binarisation.none)
    return binarised(Splits(train, validation, test, preparation), binarisation)


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
