"""Factors with too many values for the scores, such as continuous ones: they are cut into bins, or left out."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from vae.data.factors import Factors, Kind
from vae.disentanglement.representation import Sizes

IMAGES_A_LEVEL = 10  # on average; with fewer, perfect and random codes have similar scores
BINS = 10  # of a numeric factor with too many values


class Binned(NamedTuple):
    """Factors whose levels have enough images to be scored.

    Attributes:
        factors: without those that are left out, in the same order.
        binned: the names of numeric factors that were cut into bins, with the reason.
        left_out: the names of factors of words that have too many, with the reason.
    """

    factors: Factors
    binned: dict[str, str]
    left_out: dict[str, str]


def binned(factors: Factors, train: int = Sizes.train) -> Binned:
    """Cut numeric factors with fewer than 10 images a value into bins, and leave out words with fewer than 10 each.

    Most scores compare images of the same level. If each level has one image, as with a continuous factor, perfect and
    random codes have the same score.

    Args:
        factors: of the images.
        train: how many images a score draws. If it is below the number of images, it counts.
    """
    images = min(len(factors), train)
    levels, kinds = factors.levels.copy(), list(factors.kinds)
    reasons: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for k, (name, size) in enumerate(zip(factors.names, factors.sizes, strict=True)):
        few = f"{images / size:.1f} images each, fewer than {IMAGES_A_LEVEL}"
        if images / size >= IMAGES_A_LEVEL:
            continue
        if factors.kinds[k] is Kind.words:
            left_out[name] = f"{size:,} different words, {few}"
            continue
        levels[:, k] = equal_counts(factors.levels[:, k], max(2, min(BINS, images // IMAGES_A_LEVEL)))
        kinds[k] = Kind.binned
        reasons[name] = f"{size:,} values, {few}: {levels[:, k].max() + 1} bins"
    found = Factors(factors.names, levels, tuple(kinds), factors.values)
    return Binned(found.only([name for name in factors.names if name not in left_out]), reasons, left_out)


def equal_counts(levels: Int[np.ndarray, " images"], bins: int) -> Int[np.ndarray, " images"]:
    """The bin of each image, 0, 1, ..., so that bins hold equally many images. Images of one level share a bin.

    Two levels or more have two bins or more.

    Example:
        >>> equal_counts(np.array([5, 0, 1, 2, 3, 4]), 3).tolist()
        [2, 0, 0, 1, 1, 2]
        >>> equal_counts(np.array([0, 0, 0, 0, 1, 2]), 3).tolist()
        [0, 0, 0, 0, 1, 1]
    """
    counts = np.bincount(levels)
    below = np.cumsum(counts) - counts
    middle = bins * (2 * below + counts) // (2 * len(levels))  # the bin of the middle image of each level
    numbered: Int[np.ndarray, " images"] = np.unique(middle[levels], return_inverse=True)[1]
    return numbered
