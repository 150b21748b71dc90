"""Images with known factors -> training, validation and test set."""

from dataclasses import replace

import numpy as np
import torch

from vae.config import Binarisation
from vae.data.factors import Factors
from vae.data.files import DataError
from vae.data.images import DRAWN_ONCE_SEED, ImageSet, Splits, drawn_once
from vae.data.own import Own
from vae.data.packed import PackedPixels


def of_grid(pixels: PackedPixels, factors: Factors, validation_size: int, test_size: int) -> Splits:
    """All images to train on, as in the studies of such data; validation and test are draws from them.

    A grid of factors has no unseen image that would not leave a hole in it. So the numbers of "validation" and "test"
    are of trained images, drawn with replacement and with one seed for all runs; the metrics see the whole grid.

    Args:
        pixels: of all images.
        factors: of all images; the first is the label.
        validation_size: draws.
        test_size: draws.
    """
    labels = torch.from_numpy(factors.levels[:, 0].astype(np.int64))
    train = ImageSet(pixels, labels, redrawn=False, factors=factors)
    generator = np.random.default_rng(DRAWN_ONCE_SEED)
    draws = [torch.from_numpy(generator.integers(len(pixels), size=size)) for size in (test_size, validation_size)]
    test, validation = (
        ImageSet(PackedPixels(pixels.bits[index], pixels.image), labels[index], redrawn=False) for index in draws
    )
    return Splits(train, validation, test)


def of_own(
    own: Own,
    validation_size: int,
    test_size: int,
    binarisation: Binarisation,
) -> Splits:
    """Disjoint parts, drawn with one seed for all runs.

    An image's label is the one that is given, or else the level of the first factor, or else 0.

    Raises:
        DataError: no training image would be left.
    """
    pixels, factors = torch.from_numpy(own.images), own.factors
    total, rest = len(pixels), len(pixels) - validation_size - test_size
    if rest < 1:
        raise DataError(
            f"data.validation_size + data.test_size must be below {total}, the number of images, "
            f"got {validation_size} + {test_size}. Lower them"
        )
    order = np.random.default_rng(DRAWN_ONCE_SEED).permutation(total)
    parts = [np.sort(part) for part in np.split(order, [rest, rest + validation_size])]
    labels = np.zeros(total, dtype=np.int64)
    if own.labels is not None:
        labels = own.labels
    elif factors is not None:
        labels = factors.levels[:, 0].astype(np.int64)
    train, validation, test = (
        ImageSet(pixels[torch.from_numpy(part)], torch.from_numpy(labels[part]), redrawn=False) for part in parts
    )
    if factors is not None:
        train = replace(train, factors=part_of(factors, parts[0]))
    if binarisation is Binarisation.none:
        return Splits(train, validation, test)
    generator = torch.Generator().manual_seed(DRAWN_ONCE_SEED)
    test, validation = drawn_once(test, generator), drawn_once(validation, generator)
    if binarisation is Binarisation.dynamic:
        return Splits(replace(train, redrawn=True), validation, test)
    return Splits(drawn_once(train, generator), validation, test)


def part_of(factors: Factors, images: np.ndarray) -> Factors | None:
    """The factors of some images, or None if none varies among them."""
    part = Factors.of({name: factors.levels[images, k] for k, name in enumerate(factors.names)})
    return part if part.names else None
