"""The generative factors of images, where they are known: the value of every factor in every image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int, Int64
from numpy.random import Generator


class Kind(StrEnum):
    """What the levels of a factor stand for."""

    words = "words"  # in alphabetical order, which means nothing
    numbers = "numbers"  # one level for each value
    binned = "binned"  # numbers, several to a level


@dataclass(frozen=True)
class Factors:
    """Each generative factor in each image. Every level occurs, and every factor has two or more.

    Attributes:
        names: the names of the factors.
        levels: column k holds the level of factor k, from 0 to sizes[k] - 1.
        kinds: what the levels of each factor stand for.
        values: column k holds the numbers of factor k, shifted and scaled to 0 … 1. Words have evenly spaced numbers.
    """

    names: tuple[str, ...]
    levels: Int[np.ndarray, "images factors"]
    kinds: tuple[Kind, ...]
    values: Float64[np.ndarray, "images factors"]

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[object] | np.ndarray]) -> "Factors":
        """The factors with these values. Levels are numbered in sorted order. Constant factors are left out.

        Example:
            >>> factors = Factors.of({"shape": ["heart", "square", "heart"], "size": [1, 5, 2], "colour": [1, 1, 1]})
            >>> factors.levels.tolist(), factors.values[:, 1].tolist(), [str(kind) for kind in factors.kinds]
            ([[0, 0], [1, 2], [0, 1]], [0.0, 1.0, 0.25], ['words', 'numbers'])
        """
        found = [(name, *np.unique(np.asarray(column), return_inverse=True)) for name, column in columns.items()]
        images = len(found[0][2]) if found else 0
        varied = [(name, distinct, levels) for name, distinct, levels in found if len(distinct) > 1]
        levels, values = np.zeros((images, len(varied)), dtype=np.int32), np.zeros((images, len(varied)))
        kinds = []
        for k, (_, distinct, level) in enumerate(varied):
            numbers = numbers_of(distinct)
            levels[:, k], values[:, k] = level, scaled(distinct if numbers is None else numbers)[level]
            kinds.append(Kind.words if numbers is None else Kind.numbers)
        return cls(tuple(name for name, *_ in varied), levels, tuple(kinds), values)

    def only(self, names: Sequence[str]) -> "Factors":
        """These factors, in this order."""
        chosen = [self.names.index(name) for name in names]
        kinds = tuple(self.kinds[k] for k in chosen)
        return Factors(tuple(names), self.levels[:, chosen], kinds, self.values[:, chosen])

    def part(self, images: Int64[np.ndarray, " part"]) -> "Factors":
        """The factors of these images. Levels that occur are numbered again; factors that do not vary are left out."""
        levels = self.levels[images]
        varied = [k for k in range(len(self.names)) if np.ptp(levels[:, k]) > 0]
        found = self.only([self.names[k] for k in varied])
        numbered = [np.unique(levels[:, k], return_inverse=True)[1].astype(np.int32) for k in varied]
        table = np.stack(numbered, axis=1) if varied else levels[:, :0]
        return Factors(found.names, table, found.kinds, found.values[images])

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.levels)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The number of levels of each factor."""
        return tuple(int(size) for size in self.levels.max(axis=0) + 1)

    def draw(self, count: int, generator: Generator) -> Int64[np.ndarray, " count"]:
        """The numbers of `count` images, drawn uniformly and with replacement.

        On a full grid of factors, every factor is then uniform and independent, as in Locatello et al. (2019).
        """
        return generator.integers(len(self), size=count)

    def partners(
        self, images: Int64[np.ndarray, "*shape"], factor: int, generator: Generator
    ) -> Int64[np.ndarray, "*shape"]:
        """For each image, an image drawn uniformly from those with the same level of `factor`, itself included."""
        order, starts = self._groups[factor]
        level = self.levels[images, factor]
        first, end = starts[level], starts[level + 1]
        chosen: Int64[np.ndarray, "*shape"] = order[generator.integers(first, end)]
        return chosen

    @cached_property
    def _groups(self) -> list[tuple[Int64[np.ndarray, " images"], Int64[np.ndarray, " bounds"]]]:
        """For each factor, the images sorted by level, and where each level starts and ends."""
        groups = []
        for column, size in zip(self.levels.T, self.sizes, strict=True):
            order = np.argsort(column, kind="stable")
            groups.append((order, np.searchsorted(column[order], np.arange(size + 1))))
        return groups


def numbers_of(distinct: np.ndarray) -> Float64[np.ndarray, " values"] | None:
    """Sorted values as floats, or None if they are words."""
    if distinct.dtype.kind in "biuf":
        return distinct.astype(np.float64)
    if distinct.dtype.kind == "O" and all(isinstance(value, Decimal | int | float) for value in distinct):
        return np.array([float(value) for value in distinct])
    return None


def scaled(distinct: np.ndarray) -> Float64[np.ndarray, " values"]:
    """Sorted numbers from 0 to 1. Words, and numbers that do not differ as floats, are evenly spaced."""
    if distinct.dtype.kind == "f":
        half = distinct / 2  # the difference of two floats may not be one
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Float64[np.ndarray, " values"] = (half - half[0]) / (half[-1] - half[0])
        if np.isfinite(found).all():
            return found
    return np.linspace(0, 1, len(distinct))
