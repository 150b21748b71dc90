"""Codes whose scores are known, for the tests of the disentanglement metrics."""

import numpy as np

from vae.data.factors import Factors
from vae.disentanglement.representation import Representation, Sizes

SMALL = Sizes(train=400, test=200, batch=8, trees=5, samples=200, components=200)

UNBOUNDED = {  # the measures of dependence; all other numbers are in [0, 1]
    "codes_total_correlation",
    "active_codes_total_correlation",
    "gaussian_wasserstein",
    "gaussian_wasserstein_normalised",
    "mutual_information_score",
}


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def grid(*sizes: int, copies: int = 1) -> Factors:
    """Every combination of levels, `copies` times."""
    axes = np.meshgrid(*(range(size) for size in sizes), indexing="ij")
    return Factors.of({f"factor {k}": np.tile(axis.ravel(), copies) for k, axis in enumerate(axes)})


def independent(factors: int = 10, levels: int = 10, images: int = 50_000) -> Factors:
    """Levels drawn uniformly, of so many images that fresh draws are new ones; a grid of ten is too large."""
    drawn = seeded(100).integers(levels, size=(images, factors))
    return Factors.of({f"factor {k}": drawn[:, k] for k in range(factors)})


def identity(factors: Factors) -> Representation:
    """Latent k is factor k."""
    return Representation(factors.levels.astype(np.float64), factors)


def nothing(factors: Factors, latents: int = 10, value: float = 0.0) -> Representation:
    """The same code for every image: a collapsed posterior."""
    return Representation(np.full((len(factors), latents), value), factors)


def twice(factors: Factors) -> Representation:
    """Two latents for each factor."""
    return Representation(np.tile(factors.levels.astype(np.float64), 2), factors)


def shuffled(factors: Factors) -> Representation:
    """The levels, but of another image in each latent: the same numbers, and no information."""
    return Representation(seeded(101).permuted(factors.levels.astype(np.float64), axis=0), factors)


def noisy(factors: Factors, noise: float = 0.3, extra: int = 1) -> Representation:
    """Latents that tell their factors roughly and a little of the next one, and `extra` that tell nothing."""
    generator = seeded(102)
    levels = factors.levels / np.array(factors.sizes)
    mixed = 4 * levels + 0.5 * np.roll(levels, 1, axis=1)
    values = np.hstack([mixed, np.zeros((len(factors), extra))])
    return Representation(values + noise * generator.standard_normal(values.shape), factors)
