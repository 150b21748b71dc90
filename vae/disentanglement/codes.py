"""A representation of images whose generative factors are known: what every metric is computed from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int32
from numpy.random import Generator

from vae.data.factors import Factors


@dataclass(frozen=True)
class Codes:
    """The code of every image, encoded once.

    Attributes:
        values: of each latent.
        factors: of the same images.

    Raises:
        ValueError: a code is not finite, or there are not as many codes as images.
    """

    values: Float[np.ndarray, "images latents"]
    factors: Factors

    def __post_init__(self) -> None:
        if len(self.values) != len(self.factors):
            raise ValueError(f"codes must be as many as images, got {len(self.values)} and {len(self.factors)}")
        if not self.factors.names:
            raise ValueError("the metrics need a factor that varies, got none")
        if not np.isfinite(self.values).all():
            bad = int((~np.isfinite(self.values)).any(axis=1).sum())
            raise ValueError(f"codes must be finite, {bad} of {len(self.values)} images have others. Train anew")

    @property
    def latents(self) -> int:
        """How many latents there are."""
        return int(self.values.shape[1])

    @cached_property
    def deviation(self) -> Float[np.ndarray, " latents"]:
        """The standard deviation of each latent over all images."""
        deviation: Float[np.ndarray, " latents"] = self.values.std(axis=0, dtype=np.float64)
        return deviation

    def draw(
        self, count: int, generator: Generator
    ) -> tuple[Float[np.ndarray, "count latents"], Int32[np.ndarray, "count factors"]]:
        """Codes and levels of images drawn uniformly with replacement."""
        images = self.factors.draw(count, generator)
        return self.values[images], self.factors.levels[images]


def gap(scores: Float[np.ndarray, "latents factors"]) -> Float[np.ndarray, " factors"]:
    """By how much the best latent of each factor beats the second best; the best one's score if it is alone."""
    ordered = np.sort(scores, axis=0)[::-1]
    by: Float[np.ndarray, " factors"] = ordered[0] - ordered[1] if len(ordered) > 1 else ordered[0]
    return by
