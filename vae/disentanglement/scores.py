"""All metrics of one model, computed from one encoding of its images."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.random import Generator

from vae.data.factors import Factors
from vae.data.images import ImageSet
from vae.disentanglement.beta_vae_score import beta_vae_score
from vae.disentanglement.binning import binned
from vae.disentanglement.dci import dci
from vae.disentanglement.dependence import dependence
from vae.disentanglement.factor_vae_score import factor_vae_score
from vae.disentanglement.infomec import ACTIVE_NATS, infomec
from vae.disentanglement.irs import irs
from vae.disentanglement.mig import mig
from vae.disentanglement.mig_chen import mig_chen
from vae.disentanglement.modularity import modularity, modularity_explicitness
from vae.disentanglement.representation import Representation, Sizes, information_matrix
from vae.disentanglement.sap import sap, sap_continuous
from vae.measures.evaluation import encode_posteriors
from vae.model.vae import VAE

SECONDS_A_LEVEL, SECONDS_A_LEVEL_AND_LATENT = 0.25, 0.025  # measured with 20 to 360 levels and 5 to 20 latents

Matrix = Float[np.ndarray, "latents factors"]
DEFAULT_SIZES = Sizes()


@dataclass(frozen=True)
class Scores:
    """The scores of one model. README.md describes them.

    Attributes:
        numbers: scores of the posterior means by name. Names that end in `_sampled` are scores of one sample of each
            posterior. If every factor is left out, only the measures of dependence are present.
        matrices: (latents, factors) of the posterior means, from which the scores are computed. The columns are
            `factors`.
        factors: the names of the factors with scores.
        binned: the names of those whose values are cut into bins, with the reason; see `binned`.
        left_out: the names of factors without scores, with the reason.
    """

    numbers: dict[str, float]
    matrices: dict[str, Matrix]
    factors: tuple[str, ...]
    binned: dict[str, str]
    left_out: dict[str, str]


def expected_seconds(factors: Factors, latents: int) -> float:
    """The expected duration of `score` on one core in seconds, to a factor of two. DCI takes most of it."""
    levels = sum(binned(factors, Sizes.train).factors.sizes)
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
        factors: of the images. Those with too many values are `binned`.
        seed: of all draws. The same encoding and seed give the same scores.
        sizes: of the samples.
        workers: threads; the scores do not depend on their number.

    Raises:
        ValueError: a code is not finite, or there is no factor.
    """
    noise = generator_for(seed, "noise").standard_normal(mean.shape, dtype=np.float32)
    means = Representation(mean, factors)
    sampled = Representation(mean + np.exp(0.5 * logvar) * noise, factors)
    active = 0.5 * (mean**2 + np.exp(logvar) - logvar - 1).mean(axis=0, dtype=np.float64) > ACTIVE_NATS
    numbers, matrices = code_scores(means, seed, sizes, workers, active)
    of_sampled, _ = code_scores(sampled, seed, sizes, workers, active)
    found = binned(factors, sizes.train)
    if found.factors.names:
        numbers["mig_chen"], matrices["mig_chen"] = mig_chen(
            mean, logvar, found.factors, sizes, generator_for(seed, "mig_chen")
        )
    numbers |= {f"{name}_sampled": value for name, value in of_sampled.items()}
    return Scores(numbers, matrices, found.factors.names, found.binned, found.left_out)


def code_scores(
    codes: Representation, seed: int, sizes: Sizes, workers: int, active: Bool[np.ndarray, " latents"] | None = None
) -> tuple[dict[str, float], dict[str, Matrix]]:
    """The scores of one representation by name, and the matrices they are computed from.

    Args:
        codes: of the images.
        seed: of all draws.
        sizes: of the samples.
        workers: threads.
        active: the latents that InfoMEC does not prune. None: all that vary.
    """
    factors = binned(codes.factors, sizes.train).factors
    numbers: dict[str, float] = {}
    matrices: dict[str, Matrix] = {}
    if factors.names:
        numbers, matrices = level_scores(Representation(codes.codes, factors), seed, sizes, workers, active)
    drawn, _ = codes.draw(sizes.train, generator_for(seed, "dependence"))
    return numbers | dependence(drawn), matrices


def level_scores(
    codes: Representation, seed: int, sizes: Sizes, workers: int, active: Bool[np.ndarray, " latents"] | None = None
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
    numbers["sap_continuous"], matrices["squared_correlation"] = sap_continuous(
        codes, sizes, generator_for(seed, "sap_continuous")
    )
    every = np.ones(codes.latents, dtype=np.bool_)
    mec = infomec(codes, every if active is None else active, sizes, generator_for(seed, "infomec"))
    numbers |= {"infom": mec.modularity, "infoc": mec.compactness, "infoe": mec.explicitness}
    matrices["normalised_information"] = mec.information
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
        "binned": scores.binned,
        "left_out": scores.left_out,
        "numbers": scores.numbers,
        "matrices": {name: matrix.tolist() for name, matrix in scores.matrices.items()},
    }
