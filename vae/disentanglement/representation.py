"""The input of every metric, codes of images whose generative factors are known, and what the metrics share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int32
from numpy.random import Generator

from vae.data.factors import Factors
from vae.measures.information import label_information


@dataclass(frozen=True)
class Representation:
    """The code of every image, encoded once.

    Attributes:
        codes: posterior means, or samples of the posteriors.
        factors: of the same images.
        active: the latents that InfoMEC does not prune. None: all that vary.

    Raises:
        ValueError: a code is not finite, there is no factor, or there are not as many codes as images.
    """

    codes: Float[np.ndarray, "images latents"]
    factors: Factors
    active: Bool[np.ndarray, " latents"] | None = None

    def __post_init__(self) -> None:
        if len(self.codes) != len(self.factors):
            raise ValueError(f"codes must be as many as images, got {len(self.codes)} and {len(self.factors)}")
        if not self.factors.names:
            raise ValueError("the metrics need a factor that varies, got none")
        if not np.isfinite(self.codes).all():
            bad = int((~np.isfinite(self.codes)).any(axis=1).sum())
            raise ValueError(f"codes must be finite, got others for {bad} of {len(self.codes)} images. Train again")

    @property
    def latents(self) -> int:
        """The number of latents."""
        return int(self.codes.shape[1])

    def only(self, names: Sequence[str]) -> "Representation":
        """The same codes with these factors only, in this order."""
        return replace(self, factors=self.factors.only(names))

    def draw(
        self, count: int, generator: Generator
    ) -> tuple[Float[np.ndarray, "count latents"], Int32[np.ndarray, "count factors"]]:
        """Codes and levels of images drawn uniformly with replacement."""
        images = self.factors.draw(count, generator)
        return self.codes[images], self.factors.levels[images]

    def draw_values(
        self, count: int, generator: Generator
    ) -> tuple[Float[np.ndarray, "count latents"], Float64[np.ndarray, "count factors"]]:
        """As `draw`, but with the values of the factors in place of their levels."""
        images = self.factors.draw(count, generator)
        return self.codes[images], self.factors.values[images]


@dataclass(frozen=True)
class Sizes:
    """Sample sizes of the estimates. The defaults are those of Locatello et al. (2019); `components` is ours.

    Attributes:
        train: the number of images to fit on; in the β-VAE and FactorVAE scores the number of batches.
        test: the number of new images, or batches, to score on.
        batch: images that share a factor, in the β-VAE and FactorVAE scores.
        trees: for each level, in DCI.
        samples: of z, for each entropy in Chen's MIG.
        components: images in a mixture, in Chen's MIG. With too few, the information is underestimated if posteriors
            hardly overlap.
    """

    train: int = 10_000
    test: int = 5_000
    batch: int = 64
    trees: int = 100
    samples: int = 2_000
    components: int = 4_000


class MatrixScore(NamedTuple):
    """A score, and the matrix from which it is computed: a number for each latent and factor."""

    score: float
    matrix: Float[np.ndarray, "latents factors"]


def information_matrix(
    codes: Float[np.ndarray, "images latents"], levels: Int[np.ndarray, "images factors"]
) -> Float[np.ndarray, "latents factors"]:
    """The mutual information of each latent, in 20 bins, and each factor in nats, from counts."""
    values, labels = torch.from_numpy(codes.astype(np.float64)), torch.from_numpy(levels.astype(np.int64))
    return torch.stack([label_information(values, factor) for factor in labels.T], dim=1).numpy()


def gap(matrix: Float[np.ndarray, "latents factors"]) -> Float[np.ndarray, " factors"]:
    """The highest number minus the second highest, for each factor. With one latent, its number."""
    ordered = np.sort(matrix, axis=0)[::-1]
    difference: Float[np.ndarray, " factors"] = ordered[0] - ordered[1] if len(ordered) > 1 else ordered[0]
    return difference


def ratio(above: Float[np.ndarray, "*shape"], below: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """above / below, and 0 where below is 0."""
    quotient: Float[np.ndarray, "*shape"] = np.divide(above, below, out=np.zeros(above.shape), where=below > 0)
    return quotient
