"""SAP: by how much the best single latent predicts a factor better than the second best.

Kumar, Sattigeri & Balakrishnan (2018), "Variational Inference of Disentangled Latent Concepts from Unlabeled
Observations", Section 3; the classifier as in Locatello et al. (2019).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int32
from joblib import Parallel, delayed
from numpy.random import Generator
from sklearn.svm import LinearSVC

from vae.disentanglement.codes import Codes, gap
from vae.disentanglement.discretise import ratio
from vae.disentanglement.linear import fitted, iteration_limits_are_no_news


@dataclass(frozen=True)
class SAP:
    """`score` in [0, 1]; `accuracies` of each latent alone, on fresh images (or squared correlations)."""

    score: float
    accuracies: Float[np.ndarray, "latents factors"]


def sap(codes: Codes, train: int, test: int, generator: Generator, workers: int = 1) -> SAP:
    """The mean over factors of the gap, with a linear support vector machine on each latent.

    Args:
        codes: of all images.
        train: images to fit on.
        test: fresh images.
        generator: of the draws.
        workers: threads.
    """
    x, y = codes.draw(train, generator)
    fresh, answers = codes.draw(test, generator)

    def accuracy(latent: int, factor: int) -> float:
        machine = LinearSVC(C=0.01, class_weight="balanced", dual=False)
        return float(fitted(machine, x[:, [latent]], y[:, factor]).score(fresh[:, [latent]], answers[:, factor]))

    pairs = [(latent, factor) for latent in range(codes.latents) for factor in range(y.shape[1])]
    with iteration_limits_are_no_news():
        found = Parallel(n_jobs=workers, backend="threading")(delayed(accuracy)(*pair) for pair in pairs)
    accuracies = np.array(found).reshape(codes.latents, y.shape[1])
    return SAP(float(gap(accuracies).mean()), accuracies)


def sap_continuous(codes: Codes, samples: int, generator: Generator) -> SAP:
    """The same with squared correlations, for factors whose levels are in order."""
    correlations = squared_correlations(*codes.draw(samples, generator))
    return SAP(float(gap(correlations).mean()), correlations)


def squared_correlations(
    codes: Float[np.ndarray, "images latents"], levels: Int32[np.ndarray, "images factors"]
) -> Float[np.ndarray, "latents factors"]:
    """Of each latent with each factor; 0 where a latent does not vary."""
    x, y = codes - codes.mean(axis=0), levels - levels.mean(axis=0)
    covariance = x.T @ y / len(x)
    variances = np.outer((x**2).mean(axis=0), (y**2).mean(axis=0))
    return ratio(covariance**2, np.where(variances > 1e-12, variances, 0.0))
