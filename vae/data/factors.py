"""The generative factors of images, where they are known: the value of every factor in every image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int, Int64
from numpy.random import Generator


@dataclass(frozen=True)
class Factors:
    """The level of each generative factor in each image. Every level occurs, and every factor has two or more.

    Attributes:
        names: the names of the factors.
        levels: column k holds the level of factor k, from 0 to sizes[k] - 1.
    """

    names: tuple[str, ...]
    levels: Int[np.ndarray, "images factors"]

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[object] | np.ndarray]) -> "Factors":
        """The factors with these values. Levels are numbered in sorted order. Constant factors are left out.

        Example:
            >>> Factors.of({"shape": ["heart", "square", "heart"], "colour": [1, 1, 1]}).levels.tolist()
            [[0], [1], [0]]
        """
        numbered = {name: np.unique(np.asarray(column), return_inverse=True)[1] for name, column in columns.items()}
        varied = {name: levels for name, levels in numbered.items() if levels.max(initial=0) > 0}
        images = len(next(iter(numbered.values()), ()))
        table = np.stack(list(varied.values()), axis=1) if varied else np.zeros((images, 0), dtype=np.int64)
        return cls(tuple(varied), table.astype(np.int32))

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
