"""SAP: how much better the best single latent predicts a factor than the second best.

Kumar, Sattigeri & Balakrishnan (2018), "Variational Inference of Disentangled Latent Concepts from Unlabeled
Observations", Section 3; the classifier as in Locatello et al. (2019).
"""

import numpy as np
from jaxtyping import Float
from joblib import Parallel, delayed
from numpy.random import Generator
from sklearn.svm import LinearSVC

from vae.data.factors import Kind
from vae.disentanglement.classifiers import fitted, ignore_iteration_limits
from vae.disentanglement.representation import MatrixScore, Representation, Sizes, gap, ratio

DEAD = 1e-12  # variance; a latent below has no correlation


def sap(representation: Representation, sizes: Sizes, generator: Generator, workers: int = 1) -> MatrixScore:
    """The mean gap over factors, and the accuracy of a linear support vector machine on each latent.

    Binned factors have squared correlations in place of accuracies, as in the paper: no line separates many levels.
    """
    x, y = representation.draw(sizes.train, generator)
    x_test, y_test = representation.draw(sizes.test, generator)

    def accuracy(j: int, k: int) -> float:
        machine = fitted(LinearSVC(C=0.01, class_weight="balanced", dual=False), x[:, [j]], y[:, k])
        return float(machine.score(x_test[:, [j]], y_test[:, k]))

    shape = (representation.latents, y.shape[1])
    with ignore_iteration_limits():
        found = Parallel(n_jobs=workers, backend="threading")(delayed(accuracy)(*pair) for pair in np.ndindex(shape))
    accuracies = np.reshape(found, shape)
    binned = np.array(representation.factors.kinds) == Kind.binned
    if binned.any():
        correlations = squared_correlations(*representation.draw_values(sizes.train, generator))
        accuracies[:, binned] = correlations[:, binned]
    return MatrixScore(float(gap(accuracies).mean()), accuracies)


def sap_continuous(representation: Representation, sizes: Sizes, generator: Generator) -> MatrixScore:
    """SAP with squared correlations in place of accuracies, for factors whose values are ordered."""
    correlations = squared_correlations(*representation.draw_values(sizes.train, generator))
    return MatrixScore(float(gap(correlations).mean()), correlations)


def squared_correlations(
    codes: Float[np.ndarray, "images latents"], values: Float[np.ndarray, "images factors"]
) -> Float[np.ndarray, "latents factors"]:
    """The squared correlation of each latent with each factor; 0 where one of them does not vary."""
    x, y = codes - codes.mean(axis=0), values - values.mean(axis=0)
    covariance = x.T @ y / len(x)
    of_codes, of_values = (x**2).mean(axis=0), (y**2).mean(axis=0)
    return ratio(covariance**2, np.outer(np.where(of_codes > DEAD, of_codes, 0.0), of_values))
