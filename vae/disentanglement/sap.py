"""SAP: how much better the best single latent predicts a factor than the second best.

Kumar, Sattigeri & Balakrishnan (2018), "Variational Inference of Disentangled Latent Concepts from Unlabeled
Observations", Section 3; the classifier as in Locatello et al. (2019).
"""

import numpy as np
from jaxtyping import Float, Int32
from joblib import Parallel, delayed
from numpy.random import Generator
from sklearn.svm import LinearSVC

from vae.disentanglement.classifiers import fitted, ignore_iteration_limits
from vae.disentanglement.representation import MatrixScore, Representation, Sizes, gap, ratio


def sap(representation: Representation, sizes: Sizes, generator: Generator, workers: int = 1) -> MatrixScore:
    """The mean gap over factors, and the accuracy of a linear support vector machine on each latent."""
    x, y = representation.draw(sizes.train, generator)
    x_test, y_test = representation.draw(sizes.test, generator)

    def accuracy(j: int, k: int) -> float:
        machine = fitted(LinearSVC(C=0.01, class_weight="balanced", dual=False), x[:, [j]], y[:, k])
        return float(machine.score(x_test[:, [j]], y_test[:, k]))

    shape = (representation.latents, y.shape[1])
    with ignore_iteration_limits():
        found = Parallel(n_jobs=workers, backend="threading")(delayed(accuracy)(*pair) for pair in np.ndindex(shape))
    accuracies = np.reshape(found, shape)
    return MatrixScore(float(gap(accuracies).mean()), accuracies)


def sap_continuous(representation: Representation, sizes: Sizes, generator: Generator) -> MatrixScore:
    """SAP with squared correlations in place of accuracies, for factors whose levels are ordered."""
    correlations = squared_correlations(*representation.draw(sizes.train, generator))
    return MatrixScore(float(gap(correlations).mean()), correlations)


def squared_correlations(
    codes: Float[np.ndarray, "images latents"], levels: Int32[np.ndarray, "images factors"]
) -> Float[np.ndarray, "latents factors"]:
    """The squared correlation of each latent with each factor; 0 where a latent does not vary."""
    x, y = codes - codes.mean(axis=0), levels - levels.mean(axis=0)
    covariance = x.T @ y / len(x)
    variances = np.outer((x**2).mean(axis=0), (y**2).mean(axis=0))
    return ratio(covariance**2, np.where(variances > 1e-12, variances, 0.0))
