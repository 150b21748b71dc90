"""How well single latents tell single generative factors: one metric a file, all from one encoding."""

import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from vae.data.factors import Factors
from vae.disentanglement.beta_vae_score import beta_vae_score
from vae.disentanglement.codes import Codes
from vae.disentanglement.dci import dci
from vae.disentanglement.factor_vae_score import factor_vae_score
from vae.disentanglement.irs import irs
from vae.disentanglement.mig import mig
from vae.disentanglement.mig_chen import mig_chen
from vae.disentanglement.modularity import modularity_explicitness
from vae.disentanglement.sap import sap, sap_continuous
from vae.disentanglement.udr import udr
from vae.disentanglement.unsupervised import dependence

__all__ = ["Codes", "Scores", "Sizes", "score", "udr"]

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
            is better but for the four of dependence: codes_total_correlation, gaussian_wasserstein,
            gaussian_wasserstein_normalised and mutual_information_score.
        matrices: (latents, factors), of the posterior means: what the scores are made from.
    """

    numbers: dict[str, float]
    matrices: dict[str, Matrix]


def score(
    mean: Float[np.ndarray, "images latents"],
    logvar: Float[np.ndarray, "images latents"],
    factors: Factors,
    seed: int = 0,
    sizes: Sizes | None = None,
    workers: int = 1,
) -> Scores:
    """Every metric but UDR, which needs several models.

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
    noise = chance(seed, "noise").standard_normal(mean.shape, dtype=np.float32)
    sampled = mean + np.exp(0.5 * logvar) * noise
    numbers, matrices = of_codes(Codes(mean, factors), seed, sizes, workers)
    of_sampled, _ = of_codes(Codes(sampled, factors), seed, sizes, workers)
    chen = mig_chen(mean, logvar, factors, sizes.samples, sizes.components, chance(seed, "mig_chen"))
    numbers |= {"mig_chen": chen.score} | {f"{name}_sampled": value for name, value in of_sampled.items()}
    return Scores(numbers, matrices | {"mig_chen": chen.information})


def of_codes(codes: Codes, seed: int, sizes: Sizes, workers: int) -> tuple[dict[str, float], dict[str, Matrix]]:
    """The metrics of one representation, and the matrices they come from."""
    train, test, batch = sizes.train, sizes.test, sizes.batch
    beta = beta_vae_score(codes, train, test, batch, chance(seed, "beta_vae_score"))
    factor = factor_vae_score(codes, train, test, batch, chance(seed, "factor_vae_score"))
    gap = mig(codes, train, chance(seed, "mig"))
    importance = dci(codes, train, test, chance(seed, "dci"), workers, sizes.trees)
    separated = sap(codes, train, test, chance(seed, "sap"), workers)
    correlated = sap_continuous(codes, train, chance(seed, "sap_continuous"))
    modular = modularity_explicitness(codes, train, test, chance(seed, "modularity"))
    robust = irs(codes, train, chance(seed, "irs"))
    dependent = dependence(codes, train, chance(seed, "dependence"))
    numbers = {
        "beta_vae_score": beta.score,
        "factor_vae_score": factor.score,
        "mig": gap.score,
        "dci_disentanglement": importance.disentanglement,
        "dci_completeness": importance.completeness,
        "dci_informativeness": importance.informativeness,
        "sap": separated.score,
        "sap_continuous": correlated.score,
        "modularity": modular.modularity,
        "explicitness": modular.explicitness,
        "irs": robust.score,
        "codes_total_correlation": dependent.gaussian_total_correlation,
        "gaussian_wasserstein": dependent.gaussian_wasserstein,
        "gaussian_wasserstein_normalised": dependent.gaussian_wasserstein_normalised,
        "mutual_information_score": dependent.mutual_information_score,
    }
    matrices = {
        "factor_vae_votes": factor.votes.astype(np.float64),
        "mutual_information": gap.information,
        "dci_importance": importance.importance,
        "sap_accuracy": separated.accuracies,
        "squared_correlation": correlated.accuracies,
        "irs_robustness": robust.robustness,
    }
    return numbers, matrices


def chance(seed: int, what: str) -> Generator:
    """A generator for each purpose, so that what one metric draws never changes another."""
    return np.random.default_rng([seed, zlib.crc32(what.encode())])
