"""What every metric is computed from: codes of images whose generative factors are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int32
from numpy.random import Generator

from vae.data.factors import Factors


@dataclass(frozen=True)
class Representation:
    """The code of every image, encoded once.

    Attributes:
        codes: posterior means, or samples of the posteriors.
        factors: of the same images.

    Raises:
        ValueError: a code is not finite, there is no factor, or the numbers of codes and images differ.
    """

    codes: Float[np.ndarray, "images latents"]
    factors: Factors

    def __post_init__(self) -> None:
        if len(self.codes) != len(self.factors):
            raise ValueError(f"codes must be as many as images, got {len(self.codes)} and {len(self.factors)}")
        if not self.factors.names:
            raise ValueError("the metrics need a factor that varies, got none")
        if not np.isfinite(self.codes).all():
            bad = int((~np.isfinite(self.codes)).any(axis=1).sum())
            raise ValueError(f"codes must be finite, {bad} of {len(self.codes)} images have others. Train anew")

    @property
    def latents(self) -> int:
        """The number of latents."""
        return int(self.codes.shape[1])

    def only(self, names: Sequence[str]) -> "Representation":
        """The same codes with these factors only, in this order."""
        columns = [self.factors.names.index(name) for name in names]
        return Representation(self.codes, Factors(tuple(names), self.factors.levels[:, columns]))

    def draw(
        self, count: int, generator: Generator
    ) -> tuple[Float[np.ndarray, "count latents"], Int32[np.ndarray, "count factors"]]:
        """Codes and levels of images drawn uniformly with replacement."""
        images = self.factors.draw(count, generator)
        return self.codes[images], self.factors.levels[images]


class MatrixScore(NamedTuple):
    """A score, and the matrix that it is computed from: one number for each latent and factor."""

    score: float
    matrix: Float[np.ndarray, "latents factors"]


def gap(matrix: Float[np.ndarray, "latents factors"]) -> Float[np.ndarray, " factors"]:
    """The best latent's number minus the second best's, for each factor. A single latent has its own number."""
    ordered = np.sort(matrix, axis=0)[::-1]
    difference: Float[np.ndarray, " factors"] = ordered[0] - ordered[1] if len(ordered) > 1 else ordered[0]
    return difference


def ratio(above: Float[np.ndarray, "*shape"], below: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """above / below, and 0 where below is 0."""
    quotient: Float[np.ndarray, "*shape"] = np.divide(above, below, out=np.zeros(above.shape), where=below > 0)
    return quotient
