"""All metrics of one model, computed from one encoding of its images."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.random import Generator

from vae.data.factors import Factors
from vae.data.images import ImageSet
from vae.disentanglement.beta_vae_score import beta_vae_score
from vae.disentanglement.dci import dci
from vae.disentanglement.dependence import dependence
from vae.disentanglement.factor_vae_score import factor_vae_score
from vae.disentanglement.irs import irs
from vae.disentanglement.mig import mig
from vae.disentanglement.mig_chen import mig_chen
from vae.disentanglement.modularity import modularity, modularity_explicitness
from vae.disentanglement.representation import Representation, Sizes, information_matrix
from vae.disentanglement.sap import sap, sap_continuous
from vae.measures.evaluation import encode_posteriors
from vae.model.vae import VAE

SECONDS_A_LEVEL, SECONDS_A_LEVEL_AND_LATENT = 0.05, 0.012  # measured with 20 to 360 levels and 5 to 20 latents
IMAGES_A_LEVEL = 10  # on average; with fewer, perfect and random codes have similar scores

Matrix = Float[np.ndarray, "latents factors"]
DEFAULT_SIZES = Sizes()


@dataclass(frozen=True)
class Scores:
    """The scores of one model. README.md describes them.

    Attributes:
        numbers: scores of the posterior means by name. Names that end in `_sampled` are scores of one sample of each
            posterior. If every factor is left out, only sap_continuous and the measures of dependence are present.
        matrices: (latents, factors) of the posterior means, from which the scores are computed. The columns are
            `factors`. `squared_correlation` has columns for the factors that are left out, too, after the others.
        factors: the names of the factors with scores.
        left_out: the names of the other factors, with the reason; see `too_many`.
    """

    numbers: dict[str, float]
    matrices: dict[str, Matrix]
    factors: tuple[str, ...]
    left_out: dict[str, str]


def too_many(factors: Factors, train: int = Sizes.train) -> dict[str, str]:
    """The factors with fewer than 10 images a level on average, and the number as a reason.

    All scores but sap_continuous compare images of the same level. If each level has one image, as with a continuous
    factor, perfect and random codes have the same score. If `train` is less than the number of images, it counts.

    """
    images = min(len(factors), train)
    return {
        name: f"{size:,} levels, {images / size:.1f} images a level, fewer than {IMAGES_A_LEVEL}"
        for name, size in zip(factors.names, factors.sizes, strict=True)
        if images / size < IMAGES_A_LEVEL
    }


def expected_seconds(factors: Factors, latents: int) -> float:
    """The expected duration of `score` on one core in seconds, to a factor of two. DCI takes most of it."""
    left_out = too_many(factors)
    levels = sum(size for name, size in zip(factors.names, factors.sizes, strict=True) if name not in left_out)
    return levels * (SECONDS_A_LEVEL + SECONDS_A_LEVEL_AND_LATENT * latents)


def score(
    mean: Float[np.ndarray, "images latents"],
    logvar: Float[np.ndarray, "images latents"],
    factors: Factors,
    seed: int = 0,
    sizes: Sizes = DEFAULT_SIZES,
    workers: int = 1,
) -> Scores:
    """All metrics but UDR, which compares several models.

    Args:
        mean: of each image's posterior.
        logvar: of each image's posterior.
        factors: of the images. Those with `too_many` levels are left out.
        seed: of all draws. The same encoding and seed give the same scores.
        sizes: of the samples.
        workers: threads; the scores do not depend on their number.

    Raises:
        ValueError: a code is not finite, or there is no factor.
    """
    left_out = too_many(factors, sizes.train)
    scored = [name for name in factors.names if name not in left_out]
    noise = generator_for(seed, "noise").standard_normal(mean.shape, dtype=np.float32)
    means = Representation(mean, factors).only([*scored, *left_out])
    sampled = Representation(mean + np.exp(0.5 * logvar) * noise, means.factors)
    numbers, matrices = code_scores(means, seed, sizes, workers)
    of_sampled, _ = code_scores(sampled, seed, sizes, workers)
    if scored:
        levels = means.only(scored).factors
        numbers["mig_chen"], matrices["mig_chen"] = mig_chen(
            mean, logvar, levels, sizes, generator_for(seed, "mig_chen")
        )
    numbers |= {f"{name}_sampled": value for name, value in of_sampled.items()}
    return Scores(numbers, matrices, tuple(scored), left_out)


def code_scores(
    codes: Representation, seed: int, sizes: Sizes, workers: int
) -> tuple[dict[str, float], dict[str, Matrix]]:
    """The scores of one representation by name, and the matrices they are computed from."""
    left_out = too_many(codes.factors, sizes.train)
    scored = [name for name in codes.factors.names if name not in left_out]
    numbers, matrices = level_scores(codes.only(scored), seed, sizes, workers) if scored else ({}, {})
    numbers["sap_continuous"], matrices["squared_correlation"] = sap_continuous(
        codes, sizes, generator_for(seed, "sap_continuous")
    )
    drawn, _ = codes.draw(sizes.train, generator_for(seed, "dependence"))
    return numbers | dependence(drawn), matrices


def level_scores(
    codes: Representation, seed: int, sizes: Sizes, workers: int
) -> tuple[dict[str, float], dict[str, Matrix]]:
    """The scores that compare images of the same level, and the matrices they are computed from."""
    numbers: dict[str, float] = {}
    matrices: dict[str, Matrix] = {}
    numbers["beta_vae_score"] = beta_vae_score(codes, sizes, generator_for(seed, "beta_vae_score"))
    numbers["factor_vae_score"], matrices["factor_vae_votes"] = factor_vae_score(
        codes, sizes, generator_for(seed, "factor_vae_score")
    )
    numbers["mig"], matrices["mutual_information"] = mig(codes, sizes, generator_for(seed, "mig"))
    importance = dci(codes, sizes, generator_for(seed, "dci"), workers)
    numbers["dci_disentanglement"] = importance.disentanglement
    numbers["dci_completeness"] = importance.completeness
    numbers["dci_informativeness"] = importance.informativeness
    matrices["dci_importance"] = importance.importance
    numbers["sap"], matrices["sap_accuracy"] = sap(codes, sizes, generator_for(seed, "sap"), workers)
    numbers |= modularity_explicitness(codes, sizes, generator_for(seed, "modularity"))
    numbers["irs"], matrices["irs_robustness"] = irs(*codes.draw(sizes.train, generator_for(seed, "irs")))
    generator = generator_for(seed, "baselines")
    permuted = Representation(generator.permutation(codes.codes), codes.factors)
    numbers["modularity_baseline"] = modularity(information_matrix(*permuted.draw(sizes.train, generator)))
    numbers["irs_baseline"] = irs(*permuted.draw(sizes.train, generator)).score
    return numbers, matrices


def generator_for(seed: int, purpose: str) -> Generator:
    """A generator for one purpose, so that the draws of one metric never change another metric."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def disentanglement_numbers(vae: VAE, images: ImageSet) -> dict[str, Any]:
    """The `Scores` of a model on `images` as JSON values, as in `summary.json`.

    Raises:
        ValueError: the factors of the images are not known.
    """
    if images.factors is None:
        raise ValueError("the metrics need images with known factors, got images without factors. Use data=sprites")
    mean, logvar = encode_posteriors(vae, images)
    scores = score(mean.numpy(), logvar.numpy(), images.factors, workers=torch.get_num_threads())
    return {
        "factors": list(scores.factors),
        "left_out": scores.left_out,
        "numbers": scores.numbers,
        "matrices": {name: matrix.tolist() for name, matrix in scores.matrices.items()},
    }
