"""Images -> training, validation and test set."""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from vae.config import Binarisation
from vae.data.factors import Factors
from vae.data.files import DataError
from vae.data.images import ImageSet, Splits, sample_bernoulli
from vae.data.packed import PackedPixels

SEED = 20_131_220  # of the splits and of static binarisation. Not the run's: all runs are tested on the same images


@runtime_checkable
class Data(Protocol):
    """Images of one kind, wherever they come from."""

    def read(self) -> Splits:
        """The images on the CPU.

        Raises:
            DataError: they cannot be had, or are not what they should be.
        """

    def checksums(self) -> dict[str, str]:
        """The sha256 of what the images are read from, in hexadecimal digits, by name. Called after `read`.

        Raises:
            DataError: a file cannot be read.
        """

    def describe(self) -> str:
        """What the images are, in a few words."""


@dataclass(frozen=True)
class ImageArrays:
    """Images of one shape, in [0, 255], and what is known of them.

    Attributes:
        images: of one channel, grey, or three.
        factors: the levels of the generative factors, where they are given.
        labels: the class of each image, where it is given; plots are coloured by it.
    """

    images: UInt8[np.ndarray, "images channels height width"]
    factors: Factors | None = None
    labels: Int64[np.ndarray, " images"] | None = None


def grid_splits(pixels: PackedPixels, factors: Factors, validation_size: int, test_size: int) -> Splits:
    """All images of a grid of factors to train on, as in the studies of such data. The other sets are draws from them.

    Any image left out would leave a hole in the grid. So validation and test are drawn from the trained images, with
    replacement and with one seed for all runs. The metrics use the whole grid.

    Args:
        pixels: of all images.
        factors: of all images; the first is the label.
        validation_size: number of draws.
        test_size: number of draws.
    """
    labels = torch.from_numpy(factors.levels[:, 0].astype(np.int64))
    train = ImageSet(pixels, labels, redrawn=False, factors=factors)
    generator = np.random.default_rng(SEED)
    draws = [torch.from_numpy(generator.integers(len(pixels), size=size)) for size in (test_size, validation_size)]
    test, validation = (
        ImageSet(PackedPixels(pixels.bits[index], pixels.image), labels[index], redrawn=False) for index in draws
    )
    return Splits(train, validation, test)


def random_splits(arrays: ImageArrays, validation_size: int, test_size: int, binarisation: Binarisation) -> Splits:
    """Disjoint parts, drawn with one seed for all runs.

    The label of an image is the given one, or else the level of the first factor, or else 0.

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
        # Anew, because some levels may not occur among the training images.
        part = Factors.of({name: factors.levels[parts[0], k] for k, name in enumerate(factors.names)})
        train = replace(train, factors=part if part.names else None)
    return binarised(Splits(train, validation, test), binarisation)


def binarised(splits: Splits, binarisation: Binarisation) -> Splits:
    """The sets with pixels 0 and 255. With `dynamic`, each training batch is sampled when it is taken.

    One seed serves all runs, so that they are validated and tested on the same images.
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
    return Splits(train, validation, test)
