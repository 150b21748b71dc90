"""All metrics of one model, computed from one encoding of its images."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
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
from vae.disentanglement.modularity import modularity_explicitness
from vae.disentanglement.names import SAMPLED, SHUFFLED
from vae.disentanglement.representation import MatrixScore, Representation, Sizes
from vae.disentanglement.sap import sap, sap_continuous
from vae.measures.evaluation import encode_posteriors
from vae.model.vae import VAE

SECONDS_A_LEVEL, SECONDS_A_LEVEL_AND_LATENT = 0.075, 0.018  # measured with 20 to 360 levels and 5 to 20 latents

Matrix = Float[np.ndarray, "latents factors"]
DEFAULT_SIZES = Sizes()


@dataclass(frozen=True)
class Scores:
    """The scores of one model. README.md describes them.

    Attributes:
        numbers: scores of the posterior means by name. Names that end in `_sampled` are scores of one sample of each
            posterior. Names that end in `_shuffled` are scores of the posterior means with each latent permuted over
            the images, the values of chance. If every factor is left out, only the measures of dependence are present.
        matrices: (latents, factors) of the posterior means, from which the scores are computed. The columns are
            `factors`.
        factors: the names of the factors with scores.
        binned: the names of those whose values are cut into bins, with the reason; see `binned`.
        left_out: the names of factors without scores, with the reason.
        collapsed: what equal codes for all images would score, by name, where it is not 0.
    """

    numbers: dict[str, float]
    matrices: dict[str, Matrix]
    factors: tuple[str, ...]
    binned: dict[str, str]
    left_out: dict[str, str]
    collapsed: dict[str, float]


class Found(NamedTuple):
    """Scores by name, and the matrices from which they are computed."""

    numbers: dict[str, float]
    matrices: dict[str, Matrix]


class Metric(NamedTuple):
    """A metric of codes.

    Attributes:
        function: computes it from codes, sizes of the samples, a generator and a number of threads.
        needs_factors: whether it needs factors, whose values are `binned`.
    """

    function: Callable[[Representation, Sizes, Generator, int], Found]
    needs_factors: bool = True


def matrix_scores(name: str, found: MatrixScore, matrix: str) -> Found:
    """The score and its matrix under these names."""
    return Found({name: found.score}, {matrix: found.matrix})


def dci_scores(codes: Representation, sizes: Sizes, generator: Generator, workers: int) -> Found:
    """The three scores of DCI and the importances."""
    found = dci(codes, sizes, generator, workers)
    numbers = {
        "dci_disentanglement": found.disentanglement,
        "dci_completeness": found.completeness,
        "dci_informativeness": found.informativeness,
    }
    return Found(numbers, {"dci_importance": found.importance})


def infomec_scores(codes: Representation, sizes: Sizes, generator: Generator, _: int) -> Found:
    """The three scores of InfoMEC and the information on each factor."""
    found = infomec(codes, sizes, generator)
    numbers = {"infom": found.modularity, "infoc": found.compactness, "infoe": found.explicitness}
    return Found(numbers, {"normalised_information": found.information})


# By the purpose of the generator. `names.py` has the names of the scores.
METRICS: Mapping[str, Metric] = {
    "beta_vae_score": Metric(lambda c, s, g, _: Found({"beta_vae_score": beta_vae_score(c, s, g)}, {})),
    "factor_vae_score": Metric(
        lambda c, s, g, _: matrix_scores("factor_vae_score", factor_vae_score(c, s, g), "factor_vae_votes")
    ),
    "mig": Metric(lambda c, s, g, _: matrix_scores("mig", mig(c, s, g), "mutual_information")),
    "dci": Metric(dci_scores),
    "sap": Metric(lambda c, s, g, workers: matrix_scores("sap", sap(c, s, g, workers), "sap_accuracy")),
    "sap_continuous": Metric(
        lambda c, s, g, _: matrix_scores("sap_continuous", sap_continuous(c, s, g), "squared_correlation")
    ),
    "infomec": Metric(infomec_scores),
    "modularity": Metric(lambda c, s, g, _: Found(modularity_explicitness(c, s, g), {})),
    "irs": Metric(lambda c, s, g, _: matrix_scores("irs", irs(*c.draw(s.train, g)), "irs_robustness")),
    "dependence": Metric(lambda c, s, g, _: Found(dependence(c.draw(s.train, g)[0]), {}), needs_factors=False),
}


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
    order = generator_for(seed, "shuffled").permuted(np.tile(np.arange(len(mean))[:, None], mean.shape[1]), axis=0)
    apart_mean, apart_logvar = (np.take_along_axis(values, order, axis=0) for values in (mean, logvar))
    codes = {"": mean, SAMPLED: mean + np.exp(0.5 * logvar) * noise, SHUFFLED: apart_mean}
    representations = {ending: Representation(values, factors) for ending, values in codes.items()}  # all are finite
    active = 0.5 * (mean**2 + np.exp(logvar) - logvar - 1).mean(axis=0, dtype=np.float64) > ACTIVE_NATS
    found = {
        ending: code_scores(replace(of, active=active), seed, sizes, workers) for ending, of in representations.items()
    }
    treated = binned(factors, sizes.train)
    if treated.factors.names:
        for ending, posteriors in {"": (mean, logvar), SHUFFLED: (apart_mean, apart_logvar)}.items():
            information = mig_chen(*posteriors, treated.factors, sizes, generator_for(seed, "mig_chen"))
            found[ending].numbers["mig_chen"] = information.score
            found[ending].matrices["mig_chen"] = information.matrix
    numbers = {name + ending: value for ending, of in found.items() for name, value in of.numbers.items()}
    return Scores(
        numbers,
        found[""].matrices,
        treated.factors.names,
        treated.binned,
        treated.left_out,
        collapsed_scores(treated.factors),
    )


def collapsed_scores(factors: Factors) -> dict[str, float]:
    """The scores of equal codes for all images, where they are not 0. A classifier then guesses."""
    if not factors.names:
        return {}
    most_frequent = [np.bincount(levels).max() / len(levels) for levels in factors.levels.T]
    return {
        "beta_vae_score": 1 / len(factors.names),
        "dci_informativeness": float(np.mean(most_frequent)),
        "explicitness": 0.5,
    }


def code_scores(codes: Representation, seed: int, sizes: Sizes, workers: int) -> Found:
    """The scores of one representation by all `METRICS`. Each metric draws from a generator of its own."""
    factors = binned(codes.factors, sizes.train).factors
    numbers: dict[str, float] = {}
    matrices: dict[str, Matrix] = {}
    for purpose, metric in METRICS.items():
        if metric.needs_factors and not factors.names:
            continue
        given = replace(codes, factors=factors) if metric.needs_factors else codes
        found = metric.function(given, sizes, generator_for(seed, purpose), workers)
        numbers |= found.numbers
        matrices |= found.matrices
    return Found(numbers, matrices)


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
        "collapsed": scores.collapsed,
        "matrices": {name: matrix.tolist() for name, matrix in scores.matrices.items()},
    }
