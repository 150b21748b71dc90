"""How well single latents tell single generative factors: one metric a file, all from one encoding."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.random import Generator

from vae.data.factors import Factors
from vae.data.images import ImageSet
from vae.disentanglement.beta_vae_score import beta_vae_score
from vae.disentanglement.codes import Codes
from vae.disentanglement.dci import dci
from vae.disentanglement.discretise import information_matrix
from vae.disentanglement.factor_vae_score import factor_vae_score
from vae.disentanglement.irs import irs
from vae.disentanglement.mig import mig
from vae.disentanglement.mig_chen import mig_chen
from vae.disentanglement.modularity import modularity, modularity_explicitness
from vae.disentanglement.sap import sap, sap_continuous
from vae.disentanglement.udr import udr
from vae.disentanglement.unsupervised import dependence
from vae.measures.evaluation import encode_posteriors
from vae.model.vae import VAE

__all__ = ["Codes", "Scores", "Sizes", "expected_seconds", "score", "too_many", "udr"]

SECONDS_A_LEVEL, SECONDS_A_LEVEL_AND_LATENT = 0.25, 0.025  # measured of 20 to 360 levels and 5 to 20 latents
IMAGES_A_LEVEL = 10  # on average: of fewer, a score hardly tells perfect codes from random ones

Matrix = Float[np.ndarray, "latents factors"]


@dataclass(frozen=True)
class Sizes:
    """How much each estimate is made from. The defaults are those of Locatello et al. (2019), `components` is ours.

    Attributes:
        train: images (or votes, or points) to fit on.
        test: fresh ones to be scored on.
        batch: images that share a factor, in the β-VAE and FactorVAE scores.
        trees: for each level, in DCI.
        samples: of z, for each entropy in Chen's MIG.
        components: images in a mixture, in Chen's MIG. Too few understate the information where the
            posteriors of different images hardly overlap.
    """

    train: int = 10_000
    test: int = 5_000
    batch: int = 64
    trees: int = 100
    samples: int = 2_000
    components: int = 4_000


@dataclass(frozen=True)
class Scores:
    """What the metrics say of one model.

    Attributes:
        numbers: by name. Of the posterior means; with the ending `_sampled`, of one sample of each posterior. Higher
            is better but for the measures of dependence: codes_total_correlation, active_codes_total_correlation,
            gaussian_wasserstein, gaussian_wasserstein_normalised and mutual_information_score. modularity_baseline and
            irs_baseline are the two scores of the same codes dealt to other images: what they are without any
            knowledge of the factors. Where every factor is left out there are sap_continuous and dependence only.
        matrices: (latents, factors), of the posterior means: what the scores are made from. The columns are `factors`;
            of `squared_correlation` they are `factors` and then those left out.
        factors: the names of those that are scored.
        left_out: why the others are not, by name: their levels are `too_many`.
    """

    numbers: dict[str, float]
    matrices: dict[str, Matrix]
    factors: tuple[str, ...]
    left_out: dict[str, str]


def too_many(factors: Factors, train: int = Sizes.train) -> dict[str, str]:
    """The factors that cannot be scored as discrete ones, with the reason: fewer than 10 images a level, on average.

    The images are those of the set, or the `train` that are drawn of it if these are fewer. Every score but
    sap_continuous asks what images of one level have in common. Where a level has one image, as that of a continuous
    factor, this is everything, whatever the codes: perfect and random codes then have the same score. With three
    factors of 10 images a level, in sets of 1 000 and 5 000 images, the FactorVAE score is 1.00 of perfect and at most
    .37 of random codes, IRS 1.00 and at most .09. With 5 images the IRS of random codes is up to .26, with 2 up to
    .69. sap_continuous tells them apart at any number of levels (.99 and more, .00), if the levels are in order.

    Args:
        factors: of all images.
        train: images that are drawn to fit on.
    """
    images = min(len(factors), train)
    return {
        name: f"{size:,} levels, {images / size:.1f} images a level, fewer than {IMAGES_A_LEVEL}"
        for name, size in zip(factors.names, factors.sizes, strict=True)
        if images / size < IMAGES_A_LEVEL
    }


def expected_seconds(factors: Factors, latents: int, train: int = Sizes.train) -> float:
    """How long `score` takes of one core, to within a factor of two: the trees of DCI, one for each level, take most.

    Args:
        factors: of all images.
        latents: their number.
        train: images that are drawn to fit on.
    """
    left_out = too_many(factors, train)
    levels = sum(size for name, size in zip(factors.names, factors.sizes, strict=True) if name not in left_out)
    return levels * (SECONDS_A_LEVEL + SECONDS_A_LEVEL_AND_LATENT * latents)


def score(
    mean: Float[np.ndarray, "images latents"],
    logvar: Float[np.ndarray, "images latents"],
    factors: Factors,
    seed: int = 0,
    sizes: Sizes | None = None,
    workers: int = 1,
) -> Scores:
    """Every metric but UDR, which needs several models; of factors whose levels are not `too_many`.

    Args:
        mean: of each image's posterior.
        logvar: of each image's posterior.
        factors: of the images.
        seed: of every draw: the same encoding and seed, the same scores.
        sizes: of the estimates.
        workers: threads; the scores do not depend on it.

    Raises:
        ValueError: a code is not finite, or there is no factor.
    """
    sizes = sizes or Sizes()
    left_out = too_many(factors, sizes.train)
    discrete = [name for name in factors.names if name not in left_out]
    factors = only(factors, [*discrete, *left_out])
    noise = chance(seed, "noise").standard_normal(mean.shape, dtype=np.float32)
    sampled = mean + np.exp(0.5 * logvar) * noise
    numbers, matrices = of_codes(Codes(mean, factors), seed, sizes, workers)
    of_sampled, _ = of_codes(Codes(sampled, factors), seed, sizes, workers)
    if discrete:
        few, generator = only(factors, discrete), chance(seed, "mig_chen")
        chen = mig_chen(mean, logvar, few, sizes.samples, sizes.components, generator)
        numbers["mig_chen"], matrices["mig_chen"] = chen.score, chen.information
    numbers |= {f"{name}_sampled": value for name, value in of_sampled.items()}
    return Scores(numbers, matrices, tuple(discrete), left_out)


def only(factors: Factors, names: Sequence[str]) -> Factors:
    """These factors, in this order."""
    return Factors(tuple(names), factors.levels[:, [factors.names.index(name) for name in names]])


def of_codes(codes: Codes, seed: int, sizes: Sizes, workers: int) -> tuple[dict[str, float], dict[str, Matrix]]:
    """The metrics of one representation, and the matrices they come from."""
    correlated = sap_continuous(codes, sizes.train, chance(seed, "sap_continuous"))
    dependent = dependence(codes, sizes.train, chance(seed, "dependence"))
    left_out = too_many(codes.factors, sizes.train)
    discrete = only(codes.factors, [name for name in codes.factors.names if name not in left_out])
    numbers, matrices = of_levels(Codes(codes.values, discrete), seed, sizes, workers) if discrete.names else ({}, {})
    numbers |= {
        "sap_continuous": correlated.score,
        "codes_total_correlation": dependent.gaussian_total_correlation,
        "active_codes_total_correlation": dependent.active_total_correlation,
        "gaussian_wasserstein": dependent.gaussian_wasserstein,
        "gaussian_wasserstein_normalised": dependent.gaussian_wasserstein_normalised,
        "mutual_information_score": dependent.mutual_information_score,
    }
    return numbers, matrices | {"squared_correlation": correlated.accuracies}


def of_levels(codes: Codes, seed: int, sizes: Sizes, workers: int) -> tuple[dict[str, float], dict[str, Matrix]]:
    """The metrics that ask what images of one level have in common, and their matrices."""
    train, test, batch = sizes.train, sizes.test, sizes.batch
    beta = beta_vae_score(codes, train, test, batch, chance(seed, "beta_vae_score"))
    factor = factor_vae_score(codes, train, test, batch, chance(seed, "factor_vae_score"))
    gap = mig(codes, train, chance(seed, "mig"))
    importance = dci(codes, train, test, chance(seed, "dci"), workers, sizes.trees)
    separated = sap(codes, train, test, chance(seed, "sap"), workers)
    modular = modularity_explicitness(codes, train, test, chance(seed, "modularity"))
    robust = irs(codes, train, chance(seed, "irs"))
    generator = chance(seed, "baselines")
    dealt = Codes(generator.permutation(codes.values), codes.factors)  # the codes of other images
    numbers = {
        "beta_vae_score": beta.score,
        "factor_vae_score": factor.score,
        "mig": gap.score,
        "dci_disentanglement": importance.disentanglement,
        "dci_completeness": importance.completeness,
        "dci_informativeness": importance.informativeness,
        "sap": separated.score,
        "modularity": modular.modularity,
        "modularity_baseline": modularity(information_matrix(*dealt.draw(train, generator))),
        "explicitness": modular.explicitness,
        "irs": robust.score,
        "irs_baseline": irs(dealt, train, generator).score,
    }
    matrices = {
        "factor_vae_votes": factor.votes.astype(np.float64),
        "mutual_information": gap.information,
        "dci_importance": importance.importance,
        "sap_accuracy": separated.accuracies,
        "irs_robustness": robust.robustness,
    }
    return numbers, matrices


def chance(seed: int, what: str) -> Generator:
    """A generator for each purpose, so that what one metric draws never changes another."""
    return np.random.default_rng([seed, zlib.crc32(what.encode())])


def disentanglement_numbers(vae: VAE, images: ImageSet) -> dict[str, Any]:
    """Every metric of `vae.disentanglement` from one encoding of `images`, as `summary.json` holds them.

    The scores by name, the matrices (latents, factors) that they come from, the names of the factors that are scored,
    and of those that are not with the reason.

    Raises:
        ValueError: the factors of the images are not known.
    """
    if images.factors is None:
        raise ValueError("the metrics need images whose factors are known, got images without any")
    mean, logvar = encode_posteriors(vae, images)
    scores = score(mean.numpy(), logvar.numpy(), images.factors, workers=torch.get_num_threads())
    return {
        "factors": list(scores.factors),
        "left_out": scores.left_out,
        "numbers": scores.numbers,
        "matrices": {name: matrix.tolist() for name, matrix in scores.matrices.items()},
    }
